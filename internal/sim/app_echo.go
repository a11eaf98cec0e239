package sim

import (
	"github.com/frittata-go/frittata/quic"
)

// Echo sends everything back that comes on a bidirectional stream, and each datagram.
// It reads no faster than it can write.
type Echo struct {
	Err     error
	held    map[quic.StreamID]*held
	scratch []byte
}

// held is what was read of a stream and not yet written.
type held struct {
	b   []byte
	fin bool
}

// NewEcho makes an Echo.
func NewEcho() App { return &Echo{} }

// Event implements App.
func (a *Echo) Event(c *Conn, e quic.Event) {
	switch e.Kind {
	case quic.EventConnected:
		a.held = make(map[quic.StreamID]*held)
		a.scratch = make([]byte, 32<<10)
	case quic.EventClosed:
		a.Err = c.Q.Err()
	case quic.EventDatagramReadable:
		for {
			n, ok := c.Q.ReadDatagram(a.scratch)
			if !ok {
				return
			}
			// When the queue is full the datagram is lost, as datagrams are.
			_ = c.Q.SendDatagram(a.scratch[:n])
		}
	}
}

// Turn implements App.
func (a *Echo) Turn(c *Conn) {
	if a.held == nil {
		return
	}
	for {
		id, ok := c.Q.NextReadable()
		if !ok {
			break
		}
		a.copy(c, id)
	}
	for {
		id, ok := c.Q.NextWritable()
		if !ok {
			break
		}
		a.copy(c, id)
	}
}

func (a *Echo) copy(c *Conn, id quic.StreamID) {
	h := a.held[id]
	if h == nil {
		h = &held{}
		a.held[id] = h
	}
	for {
		if len(h.b) == 0 && !h.fin {
			n, fin, err := c.Q.StreamRead(id, a.scratch)
			if err != nil {
				c.failed("read", id, err)
				return
			}
			if n == 0 && !fin {
				return
			}
			h.b, h.fin = append(h.b[:0], a.scratch[:n]...), fin
		}
		n, err := c.Q.StreamWrite(id, h.b, h.fin)
		if err != nil {
			c.failed("write", id, err)
			return
		}
		h.b = h.b[n:]
		if len(h.b) > 0 {
			return
		}
		if h.fin {
			delete(a.held, id)
			return
		}
	}
}
