package frittata

import (
	"runtime"
	"sync"
	"time"
)

// routerLag is how long the router may be away from its socket before others
// take over what it would have run.
const routerLag = 500 * time.Microsecond

// runQueue has the strands of which a turn is due and which nobody runs. While
// the router is awake it takes from here itself: a hand-over to another
// goroutine may mean one to another thread, which costs a hundred times what the
// turn does. Runners take what comes while the router sleeps or falls behind.
type runQueue struct {
	mu      sync.Mutex
	ready   sync.Cond // where idle runners wait; its L is &mu
	list    []*Conn
	awake   bool          // the router will look here before it sleeps
	seen    time.Time     // when the router looked last
	runners int           // that exist
	idle    int           // of these, those that wait
	woken   int           // of these, those that were told to go on and have not yet
	max     int           // most runners
	lag     time.Duration // routerLag, but in tests
	closed  bool
	over    bool   // and no connection is left
	start   func() // starts a runner
}

func (q *runQueue) init(start func()) {
	q.ready.L = &q.mu
	q.awake = true
	q.seen = time.Now()
	q.lag = routerLag
	q.max = max(runtime.GOMAXPROCS(0)-1, 1)
	q.start = start
}

// push adds strands that mark or finish has queued. Any goroutine may call it.
func (q *runQueue) push(cs ...*Conn) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		// Somebody marked a strand and was slow, and its turn was run before it was here.
		return
	}
	for _, c := range cs {
		q.add(c)
	}
	if !q.awake || now.Sub(q.seen) > q.lag {
		q.call(len(cs))
	}
}

func (q *runQueue) add(c *Conn) {
	// A strand that was run before its time is still here when it comes again.
	if !c.inQueue {
		c.inQueue = true
		q.list = append(q.list, c)
	}
}

// spill adds strands that the router has no time for, and calls runners.
func (q *runQueue) spill(cs []*Conn) {
	q.mu.Lock()
	for _, c := range cs {
		q.add(c)
	}
	q.call(len(q.list))
	q.mu.Unlock()
}

// call sees to it that up to n runners look at the queue. It is called with mu held.
func (q *runQueue) call(n int) {
	for i := q.woken; i < min(n, len(q.list)); i++ {
		switch {
		case q.idle > q.woken:
			q.woken++
			q.ready.Signal()
		case q.runners < q.max:
			q.runners++
			q.start()
		default:
			return // each of them looks here before it waits
		}
	}
}

// take moves up to most strands to dst.
func (q *runQueue) take(dst []*Conn, most int) []*Conn {
	n := min(len(q.list), most)
	for _, c := range q.list[:n] {
		c.inQueue = false
	}
	dst = append(dst, q.list[:n]...)
	m := copy(q.list, q.list[n:])
	clear(q.list[m:])
	q.list = q.list[:m]
	return dst
}

// poll is the router's: it takes what there is.
func (q *runQueue) poll(dst []*Conn, now time.Time) []*Conn {
	q.mu.Lock()
	q.seen = now
	if len(q.list) > 0 {
		dst = q.take(dst, len(q.list))
	}
	q.mu.Unlock()
	return dst
}

// sleep is the router's, before it waits for packets: from now on runners take
// what comes. It returns false if something is there for the router to do first.
func (q *runQueue) sleep() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) > 0 {
		return false
	}
	q.awake = false
	return true
}

// wake is the router's, after it waited.
func (q *runQueue) wake(now time.Time) {
	q.mu.Lock()
	q.awake, q.seen = true, now
	q.mu.Unlock()
}

// leave is the router's when it ends: runners do the rest.
func (q *runQueue) leave() {
	q.mu.Lock()
	q.awake = false
	q.call(len(q.list))
	q.mu.Unlock()
}

// handBack is a runner's: a strand that goes on is the router's again, if that one
// has time.
func (q *runQueue) handBack(c *Conn, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.awake || now.Sub(q.seen) > q.lag {
		return false
	}
	q.add(c)
	return true
}

// next is a runner's: it adds strands to run to dst, and waits for some if that
// is empty. It returns none after close.
func (q *runQueue) next(dst []*Conn) []*Conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.list) == 0 && len(dst) == 0 {
		if q.closed {
			q.runners--
			return dst
		}
		q.idle++
		q.ready.Wait()
		q.idle--
		if q.woken > 0 {
			q.woken--
		}
	}
	if len(q.list) == 0 {
		return dst
	}
	// With several runners each takes a share, with one it takes all.
	return q.take(dst, (len(q.list)+q.runners-1)/q.runners)
}

// close ends the runners, once the queue is empty. With over set no connection is left, so no runner begins any more.
func (q *runQueue) close(over bool) {
	q.mu.Lock()
	q.closed, q.over = true, over
	q.ready.Broadcast()
	q.mu.Unlock()
}
