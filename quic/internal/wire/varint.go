package wire

import "encoding/binary"

// MaxVarint is the greatest integer that has an encoding (RFC 9000, Section 16).
const MaxVarint = 1<<62 - 1

// AppendVarint appends v in as few bytes as possible (RFC 9000, Section 16). It
// panics if v is greater than MaxVarint.
func AppendVarint(b []byte, v uint64) []byte {
	if v < 1<<6 {
		return append(b, byte(v))
	}
	return appendLongVarint(b, v)
}

// appendLongVarint is AppendVarint for what takes more than a byte.
func appendLongVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<14:
		return append(b, 0x40|byte(v>>8), byte(v))
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, 2<<30|uint32(v))
	case v <= MaxVarint:
		return binary.BigEndian.AppendUint64(b, 3<<62|v)
	}
	panic("BUG: the integer has no variable-length encoding")
}

// VarintLen returns how many bytes AppendVarint takes for v: 1, 2, 4 or 8.
func VarintLen(v uint64) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	}
	return 8
}

// ConsumeVarint returns the integer that b begins with and the length of its
// encoding, which need not be the shortest. n is 0 if b is cut off.
func ConsumeVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch b[0] >> 6 {
	case 0:
		return uint64(b[0]), 1
	case 1:
		if len(b) >= 2 {
			return uint64(binary.BigEndian.Uint16(b)) & (1<<14 - 1), 2
		}
	case 2:
		if len(b) >= 4 {
			return uint64(binary.BigEndian.Uint32(b)) & (1<<30 - 1), 4
		}
	case 3:
		if len(b) >= 8 {
			return binary.BigEndian.Uint64(b) & MaxVarint, 8
		}
	}
	return 0, 0
}

// A cursor reads from the front of b. A read beyond its end gives zeros and sets
// cut, which is looked at once, after the last read.
type cursor struct {
	b   []byte
	cut bool
}

func (c *cursor) varint() uint64 {
	v, n := ConsumeVarint(c.b)
	if n == 0 {
		c.cut = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.cut = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

// bytes returns the next n bytes, nil if there are fewer.
func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.cut = true
		return nil
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

// putVarint fills b, of 1, 2, 4 or 8 bytes, with v, which fits.
func putVarint(b []byte, v uint64) {
	switch len(b) {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.BigEndian.PutUint16(b, 1<<14|uint16(v))
	case 4:
		binary.BigEndian.PutUint32(b, 2<<30|uint32(v))
	case 8:
		binary.BigEndian.PutUint64(b, 3<<62|v)
	default:
		panic("BUG: an integer has 1, 2, 4 or 8 bytes")
	}
}
