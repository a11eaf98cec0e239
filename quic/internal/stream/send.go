package stream

import (
	"sort"

	"github.com/frittata-go/frittata/internal/chunk"
	"github.com/frittata-go/frittata/quic/internal/ranges"
)

const (
	// maxSendChunk is the size of the chunks that a bulk transfer is copied to, in bytes.
	// It is also what a peer can make us hold by not acknowledging a single packet, and
	// larger chunks were measured to be no faster.
	maxSendChunk = 16 << 10

	// mergeBelow is the size up to which a buffer that is handed over is copied to the
	// room behind the one before it, in bytes, rather than kept along with its memory.
	mergeBelow = 512
)

// SendBuffer holds what was written to a stream until it is acked. Offsets count
// from the stream's first byte. The zero value is ready.
//
// The bytes are in chunks. A chunk is released when all of it is acked, wherever it is:
// a peer that acknowledges all but one packet cannot make the buffer hold all that comes after. So
// memory is bounded by the packets that are not acked, a chunk for each at most, and so are the
// range sets, which are in use only while packets are acked out of order, or lost.
type SendBuffer struct {
	acked uint64 // all below is acked
	next  uint64
	end   uint64
	held  int // memory of all chunks, in bytes

	// A stream that fits one chunk needs nothing else: while list is nil, one is the only chunk and begins at oneOff.
	one    *chunk.Buffer
	oneOff uint64
	list   *sendList
}

// sendList is what a SendBuffer needs beyond a single chunk.
type sendList struct {
	chunks []sendChunk // from head on, in ascending order of off
	head   int
	cursor int // index of the chunk that was copied from last
	// Both sets are between acked and next, and disjoint. The byte at acked is not in out.
	out  ranges.Set // acked out of order
	lost ranges.Set // to be sent again
}

type sendChunk struct {
	off uint64
	b   *chunk.Buffer
}

func (c sendChunk) end() uint64 { return c.off + uint64(len(c.b.B)) }

// End returns the offset after the last byte written.
func (s *SendBuffer) End() uint64 { return s.end }

// Next returns the offset of the first byte that was never sent.
func (s *SendBuffer) Next() uint64 { return s.next }

// Unsent returns how many bytes were never sent.
func (s *SendBuffer) Unsent() int { return int(s.end - s.next) }

// Held returns the bytes of memory that the chunks take.
func (s *SendBuffer) Held() int { return s.held }

// AllAcked tells whether all that was written is acked.
func (s *SendBuffer) AllAcked() bool { return s.acked == s.end }

// Write appends a copy of p, in memory from pool.
func (s *SendBuffer) Write(pool *chunk.Pool, p []byte) {
	if t := s.tail(); t != nil {
		p = p[s.fill(t, p):]
	}
	for len(p) > 0 {
		// As much as is written at once, or a quarter of what is held
		// already: small writes of a bulk transfer soon get large chunks.
		b := pool.Get(min(max(len(p), s.held/4), maxSendChunk))
		s.push(b)
		p = p[s.fill(b, p):]
	}
}

// WriteBuf appends the bytes of b and takes its ownership. They are not copied,
// except for a few that fit behind what was written before.
func (s *SendBuffer) WriteBuf(b *chunk.Buffer) {
	if len(b.B) <= mergeBelow {
		if t := s.tail(); len(b.B) == 0 || t != nil && len(b.B) <= cap(t.B)-len(t.B) {
			if len(b.B) > 0 {
				s.fill(t, b.B)
			}
			b.Release()
			return
		}
	}
	s.push(b)
	s.end += uint64(len(b.B))
}

// fill copies as much of p to the end of b, the last chunk, as fits.
func (s *SendBuffer) fill(b *chunk.Buffer, p []byte) int {
	n := copy(b.B[len(b.B):cap(b.B)], p)
	b.B = b.B[:len(b.B)+n]
	s.end += uint64(n)
	return n
}

// tail returns the last chunk if it ends at end, else nil.
func (s *SendBuffer) tail() *chunk.Buffer {
	l := s.list
	if l == nil {
		return s.one
	}
	if n := len(l.chunks); n > l.head && l.chunks[n-1].end() == s.end {
		return l.chunks[n-1].b
	}
	return nil
}

// push adds b as the last chunk.
func (s *SendBuffer) push(b *chunk.Buffer) {
	s.held += b.Size()
	if s.list == nil {
		if s.one == nil {
			s.one, s.oneOff = b, s.end
			return
		}
		s.more()
	}
	l := s.list
	if l.head > 0 && len(l.chunks) == cap(l.chunks) {
		// Half of the array or more moves at most, so this is O(1) amortized.
		if live := len(l.chunks) - l.head; live <= cap(l.chunks)/2 {
			copy(l.chunks, l.chunks[l.head:])
			clear(l.chunks[live:])
			l.chunks = l.chunks[:live]
			l.cursor = max(l.cursor-l.head, 0)
			l.head = 0
		}
	}
	l.chunks = append(l.chunks, sendChunk{s.end, b})
}

// more makes the list.
func (s *SendBuffer) more() *sendList {
	if s.list == nil {
		s.list = new(sendList)
		if s.one != nil {
			s.list.chunks = append(make([]sendChunk, 0, 4), sendChunk{s.oneOff, s.one})
			s.one = nil
		}
	}
	return s.list
}

// find returns the index of the first chunk that ends after off.
func (l *sendList) find(off uint64) int {
	if i := l.cursor; i >= l.head && i < len(l.chunks) && l.chunks[i].off <= off {
		if off < l.chunks[i].end() {
			return i
		}
		if i++; i < len(l.chunks) && off < l.chunks[i].end() {
			return i
		}
	}
	live := l.chunks[l.head:]
	return l.head + sort.Search(len(live), func(i int) bool { return off < live[i].end() })
}

// Copy copies len(dst) bytes at off to dst. They must have been written, and not be acked.
// Successive copies cost the same however much the buffer holds.
func (s *SendBuffer) Copy(dst []byte, off uint64) {
	if len(dst) == 0 {
		return
	}
	if s.list == nil {
		if s.one == nil || off < s.oneOff || off > s.end || copy(dst, s.one.B[off-s.oneOff:]) < len(dst) {
			panic("BUG: copy of bytes that are not there")
		}
		return
	}
	l := s.list
	for i := l.find(off); len(dst) > 0; i++ {
		if i == len(l.chunks) || off < l.chunks[i].off {
			panic("BUG: copy of bytes that are not there")
		}
		c := l.chunks[i]
		n := copy(dst, c.b.B[off-c.off:])
		dst = dst[n:]
		off += uint64(n)
		l.cursor = i
	}
}

// Lost returns the first range that is to be sent again, n 0 if there is none.
func (s *SendBuffer) Lost() (off uint64, n int) {
	if s.list == nil || len(s.list.lost) == 0 {
		return 0, 0
	}
	r := s.list.lost[0]
	return r.Start, int(r.Len())
}

// OnSent tells that [off, off+n) is in a packet: it advances Next, or takes the
// range out of the lost ones.
func (s *SendBuffer) OnSent(off uint64, n int) {
	end := min(off+uint64(n), s.end)
	if off < s.next && s.list != nil && len(s.list.lost) > 0 {
		s.list.lost.Remove(off, end)
	}
	s.next = max(s.next, end)
}

// OnLost makes due again what of [off, off+n) is not acked. It takes any range
// that was sent, any number of times, in any order.
func (s *SendBuffer) OnLost(off uint64, n int) {
	end := min(off+uint64(n), s.next)
	off = max(off, s.acked)
	if off >= end {
		return
	}
	l := s.more()
	for i := after(l.out, off); i < len(l.out) && l.out[i].Start < end; i++ {
		l.lost.Add(off, l.out[i].Start)
		off = l.out[i].End
	}
	l.lost.Add(off, end) // nothing if off >= end
}

// OnAcked releases what need not be held any more. It takes any range that was
// sent, any number of times, in any order.
func (s *SendBuffer) OnAcked(off uint64, n int) {
	end := min(off+uint64(n), s.next)
	off = max(off, s.acked)
	if off >= end {
		return
	}
	l := s.list
	if l != nil && len(l.lost) > 0 {
		l.lost.Remove(off, end)
	}
	if off > s.acked {
		s.ackedOutOfOrder(off, end)
		return
	}
	s.acked = end
	if l == nil {
		if s.one != nil && s.acked == s.end {
			s.one.Release()
			s.one, s.held = nil, 0
		}
		return
	}
	if len(l.out) > 0 {
		l.out.Remove(0, end)
		// Ranges that touch are one, so after the first there is a gap.
		if len(l.out) > 0 && l.out[0].Start == end {
			s.acked = l.out[0].End
			l.out.Remove(0, s.acked)
		}
	}
	for l.head < len(l.chunks) && l.chunks[l.head].end() <= s.acked {
		s.release(&l.chunks[l.head])
		l.head++
	}
	if l.head == len(l.chunks) {
		l.reset()
	}
}

// ackedOutOfOrder takes in [off, end), which is above acked, and releases the
// chunks that it completes.
func (s *SendBuffer) ackedOutOfOrder(off, end uint64) {
	l := s.more()
	l.out.Add(off, end)
	r := l.out[after(l.out, off)]
	i := l.find(off)
	if i < len(l.chunks) && l.chunks[i].off < r.Start {
		i++ // a part of it is not acked
	}
	j := i
	for j < len(l.chunks) && l.chunks[j].off < end && l.chunks[j].end() <= r.End {
		s.release(&l.chunks[j])
		j++
	}
	if j > i {
		k := i + copy(l.chunks[i:], l.chunks[j:])
		clear(l.chunks[k:])
		l.chunks = l.chunks[:k]
	}
}

// release gives back the memory of a chunk, whose place its caller frees.
func (s *SendBuffer) release(c *sendChunk) {
	s.held -= c.b.Size()
	c.b.Release()
	c.b = nil
}

// keepCap bounds the capacity, in entries, that is kept for later by what is empty now.
const keepCap = 64

// reset makes the list ready for more when the last chunk is gone.
func (l *sendList) reset() {
	l.chunks, l.head, l.cursor = l.chunks[:0], 0, 0
	if cap(l.chunks) > keepCap {
		l.chunks = nil
	}
	if cap(l.out) > keepCap {
		l.out = nil
	}
	if cap(l.lost) > keepCap {
		l.lost = nil
	}
}

// Discard releases everything. The buffer stays defined: nothing is unsent or
// lost, OnAcked and OnLost do nothing, and End keeps its value.
func (s *SendBuffer) Discard() {
	if s.one != nil {
		s.one.Release()
	}
	l := s.list
	if l != nil {
		for _, c := range l.chunks[l.head:] {
			c.b.Release()
		}
		l = l.emptied()
	}
	*s = SendBuffer{acked: s.end, next: s.end, end: s.end, list: l}
}

// Reuse makes a buffer that was discarded as new, but for memory that it has.
func (s *SendBuffer) Reuse() { *s = SendBuffer{list: s.list} }

// spareCap bounds the capacity of each list, in entries, that a buffer keeps when it is discarded.
const spareCap = 4

// emptied returns the list for another use, or nil if it takes much memory.
func (l *sendList) emptied() *sendList {
	if cap(l.chunks) > spareCap || cap(l.out) > spareCap || cap(l.lost) > spareCap {
		return nil
	}
	clear(l.chunks)
	*l = sendList{chunks: l.chunks[:0], out: l.out[:0], lost: l.lost[:0]}
	return l
}

// after returns the index of the first range of set that ends after off.
func after(set ranges.Set, off uint64) int {
	return sort.Search(len(set), func(i int) bool { return set[i].End > off })
}
