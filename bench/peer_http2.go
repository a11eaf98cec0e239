package main

import (
	"crypto/tls"
	"net"
	"net/http"
)

// http2Stack and http1Stack are net/http over TLS 1.3 over TCP.
var (
	http2Stack = &stack{serveHTTP: serveHTTPOverTCP("h2"), dialHTTP: dialHTTPOverTCP("h2")}
	http1Stack = &stack{serveHTTP: serveHTTPOverTCP("http/1.1"), dialHTTP: dialHTTPOverTCP("http/1.1")}
)

// http2Settings come as near to the windows of the others as net/http lets
// them. It takes less than 4 MiB.
var http2Settings = &http.HTTP2Config{
	MaxConcurrentStreams:          maxStreams,
	StrictMaxConcurrentRequests:   true,
	MaxReceiveBufferPerConnection: 4<<20 - 1,
	MaxReceiveBufferPerStream:     4<<20 - 1,
}

func protocols(alpn string) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(alpn == "http/1.1")
	p.SetHTTP2(alpn == "h2")
	return p
}

type tcpHTTPServer struct {
	ln  net.Listener
	srv *http.Server
}

func serveHTTPOverTCP(alpn string) func(*spec, http.Handler) (server, error) {
	return func(s *spec, h http.Handler) (server, error) {
		cfg, err := s.serverTLS(alpn)
		if err != nil {
			return nil, err
		}
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		srv := &http.Server{Handler: h, TLSConfig: cfg, Protocols: protocols(alpn), HTTP2: http2Settings}
		go srv.ServeTLS(ln, "", "")
		return &tcpHTTPServer{ln, srv}, nil
	}
}

func (s *tcpHTTPServer) addr() string { return s.ln.Addr().String() }
func (s *tcpHTTPServer) close() error { return s.srv.Close() }

type tcpHTTPClient struct{ *http.Transport }

func dialHTTPOverTCP(alpn string) func(*spec) (httpClient, error) {
	return func(s *spec) (httpClient, error) {
		cfg, err := s.clientTLS(alpn)
		if err != nil {
			return nil, err
		}
		return tcpHTTPClient{&http.Transport{
			TLSClientConfig:     cfg,
			Protocols:           protocols(alpn),
			HTTP2:               http2Settings,
			MaxIdleConnsPerHost: maxStreams,
			DisableCompression:  true,
			TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper(nil),
		}}, nil
	}
}

func (c tcpHTTPClient) Close() error {
	c.CloseIdleConnections()
	return nil
}
