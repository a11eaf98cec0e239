package recovery

import (
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// newECN is a confirmed world that marks.
func newECN(t *testing.T) *world {
	w := newConfirmed(t)
	w.path.Init(w.cc, mtu, false, true)
	w.setRTT(100 * ms)
	return w
}

// mark sends n packets as a train.
func (w *world) mark(n int) []uint64 {
	w.path.Release(w.now)
	var pns []uint64
	for range n {
		pns = append(pns, w.sendAs(app, Sent{AckEliciting: true, InFlight: true, Size: mtu, ECT: w.path.ECT()}))
	}
	return pns
}

// ackECN acknowledges with ECN counts.
func (w *world) ackECN(ect0, ect1, ce uint64, pns ...uint64) {
	w.t.Helper()
	if err := w.ackFrame(app, &ackFrame{hasECN: true, ecn: wire.ECNCounts{ECT0: ect0, ECT1: ect1, CE: ce}}, pns...); err != nil {
		w.t.Fatal(err)
	}
}

func TestECNCapable(t *testing.T) {
	w := newECN(t)
	pns := w.mark(5)
	if !w.path.ECT() {
		t.Fatal("does not mark at first")
	}
	w.now += 100 * ms
	w.ackECN(5, 0, 0, pns...)
	wantEqual(t, "status", w.path.ecn.status, ecnCapable)
	wantEqual(t, "marks told", len(w.cc.ecn), 0)

	pns = w.mark(10)
	sent := w.now
	w.now += 100 * ms
	w.ackECN(13, 0, 2, pns...)
	if len(w.cc.ecn) != 1 || w.cc.ecn[0].CE != 2 || w.cc.ecn[0].LargestSent != sent || w.cc.ecn[0].Now != w.now {
		t.Fatalf("%+v", w.cc.ecn)
	}
	if !w.path.ECT() {
		t.Fatal("does not mark")
	}
	// ACK frames that were lost make the counts grow by more than is acked anew.
	pns = append(w.mark(5), w.mark(5)...)
	w.ackECN(20, 0, 5, pns[5:]...)
	wantEqual(t, "status", w.path.ecn.status, ecnCapable)
	// A reordered ACK frame, with older counts, is no failure.
	w.ackECN(15, 0, 5, pns[:5]...)
	wantEqual(t, "status", w.path.ecn.status, ecnCapable)
}

// Until it is known what becomes of marked packets there are not many of them.
func TestECNTestEnds(t *testing.T) {
	w := newECN(t)
	first := w.mark(8)
	w.mark(8)
	if !w.path.ECT() {
		t.Fatal("the mark changes within a train")
	}
	w.mark(0)
	wantEqual(t, "status", w.path.ecn.status, ecnUnknown)
	w.ackECN(8, 0, 0, first...)
	wantEqual(t, "status", w.path.ecn.status, ecnCapable)

	w = newECN(t)
	w.mark(2)
	w.now += time.Minute
	w.mark(0)
	wantEqual(t, "status", w.path.ecn.status, ecnUnknown)
}

func TestECNFails(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w *world)
	}{
		{"no counts", func(w *world) { w.mustAck(app, w.mark(3)...) }},
		{"cleared on the way", func(w *world) { w.ackECN(2, 0, 0, w.mark(3)...) }},
		{"made ECT(1) on the way", func(w *world) { w.ackECN(0, 3, 0, w.mark(3)...) }},
		{"ECT(1) beside", func(w *world) { w.ackECN(3, 1, 0, w.mark(3)...) }},
		{"more than was sent", func(w *world) { w.ackECN(4, 0, 0, w.mark(3)...) }},
		{"more marks than packets", func(w *world) { w.ackECN(3, 0, 1<<62-1, w.mark(3)...) }},
		{"all congested", func(w *world) { w.ackECN(0, 0, 10, w.mark(10)...) }},
		{"shrinking", func(w *world) {
			w.ackECN(5, 0, 0, w.mark(5)...)
			w.ackECN(4, 0, 0, w.send(app))
		}},
		{"later", func(w *world) {
			w.ackECN(5, 0, 0, w.mark(5)...)
			w.ackECN(8, 0, 0, w.mark(5)...)
		}},
		{"all lost", func(w *world) {
			w.mark(10)
			w.mark(0)
			pns := w.sendN(app, 4)
			w.now += time.Second
			w.mustAck(app, pns...)
		}},
	} {
		w := newECN(t)
		c.do(w)
		if w.path.ecn.status != ecnFailed || w.path.ECT() {
			t.Errorf("%s: status %d, want failed", c.name, w.path.ecn.status)
		}
		if len(w.cc.ecn) > 0 {
			t.Errorf("%s: controller was told %v", c.name, w.cc.ecn)
		}
	}
}

func TestECNNotWanted(t *testing.T) {
	w := newConfirmed(t)
	if w.path.ECT() {
		t.Fatal("marks")
	}
	w.ackECN(0, 0, 1, w.send(app))
	wantEqual(t, "marks told", len(w.cc.ecn), 0)
}
