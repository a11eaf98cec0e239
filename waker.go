package frittata

// Wake makes a turn happen soon, in which the callbacks are called. It never
// blocks; many calls before the turn are as good as one.
func (c *Conn) Wake() {
	if c.mark() {
		c.asked.Add(1) // no turn is under way, so this is not one of the connection's callbacks
		c.t.queue.push(c)
	}
}

// mark makes a turn due. If it returns true, the caller has to put c into the run queue.
func (c *Conn) mark() (enqueue bool) {
	enqueue, owned := c.strand.mark()
	if enqueue && owned {
		c.hs.wake <- struct{}{} // has room: the strand was idle
		return false
	}
	return enqueue
}

// Waker returns a value whose Wake is that of c.
func (c *Conn) Waker() Waker { return Waker{c} }

// Waker wakes a connection: many places need no more of a Conn. The zero Waker
// wakes nothing.
type Waker struct{ c *Conn }

// Wake makes a turn happen soon; see [Conn.Wake].
func (w Waker) Wake() {
	if w.c != nil {
		w.c.Wake()
	}
}

// Yield tells the turn that is under way that the callback has made goroutines
// runnable that may soon have something to write: they get to run once before
// ProcessWrites, and their words go out with this turn. It need not be called for whoever has
// called Do, Call or Wake since packets came last: the turn of the packets that come next does so by itself. Callbacks only.
func (c *Conn) Yield() {
	c.guard.check()
	c.yield = true
}
