package frittata

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A router that waits leaves its processor to others, and to get one again costs wake-ups
// of threads: more than a packet does. Where the next packet is likely to come soon it stays: it waits
// in the kernel, of which Go's scheduler does not learn (udp.Conn.Poll), and goes on where it was.

// stayTime is how long it does so. It is lost for others that need the processor.
const stayTime = 250 * time.Microsecond

// staying is how many routers of the process stay. One processor is left to others.
var staying atomic.Int32

// patience is what a router knows of its waits.
type patience struct {
	poll   func(time.Duration) bool // the socket's; nil: it has none
	short  uint8                    // the last waits, the latest in bit 0: whether they were shorter than stayTime
	others int                      // processors but one; looked up now and then
	looks  uint8
}

// stays tells whether the router should stay when it waits: not if its last waits were long, nor if
// there is work that it knows of for other processors, which a first flight is: who accepts it, and then the handshake,
// would wait for the processor that the router keeps.
func (r *router) stays() bool {
	p := &r.patience
	crowded := r.crowded
	r.crowded = false
	if p.poll == nil || p.short&3 == 0 || crowded || r.t.queue.spread {
		return false
	}
	t := r.t
	if t.handshakes.Load()+t.dialing.Load()+t.load.flights.Load() > 0 {
		return false
	}
	if p.looks++; p.looks == 1 {
		p.others = runtime.GOMAXPROCS(0) - 1
	}
	return p.others > 0
}

// stay waits for a packet for a moment, and tells whether one came.
func (r *router) stay() bool {
	defer staying.Add(-1)
	return int(staying.Add(1)) <= r.patience.others && r.patience.poll(stayTime)
}

// waited notes how long a wait was.
func (r *router) waited(d time.Duration) {
	p := &r.patience
	p.short <<= 1
	if d < stayTime {
		p.short |= 1
	}
}
