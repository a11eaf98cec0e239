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
	list []*chunk.Buffer
	head int
	size int // bytes, overhead included
}

func (q *datagramQueue) push(b *chunk.Buffer) {
	if q.head > 32 && q.head > len(q.list)/2 {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, b)
	q.size += len(b.B) + datagramOverhead
}

func (q *datagramQueue) front() *chunk.Buffer {
	if q.head == len(q.list) {
		return nil
	}
	return q.list[q.head]
}

// pop takes the front out and returns it.
func (q *datagramQueue) pop() *chunk.Buffer {
	b := q.list[q.head]
	q.list[q.head] = nil
	q.head++
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	}
	q.size -= len(b.B) + datagramOverhead
	return b
}

func (q *datagramQueue) clear() {
	for q.front() != nil {
		q.pop().Release()
	}
	q.list = nil
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
	b := c.cfg.Buffers.Get(len(p))
	b.B = append(b.B, p...)
	s.send.push(b)
	return nil
}

// ReadDatagram copies the next datagram to p and returns its length; what does
// not fit is lost. ok is false if there is none.
func (c *Conn) ReadDatagram(p []byte) (n int, ok bool) {
	s := &c.dgrams
	if s.recv.front() == nil {
		s.told = false
		return 0, false
	}
	b := s.recv.pop()
	n = copy(p, b.B)
	b.Release()
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
	b := c.cfg.Buffers.Get(len(f.Data))
	b.B = append(b.B, f.Data...)
	s.recv.push(b)
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
	d := c.dgrams.send.front()
	if d == nil || c.out.n != 1 || c.out.packets[0].space != wire.SpaceApp {
		return false
	}
	return 1+p.dst.Len()+c.out.packets[0].pnLen+wire.DatagramHeaderLen(len(d.B))+len(d.B)+protect.Overhead <= size
}

// appendDatagrams writes as many queued datagrams as fit below limit.
func (c *Conn) appendDatagrams(b []byte, limit int) []byte {
	s := &c.dgrams
	for d := s.send.front(); d != nil; d = s.send.front() {
		if limit-len(b) < wire.DatagramHeaderLen(len(d.B))+len(d.B) {
			if len(d.B) <= c.DatagramLimit() {
				break // it fits the next packet
			}
			// The path takes less than when it was queued.
			s.send.pop().Release()
			continue
		}
		b = wire.AppendDatagramHeader(b, len(d.B))
		b = append(b, d.B...)
		s.send.pop().Release()
		c.stats.DatagramsSent++
	}
	if s.full && s.send.size <= c.cfg.DatagramQueue/2 {
		s.full = false
		c.events.set(EventDatagramWritable)
	}
	return b
}
