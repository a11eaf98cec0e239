package frittata

import (
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// worker is a goroutine that runs turns: the router, a runner, or that of a handshake.
type worker struct {
	t       *Transport
	buf     *buffer   // for trains; nil while it waits
	now     time.Time // one clock reading for each phase
	yield   bool      // a callback has made goroutines runnable
	stirred bool      // so did one earlier, and they have had the processor once
	stirs   bool      // so did one in the turns under way
	crowded bool      // they took long: there is more to do than there are processors
	yielder yielder   // of giveWay
	moved   int       // bytes that were received and sent since it was used last
	router  bool
	lane    *lane         // a runner's
	rounds  int           // the router's, since others had the processor
	read    time.Time     // the router's: when it read last; a runner's: when it began its turns
	list    []*Conn       // the strands to run
	begun   []*Conn       // of these, those that have had their first phase only
	due     []*Conn       // those that need another turn
	in      quic.Datagram // scratch space of run.recv
	out     udp.Train     // and of writeTrain
	stage   stage
	pos     int     // of list: see stage
	posOut  int     // of begun
	duties  *duties // what others may take over; nil in a handshake, and for a turn that is left of one that was taken over

	computes bool // it is a handshake's
	slot     bool // and holds a slot of those that compute
}

// hold gets the worker its buffer.
func (w *worker) hold() {
	if w.buf == nil {
		var b [1]*buffer
		packetBuffers.get(b[:])
		w.buf = b[0]
	}
}

// release gives it back, before the worker waits.
func (w *worker) release() {
	if w.buf != nil {
		packetBuffers.put([]*buffer{w.buf})
		w.buf = nil
	}
}

// run has a turn of each strand in w.list, all of which are running. What needs
// another turn is in w.due afterwards. It returns false if another goroutine is the worker now: then
// nothing of it may be touched any more.
func (w *worker) run() (held bool) {
	w.hold()
	w.now = time.Now()
	if !w.router {
		w.read = w.now
	}
	w.due = w.due[:0]
	w.stage, w.pos = stageIn, 0
	w.duties.beginRun()
	return w.goOn()
}

// stage is how far the turns of w.list are.
type stage uint8

const (
	stageIn     stage = iota // the turn of that at w.pos of w.list, and of those behind it
	stageErrand              // an errand of that at w.posOut of w.begun, then as stageOut
	stageOut                 // the second phase of that at w.posOut of w.begun, and of those behind it
)

// goOn does what is left of run, from w.stage and w.pos on.
func (w *worker) goOn() (held bool) {
	for {
		if w.stage == stageIn {
			if !w.runIn() {
				return false
			}
			w.giveWay()
			w.stage, w.posOut = stageOut, 0
		}
		if !w.runOut() {
			return false
		}
		clear(w.begun)
		w.begun = w.begun[:0]
		if w.pos == len(w.list) {
			break
		}
		w.stage = stageIn
	}
	clear(w.list)
	w.list = w.list[:0]
	w.duties.endRun()
	return true
}

// giveWay lets those have the processor that callbacks have made runnable.
func (w *worker) giveWay() {
	if !w.yield {
		return
	}
	w.yield, w.stirred, w.stirs, w.rounds = false, true, true, 0
	w.crowded = w.yielder.yield(w.moved > yieldBulk) > stayTime
	w.moved = 0
}

// runIn has the turns, those in which nothing comes between the phases to their end: what they have
// to say goes out before the next one begins, so that the peer can begin with it.
func (w *worker) runIn() (held bool) {
	from := w.pos
	for ; w.pos < len(w.list) && len(w.begun) < begunAtOnce; w.pos++ {
		if w.lateIn() && w.spill(true) {
			w.list = w.list[:w.pos]
			break
		}
		c := w.list[w.pos]
		n, yield := w.pos+1-from, w.yield
		w.yield = false
		by := c.turnIn(w)
		if by == w {
			waits := w.yield || len(c.errands) > 0
			w.yield = w.yield || yield
			if waits {
				w.begun = append(w.begun, c)
				continue
			}
			w.now = time.Now()
		}
		if !w.finish(c, by) {
			w.countTurns(n)
			return false
		}
	}
	w.countTurns(w.pos - from)
	return true
}

// finish has the second phase of a turn, which is that of the worker by. It returns false if that is not
// w any more in the end.
func (w *worker) finish(c *Conn, by *worker) (held bool) {
	requeue, by := c.turnOut(by)
	if by != w {
		c.endAlone(by, requeue)
		return false
	}
	if requeue {
		w.due = append(w.due, c)
	}
	return true
}

func (w *worker) countTurns(n int) {
	w.t.stats.turns.Add(uint64(n))
	if w.lane != nil {
		w.t.stats.runnerTurns.Add(uint64(n))
	}
}

// runOut is the second phase of those that have not had it.
func (w *worker) runOut() (held bool) {
	for ; w.posOut < len(w.begun); w.posOut++ {
		c := w.begun[w.posOut]
		if w.stage == stageOut {
			w.now = time.Now()
			if w.posOut > 0 && w.late() && w.spill(false) {
				break
			}
		}
		if len(c.errands) > 0 && !w.runErrands(c) {
			return false
		}
		w.now = time.Now()
		if !w.finish(c, w) {
			return false
		}
	}
	return true
}

// begunAtOnce is of how many connections goroutines are made runnable before these get the processor, and
// what they say goes out: with more the peer waits for the first of it.
const begunAtOnce = 4

// lateCheck is how many strands the router reads for, and says nothing for, between looks at the clock.
const lateCheck = 16

// lateIn is late before a turn begins, where the clock may have to be read for it.
func (w *worker) lateIn() bool {
	if w.pos == 0 || !w.canSpill() {
		return false
	}
	if !w.router || w.pos%lateCheck == 0 {
		w.now = time.Now()
	}
	return w.late()
}

// late tells whether others should run the turns that are left: it is time for the router to read again,
// or the turns before have taken a runner long.
func (w *worker) late() bool {
	return w.now.Sub(w.read) > w.t.queue.lag && w.canSpill()
}

// canSpill tells whether others could run what this one does not.
func (w *worker) canSpill() bool {
	if w.lane != nil {
		return w.t.queue.max > 1
	}
	return w.router && w.t.spills
}

// spill hands the strands that are left to the runners: those from w.posOut of w.begun on, or, with in set, from w.pos of w.list on, which have not
// even taken their packets, which are kept for them. It returns false if nobody has time for them.
func (w *worker) spill(in bool) bool {
	q := &w.t.queue
	if w.lane != nil && !q.wanting() {
		w.read = w.now // ask again later
		return false
	}
	rest := w.list[w.pos:]
	if !in {
		rest = w.begun[w.posOut:]
	}
	for _, c := range rest {
		if !in {
			c.leave()
		} else if w.router {
			c.keepRuns(w.t)
		}
		c.strand.finish(true)
	}
	w.t.stats.spilled.Add(uint64(len(rest)))
	if w.lane != nil {
		q.shed(w.lane, rest)
	} else {
		q.spill(rest)
	}
	clear(rest)
	return true
}

// take begins the turns of the strands in w.due, but those that somebody else has run meanwhile.
func (w *worker) take() {
	for _, c := range w.due {
		if c.strand.tryRun() {
			w.list = append(w.list, c)
		}
	}
	clear(w.due)
	w.due = w.due[:0]
}
