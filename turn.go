package frittata

import (
	"errors"

	"github.com/frittata-go/frittata/quic"
)

// The budget of a turn: what a connection may have done for it before others have
// their turn. It is counted and not timed, so that it is the same on a machine that is slow or busy. It bounds the time too,
// but for that of callbacks, which nothing could cut: time is looked at between turns (worker.late).
const (
	turnTrains    = 2    // that are sent
	turnPackets   = 256  // in these, but that a train is not cut
	turnDatagrams = 1024 // that are taken from the inbox
	turnCommands  = 128  // functions of Do
)

// budget is what is left of it, but for what is sent.
type budget struct{ datagrams, commands int }

// turnIn is the first phase of a turn: what came in, and what the application makes of it.
// It returns whose turn it is then: see callBack.
func (c *Conn) turnIn(w *worker) (by *worker) {
	c.enter(w)
	c.budget = budget{turnDatagrams, turnCommands}
	asked := c.asked.Load() // before the mail: an ask that comes later is heard when packets come again
	m := c.takeMail(w)
	got := len(m.box) > 0 || w.router && c.firstRun != 0
	if w.router {
		if c.budget.datagrams > 0 {
			c.takeRuns(w)
		} else {
			c.keepRuns(w.t) // they go behind those that still wait
		}
	}
	c.handleTimer(w, !got)
	// From here on it may be another's.
	c.runCommands(m)
	if got && asked != c.heard {
		c.heard = asked
		c.yield = true // as if ProcessReads had said so
	}
	c.reads()
	return c.w
}

// turnOut is the second phase: what the application has to say, and what goes out.
// It returns whether the strand needs another turn, and whose turn it was in the end.
func (c *Conn) turnOut(w *worker) (requeue bool, by *worker) {
	if c.strand.takeMark() {
		m := c.takeMail(w)
		c.handleTimer(w, len(m.box) == 0)
		c.runCommands(m)
		c.reads()
	}
	c.writes()
	c.maybeClosed()
	w = c.w
	writable := c.io.Writable()
	c.maxWritable = max(c.maxWritable, writable)
	more := c.flush(w)
	if !c.closing && c.qc.Err() != nil {
		// It ended as it was to send.
		c.maybeClosed()
		more = true
	}
	// Sending makes room: the application may have more to say, and no packet is
	// due that would ask it.
	more = more || c.io.Writable() > writable
	// So is what the budget has left.
	more = more || c.mail.Load()
	// And errands that are to be run again, or that a turn which was taken over could not run.
	more = more || len(c.errands) > 0
	gone := c.settle()
	by = c.w
	c.leave()
	if gone {
		// The strand stays as it is: nobody will begin a turn any more.
		return false, by
	}
	return c.strand.finish(more), by
}

// enter and leave mark what the worker does for the connection.
func (c *Conn) enter(w *worker) {
	c.guard.enter()
	c.w = w
}

func (c *Conn) leave() {
	c.w = nil
	c.guard.leave()
}

// reads has the application take what there is, and tells it first that the connection is established.
func (c *Conn) reads() {
	if c.closing || c.qc.Err() != nil {
		return
	}
	if !c.connected {
		if !c.qc.Connected() {
			return
		}
		c.connected = true
		c.noteEstablished()
	}
	if c.paused.Load() {
		return
	}
	if !c.established {
		// SetApplication may have come since the turn began, and Resume after it. It
		// has to be found, behind however many others.
		c.budget.commands = maxCommands
		c.runCommands(c.takeMail(c.w))
		if c.qc.Err() != nil {
			return
		}
		c.established = true
		if err := c.onEstablished(); err != nil {
			c.fail(err)
			return
		}
		if c.qc.Err() != nil {
			return
		}
	}
	if err := c.processReads(); err != nil {
		c.fail(err)
	}
}

// writes has the application say what it has to say.
func (c *Conn) writes() {
	if !c.established || c.closing || c.qc.Err() != nil {
		return
	}
	if err := c.processWrites(); err != nil {
		c.fail(err)
	}
}

// The callbacks, with their panics made errors. That of one that is under way is errAway.

func (c *Conn) onEstablished() (err error) {
	err = errAway
	defer c.called(&err)
	c.callOut()
	return c.app.OnEstablished(c.qc, *c.info)
}

func (c *Conn) processReads() (err error) {
	err = errAway
	defer c.called(&err)
	c.callOut()
	return c.app.ProcessReads(c.qc)
}

func (c *Conn) processWrites() (err error) {
	err = errAway
	defer c.called(&err)
	c.callOut()
	return c.app.ProcessWrites(c.qc)
}

func (c *Conn) onClose(cause error) (err error) {
	err = errAway
	defer c.called(&err)
	c.callOut()
	c.app.OnClose(c.qc, cause)
	return nil
}

// command runs a function of Do.
func (c *Conn) command(fn func(*quic.Conn)) (err error) {
	err = errAway
	defer c.called(&err)
	c.callOut()
	fn(c.qc)
	return nil
}

var errAway = errors.New("frittata: in a callback")

// called ends a callback, and makes a panic its error. It is deferred.
func (c *Conn) called(err *error) {
	if v := recover(); v != nil {
		*err = c.t.panicked(v, "remote", c.RemoteAddr())
	} else if *err == errAway {
		// Neither a panic nor a return: runtime.Goexit. This goroutine does nothing any more.
		c.exited()
		return
	}
	c.callBack()
}

// fail closes the connection because a callback failed.
func (c *Conn) fail(err error) {
	if c.qc.Err() != nil {
		return
	}
	c.cause = err
	c.qc.Close(closeErrorFor(err))
}

// closeErrorFor is what the peer is told of an error of ours. The text of an
// error that was not made for the peer stays here.
func closeErrorFor(err error) quic.CloseError {
	if ae, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return quic.CloseError{Application: true, Code: ae.Code, Reason: ae.Reason}
	}
	if te, ok := errors.AsType[*quic.TransportError](err); ok {
		return quic.CloseError{Code: uint64(te.Code), Reason: te.Reason}
	}
	return quic.CloseError{Code: uint64(quic.InternalError)}
}

// closeReason is why the connection closed, with the cause if that is ours.
func (c *Conn) closeReason() error {
	err := c.qc.Err()
	if te, ok := errors.AsType[*quic.TransportError](err); ok && c.cause != nil && !te.Remote && te.Err == nil && !errors.Is(c.cause, err) {
		with := *te
		with.Err = c.cause
		return &with
	}
	return err
}

// maybeClosed tells the application, once, that the connection has closed.
func (c *Conn) maybeClosed() {
	if c.late {
		c.late = false
		if c.app != nil {
			_ = c.onClose(c.closeReason())
		}
	}
	if c.closing || c.qc.Err() == nil {
		return
	}
	if c.established && !c.paused.Load() && c.io.Draining() && c.cause == nil {
		// What the peer said before it closed is the application's still.
		_ = c.processReads()
	}
	c.closing = true
	err := c.closeReason()
	c.setErr(err)
	if c.app != nil {
		_ = c.onClose(err) // a panic has been counted, and there is nothing left to close
	}
}

// setErr notes why the connection has closed.
func (c *Conn) setErr(err error) {
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
}

// flush sends what there is to send, within the budget. It returns true if there may be more.
func (c *Conn) flush(w *worker) (more bool) {
	t := c.t
	packets := 0
	for range turnTrains {
		train, ok := c.io.Transmit(w.now, w.buf[:], t.maxSegments)
		if !ok {
			return false
		}
		c.publishRoutes()
		packets += train.Count()
		w.moved += train.N
		t.write(c, w, &train)
		if packets >= turnPackets {
			break
		}
	}
	return true
}

// publishRoutes tells the endpoint which connection IDs lead here. It comes
// before the packets that tell the peer: else the first packet to a new ID would draw
// a stateless reset, and a valid one.
func (c *Conn) publishRoutes() {
	if r, ok := c.io.TakeRoutes(); ok {
		c.applyRoutes(r)
	}
}

// applyRoutes is apart, and not inlined, so that only changes have memory on the
// heap, and not every train.
//
//go:noinline
func (c *Conn) applyRoutes(r quic.RouteChanges) {
	r.Route = c
	c.t.apply(&r)
}

// settle is the end of a turn. It returns true if the connection is gone.
func (c *Conn) settle() (gone bool) {
	c.publishRoutes()
	if f := c.io.TrainFate(); f != c.trains {
		c.noteTrains(f, c.w.now)
	}
	if r := c.qc.RemoteAddr(); r != c.remote {
		c.mu.Lock()
		c.remote, c.local = r, c.qc.LocalAddr()
		c.mu.Unlock()
	}
	if c.closing {
		if !c.told {
			c.told = true
			c.noteClosed(c.w.now)
			c.noteReady()
			close(c.closed)
			c.t.connClosed(c)
		}
	} else if c.connected {
		c.noteReady()
	}
	if c.io.Gone() && len(c.errands) == 0 {
		c.vanish()
		return true
	}
	c.setTimer(c.w.now)
	return false
}

// noteReady ends the wait of Dial and Handshake.
func (c *Conn) noteReady() {
	if c.noted {
		return
	}
	c.noted = true
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.readyOnce {
		c.readyOnce = true
		close(c.ready)
	}
}

// noteEstablished makes the HandshakeInfo.
func (c *Conn) noteEstablished() {
	state := c.qc.TLS()
	c.times.Established = c.w.now
	c.mu.Lock()
	c.local = c.qc.LocalAddr()
	c.info = &HandshakeInfo{
		Conn:        c,
		Client:      c.client,
		TLS:         state,
		ServerName:  state.ServerName,
		ALPN:        state.NegotiatedProtocol,
		RemoteAddr:  c.remote,
		LocalAddr:   c.t.localAddr(c.local),
		OriginalDst: c.originalDst,
		EarlyData:   c.io.Handshaking(),
		Retried:     c.retried,
		Times:       c.times,
	}
	c.mu.Unlock()
	c.t.stats.handshakesDone.Add(1)
	if c.t.trains.maybeTry(c, c.t.socket, c.w.now) {
		c.trains = quic.TrainsUnknown
		c.io.RetryTrains()
	}
	if m := c.t.cfg.Metrics; m != nil {
		c.callOut()
		m.ConnEstablished(c.info)
		c.callBack()
	}
}

// vanish ends the strand: the connection is gone.
func (c *Conn) vanish() {
	c.t.wheel.stop(c)
	c.t.trains.trial.CompareAndSwap(c, nil)
	c.mu.Lock()
	c.gone = true
	box := c.box
	c.emptyBox()
	c.mu.Unlock()
	for i := range box {
		box[i].buf.Release()
	}
	c.t.forget(c)
	close(c.done)
}
