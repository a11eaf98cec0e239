package quic

import (
	"net/netip"
	"time"
)

// Incoming is a client's first flight that waits for a decision: Admit and
// [Accept], Retry, Refuse or Ignore. Its getters tell what is known at this
// point, which is nothing that the client could not have made up, unless
// Validated. The server name and the ALPN protocols are known only to the
// callbacks of Config.TLS, after Accept.
type Incoming struct {
	remote     netip.AddrPort
	local      netip.Addr
	socket     uint32
	version    uint32
	dstID      ConnID // destination of the first Initial, of which the Initial keys are made
	srcID      ConnID // the client's
	origDstID  ConnID // destination before a Retry; without, dstID
	retrySrcID ConnID // source of our Retry
	retried    bool   // the flight answers a Retry
	validated  bool   // the client has shown that it receives at remote
	datagrams  []heldDatagram
	received   time.Time // when the first datagram came

	// For the Endpoint alone.
	key        flightKey
	state      incomingState
	route      any
	size       int // of the datagrams, with bookkeeping
	prev, next *Incoming
}

// heldDatagram is a copy of a datagram.
type heldDatagram struct {
	data []byte
	ecn  ECN
}

type incomingState uint8

const (
	incomingPending  incomingState = iota // the Endpoint has it
	incomingAdmitted                      // its datagrams are Accept's, later ones are routed
	incomingGone                          // the Endpoint has forgotten it
)

// RemoteAddr returns the address that the flight came from.
func (in *Incoming) RemoteAddr() netip.AddrPort { return in.remote }

// LocalAddr returns the address that the flight came to, the zero Addr if it is not known.
func (in *Incoming) LocalAddr() netip.Addr { return in.local }

// Socket returns the caller's number of the socket that the flight came by.
func (in *Incoming) Socket() uint32 { return in.socket }

// Version returns the QUIC version.
func (in *Incoming) Version() uint32 { return in.version }

// OriginalDstID returns the destination connection ID of the very first
// Initial, the one before a Retry.
func (in *Incoming) OriginalDstID() ConnID { return in.origDstID }

// Validated tells whether the flight has a valid Retry token, which proves that
// the client receives at RemoteAddr (RFC 9000, Section 8.1.2).
func (in *Incoming) Validated() bool { return in.validated }

// Received returns when the first datagram came.
func (in *Incoming) Received() time.Time { return in.received }

// ReceivedBytes returns the bytes of UDP payload that came so far. Before
// Validated three times as many may be sent (RFC 9000, Section 8.1).
func (in *Incoming) ReceivedBytes() int {
	n := 0
	for i := range in.datagrams {
		n += len(in.datagrams[i].data)
	}
	return n
}
