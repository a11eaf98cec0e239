package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/frittata-go/frittata"
)

// Server serves HTTP/3. The zero value, with certificates, works. Its fields
// must not be changed once it serves.
type Server struct {
	// Addr is the UDP address to listen on, host:port. Default ":https".
	Addr string

	// Handler answers the requests. Default http.DefaultServeMux. Each call may
	// block for as long as it likes. But handlers that have been quick many times in a row
	// are run by the goroutine that reads the socket, and one that then blocks holds the
	// others up for a few milliseconds, once; none should leave its thread locked
	// (runtime.LockOSThread).
	Handler http.Handler

	// DisableGeneralOptionsHandler passes requests for "OPTIONS *" to Handler. Else they are answered with
	// status 200 and no content.
	DisableGeneralOptionsHandler bool

	// TLSConfig has the certificates. ALPN and the version are set on a copy.
	// Default Config.QUIC.TLS.
	TLSConfig *tls.Config

	// Config has the settings of sockets and connections; TLSConfig overrides
	// its QUIC.TLS. Default: those of package frittata.
	Config *frittata.Config

	// MaxHeaderBytes limits the header fields of a request, counted as RFC
	// 9114, Section 4.2.2 has it. A request with more is answered with status
	// 431. Default 64 KiB.
	MaxHeaderBytes int

	// ReadTimeout and WriteTimeout limit, from when its head has come, how long
	// the body of a request may take, and how long its response: the handler may write until then,
	// and what the client has not taken then, be it that the handler has returned, is dropped and the
	// response reset with H3_REQUEST_CANCELLED. http.ResponseController changes them for a request. Default: no limit.
	ReadTimeout, WriteTimeout time.Duration

	// EnableConnectProtocol accepts extended CONNECT (RFC 9220). The protocol
	// is in the request's Header under ":protocol", as in net/http's HTTP/2.
	EnableConnectProtocol bool

	// EnableDatagrams advertises HTTP Datagrams (RFC 9297).
	EnableDatagrams bool

	// BaseContext returns the context that those of the requests of a
	// listener are made of. Default: context.Background.
	BaseContext func(*frittata.Listener) context.Context

	// ConnContext may change the context of the requests of a connection. It
	// is called on the connection's strand and must not block.
	ConnContext func(ctx context.Context, c *frittata.Conn) context.Context

	// Logger gets panics of handlers, and what they do wrong. Default: slog.Default.
	Logger *slog.Logger

	mu        sync.Mutex
	closing   bool // Shutdown or Close was called
	listeners map[*frittata.Listener]struct{}
	conns     map[*serverConn]struct{} // established, not closed
	workers   workers
	stand     *http.Server
}

// ListenAndServe serves on Addr with the certificates of TLSConfig. It always
// returns an error, after Shutdown and Close http.ErrServerClosed.
func (s *Server) ListenAndServe() error {
	l, err := s.Listen()
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// ListenAndServeTLS is ListenAndServe with the certificate of two files in PEM.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	cfg, err := s.ListenerConfig(cert)
	if err != nil {
		return err
	}
	l, err := s.listen(cfg)
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// ListenAndServe serves HTTP/3 on addr with the certificate of two files in PEM.
// A nil handler means http.DefaultServeMux.
func ListenAndServe(addr, certFile, keyFile string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServeTLS(certFile, keyFile)
}

// Listen opens a socket on Addr, for Serve.
func (s *Server) Listen() (*frittata.Listener, error) {
	cfg, err := s.ListenerConfig()
	if err != nil {
		return nil, err
	}
	return s.listen(cfg)
}

func (s *Server) listen(cfg *frittata.Config) (*frittata.Listener, error) {
	if s.isClosing() {
		return nil, http.ErrServerClosed
	}
	addr := s.Addr
	if addr == "" {
		addr = ":https"
	}
	return frittata.Listen("udp", addr, cfg)
}

var errNoCertificate = errors.New("http3: no certificate: TLSConfig has neither Certificates nor a callback that returns one")

// ListenerConfig returns the configuration of listeners for Serve: Config, with
// TLSConfig made ready for HTTP/3, and with certs added to its certificates.
func (s *Server) ListenerConfig(certs ...tls.Certificate) (*frittata.Config, error) {
	var cfg frittata.Config
	if s.Config != nil {
		cfg = *s.Config
	}
	from := s.TLSConfig
	if from == nil {
		from = cfg.QUIC.TLS
	}
	c := ServerTLS(from)
	if len(certs) > 0 {
		c.Certificates = append(certs[:len(certs):len(certs)], c.Certificates...)
	}
	if len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		return nil, errNoCertificate
	}
	cfg.QUIC.TLS = c
	if s.EnableDatagrams {
		cfg.QUIC.EnableDatagrams = true
	}
	if cfg.Logger == nil {
		cfg.Logger = s.Logger
	}
	return &cfg, nil
}

// Serve answers the requests of the connections that come to l, which has the
// configuration of ListenerConfig, and closes l in the end. It always returns an error,
// after Shutdown and Close http.ErrServerClosed. A Server may serve several listeners.
func (s *Server) Serve(l *frittata.Listener) error {
	if !s.track(l) {
		_ = l.Close() // what matters is why
		return http.ErrServerClosed
	}
	base := context.Background()
	if s.BaseContext != nil {
		base = s.BaseContext(l)
	}
	base = context.WithValue(base, serverContextKey{}, s)
	for {
		in, err := l.Accept(context.Background())
		if err != nil {
			if s.isClosing() {
				// Whoever closes the Server closes the listener, and waits for it.
				return http.ErrServerClosed
			}
			s.untrack(l)
			return errors.Join(err, l.Close())
		}
		// If this fails the client, or its first flight, has gone: nobody is left to be told.
		_, _ = in.Start(newServerConn(s, base).driver)
	}
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *Server) track(l *frittata.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[*frittata.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) untrack(l *frittata.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// addConn returns false if Close or Shutdown did not know of the connection any more.
func (s *Server) addConn(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*serverConn]struct{})
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) removeConn(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// close lets nothing new begin, and returns what there is.
func (s *Server) close() ([]*frittata.Listener, []*serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	var listeners []*frittata.Listener
	for l := range s.listeners {
		listeners = append(listeners, l)
	}
	var conns []*serverConn
	for c := range s.conns {
		conns = append(conns, c)
	}
	return listeners, conns
}

// Shutdown ends the Server gracefully: it stops accepting, tells the clients by
// GOAWAY (RFC 9114, Section 5.2), and waits until all requests under way were
// answered, their responses have arrived and all handlers have returned. When ctx
// ends first it closes what is left and returns the error of ctx.
//
// Serve, ListenAndServe and ListenAndServeTLS return http.ErrServerClosed as soon as it begins: a program
// must not end then, but wait for Shutdown to return.
func (s *Server) Shutdown(ctx context.Context) error {
	listeners, _ := s.close()
	errs := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { errs <- l.Shutdown(ctx) }()
	}
	var err error
	for range listeners {
		if e := <-errs; err == nil && !errors.Is(e, net.ErrClosed) {
			err = e
		}
	}
	if e := s.workers.wait(ctx); err == nil {
		err = e
	}
	s.workers.close()
	return err
}

// Close closes all listeners and connections at once. Handlers find their
// requests' contexts cancelled; Close does not wait for them.
func (s *Server) Close() error {
	listeners, conns := s.close()
	for _, c := range conns {
		c.close()
	}
	var err error
	for _, l := range listeners {
		if e := l.Close(); err == nil {
			err = e
		}
	}
	s.workers.close()
	return err
}

func (s *Server) logger() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.Default()
}

func (s *Server) handler() http.Handler {
	if s.Handler != nil {
		return s.Handler
	}
	return http.DefaultServeMux
}

// standIn is a *http.Server with the fields that the two have in common.
func (s *Server) standIn() *http.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stand == nil {
		s.stand = &http.Server{
			Addr: s.Addr, Handler: s.Handler, TLSConfig: s.TLSConfig, MaxHeaderBytes: s.MaxHeaderBytes,
			DisableGeneralOptionsHandler: s.DisableGeneralOptionsHandler,
			ErrorLog:                     slog.NewLogLogger(s.logger().Handler(), slog.LevelError),
		}
	}
	return s.stand
}
