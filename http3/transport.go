package http3

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata"
)

// Transport is an http.RoundTripper that speaks HTTP/3 alone. The zero value
// works. It keeps connections for reuse, one for an authority, and all of them share one
// UDP socket. Its fields must not be changed once it is in use.
type Transport struct {
	// TLSClientConfig is for TLS. ALPN, the version and the server name are
	// set on a copy. Default Config.QUIC.TLS.
	TLSClientConfig *tls.Config

	// Config has the settings of the socket and of connections; Config.QUIC.TLS
	// is overridden by TLSClientConfig. Default: those of package frittata.
	Config *frittata.Config

	// Transport is what connections are dialed on. Close leaves it open.
	// Default: one on a UDP socket of its own, opened with the first request.
	Transport *frittata.Transport

	// Resolve returns the addresses of a host in the order in which to try
	// them. Default: net.DefaultResolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	// DisableCompression leaves gzip to the caller. Else it is asked for, if the request
	// says nothing of it, and undone.
	DisableCompression bool

	// MaxResponseHeaderBytes limits the header fields of a response, counted
	// as RFC 9114, Section 4.2.2 has it. Default 256 KiB.
	MaxResponseHeaderBytes int64

	// IdleConnTimeout closes a connection that has had no request for so
	// long. Default 90 s; negative: never, but for QUIC's own idle timeout.
	IdleConnTimeout time.Duration

	// ResponseHeaderTimeout limits the wait for a response's head, once the
	// request was sent. Default: no limit.
	ResponseHeaderTimeout time.Duration

	// ExpectContinueTimeout is how long the body of a request with "Expect:
	// 100-continue" waits for the server's word. Default 1 s.
	ExpectContinueTimeout time.Duration

	// EnableDatagrams advertises HTTP Datagrams (RFC 9297).
	EnableDatagrams bool

	state transportState
}

var _ http.RoundTripper = (*Transport)(nil)

// Trace has hooks for what httptrace.ClientTrace has no words for. See [WithTrace].
type Trace struct {
	// GotConn is called when a request has its connection, on the goroutine of RoundTrip.
	GotConn func(ConnInfo)
}

// ConnInfo tells of the connection that a request goes by.
type ConnInfo struct {
	// Conn is the handle: HandshakeInfo has times and TLS, Stats the counters.
	Conn *frittata.Conn
	// Reused: another request went by it before.
	Reused bool
	// Addrs are the addresses that the host's name led to, if this request caused the connection to be dialed.
	Addrs []netip.Addr
	// ResolveStart, ResolveDone and DialStart are of the dial; zero when there was none, or no name to resolve.
	ResolveStart, ResolveDone, DialStart time.Time
}

type serverState struct{}
type transportState struct{ _ net.Conn }
