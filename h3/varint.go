package h3

import "encoding/binary"

// MaxVarint is the greatest variable-length integer (RFC 9000, Section 16).
const MaxVarint = 1<<62 - 1

// AppendVarint appends v as a variable-length integer of the shortest form
// (RFC 9000, Section 16). v must not be above MaxVarint.
func AppendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(b, uint16(v)|0x4000)
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, uint32(v)|0x8000_0000)
	case v <= MaxVarint:
		return binary.BigEndian.AppendUint64(b, v|0xc000_0000_0000_0000)
	}
	panic("BUG: h3: integer above 2^62-1")
}

// ConsumeVarint decodes the variable-length integer at the beginning of b, of n
// bytes. n is 0 if b ends before the integer does.
func ConsumeVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	n = varintLen(b[0])
	if len(b) < n {
		return 0, 0
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n
}

// varintLen returns the length of the integer that begins with first.
func varintLen(first byte) int { return 1 << (first >> 6) }
