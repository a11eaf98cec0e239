package frittata

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// Conn is the handle of a connection. All of its methods may be called by any
// goroutine, and those that do not wait by callbacks too.
type Conn struct {
	t      *Transport
	strand strand
	guard  strandGuard

	// Of the run queue, under its mutex.
	inQueue bool

	// Of the router.
	firstRun, lastRun int32 // what the batch has for this connection: indices of router.runs, plus 1

	// Of the strand.
	qc          *quic.Conn
	io          *quic.IO
	app         Application
	w           *worker   // whose turn it is
	deadline    time.Time // of io, as of the last turn; zero: none
	armed       time.Time // when timer will fire; zero: it will not
	timer       *time.Timer
	cause       error // what a callback returned, or that it panicked
	closing     bool  // OnClose was called
	told        bool  // closed is closed
	noted       bool  // noteReady was called
	halfOpen    bool  // counts as a handshake under way; of its goroutine
	connected   bool  // info is there
	established bool  // OnEstablished was called

	timerFired atomic.Bool
	paused     atomic.Bool // no callback before Resume
	mail       atomic.Bool // there may be something in box or cmds

	mu       sync.Mutex // a leaf, for what is below
	box      []boxed
	boxBytes int
	cmds     []func(*quic.Conn)
	gone     bool
	err      error // why it is closed, once that is so
	info     *HandshakeInfo
	remote   netip.AddrPort
	local    netip.Addr
	// readyOnce: ready is closed.
	readyOnce bool

	hs       *handshake // nil after it
	listener *Listener  // of a server's connection
	ownsT    bool       // the Transport goes with the connection
	times    HandshakeTimes
	retried  bool
	ready    chan struct{} // closed when the connection is established, or is not going to be
	closed   chan struct{}
	done     chan struct{}
}

func newConn(t *Transport, app Application, remote netip.AddrPort) *Conn {
	return &Conn{
		t: t, app: app, remote: remote,
		ready:  make(chan struct{}),
		closed: make(chan struct{}),
		done:   make(chan struct{}),
	}
}

// Transport returns the Transport of the connection.
func (c *Conn) Transport() *Transport { return c.t }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote
}

// LocalAddr returns this end's address, as far as the system tells it.
func (c *Conn) LocalAddr() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t.localAddr(c.local)
}

// Err returns why the connection has closed, nil while it is open.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// HandshakeInfo returns what OnEstablished gets; false before that.
func (c *Conn) HandshakeInfo() (HandshakeInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.info == nil {
		return HandshakeInfo{}, false
	}
	return *c.info, true
}

// Closed is closed when the connection has closed, OnClose has been called and
// the peer has been told: a process may end then. See Err for the reason.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Done is closed when the connection is gone: packets that are still under way
// have been waited for, and the strand runs no more turns.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Wake makes a turn happen soon, in which the callbacks are called. It never
// blocks; many calls before the turn are as good as one.
func (c *Conn) Wake() {
	enqueue, owned := c.strand.mark()
	switch {
	case !enqueue:
	case owned:
		c.hs.wake <- struct{}{} // has room: the strand was idle
	default:
		c.t.queue.push(c)
	}
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
// ProcessWrites, and their words go out with this turn. Callbacks only.
func (c *Conn) Yield() {
	c.guard.check()
	if c.w != nil {
		c.w.yield = true
	}
}

// Do has fn run on the strand soon, and returns at once. It fails with
// ErrConnGone, and a connection that goes before fn's turn drops fn. Functions
// run in the order of the calls.
func (c *Conn) Do(fn func(*quic.Conn)) error {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return ErrConnGone
	}
	c.cmds = append(c.cmds, fn)
	c.mail.Store(true)
	c.mu.Unlock()
	c.Wake()
	return nil
}

// Call is like Do, but returns when fn has run. It must not be called in a
// callback, which would wait for itself. When ctx ends first fn may still run later.
func (c *Conn) Call(ctx context.Context, fn func(*quic.Conn)) error {
	ran := make(chan struct{})
	if err := c.Do(func(qc *quic.Conn) { defer close(ran); fn(qc) }); err != nil {
		return err
	}
	select {
	case <-ran:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done:
		select {
		case <-ran:
			return nil
		default:
			return ErrConnGone
		}
	}
}

// Close closes the connection with NO_ERROR, which loses what is not sent yet.
// It returns at once; see Closed. It never fails.
func (c *Conn) Close() error { return c.CloseWithError(quic.CloseError{}) }

// CloseWithError closes the connection and tells the peer e. It returns at once;
// see Closed. It never fails.
func (c *Conn) CloseWithError(e quic.CloseError) error {
	_ = c.Do(func(qc *quic.Conn) { qc.Close(e) }) // a connection that is gone is closed
	return nil
}

// Stats returns a snapshot of the connection's counters. It must not be called in a callback.
func (c *Conn) Stats(ctx context.Context) (s quic.Stats, err error) {
	var got quic.Stats
	if err := c.Call(ctx, func(qc *quic.Conn) { got = qc.Stats() }); err != nil {
		return s, err
	}
	return got, nil
}

// SetApplication replaces the Application of a connection that waits for
// Resume: by then its ALPN protocol is known.
func (c *Conn) SetApplication(app Application) error {
	if !c.paused.Load() {
		return errNotPaused
	}
	return c.Do(func(*quic.Conn) { c.app = app })
}

// Resume lets a connection of [IncomingConn.Handshake] go on: OnEstablished is
// called next. It does nothing for others.
func (c *Conn) Resume() {
	if c.paused.Swap(false) {
		c.Wake()
	}
}
