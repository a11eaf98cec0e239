package frittata

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/frittata-go/frittata/quic"
)

// trainsLost is from how many addresses connections have to lose all but the first datagram of each
// train before the socket leaves GSO, if no train has arrived whole. Fewer may have it of their own part of
// the way; and a peer may pretend.
const trainsLost = 3

// trainWatch is what a Transport knows of what becomes of trains.
type trainWatch struct {
	arrived atomic.Bool // one did

	mu    sync.Mutex
	lost  [trainsLost]netip.Addr // whose connections lost them
	count int
}

// noteTrains takes what became of the connection's trains.
func (c *Conn) noteTrains(f quic.TrainFate) {
	c.trains = f
	switch f {
	case quic.TrainsArrived:
		c.t.trains.arrived.Store(true)
	case quic.TrainsLost:
		c.t.stats.trainsLost.Add(1)
		if s, ok := c.t.socket.(interface{ DisableGSO(reason string) }); ok && c.t.trains.onLost(c.qc.RemoteAddr().Addr()) {
			s.DisableGSO("trains get lost on their way")
		}
	}
}

// onLost takes an address for which trains are lost, and tells whether they are for all.
func (w *trainWatch) onLost(a netip.Addr) bool {
	if a.Is6() {
		// Whoever has one address has all of its subnet.
		if p, err := a.WithZone("").Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.arrived.Load() || w.count == trainsLost {
		return false
	}
	for _, b := range w.lost[:w.count] {
		if a == b {
			return false
		}
	}
	w.lost[w.count] = a
	w.count++
	return w.count == trainsLost
}
