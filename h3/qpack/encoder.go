package qpack

// Encoder encodes field sections. Its zero value is ready. It is not safe for
// concurrent use.
type Encoder struct {
	// KeepCase leaves capital letters in names as they are, which makes what
	// HTTP/3 calls malformed.
	KeepCase bool
	// Plain leaves out Huffman coding and the static table.
	Plain bool

	lower []byte // scratch for names
	memo  *memo  // of lines; see memo.begin
	count uint8  // of sections without a memo

	stream     intReader // of the instruction that the peer's decoder stream is in, if streamBusy
	streamBusy bool
}

// The representations of field lines (RFC 9204, Section 4.5).
const (
	lineIndexed        = 0b1000_0000
	lineIndexedStatic  = 0b0100_0000 // T
	lineNameRef        = 0b0100_0000
	lineNameRefNever   = 0b0010_0000 // N
	lineNameRefStatic  = 0b0001_0000 // T
	lineLiteral        = 0b0010_0000
	lineLiteralNever   = 0b0001_0000 // N
	lineLiteralHuffman = 0b0000_1000 // H
	linePostBase       = 0b0001_0000
	stringHuffman      = 0b1000_0000 // H of a value
)

// Rest lets go of scratch memory and of what is remembered. The next sections make it anew.
func (e *Encoder) Rest() { e.lower, e.memo = nil, nil }

// SectionSize returns what fields count against a limit on field sections
// (RFC 9114, Section 4.2.2), in bytes.
func SectionSize(fields []Field) uint64 {
	var n uint64
	for i := range fields {
		n += fields[i].Size()
	}
	return n
}

// AppendSection appends the encoded field section of fields.
func (e *Encoder) AppendSection(dst []byte, fields []Field) []byte {
	// Required Insert Count 0 and Base 0: no reference to the dynamic table
	// (RFC 9204, Section 4.5.1).
	dst = append(dst, 0, 0)
	e.memo = e.memo.begin(&e.count)
	for i := range fields {
		dst = e.appendField(dst, &fields[i])
	}
	return dst
}

// appendField is appendLine with a memo, which is not told of what is sensitive.
func (e *Encoder) appendField(dst []byte, f *Field) []byte {
	if e.memo == nil || f.Sensitive || e.Plain || e.KeepCase {
		return e.appendLine(dst, f)
	}
	hash := hashField(f)
	if line := e.memo.line(hash, f); line != "" {
		return append(dst, line...)
	}
	begin := len(dst)
	dst = e.appendLine(dst, f)
	coded := dst[begin:]
	// What is a reference to the static table is not worth a slot.
	if len(coded) > 2 && e.memo.again(hash, len(f.Name)+len(f.Value)+len(coded)) {
		e.memo.remember(hash, f.Name, f.Value, coded)
	}
	return dst
}

func (e *Encoder) appendLine(dst []byte, f *Field) []byte {
	name := f.Name
	if e.Plain {
		return e.appendLiteral(dst, f, e.lowerName(name))
	}
	indexes, known := staticIndexes[name]
	if !known {
		lower := e.lowerName(name)
		if indexes, known = staticIndexes[string(lower)]; !known {
			return e.appendLiteral(dst, f, lower)
		}
	}
	if !f.Sensitive {
		for _, i := range indexes {
			if staticTable[i].Value == f.Value {
				return appendInt(dst, lineIndexed|lineIndexedStatic, 6, uint64(i))
			}
		}
	}
	flags := byte(lineNameRef | lineNameRefStatic)
	if f.Sensitive {
		flags |= lineNameRefNever
	}
	dst = appendInt(dst, flags, 4, uint64(indexes[0]))
	return appendString(dst, 0, stringHuffman, 7, f.Value, e.Plain)
}

func (e *Encoder) appendLiteral(dst []byte, f *Field, name []byte) []byte {
	flags := byte(lineLiteral)
	if f.Sensitive {
		flags |= lineLiteralNever
	}
	dst = appendString(dst, flags, lineLiteralHuffman, 3, name, e.Plain)
	return appendString(dst, 0, stringHuffman, 7, f.Value, e.Plain)
}

// lowerName returns name as it goes out, in memory that is e's.
func (e *Encoder) lowerName(name string) []byte {
	e.lower = append(e.lower[:0], name...)
	if !e.KeepCase {
		for i, b := range e.lower {
			if 'A' <= b && b <= 'Z' {
				e.lower[i] = b + ('a' - 'A')
			}
		}
	}
	return e.lower
}

// appendString appends a string literal (RFC 9204, Section 4.1.2) whose length
// has a prefix of n bits, in Huffman coding if that is shorter.
func appendString[T string | []byte](dst []byte, flags, huffman byte, n uint, s T, plain bool) []byte {
	if !plain {
		if l := huffmanLen(s); l < len(s) {
			dst = appendInt(dst, flags|huffman, n, uint64(l))
			return appendHuffman(dst, s)
		}
	}
	dst = appendInt(dst, flags, n, uint64(len(s)))
	return append(dst, s...)
}
