package frittata

import (
	"slices"
	"time"
)

// Errand is work that came of a turn's callbacks and that the goroutine which
// runs turns does itself, in place of another one that is made runnable for it: the
// hand-over to another goroutine, and so maybe to another thread, costs more than a handler that
// answers at once. See [Conn.Lend].
type Errand interface {
	// Run does the work, outside of all strands. It should be short: until it
	// returns, the turns that it was lent in do not go on, and nobody reads the
	// socket. It returns true if it is to be run again when the connection has sent what it has brought
	// about so far: who does much work in parts has the peer begin with the first of it.
	//
	// If it blocks all the same, another goroutine takes over what this one had to do: at
	// once if Run calls d.HandOver before, else when that is noticed, after some
	// milliseconds. Then Run is called again, by that goroutine, while the first call still goes on; and the
	// first, when it gets to it, finds d.Lost true and returns.
	Run(d *Duty) (more bool)
}

// Lend has e run by the goroutine of the turn that is under way: when this connection, and maybe a few others
// that got packets, have had their ProcessReads, and before this one has its ProcessWrites. It returns false where that cannot be, as in the turns of a handshake, and in a callback that
// has taken too long. Lending the same twice in a row is lending it once, so e has to be comparable, as
// pointers are. Callbacks only.
func (c *Conn) Lend(e Errand) bool {
	c.guard.check()
	d := c.out
	if d == nil || !d.back(dutyCallback) {
		return false
	}
	if n := len(c.errands); n == 0 || c.errands[n-1] != e {
		c.errands = append(c.errands, e)
	}
	d.leave(dutyCallback)
	return true
}

// runErrands runs what callbacks of the connection have lent the goroutine for. It returns false if
// its duties are another's now: then nothing of the worker may be touched any more.
func (w *worker) runErrands(c *Conn) (held bool) {
	w.stage = stageErrand
	s := w.duties
	d := s.duty
	c.guard.leave()
	s.lend()
	for range len(c.errands) {
		e := c.errands[0]
		d.since.Store(int64(time.Since(watchEpoch)))
		more, held := d.run(e)
		if !held {
			return false
		}
		c.errands = slices.Delete(c.errands, 0, 1)
		if more {
			c.errands = append(c.errands, e)
		}
	}
	w.stage = stageOut
	c.guard.enter()
	return true
}

// run runs one errand, and returns what that returns and whether the duties are still those of this goroutine.
func (d *Duty) run(e Errand) (more, held bool) {
	ended := true // the errand ends the goroutine, or panics
	defer func() {
		if !ended {
			return
		}
		if v := recover(); v != nil {
			_ = d.w.t.panicked(v) // nobody waits for it
			held = d.back(dutyErrand)
			return
		}
		d.HandOver()
	}()
	d.leave(dutyErrand)
	more = e.Run(d)
	ended = false
	return more, d.back(dutyErrand)
}
