package quic

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// The defaults of Config, and the limits that are not for users to set.
const (
	defaultIdleTimeout      = 30 * time.Second
	defaultHandshakeTimeout = 10 * time.Second
	defaultMaxStreams       = 100
	defaultStreamWindow     = 512 << 10
	defaultMaxStreamWindow  = 16 << 20
	defaultConnWindow       = 1 << 20
	defaultMaxConnWindow    = 24 << 20
	defaultSendBuffer       = 256 << 10
	fullSendBuffers         = 16       // that ConnSendBuffer is by default
	leastSendBuffer         = 16 << 10 // bytes that a stream may have in any case
	defaultMaxUDPPayload    = 1452     // what an Ethernet frame leaves over IPv6
	defaultMaxAckDelay      = 25 * time.Millisecond
	defaultDatagramQueue    = 1 << 20 // twice what one batch of a socket with GRO brings
	defaultConnIDLen        = 8

	// minInitialDstID is the least length of a client's first destination ID (RFC 9000, Section 7.2).
	minInitialDstID = 8

	minUDPPayload = 1200 // RFC 9000, Section 14

	// maxUDPPayload is the most that one datagram can hold.
	maxUDPPayload = 65527
)

// Config has the settings of a connection. The zero value works but for TLS,
// which a connection needs. A Config may be shared by many connections and must
// not change while one uses it. A zero field means its default.
type Config struct {
	// TLS has the certificates, ALPN protocols and callbacks (Section 4 of RFC
	// 9001). It must have NextProtos. Prepare it with ServerTLS or ClientTLS
	// once for all connections; a configuration that was not prepared is
	// prepared anew for each connection, which costs time and loses session
	// ticket keys.
	TLS *tls.Config

	// ConfigForClient, if it is not nil, is asked by a server for the settings of
	// a connection once the client has told whom it wants, and before it is told the limits. Nil
	// means that this Config stays. Of another one count the timeouts, KeepAlive,
	// limits, windows, buffers and queues, EnableDatagrams, MaxUDPPayload and DisablePathMTUDiscovery; HandshakeTimeout
	// goes on from the connection's begin. All else, which is in use already, stays. TLS may be nil: for
	// other certificates there is tls.Config.GetConfigForClient, which is called before.
	//
	// An error closes the connection, with the code and reason of a *TransportError that it wraps, else with CONNECTION_REFUSED.
	ConfigForClient func(ClientInfo) (*Config, error)

	// InsecureFakeHandshake replaces TLS by a deterministic exchange with no
	// security at all, for simulators and fuzzing. Both ends must set it. Of
	// TLS only NextProtos is used.
	InsecureFakeHandshake bool `json:"-"`

	// Rand is read once for each connection, for the seed of all that it
	// chooses at random. The default is crypto/rand.Reader.
	Rand io.Reader

	// Buffers has the memory for stream data. The default is plain allocation.
	Buffers *BufferPool

	// ConnIDs makes this end's connection IDs. The default are 8 random bytes.
	// It must be that of the Endpoint which routes for the connection.
	ConnIDs ConnIDGenerator

	// InitialDstIDs makes the destination connection ID of a client's first
	// packets, of 8 to 20 bytes, which stands for the server until that tells an ID of its
	// own: what chooses a server by connection ID can be led that way. It has to differ from connection to connection, and no
	// observer should be able to guess it (RFC 9000, Section 7.2). The default are 8 random bytes.
	InitialDstIDs ConnIDGenerator

	// StatelessResetKey is the key of the tokens that a connection gives with
	// its connection IDs (RFC 9000, Section 10.3). It must be that of the
	// Endpoint. With nil no tokens are given.
	StatelessResetKey *[32]byte

	// MaxIdleTimeout closes a connection that received nothing for so long.
	// The peer's value counts too, if it is less. Default 30 s; negative: none.
	MaxIdleTimeout time.Duration

	// KeepAlive sends a PING when nothing was received for so long. Default: none.
	KeepAlive time.Duration

	// HandshakeTimeout closes a connection whose handshake takes longer. Default 10 s.
	HandshakeTimeout time.Duration

	// MaxStreamsBidi and MaxStreamsUni limit the streams that the peer may
	// have open at a time. Default 100 each; negative: none.
	MaxStreamsBidi, MaxStreamsUni int

	// ActiveConnIDLimit is how many connection IDs the peer may give that are in
	// use at a time (active_connection_id_limit, RFC 9000, Section 18.2): one for each path, and
	// some for paths to come. From 2 to 4, the default.
	ActiveConnIDLimit int

	// StreamWindow is the flow control window of a stream in bytes, at first;
	// it grows up to MaxStreamWindow when the application reads as fast as the
	// path brings. Defaults 512 KiB and 16 MiB.
	StreamWindow, MaxStreamWindow uint64

	// ConnWindow and MaxConnWindow are the same for all streams together.
	// Defaults 1 MiB and 24 MiB.
	ConnWindow, MaxConnWindow uint64

	// SendBuffer bounds the bytes of a stream that were accepted by
	// StreamWrite and not yet sent. Default 256 KiB.
	SendBuffer int

	// ConnSendBuffer is how many such bytes all streams may have together before
	// each takes no more than 16 KiB. Default 16 times SendBuffer.
	ConnSendBuffer int

	// EnableDatagrams lets the peer send DATAGRAM frames (RFC 9221).
	EnableDatagrams bool

	// DatagramQueue bounds the bytes of received datagrams that wait to be
	// read, and of those that wait to be sent. Default 1 MiB.
	DatagramQueue int

	// GlitchLimit bounds how often the peer may do what the protocol allows but what
	// costs more than it brings: frames without effect (PING, MAX_DATA, RESET_STREAM, PATH_CHALLENGE and the
	// like, empty or repeated STREAM frames, ACKs of nothing new beyond one for each packet sent), and whatever the application has Conn.Glitch called for.
	// So many are free; they come back within 30 s, and one for each packet that brings stream data,
	// each piece of stream data that the peer acknowledges and each datagram sent. Beyond, the connection is closed with
	// PROTOCOL_VIOLATION (RFC 9000, Section 21.9). Default 10000; negative: no limit.
	GlitchLimit int

	// CongestionControl makes the controller of a path. The default is
	// congestion.NewCUBIC.
	CongestionControl func(congestion.Config) congestion.Controller

	// InitialWindow is the congestion window at first, in packets. The default
	// is the congestion package's.
	InitialWindow int

	// DisablePacing sends as fast as the congestion window allows.
	DisablePacing bool

	// MaxUDPPayload bounds the datagrams sent, in bytes, and how far the path
	// MTU search goes. Default 1452; at least 1200.
	MaxUDPPayload int

	// DisablePathMTUDiscovery keeps datagrams at 1200 bytes (RFC 9000, Section 14.3). The search begins 10 ms after the
	// handshake, or before that when more is sent than one datagram takes, or SendDatagram is given too much.
	DisablePathMTUDiscovery bool

	// MaxAckDelay is the longest that an ACK waits. Default 25 ms.
	MaxAckDelay time.Duration

	// DisableECN sends no ECN marks.
	DisableECN bool
}

// ServerTLS prepares a server's TLS configuration for QUIC. It returns a copy;
// call it once and use the result for all connections.
func ServerTLS(cfg *tls.Config) *tls.Config { return prepareServerTLS(cfg) }

// ClientTLS prepares a client's TLS configuration for QUIC. It returns a copy,
// in which session tickets are disabled if cfg has no ClientSessionCache: set one
// before, not on the copy.
func ClientTLS(cfg *tls.Config) *tls.Config { return prepareClientTLS(cfg) }

// Validate tells what is wrong with the settings. Accept and Connect call it.
func (c *Config) Validate() error {
	switch {
	case c.TLS == nil:
		return errors.New("quic: Config.TLS is nil")
	case len(c.TLS.NextProtos) == 0 && c.TLS.GetConfigForClient == nil:
		return errors.New("quic: Config.TLS.NextProtos is empty, and QUIC needs ALPN")
	case c.MaxUDPPayload != 0 && (c.MaxUDPPayload < minUDPPayload || c.MaxUDPPayload > maxUDPPayload):
		return fmt.Errorf("quic: Config.MaxUDPPayload is %d, not between %d and %d", c.MaxUDPPayload, minUDPPayload, maxUDPPayload)
	case c.MaxAckDelay < 0 || c.MaxAckDelay >= 1<<14*time.Millisecond:
		return fmt.Errorf("quic: Config.MaxAckDelay is %v, not between 0 and 16.383 s", c.MaxAckDelay)
	case c.ConnIDs != nil && (c.ConnIDs.Len() < 0 || c.ConnIDs.Len() > MaxConnIDLen):
		return fmt.Errorf("quic: Config.ConnIDs makes IDs of %d bytes, not of 0 to %d", c.ConnIDs.Len(), MaxConnIDLen)
	case c.InitialDstIDs != nil && (c.InitialDstIDs.Len() < minInitialDstID || c.InitialDstIDs.Len() > MaxConnIDLen):
		return fmt.Errorf("quic: Config.InitialDstIDs makes IDs of %d bytes, not of %d to %d", c.InitialDstIDs.Len(), minInitialDstID, MaxConnIDLen)
	case c.ActiveConnIDLimit != 0 && (c.ActiveConnIDLimit < 2 || c.ActiveConnIDLimit > maxPeerConnIDs):
		return fmt.Errorf("quic: Config.ActiveConnIDLimit is %d, not between 2 and %d", c.ActiveConnIDLimit, maxPeerConnIDs)
	case c.KeepAlive < 0:
		return errNegative("KeepAlive", c.KeepAlive)
	case c.HandshakeTimeout < 0:
		return errNegative("HandshakeTimeout", c.HandshakeTimeout)
	case c.SendBuffer < 0:
		return errNegative("SendBuffer", c.SendBuffer)
	case c.ConnSendBuffer < 0:
		return errNegative("ConnSendBuffer", c.ConnSendBuffer)
	case c.DatagramQueue < 0:
		return errNegative("DatagramQueue", c.DatagramQueue)
	case c.InitialWindow < 0:
		return errNegative("InitialWindow", c.InitialWindow)
	}
	return nil
}

func errNegative(field string, v any) error {
	return fmt.Errorf("quic: Config.%s is %v, less than 0", field, v)
}

// withDefaults returns a copy in which every zero field has its default.
func (c *Config) withDefaults() Config {
	d := *c
	setDefault(&d.MaxIdleTimeout, defaultIdleTimeout)
	setDefault(&d.HandshakeTimeout, defaultHandshakeTimeout)
	setDefault(&d.MaxStreamsBidi, defaultMaxStreams)
	setDefault(&d.MaxStreamsUni, defaultMaxStreams)
	d.MaxStreamsBidi = int(min(uint64(max(d.MaxStreamsBidi, 0)), maxStreamCount))
	d.MaxStreamsUni = int(min(uint64(max(d.MaxStreamsUni, 0)), maxStreamCount))
	setDefault(&d.GlitchLimit, defaultGlitchLimit)
	setDefault(&d.ActiveConnIDLimit, maxPeerConnIDs)
	d.MaxIdleTimeout = max(d.MaxIdleTimeout, 0)
	setDefault(&d.StreamWindow, defaultStreamWindow)
	setDefault(&d.MaxStreamWindow, max(defaultMaxStreamWindow, d.StreamWindow))
	setDefault(&d.ConnWindow, defaultConnWindow)
	setDefault(&d.MaxConnWindow, max(defaultMaxConnWindow, d.ConnWindow))
	for _, w := range [...]*uint64{&d.StreamWindow, &d.MaxStreamWindow, &d.ConnWindow, &d.MaxConnWindow} {
		*w = min(*w, wire.MaxVarint)
	}
	setDefault(&d.SendBuffer, defaultSendBuffer)
	setDefault(&d.ConnSendBuffer, min(d.SendBuffer, math.MaxInt/fullSendBuffers)*fullSendBuffers)
	setDefault(&d.DatagramQueue, defaultDatagramQueue)
	setDefault(&d.MaxUDPPayload, defaultMaxUDPPayload)
	setDefault(&d.MaxAckDelay, defaultMaxAckDelay)
	if d.Rand == nil {
		d.Rand = rand.Reader
	}
	if d.ConnIDs == nil {
		d.ConnIDs = RandomConnIDs(defaultConnIDLen)
	}
	if d.InitialDstIDs == nil {
		d.InitialDstIDs = RandomConnIDs(minInitialDstID)
	}
	if d.CongestionControl == nil {
		d.CongestionControl = func(c congestion.Config) congestion.Controller { return congestion.NewCUBIC(c) }
	}
	return d
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// RandomConnIDs makes random connection IDs of n bytes, 0 to 20.
type RandomConnIDs int

// Len returns n.
func (n RandomConnIDs) Len() int { return int(n) }

// Generate copies random.
func (n RandomConnIDs) Generate(id, random []byte) { copy(id, random) }
