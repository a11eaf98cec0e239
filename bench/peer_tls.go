package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
)

// tlsStack is TLS 1.3 over TCP: crypto/tls. A connection has one stream.
var tlsStack = &stack{serveRaw: tlsServeRaw, dialRaw: tlsDialRaw}

type tlsServer struct {
	ln net.Listener
	errorLog
}

func tlsServeRaw(s *spec) (server, error) {
	cfg, err := s.serverTLS(rawALPN)
	if err != nil {
		return nil, err
	}
	ln, err := tls.Listen("tcp4", "127.0.0.1:0", cfg)
	if err != nil {
		return nil, err
	}
	srv := &tlsServer{ln: ln}
	go srv.accept()
	return srv, nil
}

func (s *tlsServer) addr() string { return s.ln.Addr().String() }
func (s *tlsServer) close() error { return s.ln.Close() }

func (s *tlsServer) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		go s.serve(c.(*tls.Conn))
	}
}

func (s *tlsServer) serve(c *tls.Conn) {
	defer c.Close()
	if err := c.Handshake(); err != nil {
		s.add(err)
		return
	}
	st := &tlsStream{Conn: c}
	if err := serveStream(st); err != nil {
		if st.asked {
			s.add(err)
		}
		return
	}
	// To close a TCP connection with bytes unread is to reset it: the client's
	// end of file may be there still.
	io.Copy(io.Discard, c)
}

// tlsStream tells whether the client has asked for anything: a connection that
// ends before that is no error.
type tlsStream struct {
	*tls.Conn
	asked bool
}

func (s *tlsStream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.asked = s.asked || n > 0
	return n, err
}

type tlsDialer struct {
	d    tls.Dialer
	addr string
}

func tlsDialRaw(s *spec) (dialer, error) {
	cfg, err := s.clientTLS(rawALPN)
	if err != nil {
		return nil, err
	}
	return &tlsDialer{tls.Dialer{Config: cfg}, s.Addr}, nil
}

func (d *tlsDialer) dial(ctx context.Context) (rawConn, error) {
	c, err := d.d.DialContext(ctx, "tcp4", d.addr)
	if err != nil {
		return nil, err
	}
	return tlsConn{c.(*tls.Conn)}, nil
}

func (d *tlsDialer) close() error { return nil }

type tlsConn struct{ c *tls.Conn }

func (c tlsConn) download(_ context.Context, n int64) (int64, error) { return downloadStream(c.c, n) }
func (c tlsConn) upload(_ context.Context, n int64) (int64, error)   { return uploadStream(c.c, n) }
func (c tlsConn) sendDatagrams(context.Context, int) (int64, error) {
	return 0, errors.ErrUnsupported
}
func (c tlsConn) close() error { return c.c.Close() }
