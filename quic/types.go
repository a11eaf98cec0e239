package quic

import (
	"encoding/hex"
	"net/netip"
	"strconv"

	"github.com/frittata-go/frittata/internal/chunk"
)

// Version1 is QUIC version 1 (RFC 9000).
const Version1 uint32 = 0x00000001

// MaxConnIDLen is the greatest length of a connection ID in bytes (RFC 9000, Section 17.2).
const MaxConnIDLen = 20

// Dir tells whether a stream carries data both ways or only from its initiator.
type Dir uint8

const (
	// Bidi streams carry data both ways.
	Bidi Dir = iota
	// Uni streams carry data from the initiator alone.
	Uni
)

// String returns "bidi" or "uni".
func (d Dir) String() string {
	if d == Uni {
		return "uni"
	}
	return "bidi"
}

// StreamID identifies a stream within a connection (RFC 9000, Section 2.1).
// The two low bits tell the initiator and the direction.
type StreamID uint64

// Dir returns the direction that the ID's second bit tells.
func (id StreamID) Dir() Dir { return Dir(id >> 1 & 1) }

// ServerInitiated tells whether the server opened the stream.
func (id StreamID) ServerInitiated() bool { return id&1 == 1 }

// String returns the ID in decimal.
func (id StreamID) String() string { return strconv.FormatUint(uint64(id), 10) }

// index is the stream's ordinal among those of its kind.
func (id StreamID) index() uint64 { return uint64(id >> 2) }

// ECN is the two-bit Explicit Congestion Notification field of the IP header (RFC 3168).
type ECN uint8

// The code points of the ECN field.
const (
	NotECT ECN = 0
	ECT1   ECN = 1
	ECT0   ECN = 2
	CE     ECN = 3
)

// Datagram is one UDP payload that came in. Whoever handles it may overwrite
// Data (packets are decrypted in place) but keeps no reference to it.
type Datagram struct {
	Data   []byte
	Remote netip.AddrPort // where it came from
	Local  netip.Addr     // the address that it came to; the zero Addr if unknown
	Socket uint32         // the caller's number for the socket that it came by
	ECN    ECN
}

// Train is what Transmit wrote: datagrams that go out with one system call.
// All of them are Segment bytes long but the last, which may be shorter.
type Train struct {
	N       int            // bytes written to the caller's buffer
	Segment int            // bytes of each datagram but the last
	Remote  netip.AddrPort // where to
	Local   netip.Addr     // the source address to use; the zero Addr leaves it to the system
	Socket  uint32         // the number of the socket to use
	ECN     ECN
	// Alone tells that each datagram has to be handed to the network on its own, since on this path
	// all but the first of a train are lost otherwise.
	Alone bool
}

// TrainFate is what became of trains on a path.
type TrainFate uint8

const (
	// TrainsUnknown: nothing that is not the first of its train was acknowledged.
	TrainsUnknown TrainFate = iota
	// TrainsArrived: some was.
	TrainsArrived
	// TrainsLost: time and again all but the first was lost. Train.Alone is set from then on.
	TrainsLost
)

// Count returns the number of datagrams in the train.
func (t *Train) Count() int {
	if t.Segment == 0 {
		return 0
	}
	return (t.N + t.Segment - 1) / t.Segment
}

// ConnID is a connection ID: 0 to 20 bytes. It is comparable.
type ConnID struct {
	n uint8
	b [MaxConnIDLen]byte
}

// NewConnID copies b, which must not be longer than MaxConnIDLen.
func NewConnID(b []byte) ConnID {
	if len(b) > MaxConnIDLen {
		panic("quic: connection ID longer than 20 bytes")
	}
	var c ConnID
	c.n = uint8(copy(c.b[:], b))
	return c
}

// Len returns the length in bytes.
func (c *ConnID) Len() int { return int(c.n) }

// Bytes returns the ID's bytes, which alias c.
func (c *ConnID) Bytes() []byte { return c.b[:c.n] }

// String returns the ID in hexadecimal.
func (c ConnID) String() string { return hex.EncodeToString(c.b[:c.n]) }

// ConnIDGenerator makes the connection IDs that an endpoint gives out. One
// generator serves an Endpoint and its connections, so its methods must be
// safe for concurrent use.
type ConnIDGenerator interface {
	// Len returns the length of each ID, 0 to 20 bytes. It never changes.
	// A server needs at least 4 bytes, so that it can tell connections apart.
	Len() int
	// Generate fills id, which is Len bytes long. random has Len bytes of
	// fresh randomness to take from.
	Generate(id, random []byte)
}

// Buffer is pooled memory that is passed by ownership; see StreamWriteBuf and StreamReadBuf.
type Buffer = chunk.Buffer

// BufferPool is where a connection's buffers come from and go to. The zero
// value is ready; many connections, on any goroutines, may share one.
type BufferPool = chunk.Pool
