package frittata

import (
	"errors"
	"fmt"
	"net"
)

// Errors of this package; those of package quic tell why a connection closed.
var (
	// ErrTransportClosed: the Transport, or the Listener, was closed. It wraps net.ErrClosed.
	ErrTransportClosed = fmt.Errorf("frittata: transport closed: %w", net.ErrClosed)
	// ErrConnGone: the connection has ended and its strand with it. It wraps net.ErrClosed.
	ErrConnGone = fmt.Errorf("frittata: connection gone: %w", net.ErrClosed)
	// ErrConnStuck: a callback of the connection does not return, and very many functions wait for it.
	ErrConnStuck = errors.New("frittata: a callback keeps the connection from what it is to do")
	// ErrIncomingGone: the client's first flight has expired, or was decided on before.
	ErrIncomingGone = errors.New("frittata: incoming connection does not wait any more")
	// ErrTooManyConns: Config.MaxConns is reached.
	ErrTooManyConns = errors.New("frittata: too many connections")
	// ErrTooManyHandshakes: Config.MaxHandshakes is reached.
	ErrTooManyHandshakes = errors.New("frittata: too many handshakes")
	// ErrListening: the Transport has a Listener already.
	ErrListening = errors.New("frittata: transport is listening already")
	// ErrPanic: a callback panicked.
	ErrPanic = errors.New("frittata: panic in a callback")
	// ErrGoexit: a callback ended its goroutine by runtime.Goexit, as FailNow and Fatal of a testing.T do.
	ErrGoexit = errors.New("frittata: runtime.Goexit in a callback")

	errNotPaused     = errors.New("frittata: the connection does not wait for Resume")
	errNoApplication = errors.New("frittata: no Application")
	errNoTLS         = errors.New("frittata: Config.QUIC.TLS is nil")
)

// errShortConnIDs is about connection IDs of n bytes.
func errShortConnIDs(n int) error {
	return fmt.Errorf("frittata: Config.QUIC.ConnIDs makes IDs of %d bytes, and a server needs at least %d", n, minServerConnIDLen)
}
