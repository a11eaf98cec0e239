package recovery

import "testing"

// train sends a train of n packets.
func (w *world) train(n, size int) []uint64 {
	pns := make([]uint64, n)
	for i := range pns {
		pns[i] = w.sendAs(app, Sent{AckEliciting: true, InFlight: true, Size: size, Follower: i > 0})
	}
	return pns
}

// round sends a train of n packets and then one of a packet, and has the first of each acknowledged.
func (w *world) round(n, size int) []uint64 {
	a, b := w.train(n, size), w.train(1, size)
	w.now += 100 * ms
	w.mustAck(app, a[0], b[0])
	w.timeout() // whoever is not lost by the number of packets after it, is by time
	return a
}

func TestFollowersLost(t *testing.T) {
	for _, n := range []int{2, 3, 4, 60} {
		w := newConfirmed(t)
		rounds, lost := 0, 0
		for ; !w.path.Alone() && rounds < 100; rounds++ {
			w.round(n, mtu)
			lost += n - 1
		}
		if want := max(aloneRounds, (aloneLost+n-2)/(n-1)); rounds != want || w.rec.Counts().Alone != 1 || w.path.Arrived() {
			t.Errorf("trains of %d: alone after %d rounds and %d lost packets, want %d rounds; %d, %v", n, rounds, lost, want, w.rec.Counts().Alone, w.path.Arrived())
		}
		w.round(2, mtu)
		if !w.path.Alone() || w.rec.Counts().Alone != 1 {
			t.Error("that is not for good, or counted twice")
		}
	}
}

// One follower that is acknowledged, in time or late, and all begins anew.
func TestFollowersArrive(t *testing.T) {
	for _, late := range []bool{false, true} {
		w := newConfirmed(t)
		for range 5 {
			var last []uint64
			for range aloneRounds - 1 {
				last = w.round(10, mtu)
			}
			if !late {
				last = w.train(2, mtu)
				w.now += 100 * ms
			}
			w.mustAck(app, w.train(1, mtu)[0], last[1])
		}
		if w.path.Alone() || !w.path.Arrived() {
			t.Errorf("late %v: alone %v, arrived %v", late, w.path.Alone(), w.path.Arrived())
		}
	}
}

// What is larger than all that arrives may be lost for its size; and what nothing
// arrives of tells nothing.
func TestFollowersLostForOtherReasons(t *testing.T) {
	w := newConfirmed(t)
	for range 3 * aloneRounds {
		w.train(10, mtu)
		b := w.train(1, mtu-100)
		w.now += 100 * ms
		w.mustAck(app, b[0])
		w.timeout()
	}
	if w.path.Alone() {
		t.Error("alone for the loss of larger packets")
	}
}

// What was sent before trains are tried again tells nothing, be it acknowledged or lost.
func TestRetryTrains(t *testing.T) {
	w := newConfirmed(t)
	before := w.train(10, mtu)
	w.path.RetryTrains(w.now)
	w.now += 100 * ms
	w.mustAck(app, before[0], before[1])
	if w.path.Arrived() {
		t.Error("a train arrived that was sent before")
	}
	for !w.path.Alone() {
		w.round(10, mtu)
	}
	for range 2 {
		w.train(3, mtu) // which is lost
		w.path.RetryTrains(w.now)
		w.now += 100 * ms
		rounds := 0
		for ; !w.path.Alone() && rounds < 100; rounds++ {
			w.round(3, mtu)
		}
		if rounds != aloneRounds || w.path.Arrived() {
			t.Errorf("alone after %d rounds; %v", rounds, w.path.Arrived())
		}
	}
	w.path.RetryTrains(w.now)
	w.now += ms
	last := w.train(2, mtu)
	w.now += 100 * ms
	w.mustAck(app, last[0], last[1])
	if !w.path.Arrived() || w.path.Alone() {
		t.Error("no train arrived, or they are still sent alone")
	}
}
