package frittata

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Duty is what a goroutine that runs an [Errand] has to do besides: to run turns and,
// if it is the router, to read the socket. Its methods may be called by any goroutine.
type Duty struct {
	w     *worker
	word  atomic.Uint64 // the state, and above it how many times its goroutine has been away
	times uint64        // the same, without a state: of the goroutine that has the duties
	since atomic.Int64  // when the errand began, in nanoseconds since watchEpoch
}

// The states of a Duty. Whoever changes one of those away has the worker's memory from then on.
const (
	dutyHeld     uint64 = iota
	dutyErrand          // its goroutine is away: it runs an errand
	dutyCallback        // or a callback
	dutyTaken           // and another one has taken over

	dutyState uint64 = 3
)

// leave lets another goroutine take over until back.
func (d *Duty) leave(state uint64) {
	d.times += dutyState + 1
	d.word.Store(d.times | state)
}

// back returns whether the duties are still those of this goroutine.
func (d *Duty) back(state uint64) bool {
	return d.word.CompareAndSwap(d.times|state, d.times)
}

// take has another goroutine take over, unless the first has been back since word was read, or one has.
func (d *Duty) take(word uint64) bool {
	if !d.word.CompareAndSwap(word, word|dutyTaken) {
		return false
	}
	go d.w.takeOver()
	return true
}

// HandOver leaves the duties to another goroutine. An Errand that is about to
// block calls it. It does nothing if that has happened already.
func (d *Duty) HandOver() {
	if word := d.word.Load(); word&dutyState == dutyErrand {
		d.take(word)
	}
}

// Lost tells whether another goroutine has the duties: the errand returns then as soon as it can.
func (d *Duty) Lost() bool { return d.word.Load()&dutyState == dutyTaken }

const (
	// callbackTick is how often somebody looks whether a callback blocks, while there are turns.
	callbackTick = 10 * time.Millisecond
	// callbackLag is how long the same one has been seen then at least: with the tick
	// before, it has had less than 20 ms.
	callbackLag = 8 * time.Millisecond
	// errandTick is the same while there are errands. A look may have to wake a thread, so there are few.
	errandTick = 2 * time.Millisecond
	// errandLag is how long an errand may take.
	errandLag = 500 * time.Microsecond
	// errandQuiet is after how many looks without any errand the looking is as rare as before.
	errandQuiet = 10
)

var watchEpoch = time.Now()

// duties are those of a worker, and the watch over whether its goroutine attends to them.
type duties struct {
	duty   *Duty
	onward func() // what a goroutine does that has taken over

	current atomic.Pointer[Duty] // duty
	runs    atomic.Uint64        // odd while turns are run; grows when they begin and end
	lent    atomic.Uint64        // how many times errands were run
	armed   atomic.Bool          // timer will fire
	quick   atomic.Bool          // and soon, as there are errands
	timer   *time.Timer

	// Of the watch.
	mu       sync.Mutex
	seenDuty *Duty
	seenWord uint64
	seenAt   time.Duration // when it was seen for the first time
	seenRuns uint64
	seenLent uint64
	quiet    int // looks without errands
}

// initDuties makes the worker one that another goroutine relieves of what blocks, by onward.
func (w *worker) initDuties(onward func()) {
	s := &duties{onward: onward, duty: &Duty{w: w}}
	s.current.Store(s.duty)
	w.duties = s
	s.timer = time.AfterFunc(time.Hour, s.look)
	s.timer.Stop()
}

// end is called when the worker is no more.
func (s *duties) end() { s.timer.Stop() }

// beginRun has somebody watch, while turns are run.
func (s *duties) beginRun() {
	s.runs.Add(1) // before armed is read: look does it the other way round
	if !s.armed.Load() && s.armed.CompareAndSwap(false, true) {
		s.timer.Reset(callbackTick)
	}
}

func (s *duties) endRun() { s.runs.Add(1) }

// attend is called when the router has waited. It sees to it that the watch's timer is due, and tells whether it was.
// If so the scheduler need not be told that the process has something to do again (udp.Conn.Await).
func (s *duties) attend() bool {
	s.runs.Add(2) // as in beginRun
	if s.armed.Load() || !s.armed.CompareAndSwap(false, true) {
		return true
	}
	s.timer.Reset(callbackTick)
	return false
}

// lend has the watch look more often.
func (s *duties) lend() {
	s.lent.Add(1) // as in beginRun
	if !s.quick.Load() && s.quick.CompareAndSwap(false, true) {
		s.timer.Reset(errandTick)
	}
}

// look has another goroutine take over from one that an errand or a callback blocks.
func (s *duties) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.current.Load()
	word := d.word.Load()
	now := time.Since(watchEpoch)
	if d != s.seenDuty || word != s.seenWord {
		s.seenDuty, s.seenWord, s.seenAt = d, word, now
	}
	switch word & dutyState {
	case dutyErrand:
		s.quiet = 0
		if now-time.Duration(d.since.Load()) > errandLag {
			d.take(word)
		}
	case dutyCallback:
		if now-s.seenAt >= callbackLag && d.take(word) {
			d.w.t.stats.blocked.Add(1)
		}
	}
	if s.quick.Load() {
		s.quiet++
		if n := s.lent.Load(); n != s.seenLent {
			s.seenLent, s.quiet = n, 0
		}
		if s.quiet >= errandQuiet {
			s.quiet = 0
			s.quick.Store(false)
			// One that has begun meanwhile has found it quick.
			s.quick.CompareAndSwap(false, s.lent.Load() != s.seenLent)
		}
	}
	tick := errandTick
	if !s.quick.Load() {
		tick = callbackTick
		runs := s.runs.Load()
		if runs == s.seenRuns && runs%2 == 0 {
			s.armed.Store(false)
			if s.runs.Load() == runs || !s.armed.CompareAndSwap(false, true) {
				return
			}
		}
		s.seenRuns = runs
	}
	s.timer.Reset(tick)
	if tick != errandTick && s.quick.Load() {
		s.timer.Reset(errandTick) // lend has done so, and it was undone
	}
}

// takeOver is the goroutine that has the duties of one that an errand or a callback blocks, or has ended.
// An errand is run again; the turn of the callback is left to the goroutine that it blocks, or to that of exited.
func (w *worker) takeOver() {
	s := w.duties
	s.duty = &Duty{w: w}
	s.current.Store(s.duty)
	under := w.begun // whose turns are under way
	switch w.stage {
	case stageIn:
		w.list = slices.Delete(w.list, w.pos, w.pos+1)
	case stageErrand:
		under = w.begun[w.posOut:]
	case stageOut:
		w.posOut++
		under = w.begun[w.posOut:]
	}
	if w.stage == stageErrand {
		w.t.stats.takeOvers.Add(1)
	} else {
		w.t.wg.Add(1) // the one that it had for this is that turn's now
	}
	for _, c := range under {
		c.guard.take()
	}
	s.onward()
}

// callOut begins what is the user's in a turn. Until callBack nothing of c.w may be used: if it
// takes long, another goroutine goes on with the worker's other turns. In a handshake's turn no slot is kept meanwhile.
func (c *Conn) callOut() {
	w := c.w
	switch {
	case w == nil:
	case w.computes:
		w.leaveSlot()
	case w.duties != nil:
		c.out = w.duties.duty
		c.out.leave(dutyCallback)
	}
}

// callBack ends it. If another goroutine is the worker now, c.w is one that has nothing but this turn.
func (c *Conn) callBack() {
	d, yield := c.out, c.yield
	c.out, c.yield = nil, false
	switch {
	case d == nil:
	case !d.back(dutyCallback):
		c.w = &worker{t: c.t, now: time.Now()}
		c.w.hold()
	case yield:
		c.w.yield = true
	}
}

// exited leaves all that a goroutine was to do to others, as a callback ends it: the worker's duties to
// one, if they are this one's still, and the rest of the turn to another, which closes the connection.
func (c *Conn) exited() {
	t := c.t
	c.cause = t.exited("remote", c.RemoteAddr())
	if d := c.out; d != nil {
		d.take(d.times | dutyCallback)
	}
	c.callBack()
	w := c.w
	if w.computes {
		t.wg.Add(1)
		w = &worker{t: t, computes: c.hs != nil}
	}
	go c.goOnAfterExit(w)
}

// goOnAfterExit ends a turn, and the handshake that it may belong to, for a goroutine that is no more.
func (c *Conn) goOnAfterExit(w *worker) {
	c.guard.take()
	c.w = w
	w.hold()
	w.now = time.Now()
	c.fail(c.cause)
	if w.computes {
		c.runHandshakeTurns(w, true)
		w.release()
		c.t.wg.Done()
		return
	}
	requeue, by := c.turnOut(w)
	c.endAlone(by, requeue)
}

// endAlone is the end of a turn that is no worker's any more.
func (c *Conn) endAlone(w *worker, requeue bool) {
	w.release()
	if requeue {
		c.t.queue.push(c)
	}
	c.t.wg.Done()
}
