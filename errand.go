package frittata

import (
	"slices"
	"sync/atomic"
	"time"
)

// Errand is work that came of a turn's callbacks and that the goroutine which
// runs turns does itself, in place of another one that is made runnable for it: the
// hand-over to another goroutine, and so maybe to another thread, costs more than a handler that
// answers at once. See [Conn.Lend].
type Errand interface {
	// Run does the work, outside of all strands. It should be short: until it
	// returns, the turns that it was lent in do not go on, and nobody reads the
	// socket. If it blocks all the same, another goroutine takes over what this one had to do: at
	// once if Run calls d.HandOver before, else when that is noticed, after some
	// milliseconds. Then Run is called again, by that goroutine, while the first call still goes on; and the
	// first, when it gets to it, finds d.Lost true and returns.
	Run(d *Duty)
}

// Duty is what a goroutine that runs an [Errand] has to do besides: to run turns and,
// if it is the router, to read the socket. Its methods may be called by any goroutine.
type Duty struct {
	w     *worker
	state atomic.Uint32
	since atomic.Int64 // when the errand began, in nanoseconds since watchEpoch
}

// The states of a Duty. Whoever changes dutyAway has the worker's memory from then on.
const (
	dutyHeld  uint32 = iota
	dutyAway         // its goroutine runs an errand
	dutyTaken        // and another one has taken over
)

const (
	// errandTick is how often somebody looks whether an errand blocks, while there
	// are errands. A look may have to wake a thread, so there are few.
	errandTick = 2 * time.Millisecond
	// errandLag is how long an errand may take.
	errandLag = 500 * time.Microsecond
	// errandQuiet is after how many looks without any errand the looking ends.
	errandQuiet = 10
)

var watchEpoch = time.Now()

// errands are those of a worker.
type errands struct {
	list   []Errand
	duty   *Duty
	onward func() // what a goroutine does that has taken over, after the errands that are left

	// Of the watch over them.
	current atomic.Pointer[Duty]
	count   atomic.Uint64 // of errands that began
	armed   atomic.Bool
	timer   *time.Timer
	seen    uint64 // of count, by the watch
	quiet   int    // looks since then
}

// Lend has e run by the goroutine of the turn that is under way: when all
// connections that got packets have had their ProcessReads, and before any has its
// ProcessWrites. It returns false where that cannot be, as in the turns of a handshake.
// Lending the same twice in a row is lending it once, so e has to be comparable, as
// pointers are. Callbacks only.
func (c *Conn) Lend(e Errand) bool {
	c.guard.check()
	w := c.w
	if w == nil || w.errands == nil {
		return false
	}
	l := &w.errands.list
	if n := len(*l); n == 0 || (*l)[n-1] != e {
		*l = append(*l, e)
	}
	return true
}

// HandOver leaves the duties to another goroutine. An Errand that is about to
// block calls it. It does nothing if that has happened already.
func (d *Duty) HandOver() {
	if d.state.Load() == dutyAway && d.state.CompareAndSwap(dutyAway, dutyTaken) {
		go d.w.takeOver()
	}
}

// Lost tells whether another goroutine has the duties: the errand returns then as soon as it can.
func (d *Duty) Lost() bool { return d.state.Load() == dutyTaken }

// initErrands makes errands possible in the worker's turns. onward goes on after
// those that are left.
func (w *worker) initErrands(onward func()) {
	e := &errands{onward: onward, duty: &Duty{w: w}}
	e.current.Store(e.duty)
	w.errands = e
	e.timer = time.AfterFunc(time.Hour, w.lookAtErrand)
	e.timer.Stop()
}

// endErrands is called when the worker is no more.
func (w *worker) endErrands() { w.errands.timer.Stop() }

// runErrands runs what callbacks have lent the goroutine for. It returns false if
// its duties are another's now: then nothing of the worker may be touched any more.
func (w *worker) runErrands() (held bool) {
	d := w.errands.duty
	for _, c := range w.list {
		c.guard.leave()
	}
	w.errands.count.Add(1)
	if !w.errands.armed.Load() && w.errands.armed.CompareAndSwap(false, true) {
		w.errands.timer.Reset(errandTick)
	}
	for len(w.errands.list) > 0 {
		e := w.errands.list[0]
		d.since.Store(int64(time.Since(watchEpoch)))
		d.state.Store(dutyAway) // from here on the list may be another's
		if !d.run(e) {
			return false
		}
		w.errands.list = slices.Delete(w.errands.list, 0, 1)
	}
	for _, c := range w.list {
		c.guard.enter()
	}
	return true
}

// run runs one errand, and returns whether the duties are still those of this goroutine.
func (d *Duty) run(e Errand) (held bool) {
	ended := true // the errand ends the goroutine, or panics
	defer func() {
		if !ended {
			return
		}
		if v := recover(); v != nil {
			_ = d.w.t.panicked(v) // nobody waits for it
			held = d.state.CompareAndSwap(dutyAway, dutyHeld)
			return
		}
		d.HandOver()
	}()
	e.Run(d)
	ended = false
	return d.state.CompareAndSwap(dutyAway, dutyHeld)
}

// takeOver is the goroutine that has the duties of one whose errand blocks.
func (w *worker) takeOver() {
	w.t.stats.takeOvers.Add(1)
	w.errands.duty = &Duty{w: w}
	w.errands.current.Store(w.errands.duty)
	for _, c := range w.list {
		c.guard.enter()
	}
	w.errands.onward()
}

// lookAtErrand takes over from an errand that blocks.
func (w *worker) lookAtErrand() {
	e := w.errands
	d := e.current.Load()
	switch d.state.Load() {
	case dutyAway:
		e.quiet = 0
		if time.Since(watchEpoch)-time.Duration(d.since.Load()) > errandLag {
			d.HandOver()
		}
	case dutyHeld:
		e.quiet++
		if n := e.count.Load(); n != e.seen {
			e.seen, e.quiet = n, 0
		}
		if e.quiet < errandQuiet {
			break
		}
		e.quiet = 0
		e.armed.Store(false)
		// One that has begun meanwhile has found it armed.
		if e.count.Load() == e.seen || !e.armed.CompareAndSwap(false, true) {
			return
		}
	}
	e.timer.Reset(errandTick)
}
