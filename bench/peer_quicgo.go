package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicgoStack is quic-go. Its datagrams grow to 1452 bytes and no further, and
// it has no GRO: DisableGRO changes nothing.
var quicgoStack = &stack{
	serveRaw:  quicgoServeRaw,
	dialRaw:   quicgoDialRaw,
	serveHTTP: quicgoServeHTTP,
	dialHTTP:  quicgoDialHTTP,
	datagrams: true,
}

func quicgoConfig() *quic.Config {
	return &quic.Config{
		MaxIdleTimeout:                 idleTimeout,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         streamWindow,
		InitialConnectionReceiveWindow: connWindow,
		MaxConnectionReceiveWindow:     connWindow,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          maxStreams,
		EnableDatagrams:                true,
	}
}

func quicgoTransport(s *spec) (*quic.Transport, error) {
	if s.DisableGSO {
		os.Setenv("QUIC_GO_DISABLE_GSO", "true")
	}
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return &quic.Transport{Conn: sock}, nil
}

// quicgoStream has the method that closes one half by the name of TLS.
type quicgoStream struct{ *quic.Stream }

func (s quicgoStream) CloseWrite() error { return s.Close() }

type quicgoServer struct {
	tr *quic.Transport
	ln *quic.Listener
	errorLog
	datagramsToo bool // else a goroutine that waits for them would be unfair to quic-go
	received     atomic.Int64
}

func quicgoServeRaw(s *spec) (server, error) {
	tr, err := quicgoTransport(s)
	if err != nil {
		return nil, err
	}
	cfg, err := s.serverTLS(rawALPN)
	if err != nil {
		return nil, err
	}
	ln, err := tr.Listen(cfg, quicgoConfig())
	if err != nil {
		return nil, err
	}
	srv := &quicgoServer{tr: tr, ln: ln, datagramsToo: s.Workload == "datagrams"}
	go srv.accept()
	return srv, nil
}

func (s *quicgoServer) addr() string     { return s.ln.Addr().String() }
func (s *quicgoServer) close() error     { return s.tr.Close() }
func (s *quicgoServer) datagrams() int64 { return s.received.Load() }

func (s *quicgoServer) accept() {
	for {
		c, err := s.ln.Accept(context.Background())
		if err != nil {
			return
		}
		if s.datagramsToo {
			go s.serveDatagrams(c)
		}
		go s.serveStreams(c)
	}
}

func (s *quicgoServer) serveStreams(c *quic.Conn) {
	for {
		st, err := c.AcceptStream(context.Background())
		if err != nil {
			return // the client closed the connection
		}
		go func() {
			if err := serveStream(quicgoStream{st}); err != nil {
				s.add(err)
			}
		}()
	}
}

func (s *quicgoServer) serveDatagrams(c *quic.Conn) {
	for {
		if _, err := c.ReceiveDatagram(context.Background()); err != nil {
			return
		}
		s.received.Add(1)
	}
}

type quicgoDialer struct {
	tr   *quic.Transport
	tls  *tls.Config
	cfg  *quic.Config
	addr *net.UDPAddr
}

func quicgoDialRaw(s *spec) (dialer, error) {
	tr, err := quicgoTransport(s)
	if err != nil {
		return nil, err
	}
	cfg, err := s.clientTLS(rawALPN)
	if err != nil {
		return nil, err
	}
	addr, err := net.ResolveUDPAddr("udp", s.Addr)
	if err != nil {
		return nil, err
	}
	return &quicgoDialer{tr, cfg, quicgoConfig(), addr}, nil
}

func (d *quicgoDialer) dial(ctx context.Context) (rawConn, error) {
	c, err := d.tr.Dial(ctx, d.addr, d.tls, d.cfg)
	if err != nil {
		return nil, err
	}
	return quicgoConn{c}, nil
}

func (d *quicgoDialer) close() error { return d.tr.Close() }

type quicgoConn struct{ c *quic.Conn }

func (c quicgoConn) download(ctx context.Context, n int64) (int64, error) {
	st, err := c.c.OpenStreamSync(ctx)
	if err != nil {
		return 0, err
	}
	return downloadStream(quicgoStream{st}, n)
}

func (c quicgoConn) upload(ctx context.Context, n int64) (int64, error) {
	st, err := c.c.OpenStreamSync(ctx)
	if err != nil {
		return 0, err
	}
	return uploadStream(quicgoStream{st}, n)
}

func (c quicgoConn) sendDatagrams(ctx context.Context, payload int) (int64, error) {
	b := make([]byte, payload)
	var sent int64
	for ctx.Err() == nil {
		if err := c.c.SendDatagram(b); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

func (c quicgoConn) close() error { return c.c.CloseWithError(0, "") }

type quicgoHTTPServer struct {
	tr  *quic.Transport
	ln  *quic.EarlyListener
	srv *http3.Server
}

func quicgoServeHTTP(s *spec, h http.Handler) (server, error) {
	tr, err := quicgoTransport(s)
	if err != nil {
		return nil, err
	}
	cfg, err := s.serverTLS(http3.NextProtoH3)
	if err != nil {
		return nil, err
	}
	ln, err := tr.ListenEarly(cfg, quicgoConfig())
	if err != nil {
		return nil, err
	}
	srv := &quicgoHTTPServer{tr, ln, &http3.Server{Handler: h}}
	go srv.srv.ServeListener(ln)
	return srv, nil
}

func (s *quicgoHTTPServer) addr() string { return s.ln.Addr().String() }
func (s *quicgoHTTPServer) close() error { return errors.Join(s.srv.Close(), s.tr.Close()) }

// quicgoHTTPTransport is the socket that all HTTP clients of the process share.
var quicgoHTTPTransport *quic.Transport

// quicgoDialHTTP is called by one goroutine at a time.
func quicgoDialHTTP(s *spec) (httpClient, error) {
	if quicgoHTTPTransport == nil {
		tr, err := quicgoTransport(s)
		if err != nil {
			return nil, err
		}
		quicgoHTTPTransport = tr
	}
	cfg, err := s.clientTLS(http3.NextProtoH3)
	if err != nil {
		return nil, err
	}
	addr, err := net.ResolveUDPAddr("udp", s.Addr)
	if err != nil {
		return nil, err
	}
	return &http3.Transport{
		TLSClientConfig: cfg,
		QUICConfig:      quicgoConfig(),
		Dial: func(ctx context.Context, _ string, tlsCfg *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			return quicgoHTTPTransport.DialEarly(ctx, addr, tlsCfg, cfg)
		},
	}, nil
}
