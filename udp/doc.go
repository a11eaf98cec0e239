// Package udp sends and receives UDP datagrams many at a time.
//
// It is the socket layer of frittata and of use without it, for any protocol that
// sends bursts of datagrams over UDP. Per datagram, most of the cost of UDP is
// in the kernel, which walks its network stack once for each; where the
// system can take a whole train of datagrams through at once, that cost is paid
// once a train.
//
//   - [Conn.WriteTrain] sends datagrams of one size to one address. On Linux that
//     is a single packet for most of the kernel's way (generic segmentation
//     offload, GSO), elsewhere a loop.
//
//   - [Conn.ReadBatch] receives several messages with one system call, and each
//     message may be many datagrams of the same origin (generic receive offload,
//     GRO): see [Message.Segment].
//
//   - ECN marks are read and set, and so are the local addresses that datagrams
//     were sent to and are sent from, which a socket bound to all addresses
//     needs to answer from the address that it was spoken to.
//
//   - Datagrams are never fragmented (DF), and what the kernel believes about the path's
//     MTU, which forged ICMP messages can lower, is ignored: [ErrTooLarge] means
//     the interface's own MTU.
//
//   - The poller of Go's runtime, which wakes a thread for each datagram that has left and for all that
//     arrives, has nothing to do with the socket but when a read waits; and a read that will
//     not wait long need not be parked ([Conn.Poll]). Go's scheduler need not be
//     told of system calls that do not wait ([Conn.Await]).
//
//   - Several sockets may share a port ([ListenGroup]), and QUIC packets find theirs by the
//     connection ID ([Steer]).
//
//   - Under a flood the kernel drops packets of clients that would begin a QUIC connection, before they
//     take the place of others in the receive buffer ([Conn.SetShield]).
//
//   - On request, the kernel stamps what comes in ([Message.Time]), holds back what goes out
//     ([Train.Time]), and lets a transparent proxy use addresses that are not its
//     host's ([Options]).
//
// Each of these is probed when the socket is opened, told by [Conn.Caps], and
// switched off by a field of [Options]. What only turns out later is dealt with as
// it happens: when a network interface refuses a train that the kernel took for
// possible, the same train goes out datagram by datagram, and so do all after it. What only the
// far end can tell, that trains get lost on their way, is for the caller to find out: see
// [Conn.DisableGSO]. This package does not log; [Caps.Warning] has what an operator
// should hear.
//
// One goroutine at a time may read; any number may write. Neither
// direction allocates memory on Linux.
//
// # Systems
//
// What there is, if the system's version has it:
//
//	                                  Linux   macOS   FreeBSD  Windows  others
//	trains as a whole (GSO, GRO)      yes     -       -        -        -
//	several messages a call           yes     -       -        -        -
//	a poller of its own, Poll, Await  yes     -       -        -        -
//	TryReadBatch                      yes     yes     yes      -        Unix, but for AIX
//	ECN marks                         yes     yes     -        -        -
//	local address (Local, Interface)  yes     yes     -        -        -
//	no fragmentation (DF)             yes     yes     yes      yes      -
//	DSCP                              yes     yes     -        -        -
//	ReusePort                         yes     yes     yes      -        Unix, but for Solaris
//	groups of sockets, steering       yes     -       -        -        -
//	receive time stamps               yes     -       -        -        -
//	release times (TxTime)            yes     -       -        -        -
//	count of drops (Stats.Dropped)    yes     -       -        -        -
//	drops in the kernel (SetShield)   yes     -       -        -        -
//	Transparent, OriginalDst, Mark    yes     -       -        -        -
//	sizes of buffers in Caps          yes     yes     yes      yes      Unix
//
// On Linux, release times are heeded by the queueing discipline fq alone; the loopback
// interface and others send at once. Some versions of macOS take ECN marks for IPv4 and do not
// put them into the header: those who use them have to find out whether they arrive, as QUIC does (RFC 9000,
// Section 13.4.2). What macOS does was taken from its documentation and sources, and only the
// encoding of its control messages is tested on other systems.
package udp
