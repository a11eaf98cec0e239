package quic

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// restAfter is for how long nothing has to come, and nothing has to be in flight,
// before a connection lets go of what it can build up again: some microseconds
// of work and a few allocations, for 4 KiB. One that has something to do every second or two,
// as each of thousands may, keeps it.
const restAfter = 3 * time.Second

// restDeadline is when the connection is to rest. It rests once after each time
// that it was busy: what packets that are not authentic build up in between stays.
func (c *Conn) restDeadline() (time.Duration, bool) {
	if !c.hs.confirmed {
		return 0, false
	}
	busy := c.busyAt()
	return busy + restAfter, busy != c.restedAt && c.loss.Outstanding(wire.SpaceApp) == 0
}

// busyAt is when the connection was last busy.
func (c *Conn) busyAt() time.Duration {
	return max(c.life.lastReceived, c.loss.LastAckElicitingSent())
}

// maybeRest lets go of memory if it is time.
func (c *Conn) maybeRest() {
	if d, ok := c.restDeadline(); !ok || c.now < d {
		return
	}
	c.restedAt = c.busyAt()
	c.keys.app.Rest(c.now)
	c.loss.Rest()
	c.strs.rest()
	c.frame, c.out = nil, outState{}
	c.events.set(EventResting)
}
