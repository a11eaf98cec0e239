package http3

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
)

const (
	defaultMaxResponseHeaderBytes = 256 << 10
	defaultIdleConnTimeout        = 90 * time.Second
	defaultExpectContinueTimeout  = time.Second
	// defaultConnWindow is that of quic.Config.MaxConnWindow: see Transport.Config.
	defaultConnWindow = 24 << 20
)

// Transport is an http.RoundTripper that speaks HTTP/3 alone. The zero value
// works. It keeps connections for reuse, one for an authority, and all of them
// share one UDP socket. Its fields must not be changed once it is in use.
type Transport struct {
	// TLSClientConfig is for TLS. ALPN and the version are set on a copy, and
	// the server name unless it is there. Default Config.QUIC.TLS.
	TLSClientConfig *tls.Config

	// Config has the settings of the socket and of connections;
	// TLSClientConfig overrides its QUIC.TLS. Default: those of package frittata, but that QUIC.ConnWindow is
	// QUIC.MaxConnWindow from the start: a few responses that nobody reads, of 512 KiB each, would else use it up, and
	// all others of the connection have to wait. How many there are is the caller's choice, not the server's.
	Config *frittata.Config

	// Transport is what connections are dialed on, and stays open at Close.
	// Default: one on a UDP socket of its own, opened with the first request.
	Transport *frittata.Transport

	// Resolve returns the addresses of a host in the order in which to try
	// them. Default: net.DefaultResolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	// DisableCompression leaves gzip to the caller. Else it is asked for, if
	// the request says nothing of encodings, and undone.
	DisableCompression bool

	// MaxResponseHeaderBytes limits the header fields of a response, counted
	// as RFC 9114, Section 4.2.2 has it. Default 256 KiB.
	MaxResponseHeaderBytes int64

	// IdleConnTimeout closes a connection that has had no request under way
	// for so long, or up to twice that. QUIC's own idle timeout may be less. Default 90 s; negative: never.
	IdleConnTimeout time.Duration

	// ResponseHeaderTimeout limits the wait for the head of a response, from
	// when the request was sent with its body. Default: no limit.
	ResponseHeaderTimeout time.Duration

	// ExpectContinueTimeout is how long the body of a request with "Expect:
	// 100-continue" waits for the server's word. Default 1 s; negative: for good.
	ExpectContinueTimeout time.Duration

	// EnableDatagrams advertises HTTP Datagrams (RFC 9297).
	EnableDatagrams bool

	mu     sync.Mutex
	closed bool
	tr     *frittata.Transport       // that connections are dialed on
	own    bool                      // tr is to be closed
	quic   *quic.Config              // of connections
	conns  map[authority]*clientConn // for new requests
	open   map[*clientConn]struct{}  // these, and those that only finish what is under way
	dials  map[authority]*dialCall
	timer  *time.Timer // for idle connections
	ticks  bool        // timer is running
}

var _ http.RoundTripper = (*Transport)(nil)

// ErrTransportClosed is what RoundTrip fails with after Close.
var ErrTransportClosed = errors.New("http3: Transport is closed")

// setUp returns what to dial on and with which configuration. It is called with mu held.
func (t *Transport) setUp() (*frittata.Transport, *quic.Config, error) {
	if t.closed {
		return nil, nil, ErrTransportClosed
	}
	if t.quic == nil {
		var cfg frittata.Config
		if t.Config != nil {
			cfg = *t.Config
		}
		from := t.TLSClientConfig
		if from == nil {
			from = cfg.QUIC.TLS
		}
		cfg.QUIC.TLS = configureTLS(from)
		if cfg.QUIC.ConnWindow == 0 {
			cfg.QUIC.ConnWindow = cmp.Or(cfg.QUIC.MaxConnWindow, defaultConnWindow)
		}
		if t.EnableDatagrams {
			cfg.QUIC.EnableDatagrams = true
		}
		t.tr = t.Transport
		if t.tr == nil {
			tr, err := frittata.Open("udp", ":0", &cfg)
			if err != nil {
				return nil, nil, err
			}
			t.tr, t.own = tr, true
		}
		t.quic = &cfg.QUIC
	}
	return t.tr, t.quic, nil
}

// CloseIdleConnections closes the connections on which no request is under way.
func (t *Transport) CloseIdleConnections() {
	t.closeIdle(func(*clientConn) bool { return true })
}

// closeIdle closes the connections without a request that expired is true for. It
// tells whether others are left.
func (t *Transport) closeIdle(expired func(*clientConn) bool) (left bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, c := range t.conns {
		if c.users == 0 && c.driver.Active() == 0 && expired(c) {
			delete(t.conns, key)
			c.close()
		}
	}
	return len(t.conns) > 0
}

// Close closes all connections at once, and the socket unless it was given.
// Requests under way fail, and so do all that come after.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	conns := slices.Collect(maps.Keys(t.open))
	dials := t.dials
	t.conns, t.dials = nil, nil
	if t.timer != nil {
		t.timer.Stop()
	}
	tr, own := t.tr, t.own
	t.own = false
	t.mu.Unlock()
	for _, call := range dials {
		call.cancel(ErrTransportClosed)
	}
	for _, c := range conns {
		c.close()
	}
	if own {
		return tr.Close()
	}
	return nil
}

// idleTimeout returns 0 for none.
func (t *Transport) idleTimeout() time.Duration {
	if t.IdleConnTimeout == 0 {
		return defaultIdleConnTimeout
	}
	return max(t.IdleConnTimeout, 0)
}

// tick has idle connections looked for. It is called with mu held.
func (t *Transport) tick() {
	d := t.idleTimeout()
	if t.ticks || d == 0 || t.closed {
		return
	}
	t.ticks = true
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.expire)
		return
	}
	t.timer.Reset(d)
}

// expire closes the connections that have had no request for long enough.
func (t *Transport) expire() {
	now := time.Now()
	d := t.idleTimeout()
	left := t.closeIdle(func(c *clientConn) bool {
		if !c.wasIdle {
			// It counts from now on: nobody noted when its last request ended.
			c.wasIdle, c.idleSince = true, now
			return false
		}
		return now.Sub(c.idleSince) >= d
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ticks = false
	if left {
		t.tick()
	}
}
