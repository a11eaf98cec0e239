package frittata

import (
	"runtime"
	"sync"
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// trainBuffer is the memory that a train is written to, in bytes: the most
// that one UDP system call takes.
const trainBuffer = 64 << 10

var trainBuffers = sync.Pool{New: func() any { return new([trainBuffer]byte) }}

// worker is a goroutine that runs turns: the router, a runner, or that of a handshake.
type worker struct {
	t       *Transport
	buf     *[trainBuffer]byte // nil while it waits
	now     time.Time          // one clock reading for each phase
	yield   bool               // a callback has made goroutines runnable
	stirred bool               // so did one earlier, and they have had the processor once
	router  bool
	read    time.Time     // the router's: when it read last
	list    []*Conn       // the strands to run
	due     []*Conn       // those that need another turn
	in      quic.Datagram // scratch space of run.recv
	out     udp.Train     // and of writeTrain
	errands *errands      // nil if its turns have none
}

// hold gets the worker its buffer.
func (w *worker) hold() {
	if w.buf == nil {
		w.buf = trainBuffers.Get().(*[trainBuffer]byte)
	}
}

// release gives it back, before the worker waits.
func (w *worker) release() {
	if w.buf != nil {
		trainBuffers.Put(w.buf)
		w.buf = nil
	}
}

// run has a turn of each strand in w.list, all of which are running. What needs
// another turn is in w.due afterwards. It returns false if another goroutine is the worker now: see Errand.
func (w *worker) run() bool {
	w.runIn()
	return w.runOn()
}

// runIn is the first phase of the turns.
func (w *worker) runIn() {
	w.hold()
	w.now = time.Now()
	w.due = w.due[:0]
	for i, c := range w.list {
		if w.router && i > 0 && w.late(i) {
			w.spill(i, len(w.list), true)
			w.list = w.list[:i]
			break
		}
		c.turnIn(w)
	}
	w.t.stats.turns.Add(uint64(len(w.list)))
}

// runOn is what comes after it: the errands, and the second phase.
func (w *worker) runOn() bool {
	if w.errands != nil && len(w.errands.list) > 0 && !w.runErrands() {
		return false
	}
	if w.yield {
		w.yield, w.stirred = false, true
		runtime.Gosched()
	}
	for i, c := range w.list {
		w.now = time.Now()
		if w.router && i > 0 && w.now.Sub(w.read) > w.t.queue.lag && w.canSpill() {
			w.spill(i, len(w.list), false)
			break
		}
		if c.turnOut(w) {
			w.due = append(w.due, c)
		}
	}
	clear(w.list)
	w.list = w.list[:0]
	return true
}

// lateCheck is how many strands the router reads for between looks at the clock.
const lateCheck = 16

// late tells, now and then, whether the router should read again.
func (w *worker) late(i int) bool {
	if i%lateCheck != 0 || !w.canSpill() {
		return false
	}
	w.now = time.Now()
	return w.now.Sub(w.read) > w.t.queue.lag
}

// canSpill tells whether others could run what the router does not.
func (w *worker) canSpill() bool { return w.t.spills }

// spill hands the strands from i on to the runners. With in set they have not
// even taken their packets, which are kept for them.
func (w *worker) spill(i, end int, in bool) {
	rest := w.list[i:end]
	for _, c := range rest {
		if in {
			c.keepRuns(w.t)
		} else {
			c.leave()
		}
		c.strand.finish(true)
	}
	w.t.stats.spilled.Add(uint64(len(rest)))
	w.t.queue.spill(rest)
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
