package sim

import (
	"fmt"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// Conn is a connection of a Host, with its application.
type Conn struct {
	Q    *quic.Conn
	Host *Host
	App  App

	timer   time.Duration // when the timer fires, 0: it is not set
	ready   bool          // in the host's list
	dead    bool          // the host has forgotten it
	charged bool          // the handshake's processor time
	closed  bool          // EventClosed has come
	idle    int           // turns of the timer since anything else happened
	turns   int
}

// Wake has the connection take a turn: after commands from outside.
func (c *Conn) Wake() {
	c.idle = 0
	c.mark()
	c.Host.plan()
}

func (c *Conn) mark() {
	if !c.ready && !c.dead {
		c.ready = true
		c.Host.ready = append(c.Host.ready, c)
	}
}

// Connected tells whether the handshake is complete. It is a goal for World.Until.
func (c *Conn) Connected() bool { return c.Q.Connected() }

// Confirmed tells whether the handshake is confirmed.
func (c *Conn) Confirmed() bool { return c.Q.Confirmed() }

// Closed tells whether the connection is closed, though perhaps not gone.
func (c *Conn) Closed() bool { return c.Q.Err() != nil }

// Gone tells whether nothing is left of the connection.
func (c *Conn) Gone() bool { return c.Q.IO().Gone() }

// Close closes the connection with an application error code.
func (c *Conn) Close(code uint64) {
	c.Q.Close(quic.CloseError{Application: true, Code: code, Reason: "closed"})
	c.Wake()
}

// failed ends the run because a call did not do what it should. That the connection
// is closed is no failure.
func (c *Conn) failed(what string, id quic.StreamID, err error) {
	if err != c.Q.Err() {
		c.complain("%s of stream %d: %w", what, id, err)
	}
}

// complain ends the run.
func (c *Conn) complain(format string, args ...any) {
	c.Host.w.Fail(fmt.Errorf("%v: "+format, append([]any{c.Host.addr}, args...)...))
}

// turn does what a runtime does after it has handed over what came: timers, the
// application, routes, packets, the next timer. after is the processor time that the host
// has spent in this turn before; turn returns what it adds.
func (c *Conn) turn(now time.Time, after time.Duration) (cost time.Duration) {
	h, w := c.Host, c.Host.w
	io := c.Q.IO()
	if d, ok := io.Deadline(); ok && !d.After(now) {
		io.HandleDeadline(now)
	}
	c.turns++
	sent := 0
	for {
		c.application()
		if !c.charged && c.Q.Connected() {
			c.charged = true
			cost += h.cfg.HandshakeCost
		}
		wrote := false
		for sent < turnPackets {
			tr, ok := io.Transmit(now, h.buf, trainSegments)
			// Routes before packets: the train may tell the peer an ID.
			if r, ok := io.TakeRoutes(); ok {
				r.Route = c
				h.endpoint.Apply(&r)
			}
			if !ok {
				break
			}
			if tr.N > len(h.buf) || tr.Segment <= 0 || tr.Count() > trainSegments {
				c.complain("train of %d bytes in segments of %d", tr.N, tr.Segment)
				return cost
			}
			wrote = true
			sent += tr.Count()
			cost += time.Duration(tr.Count()) * h.cfg.PacketCost
			c.depart(tr, after+cost)
		}
		if !wrote || io.Writable() == 0 || sent >= turnPackets || w.err != nil {
			break
		}
	}
	// The check looks at each packet in flight: where there are many it is done less often.
	if every := h.cfg.CheckEvery + c.Q.Stats().BytesInFlight>>15; c.turns%every == 0 || c.closed {
		if err := io.CheckInvariants(); err != nil {
			c.complain("invariant: %w", err)
		}
	}
	if sent > 0 {
		c.idle = 0
	}
	if sent >= turnPackets || io.Writable() > 0 && !c.closed {
		c.mark()
	}
	c.setTimer(now)
	return cost
}

// application lets the application react.
func (c *Conn) application() {
	for {
		e, ok := c.Q.NextEvent()
		if !ok {
			break
		}
		if c.closed {
			c.complain("event %q after the last one", e.Kind)
		}
		if c.closed = e.Kind == quic.EventClosed; c.closed && c.Q.IO().Draining() {
			c.App.Turn(c) // for what came before the peer closed
		}
		c.App.Event(c, e)
	}
	if !c.closed {
		c.App.Turn(c)
	}
}

// depart sends the datagrams of a train after the processor has made them.
func (c *Conn) depart(tr quic.Train, after time.Duration) {
	h := c.Host
	data := append([]byte(nil), h.buf[:tr.N]...)
	h.w.After(after, func() {
		for first := true; len(data) > 0; first = false {
			n := min(tr.Segment, len(data))
			h.w.send(h.addr, tr.Remote, tr.ECN, !first && !tr.Alone, data[:n], h.cfg.Up)
			data = data[n:]
		}
	})
}

// setTimer arms the timer for the connection's deadline.
func (c *Conn) setTimer(now time.Time) {
	w := c.Host.w
	d, ok := c.Q.IO().Deadline()
	if !ok {
		c.timer = 0
		return
	}
	at := d.Sub(epoch)
	if g := c.Host.cfg.TimerGrain; g > 0 {
		at = (at + g - 1) / g * g
	}
	if at <= w.now {
		if c.idle++; c.idle > maxIdleTurns {
			c.complain("the timer fires and fires, and nothing comes of it")
			return
		}
		c.mark()
		return
	}
	if c.timer == at {
		return
	}
	c.timer = at
	w.events.push(at, func() {
		if c.timer != at || c.dead {
			return
		}
		c.timer = 0
		if c.idle++; c.idle > maxIdleTurns {
			c.complain("the timer fires and fires, and nothing comes of it")
			return
		}
		c.mark()
		c.Host.plan()
	})
}
