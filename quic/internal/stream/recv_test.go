package stream

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/frittata-go/frittata/internal/chunk"
	"github.com/frittata-go/frittata/quic/internal/ranges"
)

// check panics if the buffer is not what its comments say. It returns the memory held in pages.
func (r *RecvBuffer) check() (held int) {
	if r.read > r.cont || !r.discarded && r.cont > r.end {
		panic(fmt.Sprintf("read %d, cont %d, end %d", r.read, r.cont, r.end))
	}
	paged := map[uint64]bool{} // by the page's end
	_, headEnd := pageAt(r.read)
	if r.head != nil {
		if r.base > r.read || r.base+uint64(len(r.head.B)) != headEnd {
			panic("the head page has wrong bounds")
		}
		if r.read == r.cont && !r.waits(headEnd) {
			panic("an empty page is held")
		}
		held += r.head.Size()
		paged[headEnd] = true
	}
	pieces := ranges.Set{{Start: r.read, End: r.cont}}
	if m := r.more; m != nil {
		prev := r.cont
		for _, a := range m.ahead {
			if a.Start <= prev || a.End <= a.Start {
				panic(fmt.Sprintf("cont %d, ranges %v", r.cont, m.ahead))
			}
			prev = a.End
		}
		pieces = append(pieces, m.ahead...)
		prev = headEnd
		for _, p := range m.pages[m.first:] {
			start, end := pageAt(p.start)
			if p.start < prev || p.start != start || uint64(len(p.b.B)) != end-start {
				panic("a page has wrong bounds")
			}
			if i := after(pieces, start); i == len(pieces) || pieces[i].Start >= end {
				panic("an empty page is held")
			}
			prev = end
			held += p.b.Size()
			paged[end] = true
		}
	}
	for _, p := range pieces {
		for at := p.Start; at < p.End; {
			_, end := pageAt(at)
			if !paged[end] {
				panic("bytes without a page")
			}
			at = end
		}
	}
	if !r.discarded && r.end != pieces[len(pieces)-1].End {
		panic("wrong end")
	}
	return held
}

// recvModel is a RecvBuffer as a map of bytes.
type recvModel struct {
	have []byte // 1 where there is one
	val  []byte
	read int
}

func (m *recvModel) readable() int { return run(m.have[m.read:], 1) }

// run returns how many bytes at the beginning of p are v.
func run(p []byte, v byte) int {
	if i := bytes.IndexByte(p, 1-v); i >= 0 {
		return i
	}
	return len(p)
}

// pieces returns how many separate pieces wait if [off, end) comes too.
func (m *recvModel) pieces(off, end int) (n int) {
	p := make([]byte, max(len(m.have), end)-m.read)
	copy(p, m.have[m.read:])
	for i := max(off, m.read); i < end; i++ {
		p[i-m.read] = 1
	}
	for p = p[run(p, 1):]; len(p) > 0; n++ {
		p = p[run(p, 0):]
		p = p[run(p, 1):]
	}
	return n
}

func (m *recvModel) insert(off int, data []byte) {
	for len(m.have) < off+len(data) {
		m.have = append(m.have, 0)
		m.val = append(m.val, 0)
	}
	for i, v := range data {
		if i += off; i >= m.read && m.have[i] == 0 {
			m.have[i], m.val[i] = 1, v
		}
	}
}

func FuzzRecvBuffer(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		const window, maxGaps = 100_000, 6
		var (
			r     RecvBuffer
			m     recvModel
			pool  chunk.Pool
			salt  byte
			owned []*chunk.Buffer // handed over, with what was in them
			was   [][]byte
		)
		read := func(p []byte) {
			if !bytes.Equal(p, m.val[m.read:m.read+len(p)]) {
				t.Fatalf("wrong bytes at %d", m.read)
			}
			m.read += len(p)
		}
		in = in[:min(len(in), 1<<10)]
		for sc := script(in); len(sc) > 0; {
			switch op := sc.byte() % 16; op {
			case 8, 9, 10:
				p := make([]byte, sc.size())
				want := min(m.readable(), len(p))
				n := r.Read(p)
				if n != want {
					t.Fatalf("Read: %d bytes, want %d", n, want)
				}
				read(p[:n])
			case 11, 12, 13:
				most := sc.size() + 1
				want := min(m.readable(), most)
				b := r.ReadBuf(most)
				if b == nil {
					if want > 0 {
						t.Fatal("ReadBuf: nothing")
					}
					continue
				}
				if len(b.B) == 0 || len(b.B) > want {
					t.Fatalf("ReadBuf: %d bytes of %d", len(b.B), want)
				}
				if b.Size() > chunk.MinSize && b.Size() > 5*len(b.B) {
					t.Fatalf("ReadBuf: %d bytes of memory for %d", b.Size(), len(b.B))
				}
				read(b.B)
				if op == 13 {
					b.Release()
					break
				}
				owned, was = append(owned, b), append(was, bytes.Clone(b.B))
			case 14:
				if sc.byte() != 0 {
					break
				}
				end := r.End()
				r.Discard()
				if err := r.Insert(&pool, end+10, make([]byte, 5), 0); err != nil || r.End() != end+15 {
					t.Fatalf("End %d after Discard at %d and an Insert", r.End(), end)
				}
				if r.check() != 0 || r.Readable() != 0 || r.Read(make([]byte, 10)) != 0 || r.ReadBuf(10) != nil || r.head != nil {
					t.Fatal("not empty after Discard")
				}
				if int(r.ReadOffset()) != m.read {
					t.Fatal("Discard changed the offset")
				}
				r.Reuse()
				m = recvModel{}
			default:
				// Near where the bytes in order end, near the end of all, or anywhere in the window.
				n := sc.size()
				off := m.read + m.readable()
				switch op {
				case 3, 4:
					off = len(m.have)
				case 5, 6, 7:
					off = m.read + int(sc.byte())*window/256
				}
				if d := int(int8(sc.byte())); op != 0 && op != 1 {
					off = max(off+d*4, 0)
				}
				n = min(n, max(m.read+window-off, 0))
				salt++
				data := pattern(uint64(off), n)
				for i := range data {
					data[i] += salt
				}
				before := m.readable()
				err := r.Insert(&pool, uint64(off), data, maxGaps)
				if n > 0 && m.pieces(off, off+n) > maxGaps {
					if !errors.Is(err, ErrGaps) {
						t.Fatalf("more than %d gaps: error %v", maxGaps, err)
					}
				} else if err != nil {
					t.Fatalf("%d gaps: error %v", m.pieces(off, off+n), err)
				} else if n > 0 {
					m.insert(off, data)
				}
				if m.readable() < before {
					t.Fatal("BUG in the model")
				}
			}
			if held := r.check(); held > int(r.end-r.read)+2*pageSize {
				t.Fatalf("%d bytes held for %d", held, r.end-r.read)
			}
			if int(r.ReadOffset()) != m.read || r.Readable() != m.readable() || int(r.End()) != len(m.have) {
				t.Fatalf("at %d, %d readable, end %d; want %d, %d, %d",
					r.ReadOffset(), r.Readable(), r.End(), m.read, m.readable(), len(m.have))
			}
		}
		for i, b := range owned {
			if !bytes.Equal(b.B, was[i]) {
				t.Fatal("a buffer changed after it was handed over")
			}
			b.Release()
		}
	})
}

func TestPageAt(t *testing.T) {
	at := uint64(0)
	for _, n := range []uint64{512, 2048, 4096, pageSize, pageSize, pageSize} {
		for _, off := range []uint64{at, at + 1, at + n/2, at + n - 1} {
			if start, end := pageAt(off); start != at || end != at+n {
				t.Errorf("page of %d: %d to %d, want %d to %d", off, start, end, at, at+n)
			}
		}
		at += n
	}
	if start, end := pageAt(maxOffset); start > maxOffset || end <= maxOffset || end-start != pageSize {
		t.Errorf("page of %d: %d to %d", uint64(maxOffset), start, end)
	}
}

// Small pieces wherever the peer likes must not cost more than the window and two pages.
func TestRecvBufferMemory(t *testing.T) {
	const window, maxGaps = 1 << 20, 4096
	orders := map[string]func(i, n int) int{
		"backwards": func(i, n int) int { return n - 1 - i },
		"scattered": func(i, n int) int { return i * 7919 % n },
		"in order":  func(i, n int) int { return i },
	}
	for name, order := range orders {
		for _, stride := range []int{2, 300, 3000, pageSize} {
			t.Run(fmt.Sprintf("%s/%d", name, stride), func(t *testing.T) {
				var pool chunk.Pool
				var r RecvBuffer
				n := min(window/stride, maxGaps)
				for i := range n {
					if err := r.Insert(&pool, uint64(order(i, n)*stride+1), []byte{1}, maxGaps); err != nil {
						t.Fatal(err)
					}
					if i%(n/16+1) == 0 {
						r.check()
					}
				}
				if held := r.check(); held > n*stride+2*pageSize {
					t.Errorf("%d bytes held", held)
				}
				if len(r.more.ahead) != n {
					t.Errorf("%d ranges for %d pieces", len(r.more.ahead), n)
				}
			})
		}
	}
}

func TestRecvBufferGaps(t *testing.T) {
	const maxGaps = 1000
	var pool chunk.Pool
	var r RecvBuffer
	ins := func(off, n int) error { return r.Insert(&pool, uint64(off), make([]byte, n), maxGaps) }
	for i := range maxGaps {
		if err := ins(10+10*i, 5); err != nil {
			t.Fatal(err)
		}
	}
	held, end := r.check(), r.End()
	// New pieces are refused wherever they are, and leave nothing behind.
	for _, off := range []int{1, 17, 5007, 10 + 10*maxGaps, 1 << 30} {
		if err := ins(off, 2); !errors.Is(err, ErrGaps) {
			t.Fatalf("piece at %d: %v", off, err)
		}
	}
	if h := r.check(); h != held || r.End() != end {
		t.Errorf("%d bytes held, %d before; end %d, %d before", h, held, r.End(), end)
	}
	// What touches or joins pieces is welcome, and so is what is in order.
	for _, c := range [][2]int{{15, 2}, {28, 2}, {5010, 5}, {5000, 30}, {0, 3}, {10 + 10*(maxGaps-1), 100}} {
		if err := ins(c[0], c[1]); err != nil {
			t.Errorf("%v: %v", c, err)
		}
		r.check()
	}
	if r.Readable() != 3 {
		t.Errorf("%d readable", r.Readable())
	}
	// No gaps at all: only what is in order.
	var z RecvBuffer
	if err := z.Insert(&pool, 1, []byte{1}, 0); !errors.Is(err, ErrGaps) {
		t.Error(err)
	}
	if err := z.Insert(&pool, 0, []byte{1}, 0); err != nil {
		t.Error(err)
	}
}

// An offset far away costs a page, not an index of all pages before it.
func TestRecvBufferFarOffset(t *testing.T) {
	var pool chunk.Pool
	var r RecvBuffer
	if err := r.Insert(&pool, maxOffset-10, make([]byte, 10), 10); err != nil {
		t.Fatal(err)
	}
	if held := r.check(); held > pageSize || cap(r.more.pages) > keepCap || r.End() != maxOffset {
		t.Errorf("%d bytes held, end %d", held, r.End())
	}
}

// Each byte in a packet of its own, and read at once: what is handed over must
// not keep a page each.
func TestRecvBufferTrickle(t *testing.T) {
	var pool chunk.Pool
	var r RecvBuffer
	held, n := 0, 10_000
	for i := range n {
		if err := r.Insert(&pool, uint64(i), []byte{byte(i)}, 0); err != nil {
			t.Fatal(err)
		}
		b := r.ReadBuf(1 << 20)
		if len(b.B) != 1 || b.B[0] != byte(i) {
			t.Fatal("wrong byte")
		}
		held += b.Size()
		b.Release()
		if r.check() != 0 {
			t.Fatal("a page is held while nothing is there")
		}
	}
	if held > n*chunk.MinSize {
		t.Errorf("%d bytes held for %d", held, n)
	}
}

func TestRecvBufferHandsPagesOver(t *testing.T) {
	var pool chunk.Pool
	var r RecvBuffer
	data := pattern(0, 100_000)
	for off := 0; off < len(data); off += 1000 {
		if err := r.Insert(&pool, uint64(off), data[off:off+1000], 0); err != nil {
			t.Fatal(err)
		}
	}
	if r.Readable() != len(data) {
		t.Fatalf("%d readable", r.Readable())
	}
	var got []byte
	for i := 0; ; i++ {
		head := r.head
		b := r.ReadBuf(1 << 20)
		if b == nil {
			break
		}
		if b != head {
			t.Errorf("buffer %d of %d bytes is a copy", i, len(b.B))
		}
		got = append(got, b.B...)
		b.Release()
	}
	if !bytes.Equal(got, data) {
		t.Error("wrong bytes")
	}
	if r.check() != 0 {
		t.Error("pages held after all was read")
	}
}

func TestRecvBufferShortStream(t *testing.T) {
	var pool chunk.Pool
	var r RecvBuffer
	if err := r.Insert(&pool, 0, make([]byte, 100), 0); err != nil {
		t.Fatal(err)
	}
	if held := r.check(); held > 512 || r.more != nil {
		t.Errorf("100 bytes take %d", held)
	}
}

func TestRecvBufferNoAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip()
	}
	var pool chunk.Pool
	var r RecvBuffer
	packet := make([]byte, 1400)
	drain := func() {
		for b := r.ReadBuf(1 << 20); b != nil; b = r.ReadBuf(1 << 20) {
			b.Release()
		}
	}
	insert := func(off uint64) {
		if err := r.Insert(&pool, off, packet, 100); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		for range 45 {
			insert(r.End())
		}
		drain()
	}); n != 0 {
		t.Errorf("in order: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		at := r.End()
		for i := range uint64(45) {
			if i%10 != 0 {
				insert(at + i*1400)
			}
		}
		drain()
		for i := uint64(0); i < 45; i += 10 {
			insert(at + i*1400)
		}
		drain()
	}); n != 0 {
		t.Errorf("out of order: %v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		var r RecvBuffer
		if err := r.Insert(&pool, 0, packet[:300], 0); err != nil {
			t.Fatal(err)
		}
		r.Read(packet)
	}); n != 0 {
		t.Errorf("a short stream: %v allocations", n)
	}
}

// BenchmarkRecvBuffer is for a packet of 1400 bytes that is inserted and read, in batches of so many.
func BenchmarkRecvBuffer(b *testing.B) {
	for _, batch := range []int{1, 45, 1000} {
		for _, how := range []string{"Read", "ReadBuf"} {
			b.Run(fmt.Sprintf("batch=%d/%s", batch, how), func(b *testing.B) {
				var pool chunk.Pool
				var r RecvBuffer
				packet, p := make([]byte, 1400), make([]byte, 64<<10)
				b.SetBytes(1400)
				b.ReportAllocs()
				for b.Loop() {
					if err := r.Insert(&pool, r.end, packet, 100); err != nil {
						b.Fatal(err)
					}
					if r.Readable() < batch*1400 {
						continue
					}
					if how == "Read" {
						for r.Readable() > 0 {
							r.Read(p)
						}
						continue
					}
					for c := r.ReadBuf(1 << 20); c != nil; c = r.ReadBuf(1 << 20) {
						c.Release()
					}
				}
			})
		}
	}
}

// BenchmarkRecvBufferGaps inserts every second packet of 1400 bytes, up to so many gaps, then
// the rest.
func BenchmarkRecvBufferGaps(b *testing.B) {
	for _, gaps := range []int{10, 1000} {
		b.Run(fmt.Sprint(gaps), func(b *testing.B) {
			var pool chunk.Pool
			var r RecvBuffer
			packet := make([]byte, 1400)
			i, at := 0, uint64(0)
			b.SetBytes(1400)
			b.ReportAllocs()
			for b.Loop() {
				k := 2*i + 1
				if i >= gaps {
					k = 2 * (i - gaps)
				}
				if err := r.Insert(&pool, at+uint64(k)*1400, packet, gaps); err != nil {
					b.Fatal(err)
				}
				if i++; i == 2*gaps {
					i, at = 0, r.end
					for c := r.ReadBuf(1 << 20); c != nil; c = r.ReadBuf(1 << 20) {
						c.Release()
					}
				}
			}
		})
	}
}
