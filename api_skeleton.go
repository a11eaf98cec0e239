package frittata

import (
	"context"
	"net/netip"

	"github.com/frittata-go/frittata/quic"
)

// Transport owns a socket and the connections on it, of both roles.
type Transport struct{}

// NewTransport makes a Transport, which owns s from then on. cfg may be nil.
func NewTransport(s Socket, cfg *Config) (*Transport, error) { panic("skeleton") }

// Listen begins to accept connections. Nil takes the Transport's Config.QUIC.
func (t *Transport) Listen(cfg *quic.Config) (*Listener, error) { panic("skeleton") }

// Dial connects. It returns when the connection is established, or why it is not. Nil cfg takes the Transport's Config.QUIC.
func (t *Transport) Dial(ctx context.Context, remote netip.AddrPort, serverName string, cfg *quic.Config, app Application) (*Conn, error) {
	panic("skeleton")
}

// Shutdown ends all connections gracefully, then closes the Transport.
func (t *Transport) Shutdown(ctx context.Context) error { panic("skeleton") }

// Close closes all connections at once, tells the peers, and closes the socket.
func (t *Transport) Close() error { panic("skeleton") }

// Stats returns a snapshot of the counters.
func (t *Transport) Stats() Stats { panic("skeleton") }

// LocalAddr returns the socket's address.
func (t *Transport) LocalAddr() netip.AddrPort { panic("skeleton") }

// Stats are a Transport's counters and gauges.
type Stats struct{}

// Listen opens a UDP socket and accepts connections on it. network is "udp", "udp4" or "udp6".
func Listen(network, addr string, cfg *Config) (*Listener, error) { panic("skeleton") }

// Dial connects from a socket of its own, closed with the connection. addr is host:port.
func Dial(ctx context.Context, addr string, cfg *Config, app Application) (*Conn, error) {
	panic("skeleton")
}

// Listener accepts connections.
type Listener struct{}

// Accept waits for a client's first flight.
func (l *Listener) Accept(ctx context.Context) (*IncomingConn, error) { panic("skeleton") }

// Addr returns the socket's address.
func (l *Listener) Addr() netip.AddrPort { panic("skeleton") }

// Transport returns the Transport that the Listener hangs on.
func (l *Listener) Transport() *Transport { panic("skeleton") }

// Close stops accepting. A Listener of Listen closes its connections and its socket too.
func (l *Listener) Close() error { panic("skeleton") }

// Shutdown stops accepting and ends the connections that the Listener accepted gracefully.
func (l *Listener) Shutdown(ctx context.Context) error { panic("skeleton") }

// IncomingConn is a client's first flight that waits for a decision: Start, Handshake, Refuse, Retry or Ignore.
type IncomingConn struct{}

// RemoteAddr returns the client's address, which it could have made up unless Validated.
func (in *IncomingConn) RemoteAddr() netip.AddrPort { panic("skeleton") }

// LocalAddr returns the address that the flight came to.
func (in *IncomingConn) LocalAddr() netip.AddrPort { panic("skeleton") }

// Validated tells whether the client has answered a Retry.
func (in *IncomingConn) Validated() bool { panic("skeleton") }

// SetConfig sets what Start and Handshake use instead of the Listener's configuration.
func (in *IncomingConn) SetConfig(cfg *quic.Config) { panic("skeleton") }

// Start begins the handshake and returns at once. How it ends, app learns.
func (in *IncomingConn) Start(app Application) (*Conn, error) { panic("skeleton") }

// Handshake waits until the connection is established. The callbacks of app are called after Resume only.
func (in *IncomingConn) Handshake(ctx context.Context, app Application) (*Conn, error) {
	panic("skeleton")
}

// Refuse tells the client CONNECTION_REFUSED.
func (in *IncomingConn) Refuse() error { panic("skeleton") }

// Retry makes the client prove its address.
func (in *IncomingConn) Retry() error { panic("skeleton") }

// Ignore forgets the flight.
func (in *IncomingConn) Ignore() { panic("skeleton") }

// Conn is the handle of a connection, for any goroutine.
type Conn struct{}

// Wake makes the callbacks run soon. It never blocks.
func (c *Conn) Wake() { panic("skeleton") }

// Yield tells the turn that is under way that it has made goroutines runnable which may have something to write soon.
// It may be called in callbacks only.
func (c *Conn) Yield() { panic("skeleton") }

// Waker returns a value whose Wake is that of c.
func (c *Conn) Waker() Waker { return Waker{c} }

// Waker wakes a connection. The zero Waker wakes nothing.
type Waker struct{ c *Conn }

// Wake makes the callbacks run soon.
func (w Waker) Wake() {
	if w.c != nil {
		w.c.Wake()
	}
}

// Do has fn run on the strand, soon, and returns at once. The error is ErrConnGone.
func (c *Conn) Do(fn func(*quic.Conn)) error { panic("skeleton") }

// Call is like Do, but waits until fn has run. It must not be called in a callback.
func (c *Conn) Call(ctx context.Context, fn func(*quic.Conn)) error { panic("skeleton") }

// Close closes the connection with NO_ERROR and returns at once.
func (c *Conn) Close() error { panic("skeleton") }

// CloseWithError closes the connection and returns at once.
func (c *Conn) CloseWithError(e quic.CloseError) error { panic("skeleton") }

// Closed is closed when the connection has closed, after OnClose.
func (c *Conn) Closed() <-chan struct{} { panic("skeleton") }

// Done is closed when the connection is gone: it sends nothing more, and its strand runs no more turns.
func (c *Conn) Done() <-chan struct{} { panic("skeleton") }

// Err returns why the connection closed, nil while it is open.
func (c *Conn) Err() error { panic("skeleton") }

// Stats returns a snapshot of the connection's counters.
func (c *Conn) Stats(ctx context.Context) (quic.Stats, error) { panic("skeleton") }

// HandshakeInfo returns what OnEstablished gets; false before that.
func (c *Conn) HandshakeInfo() (HandshakeInfo, bool) { panic("skeleton") }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort { panic("skeleton") }

// LocalAddr returns this end's address.
func (c *Conn) LocalAddr() netip.AddrPort { panic("skeleton") }

// SetApplication replaces the Application of a connection that waits for Resume.
func (c *Conn) SetApplication(app Application) { panic("skeleton") }

// Resume lets a connection of Handshake go on: OnEstablished is called next.
func (c *Conn) Resume() { panic("skeleton") }

// Transport returns the Transport of the connection.
func (c *Conn) Transport() *Transport { panic("skeleton") }
