package frittata

import (
	"sync"
	"time"
)

const (
	// spreadRounds is after how many rounds of turns without a wait the load counts as lasting.
	spreadRounds = 10
	// calmWaits is after how many waits in a row, each of which found at most one runner at work, it is over:
	// what that one does the router could do itself.
	calmWaits = 10
	// laneTake is how many strands a runner takes from its lane at once. What it leaves there others may take.
	laneTake = 32
)

// lane is what waits for one runner. There is something in it only while the load lasts, and for a moment after.
type lane struct {
	state laneState
	ready sync.Cond // where the runner waits; its L is the queue's mu
	list  []*Conn
	taken int // strands that the runner has
}

// laneState is what the runner of a lane does.
type laneState uint8

const (
	laneEmpty  laneState = iota // there is none
	laneIdle                    // it waits
	laneCalled                  // it was started, or told to go on, and will look at the queue
	laneBusy                    // it runs turns, and will look at the queue after that

	numLaneStates
)

// set changes a lane's state.
func (q *runQueue) set(l *lane, s laneState) {
	q.count[l.state]--
	q.count[s]++
	l.state = s
}

// spare tells whether somebody has nothing to do.
func (q *runQueue) spare() bool { return q.count[laneIdle] > 0 || q.runners() < q.max }

// runners is how many there are.
func (q *runQueue) runners() int { return len(q.lanes) - q.count[laneEmpty] }

// callAny sees to it that one more runner looks at the queue. It returns false if all do so anyway.
func (q *runQueue) callAny() bool {
	if q.count[laneIdle] == 0 {
		l := q.vacant()
		if l != nil {
			q.rouse(l)
		}
		return l != nil
	}
	for _, l := range q.lanes {
		if l.state == laneIdle {
			q.rouse(l)
			break
		}
	}
	return true
}

// vacant returns a lane without a runner, nil if there are as many runners as may be.
func (q *runQueue) vacant() *lane {
	if q.runners() == q.max {
		return nil
	}
	for _, l := range q.lanes {
		if l.state == laneEmpty {
			return l
		}
	}
	l := &lane{ready: sync.Cond{L: &q.mu}}
	q.lanes = append(q.lanes, l)
	q.count[laneEmpty]++
	return l
}

// rouse has the runner of a lane look at the queue, unless it will do so anyway.
func (q *runQueue) rouse(l *lane) {
	switch l.state {
	case laneEmpty:
		q.set(l, laneCalled)
		q.start(l)
	case laneIdle:
		q.set(l, laneCalled)
		l.ready.Signal()
	}
}

// rouseAll has all runners look at the queue.
func (q *runQueue) rouseAll() {
	for _, l := range q.lanes {
		if l.state == laneIdle {
			q.rouse(l)
		}
	}
}

// beginSpread is the router's, when the load lasts: from now on runners have all turns to run,
// and each connection stays with one of them.
func (q *runQueue) beginSpread() {
	q.mu.Lock()
	q.spread = true
	q.loads++ // connections forget which runner they had in the load before
	q.calm = 0
	list := q.list
	q.list = nil
	for _, c := range list {
		c.inQueue = false
		q.send(c)
	}
	q.mu.Unlock()
}

// endSpread is the router's, when the load is over. All runners but one end when they have nothing to do.
func (q *runQueue) endSpread() {
	q.spread = false
	q.rouseAll()
}

// scatter is the router's while the load lasts: it leaves the strands to the runners.
func (q *runQueue) scatter(cs []*Conn, now time.Time) {
	q.mu.Lock()
	q.seen = now
	for _, c := range cs {
		q.add(c)
	}
	q.mu.Unlock()
}

// send puts a strand into the lane of its runner.
func (q *runQueue) send(c *Conn) {
	if c.load != q.loads {
		c.home, c.load = q.least(), q.loads
	}
	l := c.home
	behind := l.state == laneBusy && len(l.list) > 0
	q.put(l, c)
	q.rouse(l)
	if behind {
		q.callAny() // to take some of it
	}
}

// put adds a strand to a lane, from where its runner takes it.
func (q *runQueue) put(l *lane, c *Conn) {
	if !c.inQueue {
		c.inQueue = true
		c.home, c.load = l, q.loads
		l.list = append(l.list, c)
	}
}

// least returns the lane with the least to do, another one each time if there are several.
func (q *runQueue) least() *lane {
	if l := q.vacant(); l != nil {
		return l
	}
	q.turn++
	var least *lane
	for i := range q.lanes {
		l := q.lanes[(q.turn+i)%len(q.lanes)]
		if least == nil || len(l.list)+l.taken < len(least.list)+least.taken {
			least = l
		}
	}
	return least
}

// takeOwn is a runner's: it takes strands from its lane, and leaves some to others that have nothing to do.
func (q *runQueue) takeOwn(l *lane, dst []*Conn) []*Conn {
	n := min(len(l.list), laneTake)
	if q.spare() {
		n = min(n, half(len(l.list)))
	}
	dst = take(&l.list, dst, n)
	if len(l.list) > 0 {
		q.callAny()
	}
	return dst
}

// steal is a runner's that has nothing to do: it takes half of what waits for the one with most to do. These
// connections are its own from then on. What waits for a runner that was called is left to that one.
func (q *runQueue) steal(l *lane, dst []*Conn) []*Conn {
	var from *lane
	for _, v := range q.lanes {
		if v.state == laneBusy && len(v.list) > 0 && (from == nil || len(v.list) > len(from.list)) {
			from = v
		}
	}
	if from == nil {
		return dst
	}
	dst = take(&from.list, dst, min(half(len(from.list)), laneTake))
	for _, c := range dst {
		c.home, c.load = l, q.loads
	}
	q.stolen += uint64(len(dst))
	if len(from.list) > 0 {
		q.callAny()
	}
	return dst
}

// shed is a runner's whose turns take long: it leaves strands to others that have nothing to do.
func (q *runQueue) shed(l *lane, cs []*Conn) {
	q.mu.Lock()
	for _, c := range cs {
		if q.spread {
			q.put(l, c)
		} else {
			q.add(c)
		}
	}
	q.callAny()
	q.mu.Unlock()
}

// wanting tells whether somebody has nothing to do.
func (q *runQueue) wanting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.spare()
}

// half is rounded up.
func half(n int) int { return (n + 1) / 2 }

// noteWait is called when the router is about to wait while the load lasts.
func (q *runQueue) noteWait() {
	if q.count[laneBusy]+q.count[laneCalled] > 1 {
		q.calm = 0
	} else if q.calm++; q.calm == calmWaits {
		q.endSpread()
	}
}

// notePause is called when the router has waited.
func (q *runQueue) notePause(now time.Time) {
	if q.count[laneBusy]+q.count[laneCalled] == 0 && now.Sub(q.seen) > q.lag {
		q.endSpread()
	}
}

// lasting is how long the router has had turns to run.
type lasting struct {
	rounds  int   // since it waited
	only    *Conn // whose turns these were
	several bool  // no, those of several connections
}

// noteRound is called when turns are about to be run. One connection alone is not spread: the router
// would copy its packets for a runner, and have nothing to do itself but to read.
func (r *router) noteRound() {
	if r.t.queue.max < 2 || len(r.list) == 0 {
		return
	}
	s := &r.lasting
	s.rounds++
	if s.only == nil {
		s.only = r.list[0]
	}
	s.several = s.several || len(r.list) > 1 || r.list[0] != s.only
}

// spreads tells whether the router leaves all turns to the runners. That needs two processors besides
// those that routers are busy on: a runner alone would be no faster, and to hand over costs.
func (r *router) spreads() bool {
	q := &r.t.queue
	if s := &r.lasting; s.several && s.rounds >= spreadRounds && int(busyRouters.Load()) < q.max {
		*s = lasting{}
		q.beginSpread()
	}
	return q.spread // which is the router's to change
}

// scatter leaves the turns of the batch to the runners, and those that the router still has. The packets go to the inboxes. Where
// an inbox is half full the runners are behind, and the router runs the turn itself, if nobody else does: it reads no
// more than can be run, and what comes meanwhile waits in the socket.
func (r *router) scatter() {
	t := r.t
	for _, c := range r.touched {
		if c.keepRuns(t) && c.strand.tryRun() {
			r.list = append(r.list, c)
		} else if c.mark() {
			r.due = append(r.due, c)
		}
	}
	clear(r.touched)
	r.touched = r.touched[:0]
	t.queue.scatter(r.due, r.read)
	clear(r.due)
	r.due = r.due[:0]
}
