package recovery

import (
	"testing"
	"time"
)

// A path that delivers a packet each 10 ms, with a window of ten.
func TestDeliveryRate(t *testing.T) {
	w := newConfirmed(t)
	var flight []uint64
	for range 10 {
		flight = append(flight, w.send(app))
	}
	w.now += 100 * ms
	for i := range 100 {
		w.mustAck(app, flight[0])
		flight = append(flight[1:], w.send(app))
		w.now += 10 * ms
		s := w.cc.acks[len(w.cc.acks)-1].Rate
		if i < 20 {
			continue // the first window was sent at once
		}
		if s.Rate != 120000 || s.Interval != 100*ms || s.AppLimited || s.TxInFlight != 10*mtu || s.Delivered-s.Prior != 10*mtu {
			t.Fatalf("packet %d: %+v", i, s)
		}
	}
}

func TestDeliveryRateAppLimited(t *testing.T) {
	w := newConfirmed(t)
	a := w.send(app)
	w.path.SetAppLimited()
	w.now += 100 * ms
	w.mustAck(app, a)
	if s := w.cc.acks[0].Rate; s.AppLimited || s.Rate != 12000 {
		t.Fatalf("%+v", s)
	}
	b := w.send(app) // in the bubble
	w.now += 100 * ms
	w.mustAck(app, b)
	if s := w.cc.acks[1].Rate; !s.AppLimited {
		t.Fatalf("%+v", s)
	}
	c := w.send(app)
	w.now += 100 * ms
	w.mustAck(app, c)
	if s := w.cc.acks[2].Rate; s.AppLimited {
		t.Fatalf("%+v", s)
	}
}

func TestDeliveryRateAndLoss(t *testing.T) {
	w := newConfirmed(t)
	pns := w.sendN(app, 10)
	w.now += 100 * ms
	w.mustAck(app, pns[5:]...)
	s := w.cc.acks[0].Rate
	if s.Lost != 5*mtu || s.PriorLost != 0 || s.Delivered != 5*mtu || s.Rate != 5*mtu*10 {
		t.Fatalf("%+v", s)
	}
	// An interval that is shorter than the least RTT gives no rate.
	pn := w.send(app)
	w.path.RTT.least = time.Second
	w.now += 50 * ms
	w.mustAck(app, pn)
	if s := w.cc.acks[1].Rate; s.Rate > 0 && s.Interval < w.path.RTT.Min() {
		t.Fatalf("%+v", s)
	}
}
