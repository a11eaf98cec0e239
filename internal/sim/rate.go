package sim

import (
	"math"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// ipOverhead is what a packet weighs on a link besides its UDP payload, in bytes.
const ipOverhead = 28

// Rate is a link of a limited rate with a queue before it. What finds the queue
// full is lost. With CoDel the queue is managed by RFC 8289: packets
// of transports that understand ECN are marked instead of being lost.
type Rate struct {
	BytesPerSecond int
	Queue          int // bytes; 0: 64 KiB
	CoDel          bool

	queue []queued
	size  int
	busy  bool
	codel codel

	Marked, Lost uint64
	peak         int
}

type queued struct {
	p    *Packet
	next Next
	in   time.Duration
}

// Peak returns the most bytes that were in the queue.
func (n *Rate) Peak() int { return n.peak }

// Handle implements Node.
func (n *Rate) Handle(w *World, p *Packet, next Next) {
	limit := n.Queue
	if limit == 0 {
		limit = 64 << 10
	}
	size := len(p.Data) + ipOverhead
	if n.size+size > limit && n.busy {
		n.Lost++
		w.Drop(p)
		return
	}
	n.queue = append(n.queue, queued{p: p, next: next, in: w.now})
	n.size += size
	n.peak = max(n.peak, n.size)
	if !n.busy {
		n.transmit(w)
	}
}

// transmit puts the first packet of the queue on the link.
func (n *Rate) transmit(w *World) {
	q, ok := n.dequeue(w)
	n.busy = ok
	if !ok {
		return
	}
	took := time.Duration(int64(len(q.p.Data)+ipOverhead) * int64(time.Second) / int64(n.BytesPerSecond))
	w.After(took, func() {
		n.transmit(w)
		q.next(q.p)
	})
}

func (n *Rate) shift() queued {
	q := n.queue[0]
	n.queue[0] = queued{}
	n.queue = n.queue[1:]
	n.size -= len(q.p.Data) + ipOverhead
	return q
}

// dequeue takes out the next packet that CoDel lets pass.
func (n *Rate) dequeue(w *World) (queued, bool) {
	for len(n.queue) > 0 {
		q := n.shift()
		if !n.CoDel || !n.codel.signal(w.now, w.now-q.in, n.size) {
			return q, true
		}
		if q.p.ECN != quic.NotECT {
			q.p.ECN = quic.CE
			n.Marked++
			return q, true
		}
		n.Lost++
		w.Drop(q.p)
	}
	return queued{}, false
}

// The parameters of CoDel (RFC 8289, Section 4).
const (
	codelTarget   = 5 * time.Millisecond
	codelInterval = 100 * time.Millisecond
	codelMTU      = 1500
)

// codel tells for each packet that leaves a queue whether the queue stands.
type codel struct {
	above    time.Duration // when signals begin if the delay stays above the target; 0: it is below
	on       bool
	next     time.Duration // when the next signal is due
	count    int           // signals in this run
	previous int           // in the last one
}

// signal tells whether the packet is to be marked or lost (RFC 8289, Section 5).
func (c *codel) signal(now, sojourn time.Duration, backlog int) bool {
	standing := false
	switch {
	case sojourn < codelTarget || backlog <= codelMTU:
		c.above = 0
	case c.above == 0:
		c.above = now + codelInterval
	default:
		standing = now >= c.above
	}
	if c.on {
		if !standing {
			c.on = false
			return false
		}
		if now < c.next {
			return false
		}
		c.count++
		c.next += c.gap()
		return true
	}
	if !standing {
		return false
	}
	c.on = true
	delta := c.count - c.previous
	c.count = 1
	if delta > 1 && now-c.next < 16*codelInterval {
		c.count = delta
	}
	c.previous = c.count
	c.next = now + c.gap()
	return true
}

func (c *codel) gap() time.Duration {
	return time.Duration(float64(codelInterval) / math.Sqrt(float64(c.count)))
}
