package recovery

import (
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

const (
	initial   = wire.SpaceInitial
	handshake = wire.SpaceHandshake
)

func (w *world) wantPTO(space wire.Space) {
	w.t.Helper()
	if s, pto := w.timeout(); !pto || s != space {
		w.t.Fatalf("PTO is %v of space %d, want one of %d", pto, s, space)
	}
}

func (w *world) wantNoDeadline() {
	w.t.Helper()
	if d, ok := w.rec.Deadline(); ok {
		w.t.Fatalf("deadline is %v, want none", d)
	}
}

func TestPTO(t *testing.T) {
	w := newConfirmed(t)
	w.rec.SetMaxAckDelay(25 * ms)
	w.wantNoDeadline()
	pns := w.sendN(app, 3)
	w.wantDeadline(126 * ms) // 100 + 1 + 25
	w.wantPTO(app)
	wantEqual(t, "probes", w.rec.Probes(app), 2)
	wantEqual(t, "PTO count", w.rec.PTOCount(), 1)
	w.wantLost()

	// The probes carry what was in the oldest packets.
	w.rec.Requeue(app, w.rec.Probes(app), w)
	w.wantLost(pns[0], pns[1])
	p1, p2 := w.send(app), w.send(app)
	wantEqual(t, "probes", w.rec.Probes(app), 0)
	w.wantDeadline(w.now + 2*126*ms)
	w.wantPTO(app)
	w.rec.Requeue(app, 2, w)
	w.wantLost(pns[0], pns[1], pns[2], p1)

	// An ACK makes the probes needless, ends the backoff, and shows the losses. What
	// was reported once is not again.
	w.now += 10 * ms
	w.mustAck(app, p2)
	wantEqual(t, "probes", w.rec.Probes(app), 0)
	wantEqual(t, "PTO count", w.rec.PTOCount(), 0)
	w.timeout()
	w.wantLost(pns[0], pns[1], pns[2], p1)
	wantEqual(t, "lost", w.rec.Counts().Lost, 4)
	wantEqual(t, "outstanding", w.rec.Outstanding(app), 0)
	wantEqual(t, "PTOs", w.rec.Counts().PTOs, 2)
}

// An ACK of a packet whose frames were sent again reports them as acked.
func TestAckOfRequeued(t *testing.T) {
	w := newConfirmed(t)
	pns := w.sendN(app, 1)
	w.wantPTO(app)
	w.rec.Requeue(app, 2, w)
	w.mustAck(app, pns...)
	wantEqual(t, "frames acked", w.framesAcked, 1)
}

func TestPTOBackoffIsBounded(t *testing.T) {
	w := newConfirmed(t)
	w.send(app)
	last := w.now
	for range 200 {
		w.wantPTO(app)
		if d := w.now - last; d <= 0 || d > maxPTO {
			t.Fatalf("PTO after %v", d)
		}
		last = w.now
		w.send(app)
	}
	// With absurd RTTs too.
	w.setRTT(maxDuration)
	w.rec.SetMaxAckDelay(1 << 62)
	if d, ok := w.rec.Deadline(); !ok || d < w.now {
		t.Fatalf("deadline %v", d)
	}
	w.wantPTO(app)
}

// No PTO for App data before the handshake is confirmed, but one for the rest.
func TestPTOBeforeConfirmation(t *testing.T) {
	w := newWorld(t, false)
	w.setRTT(100 * ms)
	w.send(app)
	w.wantNoDeadline()
	w.now = 10 * ms
	w.send(handshake)
	w.now = 20 * ms
	w.send(initial)
	w.wantDeadline(111 * ms)
	w.wantPTO(handshake)
	wantEqual(t, "Initial probes", w.rec.Probes(initial), 1)
	wantEqual(t, "Handshake probes", w.rec.Probes(handshake), 1)
	wantEqual(t, "App probes of a server", w.rec.Probes(app), 0)
	// The backoff is common to the spaces. The handshake's packet is the older one.
	w.wantDeadline(10*ms + 2*101*ms)
	w.rec.Discard(initial)
	w.rec.Discard(handshake)
	w.wantNoDeadline()
	w.rec.SetHandshakeComplete()
	w.wantDeadline(126 * ms)
}

// A client goes on sending until it knows that the server has its address (RFC 9002, Section 6.2.2.1).
func TestAntiDeadlock(t *testing.T) {
	w := newWorld(t, true)
	pn := w.send(initial)
	w.wantPTO(initial)
	w.sendN(initial, 1)
	w.now += 10 * ms
	w.setRTT(100 * ms)
	w.mustAck(initial, pn, pn+1)
	wantEqual(t, "PTO count after an ACK in an Initial", w.rec.PTOCount(), 1)
	start := w.now
	// The RTT sample of 10 ms is in: what counts is that there is a timer at all.
	w.wantDeadline(start + 2*w.path.RTT.PTO(0))
	w.wantPTO(initial)
	wantEqual(t, "probes", w.rec.Probes(initial), 1)
	w.rec.SetHandshakeKeys()
	w.wantPTO(handshake)
	wantEqual(t, "probes", w.rec.Probes(handshake), 1)
	pn = w.send(handshake)
	w.rec.Discard(initial)
	w.mustAck(handshake, pn)
	wantEqual(t, "PTO count", w.rec.PTOCount(), 0)
	w.wantNoDeadline()
}

// With nothing but 0-RTT in flight there has to be a timer too.
func TestAntiDeadlockWithEarlyData(t *testing.T) {
	w := newWorld(t, true)
	w.setRTT(100 * ms)
	pn := w.send(initial)
	w.send(app)
	w.mustAck(initial, pn)
	w.wantPTO(initial)
	wantEqual(t, "App probes", w.rec.Probes(app), 1)
}

func TestAmplificationLimit(t *testing.T) {
	w := newWorld(t, false)
	w.setRTT(100 * ms)
	w.send(initial)
	w.send(handshake)
	w.rec.SetAmplificationLimited(true, w.now)
	w.wantNoDeadline()
	w.now = time.Hour
	w.rec.SetAmplificationLimited(false, w.now)
	w.wantDeadline(101 * ms) // long past: at once
	w.wantPTO(initial)
}

func TestDiscard(t *testing.T) {
	w := newWorld(t, true)
	w.sendN(initial, 3)
	w.sendN(handshake, 2)
	w.rec.Discard(initial)
	w.check()
	wantEqual(t, "in flight", w.path.InFlight, 2*mtu)
	w.wantLost()
	// An ACK that was on its way is ignored.
	w.mustAck(initial, 0, 1, 2)
	wantEqual(t, "frames acked", w.framesAcked, 0)
	w.rec.Discard(initial)
	if buf := w.rec.spaces[initial].packets.buf; buf != nil {
		t.Fatal("memory is held")
	}
}

func TestRetry(t *testing.T) {
	w := newWorld(t, true)
	w.sendN(initial, 2)
	w.wantPTO(initial)
	w.rec.ResetForRetry(w)
	w.check()
	w.wantLost(0, 1)
	wantEqual(t, "in flight", w.path.InFlight, 0)
	wantEqual(t, "next number", w.rec.NextPN(initial), 2)
	wantEqual(t, "PTO count", w.rec.PTOCount(), 0)
	wantEqual(t, "losses told", len(w.cc.losses), 0)
	w.mustAck(initial, w.send(initial))
}

// Some time after the last packet was acknowledged memory is let go of.
func TestIdleMemory(t *testing.T) {
	w := newConfirmed(t)
	for range 10 {
		pns := w.sendN(app, 1000)
		w.now += 100 * ms
		w.mustAck(app, pns[20:]...)
	}
	w.timeout()
	for {
		_, ok := w.rec.Deadline()
		if !ok {
			break
		}
		if _, pto := w.timeout(); pto {
			t.Fatal("PTO")
		}
	}
	sp := &w.rec.spaces[app]
	if len(sp.packets.buf) > minRing || len(sp.frames.buf) > minArena || cap(sp.late) > 0 || cap(w.rec.ranges) > minRing {
		t.Fatalf("idle, and room for %d packets, %d frames, %d late packets, %d ranges", len(sp.packets.buf), len(sp.frames.buf), cap(sp.late), cap(w.rec.ranges))
	}
	w.mustAck(app, w.send(app))
	w.wantNoDeadline()
}
