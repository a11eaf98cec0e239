package frittata

import (
	"runtime"
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
	crowded bool      // that took long: there is more to do than there are processors
	router  bool
	lane    *lane         // a runner's
	rounds  int           // the router's, since others had the processor
	read    time.Time     // the router's: when it read last; a runner's: when it began its turns
	list    []*Conn       // the strands to run
	due     []*Conn       // those that need another turn
	in      quic.Datagram // scratch space of run.recv
	out     udp.Train     // and of writeTrain
	stage   stage
	pos     int     // of list: see stage
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
	stageIn      stage = iota // the first phase of that at w.pos, and of those behind it
	stageErrands              // what comes between the phases
	stageOut                  // the second phase of that at w.pos, and of those behind it
)

// goOn does what is left of run, from w.stage and w.pos on.
func (w *worker) goOn() (held bool) {
	if w.stage == stageIn {
		if !w.runIn() {
			return false
		}
		w.stage = stageErrands
	}
	if w.stage == stageErrands {
		if len(w.duties.errands) > 0 && !w.runErrands() {
			return false
		}
		if w.yield {
			w.yield, w.stirred, w.rounds = false, true, 0
			began := time.Now()
			runtime.Gosched()
			w.crowded = time.Since(began) > stayTime
		}
		w.stage, w.pos = stageOut, 0
	}
	if !w.runOut() {
		return false
	}
	clear(w.list)
	w.list = w.list[:0]
	w.duties.endRun()
	return true
}

// runIn is the first phase of the turns.
func (w *worker) runIn() (held bool) {
	for ; w.pos < len(w.list); w.pos++ {
		if w.lateIn() && w.spill(true) {
			w.list = w.list[:w.pos]
			break
		}
		c := w.list[w.pos]
		if by := c.turnIn(w); by != w {
			w.countTurns(1)
			requeue, _ := c.turnOut(by)
			c.endAlone(by, requeue)
			return false
		}
	}
	w.countTurns(len(w.list))
	return true
}

func (w *worker) countTurns(n int) {
	w.t.stats.turns.Add(uint64(n))
	if w.lane != nil {
		w.t.stats.runnerTurns.Add(uint64(n))
	}
}

// runOut is the second phase.
func (w *worker) runOut() (held bool) {
	for ; w.pos < len(w.list); w.pos++ {
		c := w.list[w.pos]
		w.now = time.Now()
		if w.late() && w.spill(false) {
			break
		}
		requeue, by := c.turnOut(w)
		if by != w {
			c.endAlone(by, requeue)
			return false
		}
		if requeue {
			w.due = append(w.due, c)
		}
	}
	return true
}

// lateCheck is how many strands the router reads for between looks at the clock.
const lateCheck = 16

// lateIn is late before the first phase of a turn, where the clock has to be read for it.
func (w *worker) lateIn() bool {
	if w.router && w.pos%lateCheck != 0 || w.pos == 0 || !w.canSpill() {
		return false
	}
	w.now = time.Now()
	return w.late()
}

// late tells whether others should run the turns from w.pos on: it is time for the router to read again,
// or the turns before have taken a runner long.
func (w *worker) late() bool {
	return w.pos > 0 && w.now.Sub(w.read) > w.t.queue.lag && w.canSpill()
}

// canSpill tells whether others could run what this one does not.
func (w *worker) canSpill() bool {
	if w.lane != nil {
		return w.t.queue.max > 1
	}
	return w.router && w.t.spills
}

// spill hands the strands from w.pos on to the runners. With in set they have not
// even taken their packets, which are kept for them. It returns false if nobody has time for them.
func (w *worker) spill(in bool) bool {
	q := &w.t.queue
	if w.lane != nil && !q.wanting() {
		w.read = w.now // ask again later
		return false
	}
	rest := w.list[w.pos:]
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
