package wire

import "strconv"

// Space is a packet number space (RFC 9000, Section 12.3).
type Space uint8

// The packet number spaces. 0-RTT and 1-RTT packets share one.
const (
	SpaceInitial Space = iota
	SpaceHandshake
	SpaceApp
	NumSpaces = 3
)

// String returns "initial", "handshake" or "app".
func (s Space) String() string {
	switch s {
	case SpaceInitial:
		return "initial"
	case SpaceHandshake:
		return "handshake"
	case SpaceApp:
		return "app"
	}
	return "space " + strconv.Itoa(int(s))
}

// PacketType is what a packet is by its header.
type PacketType uint8

// The packet types. The first four have the values that version 1's long
// headers give them (RFC 9000, Section 17.2).
const (
	PacketInitial PacketType = iota
	Packet0RTT
	PacketHandshake
	PacketRetry
	PacketVersionNegotiation
	Packet1RTT
)

var packetNames = [...]string{
	PacketInitial:            "Initial",
	Packet0RTT:               "0-RTT",
	PacketHandshake:          "Handshake",
	PacketRetry:              "Retry",
	PacketVersionNegotiation: "Version Negotiation",
	Packet1RTT:               "1-RTT",
}

// String returns the name that RFC 9000 has for the type.
func (t PacketType) String() string {
	if int(t) < len(packetNames) {
		return packetNames[t]
	}
	return "packet type " + strconv.Itoa(int(t))
}

// PacketNumberLen returns how many bytes pn needs, 1 to 4, when largestAcked is
// the largest packet number of its space that was acknowledged. hasAcked is false
// if none was (RFC 9000, Section 17.1 and Appendix A.2).
func PacketNumberLen(pn, largestAcked uint64, hasAcked bool) int {
	unacked := pn + 1
	if hasAcked {
		unacked = pn - largestAcked
	}
	// The length has to tell apart more than twice as many numbers as are unacknowledged.
	switch {
	case unacked < 1<<7:
		return 1
	case unacked < 1<<15:
		return 2
	case unacked < 1<<23:
		return 3
	}
	return 4
}

// appendPacketNumber appends the low pnLen bytes of pn.
func appendPacketNumber(b []byte, pn uint64, pnLen int) []byte {
	switch pnLen {
	case 1:
		return append(b, byte(pn))
	case 2:
		return append(b, byte(pn>>8), byte(pn))
	case 3:
		return append(b, byte(pn>>16), byte(pn>>8), byte(pn))
	case 4:
		return append(b, byte(pn>>24), byte(pn>>16), byte(pn>>8), byte(pn))
	}
	panic("BUG: a packet number has 1 to 4 bytes")
}
