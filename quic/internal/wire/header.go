package wire

import (
	"encoding/binary"
	"errors"
)

// Version1 is QUIC's version 1 (RFC 9000, Section 15).
const Version1 = 1

// Bits of the first byte of a packet (RFC 9000, Sections 17.2 and 17.3).
const (
	bitLong     = 0x80
	bitFixed    = 0x40
	bitSpin     = 0x20
	bitKeyPhase = 0x04
)

// retryTagLen is the length of a Retry's integrity tag in bytes (RFC 9001, Section 5.8).
const retryTagLen = 16

// Packets whose header is wrong are dropped: these errors are told to no peer.
var (
	errHeaderCut   = errors.New("quic: packet header is cut off")
	errHeaderFixed = errors.New("quic: packet without the fixed bit")
	errHeaderVers  = errors.New("quic: packet of an unknown version")
	errHeaderID    = errors.New("quic: packet with a connection ID of more than 20 bytes")
	errHeaderLen   = errors.New("quic: packet is longer than its datagram")
	errHeaderList  = errors.New("quic: malformed list of versions")
)

// Invariant is what the headers of all versions have (RFC 8999, Section 5). Slices alias the input.
type Invariant struct {
	Long         bool
	Version      uint32 // long only
	DstID, SrcID []byte // of up to 255 bytes in a long header; a short one has no SrcID
}

// ParseInvariant parses the header of the first packet of b. idLen is the length
// in bytes of the destination ID of short headers, which do not tell it.
func ParseInvariant(b []byte, idLen int) (Invariant, error) {
	if len(b) > idLen && b[0]&bitLong == 0 {
		return Invariant{DstID: b[1 : 1+idLen]}, nil
	}
	if len(b) < 7 || b[0]&bitLong == 0 {
		return Invariant{}, errHeaderCut
	}
	dst := 6 + int(b[5])
	if len(b) <= dst {
		return Invariant{}, errHeaderCut
	}
	src := dst + 1 + int(b[dst])
	if len(b) < src {
		return Invariant{}, errHeaderCut
	}
	return Invariant{
		Long:    true,
		Version: binary.BigEndian.Uint32(b[1:]),
		DstID:   b[6:dst],
		SrcID:   b[dst+1 : src],
	}, nil
}

// Header is a packet's header up to the packet number, which is still protected.
// Slices alias the input.
type Header struct {
	Type         PacketType
	Version      uint32
	DstID, SrcID []byte
	Token        []byte // of Initial and Retry
	Tag          []byte // of Retry: the 16 bytes of the integrity tag
	Versions     []byte // of Version Negotiation: 4 bytes each
	PNOffset     int    // where the packet number begins, 0 if there is none
	End          int    // where the packet ends within the datagram: the next coalesced one begins there
}

// ParseHeader parses the header of the first packet of b and sets all of h; b may
// hold more packets (RFC 9000, Section 12.2). It takes version 1's long
// headers, Version Negotiation, and short headers with a destination ID of
// idLen bytes. A packet that it has an error for has to be dropped, with all
// that follows it in the datagram.
func ParseHeader(b []byte, idLen int, h *Header) error {
	if len(b) > idLen && b[0]&(bitLong|bitFixed) == bitFixed {
		*h = Header{}
		h.Type = Packet1RTT
		h.DstID = b[1 : 1+idLen]
		h.PNOffset = 1 + idLen
		h.End = len(b)
		return nil
	}
	inv, err := ParseInvariant(b, idLen)
	if err != nil {
		return err
	}
	*h = Header{Version: inv.Version, DstID: inv.DstID, SrcID: inv.SrcID, End: len(b)}
	switch {
	case !inv.Long:
		return errHeaderFixed // RFC 9000, Section 17.3.1
	case inv.Version == 0:
		return h.parseVersionNegotiation(b)
	case b[0]&bitFixed == 0:
		return errHeaderFixed // RFC 9000, Section 17.2
	case inv.Version != Version1:
		return errHeaderVers
	case len(inv.DstID) > MaxConnIDLen || len(inv.SrcID) > MaxConnIDLen:
		return errHeaderID // RFC 9000, Section 17.2
	}
	return h.parseLong(b)
}

// LongType returns the type of a version 1 packet with a long header, by its first byte alone.
func LongType(b []byte) PacketType { return PacketType(b[0] >> 4 & 3) }

// idsEnd returns where the connection IDs of a long header end.
func (h *Header) idsEnd() int { return 7 + len(h.DstID) + len(h.SrcID) }

// parseVersionNegotiation parses what follows the invariant header (RFC 9000, Section 17.2.1).
func (h *Header) parseVersionNegotiation(b []byte) error {
	h.Type = PacketVersionNegotiation
	h.Versions = b[h.idsEnd():]
	if len(h.Versions) == 0 || len(h.Versions)%4 != 0 {
		return errHeaderList
	}
	return nil
}

// parseLong parses what follows the invariant header in a packet of version 1
// (RFC 9000, Sections 17.2.2 to 17.2.5).
func (h *Header) parseLong(b []byte) error {
	h.Type = LongType(b)
	i := h.idsEnd()
	if h.Type == PacketRetry {
		tag := len(b) - retryTagLen
		if tag < i {
			return errHeaderCut
		}
		h.Token, h.Tag = b[i:tag], b[tag:]
		return nil
	}
	c := cursor{b: b[i:]}
	if h.Type == PacketInitial {
		h.Token = c.bytes(c.varint())
	}
	length := c.varint()
	if c.cut {
		return errHeaderCut
	}
	if length > uint64(len(c.b)) {
		return errHeaderLen
	}
	h.PNOffset = len(b) - len(c.b)
	h.End = h.PNOffset + int(length)
	return nil
}
