package recovery

import (
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

func newTracker(space wire.Space) *AckTracker {
	a := &AckTracker{}
	a.Init(space, 25*ms)
	return a
}

func wantDue(t *testing.T, a *AckTracker, now time.Duration, want bool) {
	t.Helper()
	if got := a.Due(now); got != want {
		t.Fatalf("ACK due is %v, want %v", got, want)
	}
}

func TestAckEverySecondPacket(t *testing.T) {
	a := newTracker(app)
	a.OnReceived(0, 10*ms, true, 0)
	wantDue(t, a, 34*ms, false)
	if d, ok := a.Deadline(); !ok || d != 35*ms {
		t.Fatalf("deadline %v, %v", d, ok)
	}
	wantDue(t, a, 35*ms, true)
	a.OnReceived(1, 12*ms, true, 0)
	wantDue(t, a, 12*ms, true)
	if _, ok := a.Deadline(); ok {
		t.Fatal("deadline though the ACK is due")
	}
	wantEqual(t, "delay", a.Delay(15*ms), 3*ms)
	a.OnAckSent()
	if a.Pending() || a.Due(time.Hour) {
		t.Fatal("ACK pending after it was sent")
	}
	// A batch of many packets is one ACK.
	for pn := uint64(2); pn < 50; pn++ {
		a.OnReceived(pn, 20*ms, true, 0)
	}
	wantDue(t, a, 20*ms, true)
	a.OnAckSent()
	wantDue(t, a, time.Hour, false)
	if r := a.Ranges(); len(r) != 1 || r[0] != (ranges.Range{Start: 0, End: 50}) {
		t.Fatalf("ranges %v", r)
	}
	wantEqual(t, "next", a.Next(), 50)
}

// ACKs are not acknowledged, however many come and in whatever order.
func TestNoAckOfAcks(t *testing.T) {
	a := newTracker(app)
	for _, pn := range []uint64{5, 3, 9, 1, 100} {
		a.OnReceived(pn, ms, false, 3)
		if a.Pending() || a.Due(time.Hour) {
			t.Fatal("ACK of an ACK")
		}
		if _, ok := a.Deadline(); ok {
			t.Fatal("deadline for an ACK of an ACK")
		}
	}
}

func TestImmediateAck(t *testing.T) {
	for _, c := range []struct {
		name  string
		space wire.Space
		pns   []uint64 // acked but for the last
		ecn   uint8
		want  bool
	}{
		{"in order", app, []uint64{0, 1, 2}, 0, false},
		{"gap", app, []uint64{0, 1, 3}, 0, true},
		{"older", app, []uint64{0, 1, 3, 2}, 0, true},
		{"after a gap", app, []uint64{0, 1, 3, 4}, 0, false},
		{"first with a gap", app, []uint64{2}, 0, true},
		{"CE", app, []uint64{0, 1, 2}, 3, true},
		{"ECT(0)", app, []uint64{0, 1, 2}, 2, false},
		{"Initial", wire.SpaceInitial, []uint64{0}, 0, true},
		{"Handshake", wire.SpaceHandshake, []uint64{0}, 0, true},
	} {
		a := newTracker(c.space)
		for i, pn := range c.pns {
			a.OnAckSent()
			ecn := uint8(0)
			if i == len(c.pns)-1 {
				ecn = c.ecn
			}
			a.OnReceived(pn, ms, true, ecn)
		}
		if got := a.Due(ms); got != c.want {
			t.Errorf("%s: due is %v, want %v", c.name, got, c.want)
		}
	}

	// A gap before an ACK-only packet shows with the next one that elicits an ACK.
	a := newTracker(app)
	a.OnReceived(0, ms, true, 0)
	a.OnAckSent()
	a.OnReceived(2, ms, false, 0)
	a.OnReceived(3, ms, true, 0)
	wantDue(t, a, ms, true)
}

func TestAckECNCounts(t *testing.T) {
	a := newTracker(app)
	if a.ECN() != nil {
		t.Fatal("counts without marks")
	}
	for pn, ecn := range []uint8{0, 1, 2, 2, 3, 3, 3, 0} {
		a.OnReceived(uint64(pn), ms, true, ecn)
	}
	if c := a.ECN(); c == nil || *c != (wire.ECNCounts{ECT0: 2, ECT1: 1, CE: 3}) {
		t.Fatalf("counts %v", c)
	}
}

// However a peer numbers its packets, 64 ranges are kept, and what is older than
// these counts as received.
func TestAckRangesAreBounded(t *testing.T) {
	a := newTracker(app)
	for pn := uint64(0); pn < 20000; pn += 2 {
		if a.Duplicate(pn) {
			t.Fatalf("packet %d is new", pn)
		}
		a.OnReceived(pn, ms, true, 0)
		if n := len(a.Ranges()); n > maxAckRanges || cap(a.Ranges()) > 2*maxAckRanges {
			t.Fatalf("%d ranges", n)
		}
	}
	if !a.Duplicate(1) || !a.Duplicate(19000) || a.Duplicate(19999) {
		t.Fatal("wrong about duplicates")
	}
	// From the highest down: the older ones do not displace the newer.
	a = newTracker(app)
	for pn := uint64(20000); pn > 10000; pn -= 2 {
		if !a.Duplicate(pn) {
			a.OnReceived(pn, ms, true, 0)
		}
	}
	if r := a.Ranges(); len(r) != maxAckRanges || r[len(r)-1].End != 20001 {
		t.Fatalf("ranges %v", r)
	}
}

func TestAckAcked(t *testing.T) {
	a := newTracker(app)
	for _, pn := range []uint64{0, 1, 3, 4, 7, 8, 9} {
		a.OnReceived(pn, ms, true, 0)
	}
	a.OnAckAcked(4)
	wantEqual(t, "ranges", len(a.Ranges()), 2)
	a.OnAckAcked(8)
	if r := a.Ranges(); len(r) != 1 || r[0] != (ranges.Range{Start: 7, End: 10}) {
		t.Fatalf("ranges %v", r)
	}
	if !a.Duplicate(2) || a.Duplicate(5) || a.Duplicate(6) || !a.Duplicate(7) || a.Duplicate(10) {
		t.Fatal("wrong about duplicates")
	}
	// All was told: the last range stays nevertheless.
	a.OnAckAcked(1 << 61)
	wantEqual(t, "ranges", len(a.Ranges()), 1)
	wantEqual(t, "next", a.Next(), 10)
}

func TestWantsAcked(t *testing.T) {
	a := newTracker(app)
	for pn := uint64(0); pn < 2*wantAckedRanges; pn += 2 {
		a.OnReceived(pn, ms, true, 0)
	}
	for range wantAckedSent {
		if a.WantsAcked() {
			t.Fatal("too early")
		}
		a.OnAckSent()
	}
	if !a.WantsAcked() {
		t.Fatal("many ranges that nobody acknowledges")
	}
	a.OnAckAcked(3)
	if a.WantsAcked() {
		t.Fatal("just acked")
	}
}

// FuzzAckTracker compares with a set of numbers.
func FuzzAckTracker(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 3, 0, 9, 0, 8, 1, 3, 2, 0})
	f.Add([]byte{0, 1, 0, 3, 0, 5, 0, 7, 0, 9, 0, 11, 1, 5, 0, 4, 0, 6})
	f.Fuzz(func(t *testing.T, ops []byte) {
		a := newTracker(app)
		got := map[uint64]bool{}
		base, now := uint64(0), time.Duration(0)
		pending := 0
		for ; len(ops) >= 2; ops = ops[2:] {
			op, arg := ops[0], ops[1]
			now += time.Duration(op>>2) * time.Millisecond / 4
			switch op & 3 {
			case 0, 3:
				pn := base + uint64(arg)
				if op&3 == 3 {
					base += uint64(arg)
				}
				if got[pn] && !a.Duplicate(pn) {
					t.Fatalf("duplicate %d is taken", pn)
				}
				if a.Duplicate(pn) {
					if pn >= a.floor && !got[pn] {
						t.Fatalf("new packet %d is not taken", pn)
					}
					continue
				}
				got[pn] = true
				a.OnReceived(pn, now, arg&1 == 0, op>>4&3)
				if arg&1 == 0 {
					pending++
				}
			case 1:
				a.OnAckAcked(base + uint64(arg))
			case 2:
				a.OnAckSent()
				pending = 0
			}
			if a.Pending() != (pending > 0) || a.Due(now) && pending == 0 || pending >= ackThreshold && !a.Due(now) {
				t.Fatalf("pending %v, due %v, with %d packets", a.Pending(), a.Due(now), pending)
			}
			if d, ok := a.Deadline(); ok && (d > now+25*ms || a.Due(d-1) && d > now || !a.Due(d)) {
				t.Fatalf("deadline %v at %v", d, now)
			}
			rs := a.Ranges()
			if len(rs) > maxAckRanges {
				t.Fatalf("%d ranges", len(rs))
			}
			n := 0
			for i, r := range rs {
				if r.Start >= r.End || i > 0 && rs[i-1].End >= r.Start || r.Start < a.floor {
					t.Fatalf("ranges %v, floor %d", rs, a.floor)
				}
				for pn := r.Start; pn < r.End; pn++ {
					if !got[pn] {
						t.Fatalf("%d was not received", pn)
					}
				}
				n += int(r.Len())
			}
			for pn := range got {
				if pn >= a.floor {
					n--
				}
			}
			if n != 0 {
				t.Fatalf("%d packets too many in %v", n, rs)
			}
		}
	})
}

func TestAckTrackerAllocs(t *testing.T) {
	a := newTracker(app)
	pn := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		for range 10 {
			_ = a.Duplicate(pn)
			a.OnReceived(pn, ms, true, 2)
			pn++
		}
		pn++
		if a.Due(ms) {
			_, _ = a.Ranges(), a.ECN()
			a.OnAckSent()
		}
		a.OnAckAcked(pn - min(pn, 100))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAckTracker(b *testing.B) {
	a := newTracker(app)
	pn := uint64(0)
	for b.Loop() {
		if !a.Duplicate(pn) {
			a.OnReceived(pn, 0, true, 0)
		}
		pn++
	}
}

// A peer that leaves out every second number.
func BenchmarkAckTrackerGaps(b *testing.B) {
	a := newTracker(app)
	pn := uint64(0)
	for b.Loop() {
		if !a.Duplicate(pn) {
			a.OnReceived(pn, 0, true, 0)
		}
		pn += 2
	}
}
