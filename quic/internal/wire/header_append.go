package wire

import "encoding/binary"

// maxLength is the greatest value of a 2-byte Length field.
const maxLength = 1<<14 - 1

// AppendLongHeader appends an Initial, 0-RTT or Handshake header with the packet
// number in pnLen bytes (RFC 9000, Section 17.2). token is an Initial's. The
// Length field is 2 bytes at lengthOffset of out; SetLength fills it in.
func AppendLongHeader(b []byte, t PacketType, version uint32, dst, src, token []byte, pn uint64, pnLen int) (out []byte, lengthOffset int) {
	if t > PacketHandshake {
		panic("BUG: not a long header with a packet number")
	}
	b = append(b, bitLong|bitFixed|byte(t)<<4|byte(pnLen-1))
	b = appendIDs(b, version, dst, src)
	if t == PacketInitial {
		b = AppendVarint(b, uint64(len(token)))
		b = append(b, token...)
	}
	lengthOffset = len(b)
	b = append(b, 0x40, 0)
	return appendPacketNumber(b, pn, pnLen), lengthOffset
}

// SetLength writes n, the bytes of packet number, payload and tag, to the 2-byte
// Length field. n is at most 16383.
func SetLength(b []byte, lengthOffset, n int) {
	if n < 0 || n > maxLength {
		panic("BUG: the packet is too long for its Length field")
	}
	binary.BigEndian.PutUint16(b[lengthOffset:], 0x4000|uint16(n))
}

// appendIDs appends what follows the first byte in all long headers (RFC 8999, Section 5.1).
func appendIDs(b []byte, version uint32, dst, src []byte) []byte {
	if len(dst) > 255 || len(src) > 255 {
		panic("BUG: a connection ID of more than 255 bytes")
	}
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(b, byte(len(dst)))
	b = append(b, dst...)
	b = append(b, byte(len(src)))
	return append(b, src...)
}

// AppendShortHeader appends a 1-RTT packet's header with the packet number in
// pnLen bytes (RFC 9000, Section 17.3.1).
func AppendShortHeader(b []byte, dst []byte, pn uint64, pnLen int, keyPhase, spin bool) []byte {
	first := bitFixed | byte(pnLen-1)
	if keyPhase {
		first |= bitKeyPhase
	}
	if spin {
		first |= bitSpin
	}
	b = append(b, first)
	b = append(b, dst...)
	return appendPacketNumber(b, pn, pnLen)
}

// AppendVersionNegotiation appends a Version Negotiation packet (RFC 9000,
// Section 17.2.1). first is the first byte, whose low 7 bits have no meaning;
// IDs may have up to 255 bytes.
func AppendVersionNegotiation(b []byte, first byte, dst, src []byte, versions []uint32) []byte {
	b = append(b, bitLong|first)
	b = appendIDs(b, 0, dst, src)
	for _, v := range versions {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// AppendRetry appends a Retry packet without its integrity tag (RFC 9000,
// Section 17.2.5). The low 4 bits of first have no meaning.
func AppendRetry(b []byte, version uint32, first byte, dst, src, token []byte) []byte {
	b = append(b, bitLong|bitFixed|byte(PacketRetry)<<4|first&0x0f)
	b = appendIDs(b, version, dst, src)
	return append(b, token...)
}
