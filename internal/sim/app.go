package sim

import (
	"bytes"

	"github.com/frittata-go/frittata/quic"
)

// App is what runs on a connection. It is called on each turn of its host.
type App interface {
	// Event tells what happened. After EventClosed nothing is called any more.
	Event(c *Conn, e quic.Event)
	// Turn reads and writes whatever it can.
	Turn(c *Conn)
}

// None is an application that does nothing.
type None struct{}

// Event does nothing.
func (None) Event(*Conn, quic.Event) {}

// Turn does nothing.
func (None) Turn(*Conn) {}

// patternLen is prime, so that a piece of any power of two in the wrong place is found out.
const patternLen = 65521

const maxPiece = 64 << 10

var patternTable = func() (t [patternLen + maxPiece]byte) {
	x := uint32(2463534242)
	for i := range patternLen {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		t[i] = byte(x)
	}
	copy(t[patternLen:], t[:])
	return t
}()

// pattern returns n bytes of what a stream carries at off; n is at most maxPiece.
func pattern(id quic.StreamID, off uint64, n int) []byte {
	at := (off + uint64(id)*977) % patternLen
	return patternTable[at : at+uint64(n)]
}

// outgoing is a stream that is being written.
type outgoing struct {
	off, size uint64
}

// incoming is a stream that is being read.
type incoming struct {
	off uint64
}

// Peer sends streams of a known pattern, and receives and checks those of the
// other side: a Peer with nothing to send is a sink. It ends the
// peer's bidirectional streams by an empty answer.
type Peer struct {
	Streams    int      // how many to send
	Size       uint64   // bytes of each
	Dir        quic.Dir // of each
	Concurrent int      // how many are written at a time; 0: as many as the peer allows
	Buffers    bool     // pass buffers by ownership instead of copying

	// Prioritize is called with each stream that was opened.
	Prioritize func(c *Conn, i int, id quic.StreamID)
	// Paused keeps the Peer from reading.
	Paused bool
	// OnConnected is called when streams can be opened.
	OnConnected func(c *Conn)
	// OnRead is called with each piece that was read.
	OnRead func(id quic.StreamID, off uint64, n int)

	Opened, Written, Finished int    // own streams: opened, written to the end, answered to the end
	Received                  int    // the other side's streams that were received to the end
	Bytes                     uint64 // received
	Err                       error  // why the connection was closed

	started bool
	out     map[quic.StreamID]*outgoing
	in      map[quic.StreamID]*incoming
	scratch []byte
}

// Sink makes a Peer that sends nothing.
func Sink() App { return &Peer{} }

// Event implements App.
func (p *Peer) Event(c *Conn, e quic.Event) {
	switch e.Kind {
	case quic.EventConnected:
		p.started = true
		p.out, p.in = make(map[quic.StreamID]*outgoing), make(map[quic.StreamID]*incoming)
		p.scratch = make([]byte, 32<<10)
		if p.OnConnected != nil {
			p.OnConnected(c)
		}
	case quic.EventClosed:
		p.Err = c.Q.Err()
	}
}

// Turn implements App.
func (p *Peer) Turn(c *Conn) {
	if !p.started {
		return
	}
	for p.Opened < p.Streams && (p.Concurrent == 0 || p.Opened-p.Written < p.Concurrent) {
		id, err := c.Q.OpenStream(p.Dir)
		if err != nil {
			break
		}
		if p.Prioritize != nil {
			p.Prioritize(c, p.Opened, id)
		}
		p.Opened++
		o := &outgoing{size: p.Size}
		p.out[id] = o
		p.write(c, id, o)
	}
	for {
		id, ok := c.Q.NextWritable()
		if !ok {
			break
		}
		if o := p.out[id]; o != nil {
			p.write(c, id, o)
		}
	}
	if p.Paused {
		return
	}
	for {
		id, ok := c.Q.NextReadable()
		if !ok {
			return
		}
		p.read(c, id)
	}
}

func (p *Peer) write(c *Conn, id quic.StreamID, o *outgoing) {
	for {
		n := int(min(o.size-o.off, 16<<10))
		fin := o.off+uint64(n) == o.size
		data := pattern(id, o.off, n)
		took := n
		if p.Buffers {
			b := c.Host.w.buffers.Get(n)
			b.B = append(b.B, data...)
			ok, err := c.Q.StreamWriteBuf(id, b, fin)
			if err != nil {
				c.failed("write", id, err)
				return
			}
			if !ok {
				b.Release()
				return
			}
		} else {
			var err error
			if took, err = c.Q.StreamWrite(id, data, fin); err != nil {
				c.failed("write", id, err)
				return
			}
		}
		o.off += uint64(took)
		if took < n {
			return
		}
		if fin {
			p.Written++
			delete(p.out, id)
			return
		}
	}
}

func (p *Peer) read(c *Conn, id quic.StreamID) {
	own := id.ServerInitiated() != c.Q.IsClient()
	s := p.in[id]
	if s == nil {
		s = &incoming{}
		p.in[id] = s
	}
	for {
		var b []byte
		var fin bool
		if p.Buffers {
			buf, f, err := c.Q.StreamReadBuf(id, 16<<10)
			if err != nil {
				c.failed("read", id, err)
				return
			}
			fin = f
			if buf != nil {
				b = append(p.scratch[:0], buf.B...)
				buf.Release()
			}
		} else {
			n, f, err := c.Q.StreamRead(id, p.scratch)
			if err != nil {
				c.failed("read", id, err)
				return
			}
			b, fin = p.scratch[:n], f
		}
		if !bytes.Equal(b, pattern(id, s.off, len(b))) {
			c.complain("stream %d has other bytes at %d than were sent", id, s.off)
			return
		}
		if p.OnRead != nil && len(b) > 0 {
			p.OnRead(id, s.off, len(b))
		}
		s.off += uint64(len(b))
		p.Bytes += uint64(len(b))
		if fin {
			break
		}
		if len(b) == 0 {
			return
		}
	}
	delete(p.in, id)
	if own {
		p.Finished++
		return
	}
	p.Received++
	if id.Dir() == quic.Bidi {
		if _, err := c.Q.StreamWrite(id, nil, true); err != nil {
			c.failed("answer", id, err)
		}
	}
}
