package udp

import "fmt"

// Steer tells [ListenGroup] where QUIC packets say which socket they are for: the low
// bits of one byte of the destination connection ID are the socket's place in the group, from 0 on. Whoever
// chooses connection IDs puts it there, so that a connection stays with its socket when the
// peer's address changes (RFC 9000, Section 9).
//
// That goes for packets with a short header. Datagrams that begin with anything else, that are too short, or that
// name a socket which is not there are spread by the kernel as without Steer; of
// those with a long header the client may have made up the connection ID. Of what GRO
// put together the first datagram decides for all. What comes in while ListenGroup runs is spread likewise,
// so that a socket must expect strays.
//
// The group begins with a port that no other socket has: ListenGroup fails if there is
// one, even if that shares the port.
//
// An observer can read the number too. That tells connections of different sockets
// apart, which is little, but more than nothing (RFC 9000, Section 5.1).
//
// Where the system has no such thing all is spread as without Steer: Caps.Steering tells.
type Steer struct {
	// Offset is which byte of the connection ID it is, from 0 to 19.
	Offset int

	// Bits is how many of the low bits of that byte count, from 1 to 8. Zero is 8. The others may be
	// anything.
	Bits int
}

// maxConnectionID is the length of the longest connection ID, in bytes (RFC 9000, Section 17.2).
const maxConnectionID = 20

// check finds fault with what makes no sense for n sockets.
func (s *Steer) check(n int) error {
	switch {
	case s == nil:
		return nil
	case s.Offset < 0 || s.Offset >= maxConnectionID:
		return fmt.Errorf("udp: Steer.Offset %d is not within a connection ID", s.Offset)
	case s.Bits < 0 || s.Bits > 8:
		return fmt.Errorf("udp: Steer.Bits %d are not within a byte", s.Bits)
	case n > s.mask()+1:
		return fmt.Errorf("udp: group of %d sockets, but Steer tells only %d apart", n, s.mask()+1)
	}
	return nil
}

// mask returns the bits of the byte that count.
func (s *Steer) mask() int {
	if s.Bits == 0 {
		return 0xff
	}
	return 1<<s.Bits - 1
}
