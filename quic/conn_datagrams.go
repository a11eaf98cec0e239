package quic

import (
	"github.com/frittata-go/frittata/internal/chunk"
	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// maxDatagramFrame is the max_datagram_frame_size that we offer, in bytes: any
// that fits a packet (RFC 9221, Section 3).
const maxDatagramFrame = 65535

// datagramOverhead is what a queued datagram counts besides its bytes, so that
// empty ones do not pass the bound in any number.
const datagramOverhead = 64

// datagramQueue is a FIFO of datagrams, bounded in bytes by its users.
type datagramQueue struct {
	list chunk.Queue
	size int // bytes, overhead included
}

func (q *datagramQueue) push(pool *chunk.Pool, p []byte) {
	q.list.Push(pool, p)
	q.size += len(p) + datagramOverhead
}

func (q *datagramQueue) empty() bool { return q.list.Empty() }

// pop takes the front out.
func (q *datagramQueue) pop() {
	q.size -= len(q.list.Front()) + datagramOverhead
	q.list.Pop()
}

func (q *datagramQueue) clear() {
	q.list.Clear()
	q.size = 0
}

// datagramState has the DATAGRAM frames of both directions (RFC 9221).
type datagramState struct {
	peerMax    uint64 // the peer's max_datagram_frame_size, 0: it takes none
	send, recv datagramQueue
	full       bool // SendDatagram found no room: tell when there is
	told       bool // EventDatagramReadable has come since ReadDatagram found nothing
}

// DatagramLimit returns the most bytes that SendDatagram takes now: what fits a
// packet of the path and the peer's limit. 0: the peer takes no datagrams, or
// the handshake has not told yet.
func (c *Conn) DatagramLimit() int {
	if c.dgrams.peerMax == 0 {
		return 0
	}
	p := c.paths.active
	room := p.mtu.size - 1 - p.dst.Len() - maxPNLen - protect.Overhead
	room = min(room, int(c.dgrams.peerMax))
	n := room - wire.DatagramHeaderLen(room)
	return max(n, 0)
}

// SendDatagram sends p in a DATAGRAM frame (RFC 9221): it arrives once, or not
// at all, and in any order. The errors are ErrDatagramUnsupported,
// *DatagramTooLargeError, ErrDatagramQueueFull and why the connection closed.
func (c *Conn) SendDatagram(p []byte) error {
	s := &c.dgrams
	switch {
	case c.life.err != nil:
		return c.life.err
	case !c.hs.connected:
		return ErrNotConnected
	case s.peerMax == 0:
		return ErrDatagramUnsupported
	}
	if limit := c.DatagramLimit(); len(p) > limit {
		c.paths.active.mtu.hurry()
		return &DatagramTooLargeError{Size: len(p), Limit: limit}
	}
	if s.send.size+len(p)+datagramOverhead > c.cfg.DatagramQueue && s.send.size > 0 {
		s.full = true
		return ErrDatagramQueueFull
	}
	s.send.push(c.cfg.Buffers, p)
	return nil
}

// ReadDatagram copies the next datagram to p and returns its length; what does
// not fit is lost. ok is false if there is none.
func (c *Conn) ReadDatagram(p []byte) (n int, ok bool) {
	s := &c.dgrams
	if s.recv.empty() {
		s.told = false
		return 0, false
	}
	n = copy(p, s.recv.list.Front())
	s.recv.pop()
	return n, true
}

// handleDatagram takes a DATAGRAM frame. When the queue is full the datagram is dropped, as RFC
// 9221, Section 5.3, allows.
func (c *Conn) handleDatagram(f *wire.Frame) error {
	if !c.cfg.EnableDatagrams {
		// RFC 9221, Section 3
		return transportErr(ProtocolViolation, f.Type, "DATAGRAM frame without max_datagram_frame_size")
	}
	s := &c.dgrams
	c.stats.DatagramsReceived++
	if s.recv.size+len(f.Data)+datagramOverhead > c.cfg.DatagramQueue && s.recv.size > 0 {
		c.stats.DatagramsDropped++
		return nil
	}
	s.recv.push(c.cfg.Buffers, f.Data)
	if !s.told {
		s.told = true
		c.events.set(EventDatagramReadable)
	}
	return nil
}

// datagramFits tells, after a short packet was written alone to a datagram of
// size bytes, whether the next DATAGRAM frame fits another one of that size.
// Then a train goes on with it, though larger packets would fit the path.
func (c *Conn) datagramFits(p *path, size int) bool {
	if c.dgrams.send.empty() || c.out.n != 1 || c.out.packets[0].space != wire.SpaceApp {
		return false
	}
	n := len(c.dgrams.send.list.Front())
	return 1+p.dst.Len()+c.out.packets[0].pnLen+wire.DatagramHeaderLen(n)+n+protect.Overhead <= size
}

// appendDatagrams writes as many queued datagrams as fit below limit.
func (c *Conn) appendDatagrams(b []byte, limit int) []byte {
	s := &c.dgrams
	for !s.send.empty() {
		d := s.send.list.Front()
		if limit-len(b) < wire.DatagramHeaderLen(len(d))+len(d) {
			if len(d) <= c.DatagramLimit() {
				break // it fits the next packet
			}
			// The path takes less than when it was queued.
			s.send.pop()
			continue
		}
		b = wire.AppendDatagramHeader(b, len(d))
		b = append(b, d...)
		s.send.pop()
		c.stats.DatagramsSent++
		c.glitches.progress()
	}
	if s.full && s.send.size <= c.cfg.DatagramQueue/2 {
		s.full = false
		c.events.set(EventDatagramWritable)
	}
	return b
}
