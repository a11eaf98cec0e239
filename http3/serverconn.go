package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/h3driver"
	"github.com/frittata-go/frittata/quic"
)

// serverConn is a connection of a Server.
type serverConn struct {
	srv    *Server
	driver *h3driver.Driver
	conn   *frittata.Conn
	ctx    context.Context // that of the listener, then that of the requests
	tls    *tls.ConnectionState
	remote string

	refused bool // the Server was closed before; of the strand
}

// bodyBuffer is how much of a body waits in each direction between a handler, or
// a client, and its connection, in bytes: with more a transfer is not faster, and a
// peer that opens many requests and reads nothing has less of our memory.
const bodyBuffer = 128 << 10

func newServerConn(s *Server, base context.Context) *serverConn {
	c := &serverConn{srv: s, ctx: base}
	c.driver = h3driver.NewServer(&h3driver.Config{
		H3: h3.Config{
			MaxFieldSectionSize:   uint64(max(s.MaxHeaderBytes, 0)),
			EnableConnectProtocol: s.EnableConnectProtocol,
			EnableDatagrams:       s.EnableDatagrams,
		},
		BodyBuffer:    bodyBuffer,
		OnEstablished: c.onEstablished,
		Serve:         c.onRequest,
		OnClose:       c.onClose,
	})
	return c
}

// On the strand.

func (c *serverConn) onEstablished(_ *h3driver.Driver, info *frittata.HandshakeInfo) {
	c.conn = info.Conn
	state := info.TLS
	c.tls = &state
	c.remote = info.RemoteAddr.String()
	c.ctx = &connContext{Context: c.ctx, srv: c.srv, local: net.UDPAddrFromAddrPort(info.LocalAddr)}
	if f := c.srv.ConnContext; f != nil {
		c.ctx = f(c.ctx, info.Conn)
		if c.ctx == nil {
			panic("http3: ConnContext returned nil")
		}
	}
	if !c.srv.addConn(c) {
		c.refused = true
		c.close()
	}
}

func (c *serverConn) close() {
	_ = c.conn.CloseWithError(quic.CloseError{Application: true, Code: uint64(h3.CodeNoError)}) // never fails
}

func (c *serverConn) onRequest(s *h3driver.Stream) {
	if c.refused {
		// It came along with the end of the handshake, before the close takes effect.
		s.Cancel(h3.CodeRequestRejected, http.ErrServerClosed)
		s.Finish(nil)
		s.Release()
		return
	}
	c.srv.workers.submit(task{c, s})
}

func (c *serverConn) onClose(error) { c.srv.removeConn(c) }

// On a worker.

// serve handles a request from its head to its end.
func (c *serverConn) serve(s *h3driver.Stream, m *scratch) {
	x := newExchange(c, s, m)
	c.setDeadlines(s)
	// Also run when the handler ends the goroutine: then the response is incomplete.
	done := false
	defer func() {
		if !done {
			x.abort()
		}
		x.end(m)
	}()
	if done = c.handle(x); done {
		x.w.finish()
	}
}

func (c *serverConn) setDeadlines(s *h3driver.Stream) {
	r, w := c.srv.ReadTimeout, c.srv.WriteTimeout
	if r <= 0 && w <= 0 {
		return
	}
	now := time.Now()
	if r > 0 && !s.Head().End {
		s.SetReadDeadline(now.Add(r))
	}
	if w > 0 {
		s.SetWriteDeadline(now.Add(w))
	}
}

// handle calls the handler. It returns false if that panicked.
func (c *serverConn) handle(x *exchange) (ok bool) {
	defer func() {
		if ok {
			return
		}
		v := recover()
		if v == nil {
			return
		}
		if err, is := v.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
			c.srv.logger().Error("http3: panic in a handler", "remote", c.remote, "method", x.req.Method,
				"path", x.url.Path, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	if fault := x.fault; fault != 0 {
		http.Error(&x.w, http.StatusText(fault), fault)
		return true
	}
	c.srv.handler().ServeHTTP(&x.w, x.req)
	return true
}
