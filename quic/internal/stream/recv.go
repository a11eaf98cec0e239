package stream

import (
	"errors"
	"sort"

	"github.com/frittata-go/frittata/internal/chunk"
	"github.com/frittata-go/frittata/quic/internal/ranges"
)

// ErrGaps tells that a stream's bytes come in more separate pieces than allowed.
var ErrGaps = errors.New("stream: too many gaps")

// A stream is cut to pages, always at the same offsets: a few small ones first, so
// that a short stream takes little memory, then pages of pageSize bytes.
const (
	pageSize = 16 << 10

	page1 = 512           // where the second page begins
	page2 = page1 + 2<<10 // the third
	page3 = page2 + 4<<10 // the fourth; from here on all have pageSize
)

// pageAt returns the bounds of the page that has the byte at off.
func pageAt(off uint64) (start, end uint64) {
	switch {
	case off >= page3:
		start = off - (off-page3)%pageSize
		return start, start + pageSize
	case off >= page2:
		return page2, page3
	case off >= page1:
		return page1, page2
	}
	return 0, page1
}

// RecvBuffer puts a stream's bytes in order. The zero value is ready.
//
// Bytes are copied to their place in a page, once, when they come; a page that is full, or
// all of which is in order, is handed to the reader as it is. Two pieces never
// have a page each if they fall into the same one. So the memory held is at most the
// flow control window, rounded to pages, however the peer cuts and orders the
// bytes, and a piece costs no more than a packet of its size. When all bytes have been read no page is held.
type RecvBuffer struct {
	read uint64 // all below is read
	cont uint64 // all between read and here can be read
	end  uint64 // highest offset inserted

	// head is the page that has the byte at read, nil if there is none yet. Its first byte has offset base:
	// the page's start, or what was read already when it was made.
	head      *chunk.Buffer
	base      uint64
	more      *recvMore
	discarded bool
}

// recvMore is what a RecvBuffer needs beyond one page of bytes in order.
type recvMore struct {
	pages []recvPage // from first on, in ascending order, all after head
	first int
	ahead ranges.Set // above cont: what came, and waits for what is before it
}

// recvPage is a page after head. Its B has all of its bytes.
type recvPage struct {
	start uint64
	b     *chunk.Buffer
}

// ReadOffset returns the offset of the next byte to read.
func (r *RecvBuffer) ReadOffset() uint64 { return r.read }

// End returns the end of what was inserted so far: one more than the highest offset.
func (r *RecvBuffer) End() uint64 { return r.end }

// Readable returns how many bytes can be read.
func (r *RecvBuffer) Readable() int { return int(r.cont - r.read) }

// Insert copies data, that begins at off, to where it belongs. Bytes that came
// before are ignored: the first ones win. maxGaps bounds the separate pieces that wait for what
// comes before them; a piece more is ErrGaps, and nothing of data is kept.
//
// The caller has checked flow control: Insert takes any offset up to 2^62.
func (r *RecvBuffer) Insert(pool *chunk.Pool, off uint64, data []byte, maxGaps int) error {
	end := off + uint64(len(data))
	if r.discarded {
		r.end = max(r.end, end)
		return nil
	}
	if off > r.cont || r.more != nil && len(r.more.ahead) > 0 {
		return r.insertAround(pool, off, data, maxGaps)
	}
	if end <= r.cont {
		return nil
	}
	r.store(pool, r.cont, data[r.cont-off:])
	r.cont = end
	r.end = end // nothing is ahead of cont, so nothing was beyond it
	return nil
}

// insertAround is Insert for data that does not come in order, or while other data waits.
func (r *RecvBuffer) insertAround(pool *chunk.Pool, off uint64, data []byte, maxGaps int) error {
	end := off + uint64(len(data))
	if off < r.cont {
		if end <= r.cont {
			return nil
		}
		data = data[r.cont-off:]
		off = r.cont
	}
	if off == end {
		return nil
	}
	m := r.more
	if m == nil {
		m = new(recvMore)
		r.more = m
	}
	// ahead[i] is the first piece that ends at off or after it.
	i := len(m.ahead)
	if i > 0 && m.ahead[i-1].End >= off {
		i = sort.Search(i, func(i int) bool { return m.ahead[i].End >= off })
	}
	apart := off > r.cont && (i == len(m.ahead) || m.ahead[i].Start > end)
	if apart && len(m.ahead) >= maxGaps {
		return ErrGaps
	}
	// Store what is not there: the gaps between the pieces.
	at := off
	for ; at < end && i < len(m.ahead) && m.ahead[i].Start < end; i++ {
		if p := m.ahead[i]; at < p.Start {
			r.store(pool, at, data[at-off:p.Start-off])
			at = p.End
		} else {
			at = max(at, p.End)
		}
	}
	if at < end {
		r.store(pool, at, data[at-off:])
	}
	r.end = max(r.end, end)
	if off > r.cont {
		m.ahead.Add(off, end)
		return nil
	}
	r.cont = end
	m.ahead.Remove(0, end)
	if len(m.ahead) > 0 && m.ahead[0].Start == end {
		r.cont = m.ahead[0].End
		m.ahead.Remove(0, r.cont)
	}
	if len(m.ahead) == 0 && cap(m.ahead) > keepCap {
		m.ahead = nil
	}
	return nil
}

// store copies data, which is not empty, to off.
func (r *RecvBuffer) store(pool *chunk.Pool, off uint64, data []byte) {
	for {
		page := r.page(pool, off)
		n := copy(page, data)
		if n == len(data) {
			return
		}
		data = data[n:]
		off += uint64(n)
	}
}

// page returns the memory from the byte at off to the end of its page, and makes the
// page if need be.
func (r *RecvBuffer) page(pool *chunk.Pool, off uint64) []byte {
	if r.head != nil && off-r.base < uint64(len(r.head.B)) {
		return r.head.B[off-r.base:]
	}
	m := r.more
	if m != nil {
		// Most often it is the last page.
		if n := len(m.pages); n > m.first {
			if p := m.pages[n-1]; off >= p.start && off-p.start < uint64(len(p.b.B)) {
				return p.b.B[off-p.start:]
			}
		}
	}
	start, end := pageAt(off)
	if start <= r.read {
		r.base = r.read
		r.head = newPage(pool, end-r.base)
		return r.head.B[off-r.base:]
	}
	if m == nil {
		m = new(recvMore)
		r.more = m
	}
	i := len(m.pages)
	if i > m.first && m.pages[i-1].start >= start {
		i = m.first + sort.Search(i-m.first, func(i int) bool { return m.pages[m.first+i].start >= start })
		if p := m.pages[i]; p.start == start {
			return p.b.B[off-start:]
		}
	}
	p := recvPage{start, newPage(pool, end-start)}
	m.insert(i, p)
	return p.b.B[off-start:]
}

// newPage returns memory of n bytes.
func newPage(pool *chunk.Pool, n uint64) *chunk.Buffer {
	b := pool.Get(int(n))
	b.B = b.B[:n]
	return b
}

// insert puts p at index i.
func (m *recvMore) insert(i int, p recvPage) {
	if m.first > 0 && len(m.pages) == cap(m.pages) {
		// Half of the array or more is free, so this is O(1) amortized.
		if live := len(m.pages) - m.first; live <= cap(m.pages)/2 {
			copy(m.pages, m.pages[m.first:])
			clear(m.pages[live:])
			m.pages = m.pages[:live]
			i -= m.first
			m.first = 0
		}
	}
	m.pages = append(m.pages, recvPage{})
	copy(m.pages[i+1:], m.pages[i:])
	m.pages[i] = p
}

// Read copies bytes in order to p and returns how many.
func (r *RecvBuffer) Read(p []byte) int {
	n := 0
	for r.read < r.cont && n < len(p) {
		k := copy(p[n:], r.front())
		n += k
		r.advance(k)
	}
	return n
}

// front returns what can be read of the head page.
func (r *RecvBuffer) front() []byte {
	b := r.head.B
	return b[r.read-r.base : min(uint64(len(b)), r.cont-r.base)]
}

// advance moves read by n bytes, which are in the head page, and lets the page go
// that has nothing more to read.
func (r *RecvBuffer) advance(n int) {
	r.read += uint64(n)
	pageEnd := r.base + uint64(len(r.head.B))
	if r.read < pageEnd && (r.read < r.cont || r.waits(pageEnd)) {
		return
	}
	r.head.Release()
	r.nextHead(pageEnd)
}

// waits tells whether there is anything between cont and pageEnd.
func (r *RecvBuffer) waits(pageEnd uint64) bool {
	return r.more != nil && len(r.more.ahead) > 0 && r.more.ahead[0].Start < pageEnd
}

// nextHead takes the head page out, which ends at pageEnd; if all of it is
// read the next one takes its place, if it exists.
func (r *RecvBuffer) nextHead(pageEnd uint64) {
	r.head = nil
	m := r.more
	if r.read < pageEnd || m == nil || m.first == len(m.pages) || m.pages[m.first].start != pageEnd {
		return
	}
	r.head, r.base = m.pages[m.first].b, pageEnd
	m.pages[m.first] = recvPage{}
	m.first++
	if m.first == len(m.pages) {
		m.pages, m.first = m.pages[:0], 0
		if cap(m.pages) > keepCap {
			m.pages = nil
		}
	}
}

// ReadBuf passes on the next bytes, at most max (> 0), by ownership; nil if there
// are none. It hands over the page that they are in without a copy if max allows, if
// nothing else in the page waits, and if they are a good part of it: nobody should hold a page of 16 KiB
// for a few bytes. Data that comes later for a page that was handed over goes to a new one.
func (r *RecvBuffer) ReadBuf(max int) *chunk.Buffer {
	if r.read == r.cont || max <= 0 {
		return nil
	}
	b := r.head
	p := r.front()
	pageEnd := r.base + uint64(len(b.B))
	if len(p) > max || r.waits(pageEnd) || len(p) < b.Size()/4 && b.Size() > chunk.MinSize {
		p = p[:min(len(p), max)]
		b = b.Pool().Get(len(p))
		b.B = append(b.B, p...)
		r.advance(len(p))
		return b
	}
	b.B = p
	r.read += uint64(len(p))
	r.nextHead(pageEnd)
	return b
}

// Discard releases everything. Later Inserts are ignored, with offsets still
// tracked in End; there is nothing to read any more.
func (r *RecvBuffer) Discard() {
	if r.head != nil {
		r.head.Release()
	}
	m := r.more
	if m != nil {
		for _, p := range m.pages[m.first:] {
			p.b.Release()
		}
		m = m.emptied()
	}
	*r = RecvBuffer{read: r.read, cont: r.read, end: r.end, more: m, discarded: true}
}

// Reuse makes a buffer that was discarded as new, but for memory that it has.
func (r *RecvBuffer) Reuse() { *r = RecvBuffer{more: r.more} }

// emptied returns m for another use, or nil if it takes much memory.
func (m *recvMore) emptied() *recvMore {
	if cap(m.pages) > spareCap || cap(m.ahead) > spareCap {
		return nil
	}
	clear(m.pages)
	*m = recvMore{pages: m.pages[:0], ahead: m.ahead[:0]}
	return m
}
