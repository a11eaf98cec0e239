package frittata

import (
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// Application is what a connection does. Its methods are called on the
// connection's strand, one at a time, and should not block: a callback that waits
// keeps other connections waiting too, until after 10 to 20 ms another goroutine goes on
// with those; its own connection waits for it. They may use the quic.Conn in every way
// but keep it for use outside of a callback: other goroutines get there with
// [Conn.Do] only.
//
// An error closes the connection: with the code and reason of a
// *quic.ApplicationError or *quic.TransportError that it wraps, else with
// INTERNAL_ERROR and no reason. A panic does so too; it is logged and counted. And so does a callback that
// ends its goroutine by runtime.Goexit, as testing.T's FailNow and Fatal do: other goroutines go on, OnClose is called on
// one of them, and functions of Do that the same turn had to run after it are dropped.
//
// What is the user's in a tls.Config runs on goroutines of its own, and the handshake waits for it, but for
// ClientSessionCache.Put, for which nobody waits. A panic of it, or runtime.Goexit, is logged, counted, and fails the handshake.
type Application interface {
	// OnEstablished is called once, with the first keys for application data.
	OnEstablished(c *quic.Conn, info HandshakeInfo) error

	// ProcessReads is called after packets came in, after a timer, and after a
	// wake-up: it takes events, readable streams and datagrams. When the peer has
	// closed the connection it is called a last time, for what came before that.
	ProcessReads(c *quic.Conn) error

	// ProcessWrites is called in every turn, before packets go out.
	ProcessWrites(c *quic.Conn) error

	// OnClose is called once, when the connection has closed, with the reason
	// of c.Err, before the last packets go out. No other method is called
	// after it. It is the only one that is called if the handshake fails. If that could not even
	// begin, with a tls.Config that QUIC cannot do with, say, c is nil.
	OnClose(c *quic.Conn, err error)
}

// Shutdowner is what an Application may have besides: OnShutdown is called on
// the strand when a graceful shutdown begins. It tells the peer that no more is
// welcome and closes the connection when what is under way has ended. If an
// Application has no such method, its connections are closed at once.
type Shutdowner interface {
	OnShutdown(c *quic.Conn)
}

// HandshakeInfo is what is known of a connection when it is established.
type HandshakeInfo struct {
	Conn        *Conn // the handle of the connection, for other goroutines
	Client      bool  // this end dialed
	TLS         tls.ConnectionState
	ServerName  string // what the client asked for
	ALPN        string // the application protocol agreed on
	RemoteAddr  netip.AddrPort
	LocalAddr   netip.AddrPort // the address may be unspecified if the system tells no more
	OriginalDst netip.AddrPort // a server's: see IncomingConn.OriginalDst
	EarlyData   bool           // data of the client may have been replayed, until the handshake is confirmed (0-RTT)
	Retried     bool           // the client's address was validated by a Retry
	Times       HandshakeTimes
}

// HandshakeTimes tells when each stage of a handshake was reached. A stage that a
// role does not have is the zero time.
type HandshakeTimes struct {
	Received    time.Time // a server: the first packet came
	Accepted    time.Time // a server: Start or Handshake was called
	Started     time.Time // the cryptography began
	Established time.Time // the first keys for application data were there
}
