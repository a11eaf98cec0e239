package qpack

import "hash/maphash"

// Decoder decodes field sections. Its zero value is ready. It is not safe for
// concurrent use.
type Decoder struct {
	arena []byte    // the literals of the section being decoded
	spans []literal // where those of each field are in arena
	memo  *memo     // of strings in Huffman coding; see memo.begin
	count uint8     // of sections without a memo

	stream     intReader // of the instruction that the peer's encoder stream is in, if streamBusy
	streamBusy bool
}

// literal tells which strings of a field are in the arena.
type literal struct {
	name, value span
}

// span is a piece of the arena; the zero span is none.
type span struct {
	at, end int
}

// The scratch memory that stays between sections: 8 KiB each.
const (
	maxKeptArena = 8 << 10
	maxKeptSpans = 256
)

// Decode decodes an encoded field section (RFC 9204, Section 4.5) and appends
// its fields to dst. limit bounds what they count (see Field.Size); beyond it the
// error is ErrTooLarge, and nothing was allocated for what is beyond. Other
// errors are an *Error and close the connection.
//
// Of a section, the strings that are not in the static table, and are not remembered from
// sections before, share one allocation.
func (d *Decoder) Decode(dst []Field, section []byte, limit uint64) ([]Field, error) {
	start := len(dst)
	d.arena, d.spans = d.arena[:0], d.spans[:0]
	d.memo = d.memo.begin(&d.count)
	dst, err := d.decode(dst, section, limit)
	if err != nil {
		clear(dst[start:])
		dst = dst[:start]
	} else if len(d.arena) > 0 {
		s := string(d.arena)
		fields := dst[start:]
		for i, l := range d.spans {
			if l.name.end > 0 {
				fields[i].Name = s[l.name.at:l.name.end]
			}
			if l.value.end > 0 {
				fields[i].Value = s[l.value.at:l.value.end]
			}
		}
	}
	if cap(d.arena) > maxKeptArena || cap(d.spans) > maxKeptSpans {
		d.arena, d.spans = nil, nil
	}
	return dst, err
}

// Rest lets go of scratch memory and of what is remembered. The next sections make it anew.
func (d *Decoder) Rest() { d.arena, d.spans, d.memo = nil, nil, nil }

func (d *Decoder) decode(dst []Field, b []byte, limit uint64) ([]Field, error) {
	b, err := consumePrefix(b)
	if err != nil {
		return dst, err
	}
	var f Field
	var l literal
	for len(b) > 0 {
		if limit < FieldOverhead {
			return dst, ErrTooLarge
		}
		// The limit is kept while the strings are decoded: all that is decoded
		// was counted before.
		limit -= FieldOverhead
		f, l, b, err = d.line(b, limit)
		if err != nil {
			return dst, err
		}
		n := uint64(len(f.Name)+len(f.Value)) + uint64(l.name.end-l.name.at) + uint64(l.value.end-l.value.at)
		if n > limit {
			return dst, ErrTooLarge
		}
		limit -= n
		dst = append(dst, f)
		d.spans = append(d.spans, l)
	}
	return dst, nil
}

// consumePrefix checks the prefix of a field section (RFC 9204, Section 4.5.1).
// With a table of capacity 0 no section can need an insertion.
func consumePrefix(b []byte) ([]byte, error) {
	count, b, ok := consumeInt(b, 8)
	if !ok {
		return nil, errDecompression("truncated prefix")
	}
	if count != 0 {
		return nil, errDecompression("required insert count above what can be")
	}
	if len(b) > 0 && b[0]&0x80 != 0 {
		return nil, errDecompression("negative base") // Section 4.5.1.2
	}
	_, b, ok = consumeInt(b, 7)
	if !ok {
		return nil, errDecompression("truncated prefix")
	}
	return b, nil
}

// line decodes one field line whose strings may be of limit bytes together.
func (d *Decoder) line(b []byte, limit uint64) (f Field, l literal, rest []byte, err error) {
	var entry *Field
	switch first := b[0]; {
	case first&lineIndexed != 0: // Section 4.5.2
		if entry, b, err = consumeIndex(b, 6, first&lineIndexedStatic != 0); err != nil {
			return f, l, nil, err
		}
		return *entry, l, b, nil

	case first&lineNameRef != 0: // Section 4.5.4
		if entry, b, err = consumeIndex(b, 4, first&lineNameRefStatic != 0); err != nil {
			return f, l, nil, err
		}
		f.Name = entry.Name
		f.Sensitive = first&lineNameRefNever != 0

	case first&lineLiteral != 0: // Section 4.5.6
		f.Sensitive = first&lineLiteralNever != 0
		if f.Name, l.name, b, err = d.consumeString(b, 3, first&lineLiteralHuffman != 0, false, limit); err != nil {
			return f, l, nil, err
		}

	default: // Sections 4.5.3 and 4.5.5
		return f, l, nil, errDecompression("post-base reference to an entry that does not exist")
	}
	used := uint64(len(f.Name) + l.name.end - l.name.at)
	if used > limit {
		return f, l, nil, ErrTooLarge
	}
	f.Value, l.value, b, err = d.consumeString(b, 7, len(b) > 0 && b[0]&stringHuffman != 0, f.Sensitive, limit-used)
	return f, l, b, err
}

// consumeIndex decodes the index of a table entry, with a prefix of n bits.
func consumeIndex(b []byte, n uint, static bool) (*Field, []byte, error) {
	i, rest, ok := consumeInt(b, n)
	switch {
	case !ok:
		return nil, nil, errDecompression("truncated index")
	case !static:
		return nil, nil, errDecompression("reference to a dynamic table entry that does not exist")
	case i >= uint64(len(staticTable)): // Section 3.1
		return nil, nil, errDecompression("static table index too large")
	}
	return &staticTable[i], rest, nil
}

// consumeString decodes a string literal, whose length has a prefix of n bits. It may be of limit
// bytes, and it is either in the arena or already known.
func (d *Decoder) consumeString(b []byte, n uint, huffman, secret bool, limit uint64) (known string, s span, rest []byte, err error) {
	size, b, ok := consumeInt(b, n)
	if !ok || size > uint64(len(b)) {
		return "", s, nil, errDecompression("truncated string")
	}
	src, rest := b[:size], b[size:]
	s.at = len(d.arena)
	switch {
	case huffman:
		known, err = d.decodeHuffman(src, secret, limit)
	case size > limit:
		err = ErrTooLarge
	default:
		d.arena = append(d.arena, src...)
	}
	if known != "" || err != nil {
		return known, span{}, rest, err
	}
	s.end = len(d.arena)
	return "", s, rest, nil
}

// decodeHuffman decodes into the arena what is not known. The memo is not told of secrets.
func (d *Decoder) decodeHuffman(src []byte, secret bool, limit uint64) (known string, err error) {
	m := d.memo
	if secret {
		m = nil
	}
	var hash uint64
	if m != nil {
		hash = maphash.Bytes(memoSeed, src)
		if known = m.decoded(hash, src); known != "" && uint64(len(known)) <= limit {
			return known, nil
		}
	}
	at := len(d.arena)
	most := int(min(limit, uint64(len(src))*8/5)) // no code is shorter than 5 bits
	d.arena, err = appendHuffmanDecoded(d.arena, src, most)
	switch {
	case err == errTooLong:
		return "", ErrTooLarge
	case err != nil:
		return "", errDecompression("invalid Huffman code")
	case m != nil && m.again(hash, len(d.arena)-at+len(src)):
		m.remember(hash, "", string(d.arena[at:]), src)
	}
	return "", nil
}
