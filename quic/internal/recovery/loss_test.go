package recovery

import (
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

const app = wire.SpaceApp

func TestPacketThreshold(t *testing.T) {
	w := newConfirmed(t)
	pns := w.sendN(app, 6)
	w.now = 50 * ms
	w.mustAck(app, pns[3])
	w.wantLost(pns[0])
	w.mustAck(app, pns[3], pns[4])
	w.wantLost(pns[0], pns[1])
	l := w.cc.losses[0]
	if l.Packets != 1 || l.Bytes != mtu || l.PriorInFlight != 6*mtu || l.InFlight != 4*mtu || l.PersistentCongestion {
		t.Fatalf("%+v", l)
	}
	wantEqual(t, "packets lost", w.rec.Counts().Lost, 2)
	wantEqual(t, "in flight", w.path.InFlight, 2*mtu)
}

func TestTimeThreshold(t *testing.T) {
	w := newConfirmed(t)
	pns := w.sendN(app, 2)
	w.now = 100 * ms
	w.mustAck(app, pns[1])
	w.wantLost()
	w.wantDeadline(112500 * time.Microsecond)
	// Before the time nothing happens.
	if _, pto := w.rec.HandleTimeout(112*ms, w); pto {
		t.Fatal("PTO")
	}
	w.wantLost()
	if _, pto := w.timeout(); pto {
		t.Fatal("PTO")
	}
	w.wantLost(pns[0])
	wantEqual(t, "outstanding", w.rec.Outstanding(app), 0)
}

// The granularity is the least time threshold.
func TestTimeThresholdGranularity(t *testing.T) {
	w := newConfirmed(t)
	w.setRTT(100 * time.Microsecond)
	w.now = time.Second
	pns := w.sendN(app, 2)
	w.now += 100 * time.Microsecond
	w.mustAck(app, pns[1])
	w.wantDeadline(time.Second + granularity)
}

func TestSkippedNumberDoesNotCountForThreshold(t *testing.T) {
	w := newConfirmed(t)
	for w.rec.skips.at != w.rec.NextPN(app)+2 {
		pn := w.send(app)
		w.now += ms
		w.mustAck(app, pn)
	}
	a, b, c := w.send(app), w.send(app), w.send(app)
	wantEqual(t, "number after the skipped one", c, a+3)
	w.mustAck(app, c)
	w.wantLost() // two packets arrived after a was to, though its number is less by three
	d := w.send(app)
	w.mustAck(app, c, d)
	w.wantLost(a)
	_ = b
}

func TestSpuriousLoss(t *testing.T) {
	w := newConfirmed(t)
	pns := w.sendN(app, 12)
	w.now = 100 * ms
	w.mustAck(app, pns[4:12]...)
	w.wantLost(pns[0:4]...)
	w.now = 110 * ms
	w.mustAck(app, pns[1:]...)
	wantEqual(t, "spurious losses", len(w.cc.spurious), 3)
	wantEqual(t, "counted", w.rec.Counts().SpuriousLost, 3)
	if s := w.cc.spurious[0]; s.Lost != 100*ms || s.Sent != 0 || s.Now != 110*ms || s.Bytes != mtu {
		t.Fatalf("%+v", s)
	}
	// The packets were ten places late.
	wantEqual(t, "packet threshold", w.rec.threshold, pns[11]-pns[1]+1)

	// The same ACK again is no news.
	w.mustAck(app, pns[1:]...)
	wantEqual(t, "spurious losses", len(w.cc.spurious), 3)

	// Losses that are real bring the threshold down again.
	for range thresholdLosses {
		pns := w.sendN(app, 2)
		w.now += 10 * ms
		w.mustAck(app, pns[1])
		w.timeout()
	}
	wantEqual(t, "packet threshold", w.rec.threshold, packetThreshold)
}

func TestThresholdIsBounded(t *testing.T) {
	w := newConfirmed(t)
	pns := w.sendN(app, 400)
	w.now = 100 * ms
	w.mustAck(app, pns[1:]...)
	w.mustAck(app, pns...)
	wantEqual(t, "packet threshold", w.rec.threshold, maxPacketThreshold)
}

// Lost packets are not remembered for ever, nor without number.
func TestLateListIsBounded(t *testing.T) {
	w := newConfirmed(t)
	for range 20 {
		pns := w.sendN(app, 50)
		w.now += 10 * ms
		w.mustAck(app, pns[49])
		if n := len(w.rec.spaces[app].late); n > maxLate {
			t.Fatalf("%d lost packets are remembered", n)
		}
	}
	for range 2 {
		w.now += time.Minute
		w.mustAck(app, w.send(app))
	}
	wantEqual(t, "remembered", len(w.rec.spaces[app].late), 0)
}

// RFC 9002, Section 7.6.3.
func TestPersistentCongestionExample(t *testing.T) {
	w := newConfirmed(t)
	w.rec.SetMaxAckDelay(0)
	// With the sample of 200 ms that comes at the end the PTO is 2 s.
	rtt := RTT{latest: time.Second, smoothed: 1160 * ms, least: 100 * ms, sampled: true, firstSample: -1}
	w.path.RTT = rtt
	var pns []uint64
	at := func(d time.Duration) {
		w.now = d
		pns = append(pns, w.send(app))
	}
	at(0)
	at(time.Second)
	w.now = 1200 * ms
	w.mustAck(app, pns[0])
	w.path.RTT = rtt
	for _, s := range []time.Duration{2, 3, 4, 5, 6, 8, 12} {
		at(s * time.Second)
	}
	w.now = 12200 * ms
	w.mustAck(app, pns[8])
	w.wantLost(pns[1:8]...)
	if n := len(w.cc.losses); n != 1 || !w.cc.losses[0].PersistentCongestion {
		t.Fatalf("%+v", w.cc.losses)
	}
	wantEqual(t, "counted", w.rec.Counts().PersistentCongestion, 1)
	if !w.path.RTT.restart {
		t.Error("the minimum RTT does not begin anew")
	}
}

func TestNoPersistentCongestion(t *testing.T) {
	lose := func(t *testing.T, prepare func(*world), acked ...int) bool {
		w := newConfirmed(t)
		w.path.RTT.firstSample = -1
		prepare(w)
		var pns, got []uint64
		for range 10 {
			pns = append(pns, w.send(app))
			w.now += 100 * ms
		}
		for _, i := range acked {
			got = append(got, pns[i])
		}
		w.now += 100 * ms
		w.mustAck(app, got...)
		return w.cc.losses[0].PersistentCongestion
	}
	nothing := func(*world) {}
	if !lose(t, nothing, 9) {
		t.Error("all is lost for 800 ms, and no persistent congestion")
	}
	if lose(t, nothing, 9, 4) {
		t.Error("persistent congestion though one in the middle was acknowledged")
	}
	if lose(t, func(w *world) { w.path.RTT.firstSample = w.now + 700*ms }, 9) {
		t.Error("persistent congestion of packets that were sent before the first RTT sample")
	}
}

func TestMTUProbeLoss(t *testing.T) {
	w := newConfirmed(t)
	probe := w.sendAs(app, Sent{AckEliciting: true, InFlight: true, MTUProbe: true, Size: 1452})
	pns := w.sendN(app, 3)
	w.now = 50 * ms
	w.mustAck(app, pns...)
	w.wantLost(probe)
	if len(w.probe) != 1 || w.probe[0] != 1452 || len(w.cc.losses) > 0 || w.rec.Counts().Lost > 0 {
		t.Fatalf("probes lost: %v, controller told: %v", w.probe, w.cc.losses)
	}
	wantEqual(t, "in flight", w.path.InFlight, 0)
	// It arrived after all: that was no congestion event to take back.
	w.mustAck(app, append(pns, probe)...)
	wantEqual(t, "spurious losses", len(w.cc.spurious), 0)
}

// Packets of another path may be overtaken by any number of others.
func TestPathsReorder(t *testing.T) {
	w := newConfirmed(t)
	cc2 := &fakeCC{window: 1 << 20}
	other := w.newPath(cc2)
	old := w.sendN(app, 2)
	var pns []uint64
	for range 6 {
		pns = append(pns, w.sendAs(app, Sent{AckEliciting: true, InFlight: true, Size: 500, Path: other}))
	}
	w.now = 20 * ms
	w.mustAck(app, pns...)
	w.wantLost()
	wantEqual(t, "in flight on the old path", w.path.InFlight, 2*mtu)
	wantEqual(t, "in flight on the new path", other.InFlight, 0)
	wantEqual(t, "RTT of the new path", other.RTT.Latest(), 20*ms)
	wantEqual(t, "acks of the new path", cc2.acks[0].Bytes, 3000)
	wantEqual(t, "acks of the old path", len(w.cc.acks), 0)
	w.timeout()
	w.wantLost(old...)
	wantEqual(t, "losses of the old path", w.cc.losses[0].Packets, 2)
	wantEqual(t, "losses of the new path", len(cc2.losses), 0)
}
