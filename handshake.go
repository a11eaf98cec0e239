package frittata

import (
	"time"

	"github.com/frittata-go/frittata/quic"
)

// handshake is what a connection has until it is established.
type handshake struct {
	wake chan struct{} // has one entry when the strand is queued

	in         *quic.Incoming // of a server
	serverName string         // of a client
	cfg        *quic.Config   // nil of a connection that is attached
	limit      *time.Timer    // of giveUp
}

// runHandshake is the goroutine of a handshake. It runs the turns of the strand, which
// is its own, until all that is left needs little computing.
func (c *Conn) runHandshake() {
	defer c.t.wg.Done()
	w := &worker{t: c.t, computes: true}
	defer w.release()
	// The connection has a timeout of its own. This one is for a callback of
	// tls.Config that does not return: it frees whoever waits for the handshake. For one
	// that is attached nobody waits, and what its timeout is only the connection knows.
	if cfg := c.hs.cfg; cfg != nil {
		limit := time.AfterFunc(handshakeLimit(cfg), c.giveUp)
		defer limit.Stop()
		c.hs.limit = limit
	}
	w.enterSlot()
	if err := c.begin(); err != nil {
		w.leaveSlot()
		c.setErr(err)
		if app := c.app; app != nil {
			// There is no turn that it could be called in.
			_ = c.t.apart("OnClose", func() error { app.OnClose(nil, err); return nil })
		}
		c.stillborn(err)
		return
	}
	c.runHandshakeTurns(w, false)
}

// runHandshakeTurns runs the turns. With midway set the first phase of one is over.
func (c *Conn) runHandshakeTurns(w *worker, midway bool) {
	t, hs := c.t, c.hs
	for {
		if !midway {
			w.hold() // not before: many may wait
			w.now = time.Now()
			c.turnIn(w)
		}
		midway = false
		last := !c.io.Handshaking()
		if last {
			c.hs = nil
			c.endHandshake()
			c.strand.disown()
		}
		requeue, _ := c.turnOut(w)
		w.leaveSlot()
		switch {
		case last && requeue:
			t.queue.push(c)
			return
		case last:
			return
		case !requeue:
			w.release()
			select {
			case <-hs.wake:
			case <-c.done: // the connection ended in turnOut
				c.endHandshake()
				return
			}
		}
		w.enterSlot()
		c.strand.runOwned()
	}
}

// handshakeGrace is how much longer than its timeout a handshake may take before
// whoever waits for it is freed.
const handshakeGrace = time.Second

// handshakeLimit is how long a handshake may take before whoever waits for it is freed.
func handshakeLimit(cfg *quic.Config) time.Duration {
	if d := cfg.HandshakeTimeout; d > 0 {
		return d + handshakeGrace
	}
	return defaultHandshakeTimeout + handshakeGrace
}

// defaultHandshakeTimeout is that of package quic.
const defaultHandshakeTimeout = 10 * time.Second

// giveUp frees whoever waits for a handshake that is stuck, and the packets that wait for it. They take the connection
// for closed, and it is when the callback returns. Until then its goroutines are there, and so it counts
// for Config.MaxHandshakes: nothing else bounds how many of them a service that hangs can pile up.
func (c *Conn) giveUp() {
	c.mu.Lock()
	stuck := !c.readyOnce
	var box []boxed
	if stuck {
		c.readyOnce = true
		c.err = &quic.HandshakeTimeoutError{Heard: true}
		close(c.ready)
		box = c.shutBox()
	}
	c.mu.Unlock()
	if !stuck {
		return
	}
	for i := range box {
		box[i].buf.Release()
	}
	c.t.logStuck(c)
	_ = c.Close() // never fails
}

// begin makes the quic.Conn. It computes and may call the callbacks of tls.Config.
func (c *Conn) begin() (err error) {
	if c.qc != nil {
		return nil // it was attached
	}
	hs := c.hs
	now := time.Now()
	c.times.Started = now
	if hs.in != nil {
		c.qc, err = quic.Accept(now, hs.in, hs.limited(now))
	} else {
		c.qc, err = quic.Connect(now, hs.cfg, c.remote, hs.serverName)
	}
	if err != nil {
		return err
	}
	c.io = c.qc.IO()
	hs.in = nil // the first flight is memory that a slow client should not pin
	return nil
}

// limited returns the server's configuration, with which the limit of a handshake that began then
// follows what ConfigForClient chooses.
func (hs *handshake) limited(began time.Time) *quic.Config {
	ask := hs.cfg.ConfigForClient
	if ask == nil {
		return hs.cfg
	}
	own := *hs.cfg
	own.ConfigForClient = func(info quic.ClientInfo) (*quic.Config, error) {
		cfg, err := ask(info)
		if cfg != nil {
			hs.limit.Reset(time.Until(began.Add(handshakeLimit(cfg))))
		}
		return cfg, err
	}
	return &own
}

// stillborn ends a connection for which there is no quic.Conn.
func (c *Conn) stillborn(err error) {
	if in := c.hs.in; in != nil {
		c.t.epMu.Lock()
		c.t.ep.Ignore(in)
		c.t.notePending()
		c.t.epMu.Unlock()
	}
	c.setErr(err)
	c.endHandshake()
	c.noteClosed(time.Now())
	c.noteReady()
	close(c.closed)
	c.t.connClosed(c)
	c.vanish()
}

// endHandshake takes the connection off the half-open ones.
func (c *Conn) endHandshake() {
	if c.dialing {
		c.dialing = false
		c.t.dialing.Add(-1)
	}
	if c.halfOpen {
		c.halfOpen = false
		c.t.handshakes.Add(-1)
		c.t.load.handshakes.Add(-1)
		c.mu.Lock()
		if c.boxHalf {
			c.t.load.inbox.Add(-int64(c.boxBytes))
			c.boxHalf = false
		}
		c.mu.Unlock()
	}
}
