package frittata

import (
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// A flood of first flights that are all turned away costs little here, but each of them takes room in the
// socket's receive buffer, from where it displaces packets of connections. So while many come the kernel
// drops them, for a moment, after which some are let in to see whether the flood goes on: of those
// clients that mean it some get through, as many as the Transport would answer anyway. While a connection is being
// dialed from the same socket nothing is dropped, as servers answer with packets of the same kind.
const (
	// shieldAfter is how many first flights have to be turned away within shieldWindow: some 10,000 a second
	// are no harm.
	shieldAfter  = 512
	shieldWindow = 50 * time.Millisecond
	// shieldTime is how long the kernel drops them then.
	shieldTime = 100 * time.Millisecond
)

// shield is of a Transport, and but for raised it is under epMu.
type shield struct {
	socket interface{ SetShield(udp.Shield) error } // nil: it cannot
	up     udp.Shield
	raised atomic.Bool // up is not ShieldOff
	timer  *time.Timer
	after  int       // shieldAfter, but for tests
	since  time.Time // when the window began
	n      int       // turned away since
}

func (s *shield) init(socket Socket) {
	s.after = shieldAfter
	if socket.Caps().Shield {
		s.socket, _ = socket.(interface{ SetShield(udp.Shield) error })
	}
}

// set changes what the kernel drops, if it can.
func (s *shield) set(up udp.Shield) (ok bool) {
	if s.socket == nil {
		return false
	}
	if s.socket.SetShield(up) != nil {
		s.socket, up = nil, udp.ShieldOff
	}
	s.up = up
	s.raised.Store(up != udp.ShieldOff)
	return s.socket != nil
}

// turnedAway counts a first flight that was dropped at once. It is called with epMu held.
func (t *Transport) turnedAway(now time.Time) {
	s := &t.shield
	if s.socket == nil || s.up == udp.ShieldAll || t.dialing.Load() > 0 || t.stopping.Load() {
		return
	}
	if now.Sub(s.since) >= shieldWindow {
		s.since, s.n = now, 0
	}
	if s.n++; s.n < s.after {
		return
	}
	s.n = 0
	up := udp.ShieldTokens
	if s.up == udp.ShieldTokens || t.flights == quic.DropFlights && !t.repliesHeld {
		up = udp.ShieldAll // those with a token are turned away too
	}
	if !s.set(up) {
		return
	}
	if t.dialing.Load() > 0 { // since it was looked at, and that one has seen no shield
		s.set(udp.ShieldOff)
		return
	}
	t.stats.shields.Add(1)
	if s.timer == nil {
		s.timer = time.AfterFunc(shieldTime, t.lowerShield)
	} else {
		s.timer.Reset(shieldTime)
	}
}

// lowerShield lets all packets in again.
func (t *Transport) lowerShield() {
	t.epMu.Lock()
	defer t.epMu.Unlock()
	if s := &t.shield; s.up != udp.ShieldOff && !t.stopping.Load() {
		s.set(udp.ShieldOff)
		s.since = time.Time{}
	}
}

// beginDialing is for a handshake of a client.
func (t *Transport) beginDialing() {
	t.dialing.Add(1)
	if t.shield.raised.Load() {
		t.lowerShield()
	}
}
