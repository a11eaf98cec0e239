package udp

import "fmt"

// DefaultBuffer is the size, in bytes, that the kernel is asked for in each
// direction if Options does not say otherwise. At 1 Gbit/s it is 60 ms of traffic.
const DefaultBuffer = 7 << 20

// Options says how to open a socket. The zero value, and nil, use all that the system can
// do, but for what has a price or a special purpose.
type Options struct {
	// DisableGSO has WriteTrain hand over each datagram on its own.
	DisableGSO bool

	// DisableGRO has each Message be one datagram.
	DisableGRO bool

	// DisableECN has ECN marks neither read nor set.
	DisableECN bool

	// DisablePktinfo has local addresses neither read nor set.
	DisablePktinfo bool

	// DisableDF lets datagrams be fragmented if the system does so by default.
	DisableDF bool

	// DisableShield leaves alone which datagrams the kernel takes: [Conn.SetShield] fails.
	DisableShield bool

	// DisableBatching has each system call carry one message, which with GSO may be a train.
	DisableBatching bool

	// DisablePoll leaves waiting to read to the poller of Go's runtime.
	DisablePoll bool

	// DisableDropCount has the kernel not tell what it drops: Stats.Dropped stays 0.
	DisableDropCount bool

	// ReceiveBuffer and SendBuffer are the sizes of the kernel's buffers in
	// bytes. Zero asks for DefaultBuffer, but leaves a buffer alone that is larger. A
	// negative size leaves it alone in any case. The kernel may give less:
	// [Caps] tells, and [Caps.Warning] says what to do about it.
	ReceiveBuffer, SendBuffer int

	// DSCP is the code point for what is sent (RFC 2474), at most 63. Zero leaves
	// it as it is. Either way an ECN mark goes beside it.
	DSCP uint8

	// Timestamps has the kernel say when datagrams came in: see Message.Time. That
	// takes some time for each datagram.
	Timestamps bool

	// TxTime has the kernel keep a train until its release time: see Train.Time.
	// Whether it does depends on the outgoing interface, and there is no way to find out: it
	// takes the queueing discipline fq, and anything else, such as
	// the loopback interface, sends at once. Ask for it only where that is known.
	TxTime bool

	// ReusePort lets several sockets be bound to the same port, among which the
	// kernel spreads what comes in. Listen fails where the system cannot do that. New
	// ignores it, since its socket is bound already. For several sockets in one
	// program there is [ListenGroup].
	ReusePort bool

	// Steer is how ListenGroup has datagrams find their socket. Nil leaves it to the kernel.
	Steer *Steer

	// Transparent is for transparent proxies on Linux: the socket may be bound to, send
	// from, and receive what was sent to addresses that are not this host's (IP_TRANSPARENT), and
	// Message.OriginalDst is told. Opening it fails if that is not possible; it needs CAP_NET_ADMIN or CAP_NET_RAW,
	// unless a socket that is given to New has the option already.
	Transparent bool

	// Mark is the mark of what is sent, by which Linux can choose a route (SO_MARK). Zero
	// leaves it as it is. Opening the socket fails if that is not possible; it needs
	// the same capabilities as Transparent.
	Mark uint32
}

// maxDSCP is the largest code point, of six bits.
const maxDSCP = 63

// check finds fault with options that make no sense.
func (o *Options) check() error {
	if o.DSCP > maxDSCP {
		return fmt.Errorf("udp: DSCP %d is more than %d", o.DSCP, maxDSCP)
	}
	return nil
}
