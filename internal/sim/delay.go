package sim

import "time"

// Delay holds each packet back for Base and up to Jitter more. The order stays.
type Delay struct {
	Base, Jitter time.Duration
	last         time.Duration // when the newest packet comes out
}

// Handle implements Node.
func (n *Delay) Handle(w *World, p *Packet, next Next) {
	at := w.now + n.Base
	if n.Jitter > 0 {
		at += time.Duration(w.rng.Int64N(int64(n.Jitter)))
	}
	n.last = max(n.last, at)
	w.events.push(n.last, func() { next(p) })
}

// Reorder holds some packets back for By, so that later ones overtake them.
type Reorder struct {
	P  float64 // probability, 0 to 1
	By time.Duration
}

// Handle implements Node.
func (n *Reorder) Handle(w *World, p *Packet, next Next) {
	if w.rng.Float64() < n.P {
		w.After(n.By, func() { next(p) })
		return
	}
	next(p)
}
