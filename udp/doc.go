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
//   - [Conn.ReadBatch] receives several messages with one system call, and each
//     message may be many datagrams of the same origin (generic receive offload,
//     GRO): see [Message.Segment].
//   - ECN marks are read and set, and so are the local addresses that datagrams
//     were sent to and are sent from, which a socket bound to all addresses
//     needs to answer from the address that it was spoken to.
//   - Datagrams are never fragmented (DF), and what the kernel believes about the path's
//     MTU, which forged ICMP messages can lower, is ignored: [ErrTooLarge] means
//     the interface's own MTU.
//
// Each of these is probed when the socket is opened, told by [Conn.Caps], and
// switched off by a field of [Options]. What only turns out later is dealt with as
// it happens: when a network interface refuses a train that the kernel took for
// possible, the same train goes out datagram by datagram, and so do all after it.
//
// One goroutine at a time may read; any number may write. Neither
// direction allocates memory on Linux.
//
// # Systems
//
// Linux has it all. Other systems send and receive one datagram a call; there ECN
// marks and local addresses are neither reported nor set, and macOS, FreeBSD and Windows can set DF.
package udp
