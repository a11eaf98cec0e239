package http3

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/frittata-go/frittata"
)

func (s *Server) Listen(addr string) (*frittata.Listener, error) { panic("skeleton") }

func (s *Server) ListenAndServe() error { panic("skeleton") }

func (s *Server) ListenAndServeTLS(certFile, keyFile string) error { panic("skeleton") }

func (s *Server) Serve(l *frittata.Listener) error { panic("skeleton") }

func (s *Server) Shutdown(ctx context.Context) error { panic("skeleton") }

func (s *Server) Close() error { panic("skeleton") }

func (s *Server) AltSvc() string { panic("skeleton") }

func ServerTLS(cfg *tls.Config) *tls.Config { panic("skeleton") }

func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) { panic("skeleton") }

func (t *Transport) CloseIdleConnections() { panic("skeleton") }

func (t *Transport) Close() error { panic("skeleton") }

func WithTrace(ctx context.Context, trace *Trace) context.Context { panic("skeleton") }
