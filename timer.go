package frittata

import "time"

// handleTimer does what is due.
func (c *Conn) handleTimer(w *worker) {
	if c.timerFired.Load() {
		c.timerFired.Store(false)
		c.armed = time.Time{}
	}
	if !c.deadline.IsZero() && !w.now.Before(c.deadline) {
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
	wait := max(d.Sub(now), 0)
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, c.onTimer)
		return
	}
	c.timer.Reset(wait)
}

// onTimer runs on a goroutine of its own. Most timers fire in vain: what they were
// set for has happened, and the deadline has moved on. Then the timer is set anew
// here, without a turn.
func (c *Conn) onTimer() {
	if !c.strand.tryHold() {
		// The turn that is due, or else one after that which is under way, sees to it.
		c.timerFired.Store(true)
		c.Wake()
		return
	}
	c.armed = time.Time{}
	now := time.Now()
	due := !c.deadline.IsZero() && !now.Before(c.deadline)
	if !due && !c.deadline.IsZero() {
		c.armed = c.deadline
		c.timer.Reset(c.deadline.Sub(now))
	}
	if c.strand.finish(due) {
		c.t.queue.push(c)
	}
}
