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
// turn does. Runners take what comes while the router sleeps or falls behind. While
// the load lasts, and there are two of them at least, they take all, each from its own lane.
type runQueue struct {
	mu     sync.Mutex
	list   []*Conn       // of the router, and of any runner
	awake  bool          // the router will look here before it sleeps
	seen   time.Time     // when the router looked last
	max    int           // most runners
	lag    time.Duration // routerLag, but in tests
	closed bool
	over   bool        // and no connection is left
	start  func(*lane) // starts a runner

	lanes  []*lane            // of all runners that there have been
	count  [numLaneStates]int // of lanes in each state
	spread bool               // the load lasts
	loads  uint64             // how many times it did
	calm   int                // see calmWaits
	stolen uint64             // strands that runners have taken from others' lanes
	turn   int                // see least
}

// init makes the queue ready. There will be so many runners at most.
func (q *runQueue) init(runners int, start func(*lane)) {
	q.awake = true
	q.seen = time.Now()
	q.lag = routerLag
	q.max = runners
	q.start = start
}

// mostRunners is how many runners there are on this machine at most, for each socket.
func mostRunners() int { return max(runtime.GOMAXPROCS(0)-1, 1) }

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
	switch {
	case c.inQueue:
	case q.spread:
		q.send(c)
	default:
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

// call sees to it that up to n runners look at the list. It is called with mu held.
func (q *runQueue) call(n int) {
	for i := q.count[laneCalled]; i < min(n, len(q.list)); i++ {
		if !q.callAny() {
			return // each of them looks here before it waits
		}
	}
}

// take moves the first n strands of a list of the queue to dst.
func take(list *[]*Conn, dst []*Conn, n int) []*Conn {
	from := *list
	for _, c := range from[:n] {
		c.inQueue = false
	}
	dst = append(dst, from[:n]...)
	m := copy(from, from[n:])
	clear(from[m:])
	*list = from[:m]
	return dst
}

// poll is the router's: it takes what there is.
func (q *runQueue) poll(dst []*Conn, now time.Time) []*Conn {
	q.mu.Lock()
	q.seen = now
	if len(q.list) > 0 {
		dst = take(&q.list, dst, len(q.list))
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
	if q.spread {
		q.noteWait()
	}
	return true
}

// wake is the router's, after it waited.
func (q *runQueue) wake(now time.Time) {
	q.mu.Lock()
	if q.spread {
		q.notePause(now)
	}
	q.awake, q.seen = true, now
	q.mu.Unlock()
}

// leave is the router's when it ends: runners do the rest.
func (q *runQueue) leave() {
	q.mu.Lock()
	q.awake = false
	q.endSpread()
	q.call(len(q.list))
	q.mu.Unlock()
}

// handBack is a runner's: strands that go on are the router's again, if that one
// has time.
func (q *runQueue) handBack(cs []*Conn, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.awake || q.spread || now.Sub(q.seen) > q.lag {
		return false
	}
	for _, c := range cs {
		q.add(c)
	}
	return true
}

// next is the runner's of a lane: it adds strands to run to dst, and waits for some if that
// is empty. It returns none if the runner has to end: after close, and when another one waits and the load does not last.
func (q *runQueue) next(l *lane, dst []*Conn) []*Conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.set(l, laneBusy)
	if q.spread {
		// What goes on has its turn after what came meanwhile, and others may take it.
		for _, c := range dst {
			q.put(l, c)
		}
		clear(dst)
		dst = dst[:0]
	}
	for {
		switch {
		case len(l.list) > 0:
			dst = q.takeOwn(l, dst)
		case len(q.list) > 0:
			// With several runners each takes a share, with one it takes all.
			n := q.runners()
			dst = take(&q.list, dst, (len(q.list)+n-1)/n)
		case len(dst) == 0:
			dst = q.steal(l, dst)
		}
		l.taken = len(dst)
		switch {
		case len(dst) > 0:
			return dst
		case q.closed, !q.spread && q.count[laneIdle] > 0:
			q.set(l, laneEmpty)
			return dst
		}
		q.set(l, laneIdle)
		for l.state == laneIdle {
			l.ready.Wait()
		}
		q.set(l, laneBusy)
	}
}

// close ends the runners, once the queue is empty. With over set no connection is left, so no runner begins any more.
func (q *runQueue) close(over bool) {
	q.mu.Lock()
	q.closed, q.over = true, over
	q.rouseAll()
	q.mu.Unlock()
}
