package frittata

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/quic"
)

const (
	// trainsLost is from how many addresses connections have to lose all but the first datagram of each
	// train before the socket leaves GSO, if no train has arrived whole. Fewer may have it of their own part of
	// the way; and a peer may pretend.
	trainsLost = 3
	// trainPause is how long it takes until one connection tries trains again, so that three liars, or a fault that
	// passes, do not cost a socket its GSO for good. After each attempt that fails it takes twice as long, up to trainPauseMost.
	trainPause     = time.Minute
	trainPauseMost = 24 * time.Hour
)

// trainWatch is what a Transport knows of what becomes of trains.
type trainWatch struct {
	arrived atomic.Bool          // one did
	off     atomic.Bool          // the socket has left GSO, but for the connection that tries it again
	trial   atomic.Pointer[Conn] // that connection, if there is one

	mu    sync.Mutex
	lost  [trainsLost]netip.Addr // whose connections lost them
	count int
	pause time.Duration
	next  time.Time // when a connection is to try again
}

// gsoSwitch is a Socket that can do without GSO.
type gsoSwitch interface {
	DisableGSO(reason string)
	EnableGSO() bool
}

// noteTrains takes what became of the connection's trains.
func (c *Conn) noteTrains(f quic.TrainFate, now time.Time) {
	c.trains = f
	t := c.t
	switch f {
	case quic.TrainsArrived:
		t.trains.onArrived(c)
	case quic.TrainsLost:
		t.stats.trainsLost.Add(1)
		if s, ok := t.socket.(gsoSwitch); ok && t.trains.onLost(c, c.qc.RemoteAddr().Addr(), now) {
			s.DisableGSO("trains get lost on their way")
		}
	}
}

// alone tells whether trains of the connection are to be sent datagram by datagram.
func (w *trainWatch) alone(c *Conn) bool { return w.off.Load() && w.trial.Load() != c }

// onArrived takes it that a train of the connection has arrived.
func (w *trainWatch) onArrived(c *Conn) {
	if !w.alone(c) { // else it was none
		w.arrived.Store(true)
		w.off.Store(false)
		w.trial.CompareAndSwap(c, nil)
	}
}

// onLost takes it that the connection, with that address, has lost its trains, and tells whether they are lost for all.
func (w *trainWatch) onLost(c *Conn, a netip.Addr, now time.Time) bool {
	if a.Is6() {
		// Whoever has one address has all of its subnet.
		if p, err := a.WithZone("").Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.arrived.Load():
		return false
	case w.off.Load():
		if !w.trial.CompareAndSwap(c, nil) {
			return false
		}
		w.pause = min(2*w.pause, trainPauseMost)
	default:
		for _, b := range w.lost[:w.count] {
			if a == b {
				return false
			}
		}
		w.lost[w.count] = a
		if w.count++; w.count < trainsLost {
			return false
		}
		w.pause = trainPause
		w.off.Store(true)
	}
	w.next = now.Add(w.pause)
	return true
}

// maybeTry makes the connection the one that tries trains again, if it is time. One that has not found out
// anything by the next time is relieved.
func (w *trainWatch) maybeTry(c *Conn, s Socket, now time.Time) bool {
	if !w.off.Load() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.off.Load() || now.Before(w.next) {
		return false
	}
	w.next = now.Add(w.pause)
	if g, ok := s.(gsoSwitch); !ok || !g.EnableGSO() {
		return false
	}
	w.trial.Store(c)
	return true
}
