package http3

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"

	"github.com/frittata-go/frittata"
)

// ALPN is the application protocol of HTTP/3 (RFC 9114, Section 3.1).
const ALPN = "h3"

// Server serves HTTP/3. Its fields must not be changed once it serves.
type Server struct {
	// Addr is the UDP address to listen on, host:port. Default ":https".
	Addr string

	// Handler answers the requests. Default http.DefaultServeMux.
	Handler http.Handler

	// TLSConfig has the certificates. ALPN and the version are set on a copy.
	// Default Config.QUIC.TLS.
	TLSConfig *tls.Config

	// Config has the settings of sockets and connections; Config.QUIC.TLS is
	// overridden by TLSConfig. Default: those of package frittata.
	Config *frittata.Config

	// MaxHeaderBytes limits the header fields of a request, counted as RFC
	// 9114, Section 4.2.2 has it. Default 64 KiB.
	MaxHeaderBytes int

	// EnableConnectProtocol accepts extended CONNECT (RFC 9220). The protocol
	// is in the request's Header under ":protocol", as in net/http's HTTP/2.
	EnableConnectProtocol bool

	// EnableDatagrams advertises HTTP Datagrams (RFC 9297).
	EnableDatagrams bool

	// BaseContext returns the context that those of the listener's requests come from. Default: context.Background.
	BaseContext func(*frittata.Listener) context.Context

	// ConnContext may change the context of a connection's requests. It runs
	// on the connection's strand and must not block.
	ConnContext func(ctx context.Context, c *frittata.Conn) context.Context

	// Logger gets panics of handlers and their mistakes. Default: slog.Default.
	Logger *slog.Logger

	state serverState
}
