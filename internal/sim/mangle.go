package sim

// Duplicate lets packets come twice.
type Duplicate struct {
	P float64 // probability, 0 to 1
}

// Handle implements Node.
func (n *Duplicate) Handle(w *World, p *Packet, next Next) {
	if w.rng.Float64() < n.P {
		next(w.Clone(p))
	}
	next(p)
}

// Corrupt flips bits of packets: most often one, sometimes more.
type Corrupt struct {
	P float64 // probability that a packet is changed, 0 to 1
}

// Handle implements Node.
func (n *Corrupt) Handle(w *World, p *Packet, next Next) {
	if len(p.Data) > 0 && w.rng.Float64() < n.P {
		for {
			bit := w.rng.IntN(8 * len(p.Data))
			p.Data[bit/8] ^= 1 << (bit % 8)
			if w.rng.IntN(4) != 0 {
				break
			}
		}
	}
	next(p)
}

// Bleach clears the ECN marks, as some networks do.
type Bleach struct{}

// Handle implements Node.
func (Bleach) Handle(_ *World, p *Packet, next Next) {
	p.ECN = 0
	next(p)
}
