package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
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

	lentMu   sync.Mutex
	lent     []*h3driver.Stream // requests that the goroutine of a turn is to handle itself
	lentDone int                // of these, those that it has taken
	lending  bool               // it is about to, and maybe stuck
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
	p := &c.srv.workers
	p.expect()
	if s.Head().End && p.trust.given.Load() && s.Lend(c) {
		c.lentMu.Lock()
		c.lent = append(c.lent, s)
		c.lentMu.Unlock()
		return
	}
	p.submit(task{c, s})
}

func (c *serverConn) onClose(error) { c.srv.removeConn(c) }

// On a worker, or on the goroutine of a turn.

// Run handles the requests that the goroutine of a turn was lent for, lentAtOnce of them at most; see [frittata.Errand].
func (c *serverConn) Run(d *frittata.Duty) (more bool) {
	p := &c.srv.workers
	if !c.beginLending() {
		// The handler that an earlier call is at does not return.
		p.distrust()
		c.leaveToWorkers()
		return false
	}
	defer c.endLending() // the handler may end the goroutine
	m := scratches.Get().(*scratch)
	begin := time.Now()
	for n := 1; ; n++ {
		s := c.nextLent()
		if s == nil {
			break
		}
		c.serveLent(s, m, d)
		if d.Lost() {
			return false
		}
		if n%lentCheck == 0 {
			if took := time.Since(begin); took > lentTime {
				if took > time.Duration(n)*quickTime {
					p.slow(n)
				}
				c.leaveToWorkers()
			}
		}
		if n == lentAtOnce {
			more = c.anyLent()
			break
		}
	}
	scratches.Put(m)
	return more
}

// beginLending is false while somebody else is at it.
func (c *serverConn) beginLending() bool {
	c.lentMu.Lock()
	defer c.lentMu.Unlock()
	if c.lending {
		return false
	}
	c.lending = true
	return true
}

func (c *serverConn) endLending() {
	c.lentMu.Lock()
	c.lending = false
	c.lentMu.Unlock()
}

// nextLent takes a request, nil if there are none.
func (c *serverConn) nextLent() *h3driver.Stream {
	c.lentMu.Lock()
	defer c.lentMu.Unlock()
	if c.lentDone == len(c.lent) {
		c.lent, c.lentDone = c.lent[:0], 0
		return nil
	}
	s := c.lent[c.lentDone]
	c.lent[c.lentDone] = nil
	c.lentDone++
	return s
}

// anyLent tells whether there is one.
func (c *serverConn) anyLent() bool {
	c.lentMu.Lock()
	defer c.lentMu.Unlock()
	return c.lentDone < len(c.lent)
}

const (
	// lentAtOnce is how many handlers the goroutine of a turn runs before their responses are sent. With more
	// the peer waits for the first response while we are busy with the last, and we for its next request
	// while it is busy with all of them.
	lentAtOnce = 8
	// lentTime is for how long it does so at most; what is left is the workers'.
	lentTime = 250 * time.Microsecond
	// lentCheck is after how many of them it looks at the clock.
	lentCheck = 4
)

func (c *serverConn) serveLent(s *h3driver.Stream, m *scratch, d *frittata.Duty) {
	defer c.srv.workers.done(0, false)
	c.serve(s, m, d)
}

// leaveToWorkers gives goroutines of their own to the requests that are left.
func (c *serverConn) leaveToWorkers() {
	for s := c.nextLent(); s != nil; s = c.nextLent() {
		c.srv.workers.submit(task{c, s})
	}
}

// serve handles a request from its head to its end. d is what the goroutine has to do
// besides, nil if that is nothing.
func (c *serverConn) serve(s *h3driver.Stream, m *scratch, d *frittata.Duty) {
	x := newExchange(c, s, m)
	x.duty = d
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
	if x.req.RequestURI == "*" && x.req.Method == http.MethodOptions && !c.srv.DisableGeneralOptionsHandler {
		x.w.Header().Set("Content-Length", "0")
		return true
	}
	c.srv.handler().ServeHTTP(&x.w, x.req)
	return true
}
