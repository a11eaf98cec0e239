package udp

// Caps is what a socket can do.
type Caps struct {
	// GSO means that a train is handed to the kernel as a whole. It becomes
	// false when that fails for good, and by [Conn.DisableGSO] until [Conn.EnableGSO].
	GSO bool

	// GSOReason says why there is no GSO. It is empty if there is.
	GSOReason string

	// MaxSegments is how many datagrams the kernel takes as one by GSO at most, and how many messages
	// one system call sends by Batching, each of which may be that many; MaxTrain is how many
	// bytes it takes as one. Longer trains are cut up.
	MaxSegments, MaxTrain int

	// GRO means that a Message may be several datagrams.
	GRO bool

	// Batching means that one system call carries several messages. It becomes false when
	// the kernel turns out not to have such calls.
	Batching bool

	// Poll means that waiting to read is not left to the poller of Go's runtime, which
	// wakes threads for what nobody waits for; and that [Conn.Poll] and [Conn.Await] wait.
	Poll bool

	// ECN means that ECN marks are read and set. It becomes false when the system
	// refuses them.
	ECN bool

	// Pktinfo means that local addresses are read and set. It becomes false
	// when the system refuses to set one that is this host's and may be the source of
	// what is sent to that destination.
	Pktinfo bool

	// DF means that no datagram sent is ever fragmented.
	DF bool

	// DSCP is the code point that all datagrams bear (RFC 2474). It is 0 also if it is
	// unknown, or not the same for the IP versions that the socket speaks.
	DSCP uint8

	// Timestamps means that Message.Time is told.
	Timestamps bool

	// DropCount means that Stats.Dropped is counted.
	DropCount bool

	// TxTime means that the kernel takes release times, though not that it
	// heeds them. It becomes false when it refuses them.
	TxTime bool

	// Steering means that Options.Steer is in force.
	Steering bool

	// Shield means that SetShield works. It becomes false when the kernel refuses a filter.
	Shield bool

	// Transparent means that addresses need not be this host's.
	Transparent bool

	// OriginalDst means that Message.OriginalDst is told.
	OriginalDst bool

	// Mark is the mark of what is sent.
	Mark uint32

	// ReceiveBuffer and SendBuffer are the sizes of the kernel's buffers, in
	// bytes, or 0 if they are unknown.
	ReceiveBuffer, SendBuffer int

	// ReceiveBufferWanted and SendBufferWanted are the sizes that the kernel
	// was asked for, in bytes, or 0 if that is none.
	ReceiveBufferWanted, SendBufferWanted int
}

// The most payload that an IP packet without options or extension headers
// carries over UDP, in bytes. In IPv4 the header counts toward the 16-bit length, in IPv6 it does not.
const (
	maxPayload4 = 1<<16 - 1 - 20 - 8
	maxPayload6 = 1<<16 - 1 - 8
)
