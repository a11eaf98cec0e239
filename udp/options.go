package udp

// DefaultBuffer is the size, in bytes, that the kernel is asked for in each
// direction if Options does not say otherwise. At 1 Gbit/s it is 60 ms of traffic.
const DefaultBuffer = 7 << 20

// Options says how to open a socket. The zero value, and nil, use all that the system can do.
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

	// ReceiveBuffer and SendBuffer are the sizes of the kernel's buffers in
	// bytes. Zero asks for DefaultBuffer, but leaves a buffer alone that is larger. A
	// negative size leaves it alone in any case. The kernel may give less:
	// [Caps] tells.
	ReceiveBuffer, SendBuffer int

	// ReusePort lets several sockets be bound to the same port, among which the
	// kernel spreads what comes in. Listen fails where the system cannot do that. New
	// ignores it, since its socket is bound already.
	ReusePort bool
}
