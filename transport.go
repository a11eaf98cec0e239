package frittata

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/internal/chunk"
	"github.com/frittata-go/frittata/quic"
)

// Transport owns a socket and the connections on it, of both roles. All of its
// methods may be called by any goroutine, but not by callbacks if they wait.
//
// All Transports of a process share 4 MiB of memory for packets, which is allocated with the first and kept.
type Transport struct {
	cfg         Config
	socket      Socket
	local       netip.AddrPort
	idLen       int
	maxSegments int
	spills      bool // there are processors for runners
	buffers     *chunk.Pool
	router      *router
	queue       runQueue
	wheel       wheel // the timers of the connections
	stats       counters
	wg          sync.WaitGroup // all goroutines but timers'
	handshakes  atomic.Int64   // of a server, under way
	dialing     atomic.Int64   // handshakes of clients
	load        *load          // what admission goes by, of the whole group
	ladder      ladder
	group       *group      // nil: it is alone
	shard       int         // its place in the group
	stopping    atomic.Bool // the socket is closed, or about to be
	attached    bool        // there is no receive half; see Attach
	routes      func(*quic.RouteChanges)

	readLog, writeLog, unreachableLog, stuckLog occasional

	// epMu is held for a batch of datagrams, never for a turn. Under it only the
	// mutex of a listener is taken.
	epMu        sync.Mutex
	ep          *quic.Endpoint
	listener    *Listener         // that accepts now
	refusing    bool              // without one, clients are refused
	flights     quic.FlightPolicy // what becomes of first flights now, and why
	flightCause admissionCause
	shield      shield
	trains      trainWatch
	repliesHeld bool // the batch has had its answers

	pendingFlights, pendingBytes int64 // that load has

	pendingTimer *time.Timer // for the first flights that nobody decides on
	pendingArmed bool

	mu     sync.Mutex
	conns  map[*Conn]struct{} // that are not gone
	open   int                // of these, not closed
	quiet  chan struct{}      // closed when open comes to 0; nil unless somebody waits
	empty  chan struct{}      // closed when conns comes to be empty; nil unless somebody waits
	ending bool               // no new connections

	clientTLS atomic.Pointer[preparedTLS] // of the last Dial
	closeOnce sync.Once
	closeDone chan struct{}
	closeErr  error
}

// preparedTLS is a configuration that was prepared, and what it was made of.
type preparedTLS struct{ from, to *tls.Config }

// NewTransport makes a Transport on s, which belongs to it from then on, also if
// there is an error. cfg may be nil for a Transport whose connections are all
// given a configuration of their own.
func NewTransport(s Socket, cfg *Config) (*Transport, error) {
	t, err := startTransport(s, cfg)
	if err == nil {
		t.logSocket(slog.LevelWarn)
	}
	return t, err
}

func startTransport(s Socket, cfg *Config) (*Transport, error) {
	t, err := newTransport(s, cfg)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	t.start()
	return t, nil
}

// start has the router begin.
func (t *Transport) start() {
	t.noteOpened()
	t.wg.Add(workerCount)
	busyRouters.Add(1)
	go t.router.serve()
}

func newTransport(s Socket, cfg *Config) (*Transport, error) {
	t := &Transport{socket: s, local: s.LocalAddr(), load: new(load), conns: make(map[*Conn]struct{}), closeDone: make(chan struct{})}
	if cfg != nil {
		t.cfg = *cfg
		t.guardUsers()
	}
	c := &t.cfg
	setDefault(&c.MaxConns, defaultMaxConns)
	setDefault(&c.MaxHandshakes, defaultMaxHandshakes)
	setDefault(&c.MaxPending, defaultMaxPending)
	setDefault(&c.PendingAge, defaultPendingAge)
	setDefault(&c.InboxBytes, defaultInboxBytes)
	if err := c.check(); err != nil {
		return nil, err
	}
	t.ladder = newLadder(c)
	if c.QUIC.ConnIDs == nil {
		c.QUIC.ConnIDs = quic.RandomConnIDs(defaultConnIDLen)
	}
	if c.QUIC.StatelessResetKey == nil {
		key, err := randomKey()
		if err != nil {
			return nil, err
		}
		c.QUIC.StatelessResetKey = key
	}
	if c.QUIC.Buffers == nil {
		c.QUIC.Buffers = &sharedBuffers
	}
	t.buffers = c.QUIC.Buffers
	t.idLen = c.QUIC.ConnIDs.Len()
	ep, err := quic.NewEndpoint(&quic.EndpointConfig{
		Server:            t.idLen >= minServerConnIDLen,
		ConnIDs:           c.QUIC.ConnIDs,
		StatelessResetKey: c.QUIC.StatelessResetKey,
		Tokens:            c.TokenKeys,
		Rand:              c.QUIC.Rand,
		MaxPending:        c.MaxPending,
		PendingAge:        c.PendingAge,
	})
	if err != nil {
		return nil, err
	}
	t.ep = ep
	t.shield.init(s)
	t.maxSegments = max(s.Caps().MaxSegments, 1)
	t.spills = runtime.GOMAXPROCS(0) > 1
	t.queue.init(mostRunners(), t.startRunner)
	t.wheel.init()
	t.router = newRouter(t)
	return t, nil
}

const (
	// defaultConnIDLen is the length of connection IDs in bytes: enough to tell
	// the connections of any one machine apart, and to be hard to guess.
	defaultConnIDLen = 8
	// minServerConnIDLen is the least that a server's may have; see quic.EndpointConfig.
	minServerConnIDLen = 4
)

func randomKey() (*[32]byte, error) {
	key := new([32]byte)
	if _, err := rand.Read(key[:]); err != nil {
		return nil, fmt.Errorf("frittata: reading randomness: %w", err)
	}
	return key, nil
}

// sharedBuffers is the memory of all Transports that are given none of their own.
var sharedBuffers chunk.Pool

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// workerCount is what the router, and a runner, counts for in wg: there is one more, for a
// goroutine that has to take over.
const workerCount = 2

// startRunner is called with the queue's mutex held, and while there are
// goroutines in wg.
func (t *Transport) startRunner(l *lane) {
	t.wg.Add(workerCount)
	go t.runner(l)
}

// LocalAddr returns the socket's address.
func (t *Transport) LocalAddr() netip.AddrPort { return t.local }

// localAddr is the address that a connection has at this end.
func (t *Transport) localAddr(a netip.Addr) netip.AddrPort {
	if !a.IsValid() {
		a = t.local.Addr()
	}
	return netip.AddrPortFrom(a, t.local.Port())
}

// connConfig is what a connection gets for cfg, which may be nil. tls is what was prepared for it.
func (t *Transport) connConfig(cfg *quic.Config, prepare func(*tls.Config) *tls.Config) (*quic.Config, error) {
	if cfg == nil {
		cfg = &t.cfg.QUIC
	}
	c := *cfg
	c.ConnIDs = t.cfg.QUIC.ConnIDs
	c.StatelessResetKey = t.cfg.QUIC.StatelessResetKey
	c.Buffers = t.buffers
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.TLS = prepare(c.TLS)
	c.ConfigForClient = t.configForClient(c.ConfigForClient)
	return &c, nil
}

// apply takes in a connection's routes.
func (t *Transport) apply(r *quic.RouteChanges) {
	if t.attached {
		if t.routes != nil {
			r.Route = nil // which is the caller's to set
			t.routes(r)
		}
		return
	}
	t.epMu.Lock()
	t.ep.Apply(r)
	t.epMu.Unlock()
}

// register adds a connection, whose goroutine has to be started then.
func (t *Transport) register(c *Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending {
		return ErrTransportClosed
	}
	if n := t.load.conns.Add(1); t.cfg.MaxConns > 0 && n > int64(t.cfg.MaxConns) {
		t.load.conns.Add(-1)
		t.stats.tooManyConns.Add(1)
		return ErrTooManyConns
	}
	if c.halfOpen {
		if t.load.handshakes.Add(1) > int64(t.cfg.MaxHandshakes) {
			t.load.handshakes.Add(-1)
			t.load.conns.Add(-1)
			t.stats.tooManyHandshakes.Add(1)
			return ErrTooManyHandshakes
		}
		t.handshakes.Add(1)
	}
	t.conns[c] = struct{}{}
	t.open++
	if c.client {
		t.stats.dialed.Add(1)
	} else {
		t.stats.accepted.Add(1)
	}
	t.wg.Add(1)
	return nil
}

// connClosed notes that a connection has closed and has told its peer.
func (t *Transport) connClosed(c *Conn) {
	t.mu.Lock()
	t.open--
	if t.open == 0 && t.quiet != nil {
		close(t.quiet)
		t.quiet = nil
	}
	t.mu.Unlock()
	if l := c.listener; l != nil {
		l.connClosed(c)
	}
}

// forget drops a connection that is gone.
func (t *Transport) forget(c *Conn) {
	t.mu.Lock()
	delete(t.conns, c)
	t.load.conns.Add(-1)
	if len(t.conns) == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
	t.mu.Unlock()
	if c.ownsT {
		go t.Close()
	}
}

// Dial connects to remote. serverName is whom the server's certificate has to
// name, and overrides tls.Config.ServerName unless empty. cfg may be nil for the
// Transport's Config.QUIC.
//
// Dial returns when the connection is established and OnEstablished has been
// called, or with the reason why not. If ctx ends before, the connection is closed.
func (t *Transport) Dial(ctx context.Context, remote netip.AddrPort, serverName string, cfg *quic.Config, app Application) (*Conn, error) {
	return t.dial(ctx, remote, serverName, cfg, app, false)
}

func (t *Transport) dial(ctx context.Context, remote netip.AddrPort, serverName string, cfg *quic.Config, app Application, owns bool) (*Conn, error) {
	if app == nil {
		return nil, errNoApplication
	}
	qcfg, err := t.connConfig(cfg, t.clientTLSFor)
	if err != nil {
		return nil, err
	}
	// What comes is told by plain addresses, but those of a net.UDPAddr are IPv4 in IPv6.
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	c := newConn(t, app, remote)
	c.ownsT = owns
	c.client = true
	c.hs = &handshake{wake: make(chan struct{}, 1), serverName: serverName, cfg: qcfg}
	c.strand.runOwned()
	if err := t.register(c); err != nil {
		return nil, err
	}
	c.dialing = true
	t.beginDialing()
	go c.runHandshake()
	if err := c.await(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// clientTLSFor prepares a configuration, or finds it prepared by the Dial before.
func (t *Transport) clientTLSFor(cfg *tls.Config) *tls.Config {
	if p := t.clientTLS.Load(); p != nil && p.from == cfg {
		return p.to
	}
	p := &preparedTLS{from: cfg, to: t.guardedClientTLS(cfg)}
	t.clientTLS.Store(p)
	return p.to
}

// await waits until the connection is established, and closes it if ctx ends before.
func (c *Conn) await(ctx context.Context) error {
	select {
	case <-c.ready:
		return c.Err()
	case <-ctx.Done():
		_ = c.Close()
		return context.Cause(ctx)
	}
}
