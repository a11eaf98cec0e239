package frittata

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// RetryPolicy tells when a server makes clients prove their address before it
// does any cryptography for them, at the price of a round trip (RFC 9000,
// Section 8.1.2).
type RetryPolicy uint8

const (
	// RetryAuto sends a Retry while Config.Admission says so.
	RetryAuto RetryPolicy = iota
	// RetryAlways sends a Retry to every client.
	RetryAlways
	// RetryNever leaves it to the application: see [IncomingConn.Retry].
	RetryNever
)

// Config has the settings of a Transport and the defaults of its connections.
// The zero value works but for QUIC.TLS, which a connection needs. A zero field
// means its default. A Config must not change while it is in use.
type Config struct {
	// QUIC has the settings of connections for which none are given otherwise.
	// Its ConnIDs, StatelessResetKey and Buffers are those of the Transport,
	// for all of its connections.
	QUIC quic.Config

	// TokenKeys seal Retry tokens. Servers that share an address share them.
	// The default are random keys of the Transport's own.
	TokenKeys *quic.TokenKeys

	// Retry tells when clients have to prove their address. Default RetryAuto.
	Retry RetryPolicy

	// MaxConns limits the connections of the Transport, or of all in a group; a server refuses more.
	// Default 100000; negative: no limit.
	MaxConns int

	// MaxHandshakes limits a server's handshakes under way, each of which has a
	// goroutine and some 60 kB of memory. First flights beyond are dropped, so
	// that a client tries again. Default 1024.
	MaxHandshakes int

	// MaxPending limits the first flights that wait for Accept. Default 1024.
	MaxPending int

	// Admission has more limits for new clients of a server.
	Admission Admission

	// PendingAge is how long a first flight waits for a decision before it is
	// forgotten. Default 5 s.
	PendingAge time.Duration

	// InboxBytes limits what one connection keeps of the packets that come
	// while it is busy. More is dropped, as a full socket would do. Default 1 MiB.
	InboxBytes int

	// UDP has the settings of the sockets that Listen and Dial open.
	UDP udp.Options

	// Logger gets what an operator should know: errors are panics of
	// Applications and callbacks, warnings are failures of the socket (at most one of a kind in 10 s) and
	// buffers that are smaller than they should be, with what to do about it. At
	// level debug there are handshakes that failed and what the socket can do. Default: nothing is logged.
	// Its Handler is called by goroutines that run turns. If it blocks, others go on with those, but for failures of the
	// socket: while it is told of one, nobody reads or writes the socket. It must not call runtime.Goexit.
	Logger *slog.Logger

	// Metrics is told how handshakes and connections went. Default: nobody is.
	Metrics Metrics
}

const (
	defaultMaxConns      = 100_000
	defaultMaxHandshakes = 1024
	defaultInboxBytes    = 1 << 20
	defaultPendingAge    = 5 * time.Second
	defaultMaxPending    = 1024
)

// check finds fault with what is the Transport's own.
func (c *Config) check() error {
	negative := func(field string, v any) error { return fmt.Errorf("frittata: Config.%s is %v, less than 0", field, v) }
	switch {
	case c.MaxHandshakes < 0:
		return negative("MaxHandshakes", c.MaxHandshakes)
	case c.MaxPending < 0:
		return negative("MaxPending", c.MaxPending)
	case c.PendingAge < 0:
		return negative("PendingAge", c.PendingAge)
	case c.InboxBytes < 0:
		return negative("InboxBytes", c.InboxBytes)
	case c.Retry > RetryNever:
		return fmt.Errorf("frittata: Config.Retry is %d, and there is no such RetryPolicy", uint8(c.Retry))
	}
	if n := connIDLen(c); n < 0 || n > quic.MaxConnIDLen {
		return fmt.Errorf("frittata: Config.QUIC.ConnIDs makes IDs of %d bytes, not of 0 to %d", n, quic.MaxConnIDLen)
	}
	return nil
}
