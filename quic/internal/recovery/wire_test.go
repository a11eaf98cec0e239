package recovery

import (
	"slices"
	"testing"

	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// The ranges make a frame that says the same.
func TestAckFrame(t *testing.T) {
	a := newTracker(app)
	for _, pn := range []uint64{0, 1, 5, 9, 10} {
		a.OnReceived(pn, ms, true, 2)
	}
	b := wire.AppendAck(nil, a.Ranges(), 7, a.ECN(), 100)
	var f wire.Frame
	if _, err := wire.ParseFrame(b, wire.Packet1RTT, &f); err != nil {
		t.Fatal(err)
	}
	var got []ranges.Range
	for it := f.Ack.Ranges(); it.Next(); {
		got = append(got, ranges.Range{Start: it.Smallest, End: it.Largest + 1})
	}
	slices.Reverse(got)
	if !slices.Equal(got, a.Ranges()) || f.Ack.Delay != 7 || f.Ack.ECT0 != 5 {
		t.Fatalf("%v", f.Ack)
	}
}

// HandleAck reads what AppendAck wrote.
func TestHandleAckFrame(t *testing.T) {
	w := newConfirmed(t)
	pns := w.sendN(app, 10)
	var set ranges.Set
	for _, i := range []int{0, 1, 5, 9} {
		set.Add(pns[i], pns[i]+1)
	}
	w.now += 80 * ms
	b := wire.AppendAck(nil, set, 0, &wire.ECNCounts{}, 100)
	var f wire.Frame
	if _, err := wire.ParseFrame(b, wire.Packet1RTT, &f); err != nil {
		t.Fatal(err)
	}
	if err := w.rec.HandleAck(app, w.now, &f.Ack, w); err != nil {
		t.Fatal(err)
	}
	w.check()
	slices.Sort(w.acked)
	if !slices.Equal(w.acked, []uint64{pns[0], pns[1], pns[5], pns[9]}) {
		t.Fatalf("acked %v", w.acked)
	}
	w.wantLost(pns[2], pns[3], pns[4], pns[6])
	wantEqual(t, "RTT", w.path.RTT.Latest(), 80*ms)

	set = ranges.Set{{Start: 0, End: pns[9] + 2}}
	b = wire.AppendAck(nil, set, 0, nil, 100)
	if _, err := wire.ParseFrame(b, wire.Packet1RTT, &f); err != nil {
		t.Fatal(err)
	}
	wantViolation(t, w.rec.HandleAck(app, w.now, &f.Ack, w))
}
