package udp

import (
	"net/netip"
	"time"
)

// BufferSize is the size of a receive buffer, in bytes, that no datagram and no
// sequence of datagrams that GRO put together exceeds.
const BufferSize = 64 << 10

// Message is a buffer to receive into, and what was received. With GRO
// it is several datagrams of the same origin, destination and ECN mark, one behind the other.
type Message struct {
	// Buf is where to receive. The caller sets it, and keeps it. With less than
	// BufferSize bytes datagrams may be truncated.
	Buf []byte

	// N is the number of bytes received.
	N int

	// Segment is the size of each datagram but the last, which may be shorter. It
	// is N if there is only one.
	Segment int

	// Remote is where the datagrams come from. An IPv4 address is never in its
	// IPv6-mapped form, and a link-local IPv6 address has its zone.
	Remote netip.AddrPort

	// Local is the address that the datagrams were sent to, or the zero Addr if that is unknown.
	Local netip.Addr

	// OriginalDst is the address and port that the datagrams were sent to, also
	// where a transparent proxy gets what was meant for others. It is the zero AddrPort
	// unless Caps.OriginalDst.
	OriginalDst netip.AddrPort

	// Interface is the index of the network interface that the datagrams came in by, or 0 if that is unknown.
	Interface int

	// Time is when the kernel received the datagrams, or the first of them, as the
	// system's clock had it, without a monotonic reading. It is the zero Time unless Caps.Timestamps.
	Time time.Time

	// ECN is the codepoint of the IP header (RFC 3168, Section 5): 0 is Not-ECT,
	// 1 ECT(1), 2 ECT(0) and 3 CE. It is 0 if it is unknown.
	ECN uint8

	// Truncated means that Buf was too small: the end of the last datagram, or
	// more, was lost. On Windows Remote is then unknown.
	Truncated bool
}

// Train is a sequence of datagrams to one destination.
type Train struct {
	// Data is the datagrams, one behind the other. If it is empty, that is one
	// empty datagram.
	Data []byte

	// Segment is the size of each datagram but the last, which may be shorter. If
	// it is not positive, or not less than len(Data), there is only one.
	Segment int

	// Remote is the destination. The zero AddrPort is the one that a connected socket has; whether
	// that takes another one depends on the system.
	Remote netip.AddrPort

	// Local is the source address to use, which must be one of this host's. The
	// zero Addr is the system's choice.
	Local netip.Addr

	// Time is when the train is to leave, as a whole. The zero Time is now, as is any
	// time if Caps.TxTime is false. The queueing discipline drops what is further ahead
	// than its horizon, which is 10 s by default. A time with a monotonic reading, such as of time.Now, does not
	// depend on changes of the system's clock.
	Time time.Time

	// ECN is the codepoint for the IP header, as in Message.
	ECN uint8

	// Alone has the train sent without GSO, for where trains get lost.
	Alone bool
}

// Count returns the number of datagrams.
func (t *Train) Count() int {
	return count(len(t.Data), t.Segment)
}

// count returns how many datagrams of segment bytes each n bytes are.
func count(n, segment int) int {
	if segment <= 0 || segment >= n {
		return 1
	}
	// Not (n+segment-1)/segment, which could overflow.
	return (n-1)/segment + 1
}
