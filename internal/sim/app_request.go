package sim

import (
	"encoding/binary"

	"github.com/frittata-go/frittata/quic"
)

// Client sends requests and reads the answers of a Responder.
type Client struct {
	Requests   int
	Concurrent int // 0: 1
	Request    int // bytes of each, at least 8
	Response   uint64

	Opened, Answered int
	Bytes            uint64
	Err              error
	// OnAnswer is called after each answer.
	OnAnswer func(c *Conn)

	started bool
	out     map[quic.StreamID]*outgoing
	in      map[quic.StreamID]*incoming
	scratch []byte
}

// Done tells whether all answers are there.
func (a *Client) Done() bool { return a.Answered == a.Requests }

// Event implements App.
func (a *Client) Event(c *Conn, e quic.Event) {
	switch e.Kind {
	case quic.EventConnected:
		a.started = true
		a.out, a.in = make(map[quic.StreamID]*outgoing), make(map[quic.StreamID]*incoming)
		a.scratch = make([]byte, 32<<10)
	case quic.EventClosed:
		a.Err = c.Q.Err()
	}
}

// Turn implements App.
func (a *Client) Turn(c *Conn) {
	if !a.started {
		return
	}
	for {
		id, ok := c.Q.NextWritable()
		if !ok {
			break
		}
		if o := a.out[id]; o != nil {
			a.write(c, id, o)
		}
	}
	for {
		id, ok := c.Q.NextReadable()
		if !ok {
			break
		}
		a.read(c, id)
	}
	for a.Opened < a.Requests && a.Opened-a.Answered < max(a.Concurrent, 1) {
		id, err := c.Q.OpenStream(quic.Bidi)
		if err != nil {
			return
		}
		a.Opened++
		o := &outgoing{size: uint64(max(a.Request, 8))}
		a.out[id], a.in[id] = o, &incoming{}
		a.write(c, id, o)
	}
}

// write writes the request: its first 8 bytes tell how long the answer shall be.
func (a *Client) write(c *Conn, id quic.StreamID, o *outgoing) {
	if o.off == 0 {
		var head [8]byte
		binary.BigEndian.PutUint64(head[:], a.Response)
		n, err := c.Q.StreamWrite(id, head[:], o.size == 8)
		if err != nil {
			c.failed("write", id, err)
			return
		}
		if n != 8 {
			c.complain("wrote %d bytes of 8 to a new stream", n)
			return
		}
		o.off = 8
	}
	for o.off < o.size {
		n := int(min(o.size-o.off, 16<<10))
		took, err := c.Q.StreamWrite(id, pattern(id, o.off, n), o.off+uint64(n) == o.size)
		if err != nil {
			c.failed("write", id, err)
			return
		}
		o.off += uint64(took)
		if took < n {
			return
		}
	}
	delete(a.out, id)
}

func (a *Client) read(c *Conn, id quic.StreamID) {
	s := a.in[id]
	if s == nil {
		c.complain("stream %d is readable after its end", id)
		return
	}
	for {
		n, fin, err := c.Q.StreamRead(id, a.scratch)
		if err != nil {
			c.failed("read", id, err)
			return
		}
		if string(a.scratch[:n]) != string(pattern(id, s.off, n)) {
			c.complain("stream %d has other bytes at %d than were sent", id, s.off)
			return
		}
		s.off += uint64(n)
		a.Bytes += uint64(n)
		if fin {
			break
		}
		if n == 0 {
			return
		}
	}
	if s.off != a.Response {
		c.complain("answer of %d bytes on stream %d, %d were asked for", s.off, id, a.Response)
	}
	delete(a.in, id)
	a.Answered++
	if a.OnAnswer != nil {
		a.OnAnswer(c)
	}
}

// Responder answers the requests of a Client.
type Responder struct {
	Answered int
	Err      error

	in      map[quic.StreamID]*request
	out     map[quic.StreamID]*outgoing
	scratch []byte
}

type request struct {
	head []byte
	off  uint64
}

// NewResponder makes a Responder.
func NewResponder() App { return &Responder{} }

// Event implements App.
func (a *Responder) Event(c *Conn, e quic.Event) {
	switch e.Kind {
	case quic.EventConnected:
		a.in, a.out = make(map[quic.StreamID]*request), make(map[quic.StreamID]*outgoing)
		a.scratch = make([]byte, 32<<10)
	case quic.EventClosed:
		a.Err = c.Q.Err()
	}
}

// Turn implements App.
func (a *Responder) Turn(c *Conn) {
	if a.in == nil {
		return
	}
	for {
		id, ok := c.Q.NextReadable()
		if !ok {
			break
		}
		a.read(c, id)
	}
	for {
		id, ok := c.Q.NextWritable()
		if !ok {
			break
		}
		if o := a.out[id]; o != nil {
			a.write(c, id, o)
		}
	}
}

func (a *Responder) read(c *Conn, id quic.StreamID) {
	r := a.in[id]
	if r == nil {
		r = &request{}
		a.in[id] = r
	}
	for {
		n, fin, err := c.Q.StreamRead(id, a.scratch)
		if err != nil {
			c.failed("read", id, err)
			return
		}
		b := a.scratch[:n]
		head := min(8-len(r.head), len(b))
		r.head = append(r.head, b[:head]...)
		r.off += uint64(head)
		b = b[head:]
		if string(b) != string(pattern(id, r.off, len(b))) {
			c.complain("stream %d has other bytes at %d than were sent", id, r.off)
			return
		}
		r.off += uint64(len(b))
		if fin {
			break
		}
		if n == 0 {
			return
		}
	}
	delete(a.in, id)
	if len(r.head) < 8 {
		c.complain("request of %d bytes on stream %d", len(r.head), id)
		return
	}
	o := &outgoing{size: binary.BigEndian.Uint64(r.head)}
	a.out[id] = o
	a.write(c, id, o)
}

func (a *Responder) write(c *Conn, id quic.StreamID, o *outgoing) {
	for {
		n := int(min(o.size-o.off, 16<<10))
		fin := o.off+uint64(n) == o.size
		took, err := c.Q.StreamWrite(id, pattern(id, o.off, n), fin)
		if err != nil {
			c.failed("write", id, err)
			return
		}
		o.off += uint64(took)
		if took < n {
			return
		}
		if fin {
			a.Answered++
			delete(a.out, id)
			return
		}
	}
}
