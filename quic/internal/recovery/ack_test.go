package recovery

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

func wantViolation(t *testing.T, err error) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != wire.ErrProtocolViolation {
		t.Fatalf("error %v, want PROTOCOL_VIOLATION", err)
	}
}

func TestAck(t *testing.T) {
	w := newConfirmed(t)
	w.now = time.Second
	pns := w.sendN(app, 10)
	w.now += 80 * ms
	w.mustAck(app, pns[:5]...)
	wantEqual(t, "in flight", w.path.InFlight, 5*mtu)
	wantEqual(t, "outstanding", w.rec.Outstanding(app), 5)
	wantEqual(t, "frames", w.framesAcked, 5)
	a := w.cc.acks[0]
	if a.Bytes != 5*mtu || a.Packets != 5 || a.LargestSent != time.Second || !a.RTTSample || a.LatestRTT != 80*ms || a.PriorInFlight != 10*mtu || a.InFlight != 5*mtu {
		t.Fatalf("%+v", a)
	}
	// What is new of an ACK that covers all.
	w.now += 10 * ms
	w.mustAck(app, pns...)
	wantEqual(t, "newly acked", w.cc.acks[1].Packets, 5)
	if largest, ok := w.rec.LargestAcked(app); !ok || largest != pns[9] {
		t.Fatalf("largest acked is %d", largest)
	}
	// A duplicate tells nothing.
	w.mustAck(app, pns...)
	wantEqual(t, "acks told", len(w.cc.acks), 2)
	if !slices.Equal(w.acked, pns) {
		t.Fatalf("acked %v, want %v", w.acked, pns)
	}
}

// No RTT sample without the largest, or without an ack-eliciting packet (RFC 9002, Section 5.1).
func TestNoRTTSample(t *testing.T) {
	w := newConfirmed(t)
	pns := w.sendN(app, 2)
	ackOnly := w.sendAs(app, Sent{Size: 40, HasAck: true})
	w.now += 50 * ms
	w.mustAck(app, ackOnly)
	wantEqual(t, "latest RTT", w.path.RTT.Latest(), 100*ms)
	w.mustAck(app, ackOnly, pns[0])
	wantEqual(t, "latest RTT", w.path.RTT.Latest(), 100*ms)
	if w.cc.acks[0].RTTSample {
		t.Fatal("RTT sample")
	}
	// With the largest an ACK-only packet and another one ack-eliciting there is one.
	ackOnly = w.sendAs(app, Sent{Size: 40, HasAck: true})
	w.now += 60 * ms
	w.mustAck(app, ackOnly, pns[1])
	wantEqual(t, "latest RTT", w.path.RTT.Latest(), 60*ms)
}

func TestAckDelay(t *testing.T) {
	smoothed := func(space wire.Space, delay, exponent uint64, confirmed bool) time.Duration {
		w := newWorld(t, true)
		w.setRTT(100 * ms)
		w.rec.SetAckDelayExponent(exponent)
		w.rec.SetMaxAckDelay(25 * ms)
		if confirmed {
			w.rec.SetHandshakeConfirmed()
		}
		pn := w.send(space)
		w.now += 180 * ms
		if err := w.ackFrame(space, &ackFrame{delay: delay}, pn); err != nil {
			t.Fatal(err)
		}
		return w.path.RTT.Smoothed()
	}
	const delay = 40000 >> 3 // 40 ms
	wantEqual(t, "Initial, without the delay", smoothed(wire.SpaceInitial, delay, 3, false), 110*ms)
	wantEqual(t, "Handshake", smoothed(wire.SpaceHandshake, delay, 3, false), 105*ms)
	wantEqual(t, "confirmed, limited by max_ack_delay", smoothed(app, delay, 3, true), 106875*time.Microsecond)
	wantEqual(t, "an absurd delay, not confirmed", smoothed(app, math.MaxUint64, 20, false), 110*ms)
	wantEqual(t, "an absurd delay, confirmed", smoothed(app, 1<<62-1, 20, true), 106875*time.Microsecond)
	wantEqual(t, "an absurd exponent", smoothed(app, 1, math.MaxUint64, true), 106875*time.Microsecond)
}

// An ACK of what was never sent is an error in each space, whatever range it is in.
func TestAckOfUnsent(t *testing.T) {
	for space := range wire.Space(wire.NumSpaces) {
		w := newWorld(t, true)
		wantViolation(t, w.ack(space, 0))
		w.sendN(space, 5)
		wantViolation(t, w.ack(space, 0, 1, 5))
		wantViolation(t, w.ack(space, 1<<62-1))
		wantEqual(t, "outstanding", w.rec.Outstanding(space), 5)
		wantEqual(t, "acks told", len(w.cc.acks), 0)
		w.mustAck(space, 0, 1, 2, 3, 4)
	}
}

// Against a peer that acknowledges what it cannot have received there is a number
// in each window that was never sent.
func TestOptimisticAck(t *testing.T) {
	for _, window := range []int{2, 10, 32, 100, 1000, 20000} {
		w := newConfirmed(t)
		w.quiet, w.cc.quiet = true, true
		w.rec.Init(false, rand.New(rand.NewPCG(uint64(window), 3)))
		w.rec.SetActive(w.path)
		w.cc.window = window * mtu
		skipped := 0
		for sent, last := 0, uint64(0); sent < 4*max(window, minSkip); sent++ {
			pn := w.send(app)
			if pn > last+1 {
				skipped++
				wantEqual(t, "gap", pn-last, 2)
			}
			last = pn
			if sent%50 == 49 {
				w.mustAck(app, pn)
			}
		}
		if skipped < 4 || skipped > 10 {
			t.Errorf("%d numbers skipped in 4 windows of %d packets", skipped, window)
		}
		// The attacker acknowledges all numbers of a window, without having seen any.
		first := w.rec.NextPN(app)
		var last uint64
		for range max(window, minSkip) {
			last = w.send(app)
		}
		w.rec.ranges = append(w.rec.ranges[:0], ranges.Range{Start: first, End: last + 1})
		wantViolation(t, w.rec.handleAck(app, w.now, &ackFrame{largest: last}, w))
	}
}

func TestAckOfSkippedInOneOfManyRanges(t *testing.T) {
	w := newConfirmed(t)
	var pns []uint64
	for len(w.rec.skips.pn) < 3 {
		pns = append(pns, w.send(app))
	}
	pns = append(pns, w.send(app))
	for _, skipped := range w.rec.skips.pn[:3] {
		if err := w.ack(app, append(slices.Clone(pns[len(pns)-2:]), skipped)...); err == nil {
			t.Fatalf("ACK of %d was accepted", skipped)
		}
	}
	w.mustAck(app, pns...)
}

// A peer that sends without end but acknowledges nothing has us send ACKs without
// end, which must not be remembered without end.
func TestAcksWithoutEnd(t *testing.T) {
	w := newConfirmed(t)
	check := func() {
		t.Helper()
		for range 100000 {
			w.sendAs(app, Sent{Size: 40, HasAck: true, LargestAcked: 7})
		}
		w.check()
		if n := len(w.rec.spaces[app].packets.buf); n > 2*maxPlain {
			t.Fatalf("%d packets are remembered", n)
		}
	}
	check()
	// With something outstanding before them they cannot be forgotten from the front.
	first := w.send(app)
	check()
	last := w.send(app)
	w.mustAck(app, first, last)
	wantEqual(t, "outstanding", w.rec.Outstanding(app), 0)
}

// The recent ACKs are remembered though older ones are not.
func TestRecentAcksAreRemembered(t *testing.T) {
	w := newConfirmed(t)
	for range 1000 {
		w.sendAs(app, Sent{Size: 40, HasAck: true})
	}
	last := w.sendAs(app, Sent{Size: 40, HasAck: true})
	w.mustAck(app, last)
	if !slices.Equal(w.acked, []uint64{last}) {
		t.Fatalf("acked %v", w.acked)
	}
}

// Many ranges that tell nothing cost nothing: those below the floor are not even looked at.
func TestOldRanges(t *testing.T) {
	w := newConfirmed(t)
	for range 100 {
		pns := w.sendN(app, 10)
		w.now += ms
		w.mustAck(app, pns...)
	}
	floor := w.rec.floor(app)
	if floor != w.rec.skips.pn[0] {
		t.Fatalf("floor is %d, and the oldest skipped number %d", floor, w.rec.skips.pn[0])
	}
}

func TestTimeBackwards(t *testing.T) {
	w := newConfirmed(t)
	w.now = time.Second
	pns := w.sendN(app, 5)
	w.now = 500 * ms
	w.mustAck(app, pns[0])
	wantEqual(t, "RTT", w.path.RTT.Latest(), minSample)
	w.now = -time.Hour
	pns = append(pns, w.send(app))
	w.rec.HandleTimeout(w.now, w)
	w.now = 1100 * ms
	w.mustAck(app, pns[5])
}

func TestAppLimited(t *testing.T) {
	w := newConfirmed(t)
	w.cc.window = 10 * mtu
	limited := func(n int, mark bool) bool {
		pns := w.sendN(app, n)
		if mark {
			w.path.SetAppLimited()
		}
		w.now += 100 * ms
		w.mustAck(app, pns...)
		return w.cc.acks[len(w.cc.acks)-1].AppLimited
	}
	wantEqual(t, "app limited with 3 of 10 packets", limited(3, true), true)
	wantEqual(t, "app limited with a full window", limited(10, true), false)
	wantEqual(t, "app limited without being told", limited(3, false), false)
	w.cc.slow = true
	wantEqual(t, "app limited in slow start with 6 of 10 packets", limited(6, true), false)
	wantEqual(t, "app limited in slow start with 4 of 10 packets", limited(4, true), true)
}
