package recovery

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// stream stands for what frames belong to.
type stream struct{ acked int }

type countingHandler struct{ lost, packets int }

func (h *countingHandler) OnFrameAcked(_ wire.Space, _ uint64, f *Frame[*stream]) { f.Stream.acked++ }
func (h *countingHandler) OnFrameLost(wire.Space, uint64, *Frame[*stream])        { h.lost++ }
func (h *countingHandler) OnPacketAcked(wire.Space, uint64, *Acked)               { h.packets++ }
func (h *countingHandler) OnMTUProbeLost(*Path, int)                              {}

// bulk is a transfer with a controller as connections use it.
type bulk struct {
	rec    Recovery[*stream]
	path   Path
	h      countingHandler
	now    time.Duration
	sent   Sent
	stream stream
	pns    []uint64
	ack    ackFrame
}

func newBulk() *bulk {
	b := &bulk{}
	b.rec.Init(false, rand.New(rand.NewPCG(1, 2)))
	b.path.Init(congestion.NewCUBIC(congestion.Config{MaxWindow: 1 << 20}), 1452, true, true)
	b.rec.SetActive(&b.path)
	b.rec.SetHandshakeConfirmed()
	b.rec.Discard(wire.SpaceInitial)
	b.rec.Discard(wire.SpaceHandshake)
	b.now = time.Second
	return b
}

func (b *bulk) sendTrain(n int) {
	ect := b.path.ECT()
	b.path.Release(b.now)
	for range n {
		b.rec.AddFrame(app, Frame[*stream]{Kind: 1, Off: 1, Len: 1400, Stream: &b.stream})
		pn := b.rec.NextPN(app)
		b.sent = Sent{Now: b.now, PN: pn, Size: 1452, AckEliciting: true, InFlight: true, ECT: ect, Path: &b.path}
		b.rec.OnSent(app, &b.sent)
		b.pns = append(b.pns, pn)
	}
	b.now += 50 * time.Microsecond
}

// ackTrain acknowledges the oldest n packets but those at which drop is true. Beneath
// there is what a receiver has always told before.
func (b *bulk) ackTrain(n int, drop func(i int) bool) {
	rs := b.rec.ranges[:0]
	for i := n - 1; i >= 0; i-- {
		if drop != nil && drop(i) {
			continue
		}
		pn := b.pns[i]
		if k := len(rs); k > 0 && rs[k-1].Start == pn+1 {
			rs[k-1].Start = pn
		} else {
			rs = append(rs, ranges.Range{Start: pn, End: pn + 1})
		}
	}
	b.rec.ranges = rs
	b.ack.largest = rs[0].End - 1
	b.ack.hasECN = true
	b.ack.ecn.ECT0 += uint64(n)
	b.pns = b.pns[:copy(b.pns, b.pns[n:])]
	if err := b.rec.handleAck(app, b.now, &b.ack, &b.h); err != nil {
		panic(err)
	}
}

func TestAllocs(t *testing.T) {
	for _, c := range []struct {
		name string
		drop func(i int) bool
	}{
		{"no loss", nil},
		{"loss", func(i int) bool { return i == 7 || i == 20 }},
	} {
		b := newBulk()
		round := func() {
			for range 10 {
				b.sendTrain(45)
				b.ackTrain(45, c.drop)
				b.rec.Deadline()
			}
		}
		b.sendTrain(450)
		for range 20 {
			round()
		}
		if n := testing.AllocsPerRun(100, round); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if err := b.rec.CheckInvariants(); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkTrain is the time for 45 packets: sent, and acknowledged by one frame,
// with ten times as many in flight.
func BenchmarkTrain(b *testing.B) {
	bulk := newBulk()
	bulk.sendTrain(450)
	b.ReportAllocs()
	for b.Loop() {
		bulk.sendTrain(45)
		bulk.ackTrain(45, nil)
		bulk.rec.Deadline()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/45, "ns/packet")
}

func BenchmarkTrainLoss(b *testing.B) {
	bulk := newBulk()
	bulk.sendTrain(450)
	b.ReportAllocs()
	for b.Loop() {
		bulk.sendTrain(45)
		bulk.ackTrain(45, func(i int) bool { return i == 7 || i == 20 })
		bulk.rec.Deadline()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/45, "ns/packet")
}

// BenchmarkSinglePacket is one packet and its ACK.
func BenchmarkSinglePacket(b *testing.B) {
	bulk := newBulk()
	for b.Loop() {
		bulk.sendTrain(1)
		bulk.ackTrain(1, nil)
		bulk.rec.Deadline()
	}
}
