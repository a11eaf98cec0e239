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
	t     *Transport
	cfg   *quic.Config
	ownsT bool

	mu     sync.Mutex
	queue  []*IncomingConn
	closed bool
	conns  map[*Conn]struct{} // accepted, not closed
	quiet  chan struct{}      // closed when conns comes to be empty; nil unless somebody waits
	more   chan struct{}      // has an entry if there may be something in queue
	end    chan struct{}      // closed with the listener
}

// Listen begins to accept connections. cfg may be nil for the Transport's
// Config.QUIC. A Transport has one Listener at a time.
func (t *Transport) Listen(cfg *quic.Config) (*Listener, error) {
	qcfg, err := t.connConfig(cfg, serverTLS)
	if err != nil {
		return nil, err
	}
	if t.idLen < minServerConnIDLen {
		return nil, errShortConnIDs
	}
	l := &Listener{
		t: t, cfg: qcfg,
		conns: make(map[*Conn]struct{}),
		more:  make(chan struct{}, 1),
		end:   make(chan struct{}),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending {
		return nil, ErrTransportClosed
	}
	t.epMu.Lock()
	defer t.epMu.Unlock()
	if t.listener != nil {
		return nil, ErrListening
	}
	t.listener = l
	return l, nil
}

// Addr returns the socket's address.
func (l *Listener) Addr() netip.AddrPort { return l.t.local }

// Transport returns the Transport that the Listener hangs on.
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

// push adds a first flight; false: there is no place for it.
func (l *Listener) push(now time.Time, in *quic.Incoming) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trim(now)
	if l.closed || len(l.queue) >= l.t.cfg.MaxPending {
		return false
	}
	l.queue = append(l.queue, &IncomingConn{l: l, in: in, cfg: l.cfg})
	l.notify()
	return true
}

// waiting is how many first flights wait for Accept.
func (l *Listener) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// incoming decides on a first flight before anything is computed for it, and
// returns what is to be answered. It is called with epMu held.
func (t *Transport) incoming(now time.Time, in *quic.Incoming) (answer []byte) {
	l := t.listener
	if l == nil {
		t.noteFlight(in.RemoteAddr(), FlightIgnored)
		t.ep.Ignore(in)
		return nil
	}
	if t.cfg.MaxConns > 0 && t.connCount.Load() >= int64(t.cfg.MaxConns) {
		t.stats.tooManyConns.Add(1)
		t.noteFlight(in.RemoteAddr(), FlightRefused)
		return t.ep.Refuse(in)
	}
	half := int(t.handshakes.Load()) + l.waiting()
	if half >= t.cfg.MaxHandshakes {
		// The client tries again, and later there may be room.
		t.stats.tooManyHandshakes.Add(1)
		t.noteFlight(in.RemoteAddr(), FlightDropped)
		t.ep.Ignore(in)
		return nil
	}
	retry := t.cfg.Retry == RetryAlways || t.cfg.Retry == RetryAuto && half >= (t.cfg.MaxHandshakes+3)/4
	if retry && !in.Validated() {
		b, err := t.ep.Retry(now, in)
		if err != nil {
			t.noteFlight(in.RemoteAddr(), FlightDropped)
			return nil // the rate of replies is exhausted
		}
		t.noteFlight(in.RemoteAddr(), FlightRetried)
		return b
	}
	if !l.push(now, in) {
		t.stats.tooManyHandshakes.Add(1)
		t.noteFlight(in.RemoteAddr(), FlightDropped)
		t.ep.Ignore(in)
		return nil
	}
	t.noteFlight(in.RemoteAddr(), FlightQueued)
	t.armPending(now)
	return nil
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
// Connections go on, unless the Listener was made by the function Listen: then
// they are closed, and the socket too.
func (l *Listener) Close() error {
	l.stop()
	if l.ownsT {
		return l.t.Close()
	}
	return nil
}

func (l *Listener) stop() {
	t := l.t
	t.epMu.Lock()
	if t.listener == l {
		t.listener = nil
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
		t.ep.Ignore(in.in)
	}
	t.epMu.Unlock()
}

// Shutdown stops accepting and ends the accepted connections gracefully: see
// [Transport.Shutdown]. Those that are left when ctx ends are closed, and the
// error is that of ctx.
func (l *Listener) Shutdown(ctx context.Context) error {
	if l.ownsT {
		l.stop()
		return l.t.Shutdown(ctx)
	}
	l.stop()
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

func (l *Listener) add(c *Conn) {
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
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
