package http3

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/h3driver"
	"github.com/frittata-go/frittata/quic"
)

// authority is whom a connection is for. Port is a number or a service's name.
type authority struct{ host, port string }

func (a authority) String() string { return net.JoinHostPort(a.host, a.port) }

// authorityOf takes a URL's host apart, with the default port of https.
func authorityOf(hostport string) (authority, error) {
	host, port := hostport, "443"
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		host = hostport[:i]
		if i+1 < len(hostport) {
			port = hostport[i+1:]
		}
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	host, err := asciiHost(host)
	return authority{host, port}, err
}

// asciiHost returns a host's name as DNS and certificates have it.
func asciiHost(host string) (string, error) {
	for i := range len(host) {
		c := host[i]
		if c >= 0x80 {
			return idna.Lookup.ToASCII(host)
		}
		if 'A' <= c && c <= 'Z' {
			return asciiHost(strings.ToLower(host))
		}
	}
	return host, nil
}

// clientConn is a connection of a Transport.
type clientConn struct {
	t      *Transport
	key    authority
	driver *h3driver.Driver
	conn   *frittata.Conn
	tls    *tls.ConnectionState

	// Under Transport.mu.
	users     int // requests between getting the connection and opening their stream
	used      bool
	wasIdle   bool // when idleness was looked at last, since idleSince
	idleSince time.Time
}

func (c *clientConn) close() {
	_ = c.conn.CloseWithError(quic.CloseError{Application: true, Code: uint64(h3.CodeNoError)}) // never fails
}

// onGoAway is called on the strand when the server begins to shut down: what is under
// way goes on.
func (c *clientConn) onGoAway() { c.retire() }

// retire has new requests go by another connection, and this one closed when the last
// request has ended: it has no use any more.
func (c *clientConn) retire() {
	c.forget()
	_ = c.conn.Do(func(qc *quic.Conn) { c.driver.OnShutdown(qc) }) // one that is gone is closed
}

// forget has new requests go by another connection.
func (c *clientConn) forget() {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if c.t.conns[c.key] == c {
		delete(c.t.conns, c.key)
	}
}

// dialCall is a connection that is being made, for all requests that wait for it.
type dialCall struct {
	key     authority
	cancel  context.CancelCauseFunc
	waiters int           // under Transport.mu
	done    chan struct{} // closed when conn or err is there
	conn    *clientConn
	err     error
	info    ConnInfo
}

// getConn returns a connection, on which the request counts as a user until
// release: a new one if there is none that can be used.
func (t *Transport) getConn(ctx context.Context, key authority, trace *tracer) (*clientConn, ConnInfo, error) {
	t.mu.Lock()
	if c := t.conns[key]; c != nil && c.driver.Usable() {
		info := ConnInfo{Conn: c.conn, Reused: c.used}
		c.use()
		t.mu.Unlock()
		return c, info, nil
	}
	call := t.dials[key]
	if call == nil {
		tr, qcfg, err := t.setUp()
		if err != nil {
			t.mu.Unlock()
			return nil, ConnInfo{}, err
		}
		// The dial is for all who wait. It has the values of the first one's
		// context, and its trace, but ends only when nobody waits any more.
		dctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		call = &dialCall{key: key, cancel: cancel, done: make(chan struct{})}
		if t.dials == nil {
			t.dials = make(map[authority]*dialCall)
		}
		t.dials[key] = call
		go t.runDial(dctx, call, tr, qcfg, trace)
	}
	call.waiters++
	t.mu.Unlock()

	select {
	case <-call.done:
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		call.waiters--
		if call.conn != nil {
			call.conn.users--
		}
		if call.waiters == 0 {
			call.cancel(context.Cause(ctx))
			if t.dials[key] == call {
				delete(t.dials, key)
			}
		}
		return nil, ConnInfo{}, context.Cause(ctx)
	}
	if call.err != nil {
		return nil, ConnInfo{}, call.err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := call.conn // of which this is a user by now
	info := call.info
	info.Reused = c.used
	c.used = true
	return c, info, nil
}

// use is called with Transport.mu held.
func (c *clientConn) use() {
	c.used = true
	c.wasIdle = false
	c.users++
}

// release ends use.
func (c *clientConn) release() {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.users--
}

func (t *Transport) runDial(ctx context.Context, call *dialCall, tr *frittata.Transport, qcfg *quic.Config, trace *tracer) {
	defer call.cancel(nil)
	conn, err := t.dial(ctx, call, tr, qcfg, trace)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dials[call.key] == call {
		delete(t.dials, call.key)
	}
	switch {
	case err == nil && (t.closed || call.waiters == 0):
		conn.close()
		err = ErrTransportClosed
	case err == nil && conn.driver.Usable():
		if t.conns == nil {
			t.conns = make(map[authority]*clientConn)
		}
		t.conns[call.key] = conn
		t.tick()
	}
	call.err = err
	if err == nil {
		call.conn = conn
		conn.users = call.waiters // from now on, or it would be idle before they have it
		call.info.Conn = conn.conn
	}
	close(call.done)
}

// dialOne connects to one address.
func (t *Transport) dialOne(ctx context.Context, key authority, tr *frittata.Transport, qcfg *quic.Config, remote netip.AddrPort) (*clientConn, error) {
	c := &clientConn{t: t, key: key}
	limit := t.MaxResponseHeaderBytes
	if limit <= 0 {
		limit = defaultMaxResponseHeaderBytes
	}
	c.driver = h3driver.NewClient(&h3driver.Config{
		H3:         h3.Config{MaxFieldSectionSize: uint64(limit), EnableDatagrams: t.EnableDatagrams},
		BodyBuffer: bodyBuffer,
		OnEstablished: func(_ *h3driver.Driver, info *frittata.HandshakeInfo) {
			state := info.TLS
			c.conn, c.tls = info.Conn, &state
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.open == nil {
				t.open = make(map[*clientConn]struct{})
			}
			t.open[c] = struct{}{}
		},
		OnGoAway: c.onGoAway,
		OnClose: func(error) {
			c.forget()
			t.mu.Lock()
			defer t.mu.Unlock()
			delete(t.open, c)
		},
	})
	name := key.host
	if qcfg.TLS.ServerName != "" {
		name = ""
	}
	if _, err := tr.Dial(ctx, remote, name, qcfg, c.driver); err != nil {
		return nil, err
	}
	return c, nil
}
