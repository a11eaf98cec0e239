package handshake

import (
	"crypto/tls"
	"io"
	"net/netip"
)

// Skeleton of the exported API: the signatures are the contract.

type Level uint8

const (
	LevelInitial Level = iota
	LevelHandshake
	LevelApp
)

type EventKind uint8

const (
	EventNone        EventKind = iota
	EventReadSecret            // Level, Suite, Data: the secret
	EventWriteSecret           // Level, Suite, Data
	EventWriteCrypto           // Level, Data: bytes for CRYPTO frames
	EventPeerParams            // Data: the peer's transport parameters, encoded
	EventDone                  // the handshake is complete
)

// Event: Data is valid until the next call of a method.
type Event struct {
	Kind  EventKind
	Level Level
	Suite uint16
	Data  []byte
}

// AlertError is a TLS alert that we have to send as CRYPTO_ERROR. It wraps the cause.
type AlertError struct {
	Alert uint8
	Err   error
}

func (e *AlertError) Error() string { panic("skeleton") }
func (e *AlertError) Unwrap() error { panic("skeleton") }

// Handshaker is the seam between the transport and TLS.
type Handshaker interface {
	SetParams(p []byte) // our transport parameters, before Start
	Start() error
	// HandleCrypto takes bytes of CRYPTO frames in order. On an error, events that precede it are still there.
	HandleCrypto(l Level, b []byte) error
	NextEvent() Event
	// SendTicket makes a server write a session ticket, after EventDone, if tickets are enabled.
	SendTicket() error
	State() tls.ConnectionState
	Close()
}

// ServerTLSConfig and ClientTLSConfig return a copy for QUIC: TLS 1.3 as the minimum, callbacks that get a ClientHelloInfo.Conn that tells the addresses (no nil to trip over), ticket keys that stay (see the pitfalls). A config that they returned is recognized and not copied again.
func ServerTLSConfig(cfg *tls.Config) *tls.Config { panic("skeleton") }
func ClientTLSConfig(cfg *tls.Config) *tls.Config { panic("skeleton") }

// NewTLS makes a Handshaker of crypto/tls's QUICConn. cfg is prepared by the above if it is not yet. serverName overrides cfg.ServerName unless empty; a client with neither and without InsecureSkipVerify verifies against remote's IP address.
func NewTLS(cfg *tls.Config, client bool, serverName string, local netip.Addr, remote netip.AddrPort) (Handshaker, error) {
	panic("skeleton")
}

// NewFake makes a deterministic exchange with no security: the same shape as TLS's (a ClientHello of some 1500 bytes so that it takes two datagrams, ServerHello at LevelInitial, EncryptedExtensions with ALPN and parameters, a certificate-sized blob and Finished at LevelHandshake, Finished of the client), secrets derived from both randoms by hashing.
// It checks ALPN and fails with the alert that TLS would (no_application_protocol 120). Its State has ServerName, NegotiatedProtocol, HandshakeComplete, Version.
func NewFake(client bool, serverName string, alpn []string, random io.Reader) Handshaker {
	panic("skeleton")
}
