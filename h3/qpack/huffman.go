package qpack

import "errors"

var (
	errHuffman = errors.New("qpack: invalid Huffman code")
	errTooLong = errors.New("qpack: string too long")
)

// huffmanLen returns the length of s in Huffman coding, in bytes.
func huffmanLen[T string | []byte](s T) int {
	bits := 0
	for i := 0; i < len(s); i++ {
		bits += int(huffmanLens[s[i]])
	}
	return (bits + 7) / 8
}

// appendHuffman appends s in Huffman coding (RFC 7541, Section 5.2).
func appendHuffman[T string | []byte](dst []byte, s T) []byte {
	var acc uint64 // the low n bits are yet to be written
	var n uint
	for i := 0; i < len(s); i++ {
		l := uint(huffmanLens[s[i]])
		acc = acc<<l | uint64(huffmanCodes[s[i]])
		n += l
		for n >= 8 {
			n -= 8
			dst = append(dst, byte(acc>>n))
		}
	}
	if n > 0 { // the rest of the byte is the beginning of EOS, which is ones
		dst = append(dst, byte(acc<<(8-n))|byte(0xff)>>n)
	}
	return dst
}

// The decoder takes huffmanRootBits bits at a time through a table. Longer
// codes are rare; the code is canonical, so that for each length the codes are
// a range of consecutive numbers.
const (
	huffmanRootBits = 9
	huffmanMaxBits  = 30
)

// huffmanDecoding is what the decoder needs of the code.
type huffmanDecoding struct {
	root [1 << huffmanRootBits]struct{ sym, len uint8 } // len 0: a longer code
	// Of the codes of each length: the first, their number, and where their
	// symbols begin in symbols.
	first   [huffmanMaxBits + 1]uint32
	count   [huffmanMaxBits + 1]uint32
	offset  [huffmanMaxBits + 1]uint32
	symbols [256]uint8
}

var huffmanTable = makeHuffmanTable()

func makeHuffmanTable() *huffmanDecoding {
	t := new(huffmanDecoding)
	at := uint32(0)
	for l := uint8(1); l <= huffmanMaxBits; l++ {
		t.offset[l] = at
		for s := range 256 {
			if huffmanLens[s] != l {
				continue
			}
			code := huffmanCodes[s]
			if t.count[l] == 0 {
				t.first[l] = code
			}
			t.count[l]++
			t.symbols[at] = uint8(s)
			at++
			if l <= huffmanRootBits {
				base := code << (huffmanRootBits - l)
				for i := range uint32(1) << (huffmanRootBits - l) {
					e := &t.root[base+i]
					e.sym, e.len = uint8(s), l
				}
			}
		}
	}
	return t
}

// appendHuffmanDecoded appends what src stands for, of at most limit bytes.
func appendHuffmanDecoded(dst, src []byte, limit int) ([]byte, error) {
	t := huffmanTable
	limit += len(dst)
	var acc uint64 // its low n bits are yet to be decoded
	var n uint
	for {
		for n <= 56 && len(src) > 0 {
			acc = acc<<8 | uint64(src[0])
			src = src[1:]
			n += 8
		}
		if n == 0 {
			return dst, nil
		}
		// The next huffmanRootBits bits, with ones for those beyond the end.
		var peek uint64
		if n >= huffmanRootBits {
			peek = acc >> (n - huffmanRootBits)
		} else {
			pad := huffmanRootBits - n
			peek = acc<<pad | (1<<pad - 1)
		}
		e := t.root[peek&(1<<huffmanRootBits-1)]
		sym, l := e.sym, uint(e.len)
		if l == 0 {
			sym, l = t.long(acc, n)
		}
		if l == 0 || l > n {
			// No symbol is left. The padding has to be less than a byte, all
			// ones; EOS itself never appears (RFC 7541, Section 5.2).
			if n >= 8 || acc&(1<<n-1) != 1<<n-1 {
				return dst, errHuffman
			}
			return dst, nil
		}
		if len(dst) >= limit {
			return dst, errTooLong
		}
		dst = append(dst, sym)
		n -= l
	}
}

// long finds the code of more than huffmanRootBits bits at the beginning of the low n
// bits of acc. Length 0: there is none.
func (t *huffmanDecoding) long(acc uint64, n uint) (sym uint8, length uint) {
	for l := uint(huffmanRootBits + 1); l <= min(n, huffmanMaxBits); l++ {
		code := uint32(acc >> (n - l) & (1<<l - 1))
		if i := code - t.first[l]; code >= t.first[l] && i < t.count[l] {
			return t.symbols[t.offset[l]+i], l
		}
	}
	return 0, 0
}
