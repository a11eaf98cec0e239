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
		gap, n1 := ConsumeVarint(raw[n:])
		n += n1
		size, n2 := ConsumeVarint(raw[n:])
		n += n2
		if n1 == 0 || n2 == 0 {
			return int(faultCut)
		}
		// Both are below 2^62: their sum does not overflow.
		if gap+size+2 > smallest {
			return int(faultAckRange) // RFC 9000, Section 19.3.1
		}
		smallest -= gap + size + 2
	}
	a := &f.Ack
	*a = Ack{Largest: largest, Delay: delay, raw: raw[:n]}
	if b[0] == FrameAckECN {
		c.b = raw[n:]
		a.HasECN = true
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
//	for it := a.Ranges(); it.Next(); {
//		// it.Smallest to it.Largest, both inclusive
//	}
func (a *Ack) Ranges() AckRanges { return AckRanges{raw: a.raw, next: a.Largest} }

// AckRanges iterates over the ranges of an ACK frame. It allocates nothing.
type AckRanges struct {
	Smallest, Largest uint64 // inclusive

	raw  []byte
	next uint64 // the largest packet number of the next range
}

// Next goes to the next range. It returns false if there is none.
func (r *AckRanges) Next() bool {
	if len(r.raw) == 0 {
		return false
	}
	size, n := ConsumeVarint(r.raw)
	r.Largest = r.next
	r.Smallest = r.next - size
	if n < len(r.raw) {
		gap, m := ConsumeVarint(r.raw[n:])
		r.next = r.Smallest - gap - 2
		n += m
	}
	r.raw = r.raw[n:]
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
