package qpack

// maxInt is the greatest integer that QPACK has to decode (RFC 9204, Section
// 4.1.1). Nothing here needs a greater one, and none is accepted.
const maxInt = 1<<62 - 1

// appendInt appends v as an integer with a prefix of n bits (RFC 7541, Section
// 5.1), in whose first byte the bits above are those of flags.
func appendInt(dst []byte, flags byte, n uint, v uint64) []byte {
	top := uint64(1)<<n - 1
	if v < top {
		return append(dst, flags|byte(v))
	}
	dst = append(dst, flags|byte(top))
	v -= top
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// intReader decodes an integer byte by byte, for it may be spread over
// several packets. Its zero value is ready for begin.
type intReader struct {
	v     uint64
	shift uint
}

type intState uint8

const (
	intMore   intState = iota // the integer goes on
	intDone                   // intReader.v is the integer
	intTooBig                 // it is above maxInt, or padded beyond reason
)

// begin takes the first byte, of which n bits are the integer's.
func (r *intReader) begin(b byte, n uint) intState {
	top := byte(1)<<n - 1
	r.v, r.shift = uint64(b&top), 0
	if b&top < top {
		return intDone
	}
	return intMore
}

// next takes each following byte.
func (r *intReader) next(b byte) intState {
	// 62 bits and a prefix need nine bytes; a tenth could only be padding or too much.
	if r.shift > 56 {
		return intTooBig
	}
	r.v += uint64(b&0x7f) << r.shift
	r.shift += 7
	switch {
	case r.v > maxInt:
		return intTooBig
	case b&0x80 == 0:
		return intDone
	}
	return intMore
}

// consumeInt decodes an integer with a prefix of n bits from the beginning of
// b. ok is false if b ends before the integer does, or if the integer is too big.
func consumeInt(b []byte, n uint) (v uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	var r intReader
	state := r.begin(b[0], n)
	b = b[1:]
	for state == intMore {
		if len(b) == 0 {
			return 0, nil, false
		}
		state = r.next(b[0])
		b = b[1:]
	}
	return r.v, b, state == intDone
}
