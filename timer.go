package frittata

import "time"

// handleTimer does what is due. With tell set, as no packet did so, the connection is told the time in any case: what
// callbacks and functions have it do begins now, and not when the last packet came or went.
func (c *Conn) handleTimer(w *worker, tell bool) {
	if c.timerFired.Load() {
		c.timerFired.Store(false)
		c.armed = time.Time{}
	}
	if tell || !c.deadline.IsZero() && !w.now.Before(c.deadline) {
		c.io.HandleDeadline(w.now)
	}
}

// setTimer sees to it that a turn happens at the connection's deadline. A timer
// that is set earlier than that is left alone: it costs less to fire in vain
// once than to be moved in every turn.
func (c *Conn) setTimer(now time.Time) {
	d, ok := c.io.Deadline()
	if !ok {
		c.deadline = time.Time{}
		return
	}
	c.deadline = d
	if !c.armed.IsZero() && !d.Before(c.armed) {
		return
	}
	c.armed = d
	c.t.wheel.set(c, now, d)
}

// onTimer is called when the timer has fired, by no worker. Most timers fire in
// vain: what they were set for has happened, and the deadline has moved on. Then the
// timer is set anew here, without a turn. It returns true if a turn is due, and
// the caller has to see to it that somebody runs it.
func (c *Conn) onTimer(now time.Time) (enqueue bool) {
	if !c.strand.tryHold() {
		// The turn that is due, or else one after that which is under way, sees to it.
		c.timerFired.Store(true)
		c.Wake()
		return false
	}
	c.armed = time.Time{}
	due := !c.deadline.IsZero() && !now.Before(c.deadline)
	if !due && !c.deadline.IsZero() {
		c.armed = c.deadline
		c.t.wheel.set(c, now, c.deadline)
	}
	return c.strand.finish(due)
}
