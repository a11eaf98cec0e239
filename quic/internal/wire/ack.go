package wire

import "github.com/frittata-go/frittata/quic/internal/ranges"

// Range is a range of packet numbers, half-open.
type Range = ranges.Range

// ECNCounts are how many packets came with each ECN mark (RFC 9000, Section 19.3.2).
type ECNCounts struct{ ECT0, ECT1, CE uint64 }

// Ack is an ACK frame's content. All ranges were checked to be valid.
type Ack struct {
	Largest        uint64
	Delay          uint64 // as encoded: the peer's exponent is still to be applied
	HasECN         bool
	ECT0, ECT1, CE uint64

	raw []byte // the encoded ranges, beginning with First ACK Range
}

// parseAck parses an ACK frame (RFC 9000, Section 19.3). It walks all ranges, so that AckRanges need not check.
func (f *Frame) parseAck(b []byte) int {
	c := cursor{b: b[1:]}
	largest := c.varint()
	delay := c.varint()
	count := c.varint()
	raw := c.b
	// A range takes two bytes at least.
	if c.cut || count > uint64(len(raw)/2) {
		return int(faultCut)
	}
	first, n := ConsumeVarint(raw)
	if n == 0 {
		return int(faultCut)
	}
	if first > largest {
		return int(faultAckRange)
	}
	smallest := largest - first
	for ; count > 0; count-- {
		var gap, size uint64
		if b := raw[n:]; len(b) >= 2 && b[0]|b[1] < 0x40 {
			// Mostly, both are small.
			gap, size = uint64(b[0]), uint64(b[1])
			n += 2
		} else {
			var n1, n2 int
			gap, n1 = ConsumeVarint(b)
			size, n2 = ConsumeVarint(b[n1:])
			if n1 == 0 || n2 == 0 {
				return int(faultCut)
			}
			n += n1 + n2
		}
		// Both are below 2^62: their sum does not overflow.
		if gap+size+2 > smallest {
			return int(faultAckRange) // RFC 9000, Section 19.3.1
		}
		smallest -= gap + size + 2
	}
	a := &f.Ack
	a.Largest = largest
	a.Delay = delay
	a.HasECN = b[0] == FrameAckECN
	a.ECT0, a.ECT1, a.CE = 0, 0, 0
	a.raw = raw[:n]
	if a.HasECN {
		c.b = raw[n:]
		a.ECT0, a.ECT1, a.CE = c.varint(), c.varint(), c.varint()
		if c.cut {
			return int(faultCut)
		}
		return len(b) - len(c.b)
	}
	return len(b) - len(raw) + n
}

// Ranges returns an iterator over the acknowledged ranges, in descending order:
//
//	it := a.Ranges()
//	for it.Next() {
//		// it.Smallest to it.Largest, both inclusive
//	}
//
// An iterator that is declared in the for statement itself works too, but is
// copied for each round, which costs more than the rest.
func (a *Ack) Ranges() AckRanges { return AckRanges{raw: a.raw, next: a.Largest} }

// AckRanges iterates over the ranges of an ACK frame. It allocates nothing.
type AckRanges struct {
	Smallest, Largest uint64 // inclusive

	raw  []byte
	pos  int    // where the encoding of the next range begins, with its length
	next uint64 // the largest packet number of it
}

// Next goes to the next range. It returns false if there is none.
func (r *AckRanges) Next() bool {
	b := r.raw[r.pos:]
	if len(b) == 0 {
		return false
	}
	r.Largest = r.next
	if len(b) >= 2 && b[0]|b[1] < 0x40 {
		// Mostly, the length and the gap behind it are small.
		r.Smallest = r.next - uint64(b[0])
		r.next = r.Smallest - uint64(b[1]) - 2
		r.pos += 2
		return true
	}
	size, n := ConsumeVarint(b)
	r.Smallest = r.next - size
	r.pos += n
	if n < len(b) {
		gap, n := ConsumeVarint(b[n:])
		r.next = r.Smallest - gap - 2
		r.pos += n
	}
	return true
}

// AppendAck appends an ACK frame of as many of the newest ranges as fit in room
// bytes. r is ascending like a ranges.Set: its ranges are not empty and do not
// touch. delay is in units of the exponent that was announced; ecn may be nil: no
// counts. If not even the newest range fits, or r is empty, b comes back as it is.
func AppendAck(b []byte, r []Range, delay uint64, ecn *ECNCounts, room int) []byte {
	if len(r) == 0 {
		return b
	}
	last := len(r) - 1
	newest := r[last]
	delay = min(delay, MaxVarint)
	countLen := VarintLen(uint64(last))
	room -= 1 + VarintLen(newest.End-1) + VarintLen(delay) + countLen + VarintLen(newest.Len()-1)
	typ := byte(FrameAck)
	if ecn != nil {
		typ = FrameAckECN
		room -= VarintLen(ecn.ECT0) + VarintLen(ecn.ECT1) + VarintLen(ecn.CE)
	}
	if room < 0 {
		return b
	}
	b = append(b, typ)
	b = AppendVarint(b, newest.End-1)
	b = AppendVarint(b, delay)
	// The count is known in the end. It may then be in a longer encoding than it needs.
	countAt := len(b)
	b = AppendVarint(b, uint64(last))
	b = AppendVarint(b, newest.Len()-1)
	smallest := newest.Start
	count := 0
	for i := last - 1; i >= 0; i-- {
		gap, size := smallest-r[i].End-1, r[i].Len()-1
		room -= VarintLen(gap) + VarintLen(size)
		if room < 0 {
			break
		}
		b = AppendVarint(b, gap)
		b = AppendVarint(b, size)
		smallest = r[i].Start
		count++
	}
	if count != last {
		putVarint(b[countAt:countAt+countLen], uint64(count))
	}
	if ecn != nil {
		b = AppendVarint(b, ecn.ECT0)
		b = AppendVarint(b, ecn.ECT1)
		b = AppendVarint(b, ecn.CE)
	}
	return b
}
