package sim

import "time"

// Loss loses packets at random.
type Loss struct {
	P float64 // probability, 0 to 1
}

// Handle implements Node.
func (n *Loss) Handle(w *World, p *Packet, next Next) {
	if w.rng.Float64() < n.P {
		w.Drop(p)
		return
	}
	next(p)
}

// Firsts loses what is not the first of its train, as a network interface does that takes trains but cannot
// cut them up.
type Firsts struct{}

// Handle implements Node.
func (Firsts) Handle(w *World, p *Packet, next Next) {
	if p.Follower {
		w.Drop(p)
		return
	}
	next(p)
}

// BurstLoss loses packets in bursts, by the model of Gilbert and Elliott: the
// link is good or bad, and may change with each packet.
type BurstLoss struct {
	ToBad, ToGood     float64 // probabilities of a change, by packet
	LossGood, LossBad float64 // probabilities of loss in each state
	bad               bool
}

// Handle implements Node.
func (n *BurstLoss) Handle(w *World, p *Packet, next Next) {
	change, loss := n.ToBad, n.LossGood
	if n.bad {
		change, loss = n.ToGood, n.LossBad
	}
	lost := w.rng.Float64() < loss
	if w.rng.Float64() < change {
		n.bad = !n.bad
	}
	if lost {
		w.Drop(p)
		return
	}
	next(p)
}

// Blackout loses everything in an interval of the world's time, and again after
// each Every, if that is set.
type Blackout struct {
	From, For time.Duration
	Every     time.Duration
}

// Handle implements Node.
func (n *Blackout) Handle(w *World, p *Packet, next Next) {
	t := w.now - n.From
	if t >= 0 && n.Every > 0 {
		t %= n.Every
	}
	if t >= 0 && t < n.For {
		w.Drop(p)
		return
	}
	next(p)
}

// Switch loses everything while it is Off.
type Switch struct {
	Off bool
}

// Handle implements Node.
func (n *Switch) Handle(w *World, p *Packet, next Next) {
	if n.Off {
		w.Drop(p)
		return
	}
	next(p)
}

// MTU loses packets of more than Max bytes of UDP payload. Max may change.
type MTU struct {
	Max int
}

// Handle implements Node.
func (n *MTU) Handle(w *World, p *Packet, next Next) {
	if len(p.Data) > n.Max {
		w.Drop(p)
		return
	}
	next(p)
}
