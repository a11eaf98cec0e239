package udp

// Caps is what a socket can do.
type Caps struct {
	// GSO means that a train is handed to the kernel as a whole. It becomes
	// false when that fails for good.
	GSO bool

	// MaxSegments is how many datagrams one system call sends at most, and
	// MaxTrain how many bytes. Longer trains take several.
	MaxSegments, MaxTrain int

	// GRO means that a Message may be several datagrams.
	GRO bool

	// ECN means that ECN marks are read and set.
	ECN bool

	// Pktinfo means that local addresses are read and set.
	Pktinfo bool

	// DF means that no datagram sent is ever fragmented.
	DF bool

	// ReceiveBuffer and SendBuffer are the sizes of the kernel's buffers, in
	// bytes, or 0 if they are unknown.
	ReceiveBuffer, SendBuffer int
}

// The most payload that an IP packet without options or extension headers
// carries over UDP, in bytes. In IPv4 the header counts toward the 16-bit length, in IPv6 it does not.
const (
	maxPayload4 = 1<<16 - 1 - 20 - 8
	maxPayload6 = 1<<16 - 1 - 8
)
