package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"time"

	"github.com/frittata-go/frittata"
)

// Trace has hooks for what httptrace.ClientTrace, which Transport knows too, has
// no words for. See [WithTrace].
type Trace struct {
	// GotConn is called when a request has its connection, on the goroutine of RoundTrip.
	GotConn func(ConnInfo)
}

// ConnInfo tells of the connection that a request goes by.
type ConnInfo struct {
	// Conn is its handle: HandshakeInfo has times and TLS, Stats the counters.
	Conn *frittata.Conn
	// Reused: another request went by it before. Then what follows is empty.
	Reused bool
	// Addrs are the addresses of the host.
	Addrs []netip.Addr
	// ResolveStart and ResolveDone are when its name was looked up, and
	// DialStart when the first of the addresses was tried. The former are zero
	// if the host is an address.
	ResolveStart, ResolveDone, DialStart time.Time
}

type traceKey struct{}

// WithTrace returns a context for requests whose hooks in trace are called.
func WithTrace(ctx context.Context, trace *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

// tracer calls the hooks of a request. A nil *tracer calls none.
type tracer struct {
	own  *Trace
	http *httptrace.ClientTrace
}

func tracerOf(ctx context.Context) *tracer {
	own, _ := ctx.Value(traceKey{}).(*Trace)
	h := httptrace.ContextClientTrace(ctx)
	if own == nil && h == nil {
		return nil
	}
	if h == nil {
		h = &httptrace.ClientTrace{}
	}
	return &tracer{own, h}
}

func (t *tracer) getConn(a authority) {
	if t != nil && t.http.GetConn != nil {
		t.http.GetConn(a.String())
	}
}

func (t *tracer) gotConn(info ConnInfo) {
	if t == nil {
		return
	}
	if t.own != nil && t.own.GotConn != nil {
		t.own.GotConn(info)
	}
	if t.http.GotConn != nil {
		t.http.GotConn(httptrace.GotConnInfo{Conn: tracedConn{info.Conn}, Reused: info.Reused, WasIdle: info.Reused})
	}
}

func (t *tracer) dnsStart(host string) {
	if t != nil && t.http.DNSStart != nil {
		t.http.DNSStart(httptrace.DNSStartInfo{Host: host})
	}
}

func (t *tracer) dnsDone(addrs []netip.Addr, err error) {
	if t == nil || t.http.DNSDone == nil {
		return
	}
	info := httptrace.DNSDoneInfo{Err: err}
	for _, a := range addrs {
		info.Addrs = append(info.Addrs, net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()})
	}
	t.http.DNSDone(info)
}

// connectStart tells of a handshake, which in QUIC is that of TLS too.
func (t *tracer) connectStart(a netip.AddrPort) {
	if t == nil {
		return
	}
	if t.http.ConnectStart != nil {
		t.http.ConnectStart("udp", a.String())
	}
	if t.http.TLSHandshakeStart != nil {
		t.http.TLSHandshakeStart()
	}
}

func (t *tracer) connectDone(a netip.AddrPort, c *clientConn, err error) {
	if t == nil {
		return
	}
	if t.http.TLSHandshakeDone != nil {
		var state tls.ConnectionState
		if c != nil {
			state = *c.tls
		}
		t.http.TLSHandshakeDone(state, err)
	}
	if t.http.ConnectDone != nil {
		t.http.ConnectDone("udp", a.String(), err)
	}
}

func (t *tracer) wroteHeaders() {
	if t != nil && t.http.WroteHeaders != nil {
		t.http.WroteHeaders()
	}
}

func (t *tracer) wroteRequest(err error) {
	if t != nil && t.http.WroteRequest != nil {
		t.http.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

func (t *tracer) wait100() {
	if t != nil && t.http.Wait100Continue != nil {
		t.http.Wait100Continue()
	}
}

// interim tells of a 1xx response. An error ends the request.
func (t *tracer) interim(status int, h http.Header) error {
	if t == nil {
		return nil
	}
	if status == http.StatusContinue && t.http.Got100Continue != nil {
		t.http.Got100Continue()
	}
	if t.http.Got1xxResponse != nil {
		return t.http.Got1xxResponse(status, textproto.MIMEHeader(h))
	}
	return nil
}

func (t *tracer) wantsInterim() bool {
	return t != nil && (t.http.Got1xxResponse != nil || t.http.Got100Continue != nil)
}

func (t *tracer) gotFirstResponseByte() {
	if t != nil && t.http.GotFirstResponseByte != nil {
		t.http.GotFirstResponseByte()
	}
}

// tracedConn is the net.Conn of httptrace, which has addresses and nothing else.
type tracedConn struct{ c *frittata.Conn }

var errTracedConn = errors.New("http3: a QUIC connection has no bytes to read or write")

func (c tracedConn) Read([]byte) (int, error)         { return 0, errTracedConn }
func (c tracedConn) Write([]byte) (int, error)        { return 0, errTracedConn }
func (c tracedConn) Close() error                     { return errTracedConn }
func (c tracedConn) SetDeadline(time.Time) error      { return errTracedConn }
func (c tracedConn) SetReadDeadline(time.Time) error  { return errTracedConn }
func (c tracedConn) SetWriteDeadline(time.Time) error { return errTracedConn }
func (c tracedConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(c.c.LocalAddr()) }
func (c tracedConn) RemoteAddr() net.Addr             { return net.UDPAddrFromAddrPort(c.c.RemoteAddr()) }
