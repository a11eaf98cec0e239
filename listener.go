package frittata

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// Listener accepts connections. Its methods may be called by any goroutine.
type Listener struct {
	t     *Transport     // the first of ts
	ts    []*Transport   // one, or those of a group
	cfgs  []*quic.Config // of ts
	ownsT bool

	mu     sync.Mutex
	queue  []*IncomingConn
	closed bool
	ending bool               // Shutdown was called
	conns  map[*Conn]struct{} // accepted, not closed
	quiet  chan struct{}      // closed when conns comes to be empty; nil unless somebody waits
	more   chan struct{}      // has an entry if there may be something in queue
	end    chan struct{}      // closed with the listener
}

// Listen begins to accept connections. cfg may be nil for the Transport's
// Config.QUIC. A Transport has one Listener at a time.
func (t *Transport) Listen(cfg *quic.Config) (*Listener, error) {
	return acceptOn([]*Transport{t}, cfg)
}

// acceptOn is Listen for all Transports of a group.
func acceptOn(ts []*Transport, cfg *quic.Config) (*Listener, error) {
	t := ts[0]
	qcfg, err := t.connConfig(cfg, t.serverTLS)
	if err != nil {
		return nil, err
	}
	if t.idLen < minServerConnIDLen {
		return nil, errShortConnIDs(t.idLen)
	}
	l := &Listener{
		t: t, ts: ts,
		conns: make(map[*Conn]struct{}),
		more:  make(chan struct{}, 1),
		end:   make(chan struct{}),
	}
	for _, t := range ts {
		// The TLS configuration is one, so that a session can be resumed with each of them.
		own := *qcfg
		own.ConnIDs = t.cfg.QUIC.ConnIDs
		l.cfgs = append(l.cfgs, &own)
	}
	for _, t := range ts {
		if err := t.begin(l); err != nil {
			l.stop(false)
			return nil, err
		}
	}
	return l, nil
}

// begin makes l the one that accepts.
func (t *Transport) begin(l *Listener) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending {
		return ErrTransportClosed
	}
	t.epMu.Lock()
	defer t.epMu.Unlock()
	if t.listener != nil {
		return ErrListening
	}
	t.listener = l
	t.refusing = false
	return nil
}

// Addr returns the socket's address.
func (l *Listener) Addr() netip.AddrPort { return l.t.local }

// Transport returns the Transport that the Listener hangs on, the first of those of [ListenGroup].
func (l *Listener) Transport() *Transport { return l.t }

// Accept waits for a client's first flight. Nothing has been computed for it
// yet, and its address may be made up: see [IncomingConn]. The error wraps
// net.ErrClosed once the Listener is closed.
func (l *Listener) Accept(ctx context.Context) (*IncomingConn, error) {
	for {
		in, more, err := l.pop()
		if more {
			l.notify() // for the next who waits
		}
		if in != nil || err != nil {
			return in, err
		}
		select {
		case <-l.more:
		case <-l.end:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (l *Listener) notify() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *Listener) pop() (in *IncomingConn, more bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false, ErrTransportClosed
	}
	l.trim(time.Now())
	if len(l.queue) == 0 {
		return nil, false, nil
	}
	in = l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	return in, len(l.queue) > 0, nil
}

// trim drops what the endpoint has forgotten by now. It is called with mu held.
func (l *Listener) trim(now time.Time) {
	n := 0
	for n < len(l.queue) && now.Sub(l.queue[n].in.Received()) >= l.t.cfg.PendingAge {
		l.queue[n] = nil
		n++
	}
	l.queue = l.queue[n:]
}

// push adds a first flight that came to t; false: there is no place for it.
func (l *Listener) push(now time.Time, t *Transport, in *quic.Incoming, originalDst netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trim(now)
	if l.closed || len(l.queue) >= l.t.cfg.MaxPending {
		return false
	}
	l.queue = append(l.queue, &IncomingConn{l: l, t: t, in: in, cfg: l.cfgs[t.shard], originalDst: originalDst})
	l.notify()
	return true
}

// armPending sees to it that first flights that nobody decides on are
// forgotten. It is called with epMu held.
func (t *Transport) armPending(now time.Time) {
	if t.pendingArmed {
		return
	}
	d, ok := t.ep.Deadline()
	if !ok {
		return
	}
	t.pendingArmed = true
	wait := max(d.Sub(now), 0)
	if t.pendingTimer == nil {
		t.pendingTimer = time.AfterFunc(wait, t.expirePending)
		return
	}
	t.pendingTimer.Reset(wait)
}

func (t *Transport) expirePending() {
	now := time.Now()
	t.epMu.Lock()
	defer t.epMu.Unlock()
	t.ep.HandleDeadline(now)
	t.notePending()
	t.pendingArmed = false
	if l := t.listener; l != nil {
		l.mu.Lock()
		l.trim(now)
		l.mu.Unlock()
	}
	if !t.stopping.Load() {
		t.armPending(now)
	}
}

// Close stops accepting: clients that were not accepted yet are forgotten.
// Connections go on, unless the Listener was made by [Listen] or [ListenGroup]: then
// they are closed, and the socket too.
func (l *Listener) Close() error {
	l.stop(false)
	if l.ownsT {
		return closeAll(l.ts)
	}
	return nil
}

// Drain stops accepting and leaves it at that: connections go on, until
// Shutdown or Close. What becomes of clients that were not accepted yet, and of
// those that come later, is the caller's choice. With refuse set they are told that the connection
// is refused, and may go elsewhere at once. Without, they get no answer: for the case that
// somebody else will take over the address, and answer when they try again.
func (l *Listener) Drain(refuse bool) { l.stop(refuse) }

// stop ends accepting. What it was told first holds.
func (l *Listener) stop(refuse bool) {
	for _, t := range l.ts {
		t.epMu.Lock()
		if t.listener == l {
			t.listener = nil
			t.refusing = refuse
		}
		t.epMu.Unlock()
	}
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	if !l.closed {
		l.closed = true
		close(l.end)
	}
	l.mu.Unlock()
	for _, in := range queue {
		if refuse {
			_ = in.Refuse() // which never fails
		} else {
			in.Ignore()
		}
	}
}

// Shutdown drains and ends the accepted connections gracefully: it stops
// accepting as Drain(false) does, unless Drain was called before; each
// Application that is a [Shutdowner] is told (by HTTP/3 with a GOAWAY, say), and the connections
// of others are closed. When all have closed, or ctx ends, those that are left are
// closed, and the socket too if the Listener was made by [Listen] or [ListenGroup]. The error is
// that of ctx if it ended first.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.stop(false)
	l.mu.Lock()
	l.ending = true
	l.mu.Unlock()
	if l.ownsT {
		return shutdown(ctx, l.ts)
	}
	l.mu.Lock()
	conns := make([]*Conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	var quiet chan struct{}
	if len(conns) > 0 {
		if l.quiet == nil {
			l.quiet = make(chan struct{})
		}
		quiet = l.quiet
	}
	l.mu.Unlock()
	if quiet == nil {
		return nil
	}
	for _, c := range conns {
		c.shutdown()
	}
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
	}
	for _, c := range conns {
		_ = c.Close()
	}
	return context.Cause(ctx)
}

// add takes in a connection; false: it came too late for Shutdown to tell it.
func (l *Listener) add(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending {
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Listener) connClosed(c *Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	if len(l.conns) == 0 && l.quiet != nil {
		close(l.quiet)
		l.quiet = nil
	}
	l.mu.Unlock()
}
