package stream

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/frittata-go/frittata/internal/chunk"
)

// check panics if the buffer is not what its comments say.
func (s *SendBuffer) check() {
	if s.acked > s.next || s.next > s.end {
		panic(fmt.Sprintf("acked %d, next %d, end %d", s.acked, s.next, s.end))
	}
	l := s.list
	if l == nil {
		switch {
		case s.one == nil && (s.acked != s.end || s.held != 0):
			panic("bytes without a chunk")
		case s.one != nil && (s.oneOff > s.acked || s.acked == s.end || s.oneOff+uint64(len(s.one.B)) != s.end || s.held != s.one.Size()):
			panic("wrong single chunk")
		}
		return
	}
	if s.one != nil {
		panic("single chunk beside the list")
	}
	for _, set := range [][]struct{ Start, End uint64 }{convert(l.out), convert(l.lost)} {
		prev := s.acked
		for i, r := range set {
			if r.Start < prev || i > 0 && r.Start == prev || r.End <= r.Start || r.End > s.next {
				panic(fmt.Sprintf("ranges %v, acked %d, next %d", set, s.acked, s.next))
			}
			prev = r.End
		}
	}
	for _, r := range l.lost {
		if i := after(l.out, r.Start); i < len(l.out) && l.out[i].Start < r.End {
			panic("lost and acked")
		}
	}
	held := 0
	at := s.acked // everything below is acked or in a chunk
	prev := uint64(0)
	for _, c := range l.chunks[l.head:] {
		if c.off < prev || c.end() <= c.off {
			panic("chunks out of order")
		}
		prev = c.end()
		if c.off > at && !l.out.ContainsRange(at, c.off) {
			panic("a byte is neither acked nor held")
		}
		if c.end() <= s.acked || l.out.ContainsRange(c.off, c.end()) {
			panic("an acked chunk is held")
		}
		at = max(at, c.end())
		held += c.b.Size()
	}
	if at < s.end && !l.out.ContainsRange(at, s.end) {
		panic("a byte at the end is neither acked nor held")
	}
	if held != s.held {
		panic(fmt.Sprintf("held %d, but %d told", held, s.held))
	}
}

func convert[R ~struct{ Start, End uint64 }](set []R) (out []struct{ Start, End uint64 }) {
	for _, r := range set {
		out = append(out, struct{ Start, End uint64 }(r))
	}
	return out
}

const (
	byteUnsent = iota
	byteSent
	byteLost
	byteAcked
)

// sendModel is a SendBuffer as a state for each byte.
type sendModel struct {
	state []byte
	next  int
}

func (m *sendModel) set(off, n int, from, to byte) {
	for i := off; i < off+n; i++ {
		if m.state[i] == from {
			m.state[i] = to
		}
	}
}

func (m *sendModel) lost() (off, n int) {
	off = bytes.IndexByte(m.state, byteLost)
	if off < 0 {
		return 0, 0
	}
	for off+n < len(m.state) && m.state[off+n] == byteLost {
		n++
	}
	return off, n
}

// use makes s one that was used before.
func use(s *SendBuffer, pool *chunk.Pool) {
	for range 3 {
		b := pool.Get(1000)
		b.B = append(b.B, make([]byte, 1000)...)
		s.WriteBuf(b)
	}
	s.OnSent(0, 2500)
	s.OnAcked(1000, 1000)
	s.OnLost(0, 500)
	s.Discard()
	s.Reuse()
	s.check()
}

func FuzzSendBuffer(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		type sent struct{ off, n int }
		var (
			s       SendBuffer
			m       sendModel
			pool    chunk.Pool
			packets []sent
			buf     [1 << 16]byte
		)
		send := func(off, n int) {
			p := buf[:n]
			s.Copy(p, uint64(off))
			if !bytes.Equal(p, pattern(uint64(off), n)) {
				t.Fatalf("wrong bytes at %d", off)
			}
			s.OnSent(uint64(off), n)
			m.set(off, n, byteUnsent, byteSent)
			m.set(off, n, byteLost, byteSent)
			m.next = max(m.next, off+n)
			packets = append(packets, sent{off, n})
		}
		if len(in)%2 == 0 {
			use(&s, &pool)
		}
		in = in[:min(len(in), 1<<12)]
		for sc := script(in); len(sc) > 0; {
			switch op := sc.byte() % 8; op {
			case 0, 1:
				n := sc.size()
				if len(m.state)+n > 1<<19 {
					continue
				}
				p := pattern(s.End(), n)
				if op == 0 {
					s.Write(&pool, p)
				} else {
					b := pool.Get(n)
					b.B = append(b.B, p...)
					s.WriteBuf(b)
				}
				m.state = append(m.state, make([]byte, n)...)
			case 2, 3:
				if n := min(sc.size(), s.Unsent()); n > 0 {
					send(m.next, n)
				}
			case 4:
				off, n := s.Lost()
				if n = min(n, sc.size()); n > 0 {
					send(int(off), n)
				}
			default:
				if len(packets) == 0 {
					continue
				}
				i := int(sc.byte()) % len(packets)
				if op == 5 {
					i = 0
				}
				p := packets[i]
				if sc.byte()&7 != 0 { // else it comes again
					packets = slices.Delete(packets, i, i+1)
				}
				if op == 7 {
					s.OnLost(uint64(p.off), p.n)
					m.set(p.off, p.n, byteSent, byteLost)
				} else {
					s.OnAcked(uint64(p.off), p.n)
					for i := p.off; i < p.off+p.n; i++ {
						m.state[i] = byteAcked
					}
				}
			}
			s.check()
			off, n := s.Lost()
			wantOff, wantN := m.lost()
			if int(off) != wantOff || n != wantN {
				t.Fatalf("Lost %d, %d, want %d, %d", off, n, wantOff, wantN)
			}
			if int(s.Next()) != m.next || int(s.End()) != len(m.state) || s.Unsent() != len(m.state)-m.next {
				t.Fatalf("Next %d, End %d, Unsent %d, want %d, %d", s.Next(), s.End(), s.Unsent(), m.next, len(m.state))
			}
			acked := bytes.Count(m.state, []byte{byteAcked})
			if s.AllAcked() != (acked == len(m.state)) {
				t.Fatalf("AllAcked %v, %d of %d bytes are", s.AllAcked(), acked, len(m.state))
			}
		}
		// A peer that acks everything in the end has all released.
		if s.Unsent() > 0 && len(in)%2 == 0 {
			s.OnSent(s.Next(), s.Unsent())
		}
		if s.Unsent() == 0 {
			s.OnAcked(0, int(s.End()))
			s.check()
			if !s.AllAcked() || s.Held() != 0 {
				t.Fatalf("%d bytes held at the end", s.Held())
			}
		}
		end := s.End()
		s.Discard()
		s.check()
		s.OnAcked(0, int(end))
		s.OnLost(0, int(end))
		if _, n := s.Lost(); n != 0 || s.Unsent() != 0 || s.Held() != 0 || s.End() != end || !s.AllAcked() || s.one != nil {
			t.Fatal("not empty after Discard")
		}
	})
}

// A peer that acks all but the first packet, or all but one in each chunk, must not make
// us hold what it has.
func TestSendBufferSelectiveAcks(t *testing.T) {
	const packet, total = 1400, 8 << 20
	for _, keep := range []int{1 << 20, 100, 12} { // every keep-th packet is never acked
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			var s SendBuffer
			var pool chunk.Pool
			unacked := 0
			for i := 0; s.End() < total; i++ {
				s.Write(&pool, pattern(s.End(), packet))
				off := s.Next()
				s.OnSent(off, packet)
				if i%keep == 0 {
					unacked++
				} else {
					s.OnAcked(off, packet)
				}
				if s.Held() > (unacked+1)*maxSendChunk {
					t.Fatalf("%d bytes held for %d packets that are not acked", s.Held(), unacked)
				}
				if l := s.list; l != nil && (len(l.out) > unacked || len(l.chunks)-l.head > unacked+1) {
					t.Fatalf("%d ranges, %d chunks for %d packets", len(l.out), len(l.chunks)-l.head, unacked)
				}
			}
			s.check()
			for i := 0; i*packet < total; i += keep {
				var p [packet]byte
				s.Copy(p[:], uint64(i*packet))
				if !bytes.Equal(p[:], pattern(uint64(i*packet), packet)) {
					t.Fatal("wrong bytes")
				}
				s.OnAcked(uint64(i*packet), packet)
			}
			if !s.AllAcked() || s.Held() != 0 {
				t.Error("not all acked")
			}
		})
	}
}

func TestSendBufferChunkSizes(t *testing.T) {
	var pool chunk.Pool
	for _, c := range []struct{ write, times, most int }{
		{100, 1, 512},
		{100, 5, 512},
		{1000, 1, 2048},
		{1, 10_000, 10_000 * 3 / 2},
		{1000, 1000, 1_000_000 + maxSendChunk},
		{16 << 10, 64, 1 << 20},
		{256 << 10, 4, 1 << 20},
		{20_000, 50, 1_000_000 + 2*maxSendChunk},
	} {
		var s SendBuffer
		for range c.times {
			s.Write(&pool, pattern(s.End(), c.write))
		}
		if s.Held() > c.most || s.Held() < c.write*c.times {
			t.Errorf("%d times %d bytes take %d", c.times, c.write, s.Held())
		}
		s.check()
		s.Discard()
	}
}

// A trickle of buffers that are handed over must not cost a chunk each.
func TestSendBufferMergesSmallBuffers(t *testing.T) {
	var pool chunk.Pool
	var s SendBuffer
	for range 5000 {
		b := pool.Get(16 << 10)
		b.B = append(b.B, pattern(s.End(), 2)...)
		s.WriteBuf(b)
	}
	if s.Held() > 16<<10 {
		t.Errorf("%d bytes held", s.Held())
	}
	p := make([]byte, 10_000)
	s.Copy(p, 0)
	if !bytes.Equal(p, pattern(0, len(p))) {
		t.Error("wrong bytes")
	}
}

func TestSendBufferCopyOutOfRange(t *testing.T) {
	for _, big := range []int{100, 100_000} {
		var s SendBuffer
		s.Write(nil, make([]byte, big))
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			s.Copy(make([]byte, 10), uint64(big-5))
		}()
	}
}

// A buffer that holds nothing costs next to nothing, even after a lot was in flight.
func TestBuffersAreSmallWhenEmpty(t *testing.T) {
	var (
		pool chunk.Pool
		s    SendBuffer
		r    RecvBuffer
	)
	if n := unsafe.Sizeof(s); n > 64 {
		t.Errorf("a SendBuffer has %d bytes", n)
	}
	if n := unsafe.Sizeof(r); n > 64 {
		t.Errorf("a RecvBuffer has %d bytes", n)
	}
	data := pattern(0, 4<<20)
	s.Write(&pool, data)
	s.OnSent(0, len(data))
	for off := uint64(0); off < s.End(); off += 2000 {
		s.OnAcked(off, 1000)
		s.OnLost(off+1000, 1000)
	}
	s.OnAcked(0, len(data))
	s.check()
	if l := s.list; !s.AllAcked() || cap(l.chunks) > keepCap || cap(l.out) > keepCap || cap(l.lost) > keepCap {
		t.Error("the SendBuffer holds memory")
	}
	for _, first := range []int{1000, 0} {
		for off := first; off < len(data); off += 2000 {
			if err := r.Insert(&pool, uint64(off), data[off:min(off+1000, len(data))], len(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := make([]byte, len(data))
	if r.Read(got) != len(data) || !bytes.Equal(got, data) {
		t.Error("wrong bytes")
	}
	if r.check() != 0 || cap(r.more.pages) > keepCap || cap(r.more.ahead) > keepCap {
		t.Error("the RecvBuffer holds memory")
	}
}

// steadySend is a transfer's turn: write, send packets, ack them.
func steadySend(s *SendBuffer, pool *chunk.Pool, data, packet []byte) {
	s.Write(pool, data)
	for s.Unsent() > 0 {
		n := min(len(packet), s.Unsent())
		off := s.Next()
		s.Copy(packet[:n], off)
		s.OnSent(off, n)
	}
	for off := s.acked; off < s.end; off += uint64(len(packet)) {
		s.OnAcked(off, min(len(packet), int(s.end-off)))
	}
}

func TestSendBufferNoAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip()
	}
	var pool chunk.Pool
	data, packet := make([]byte, 64<<10), make([]byte, 1400)
	var s SendBuffer
	if n := testing.AllocsPerRun(100, func() { steadySend(&s, &pool, data, packet) }); n != 0 {
		t.Errorf("a steady transfer: %v allocations", n)
	}
	// A short stream needs its chunk alone, which is pooled.
	if n := testing.AllocsPerRun(1000, func() {
		var s SendBuffer
		s.Write(&pool, data[:300])
		s.OnSent(0, 300)
		s.OnAcked(0, 300)
	}); n != 0 {
		t.Errorf("a short stream: %v allocations", n)
	}
	// Every tenth packet is lost and comes late.
	s.Discard()
	if n := testing.AllocsPerRun(100, func() {
		s.Write(&pool, data)
		for i := 0; s.Unsent() > 0; i++ {
			off, n := s.Next(), min(1400, s.Unsent())
			s.Copy(packet[:n], off)
			s.OnSent(off, n)
			if i%10 != 0 {
				s.OnAcked(off, n)
			} else if i%20 == 0 {
				s.OnLost(off, n)
			}
		}
		for off, n := s.Lost(); n > 0; off, n = s.Lost() {
			s.Copy(packet[:n], off)
			s.OnSent(off, n)
		}
		s.OnAcked(s.acked, int(s.end-s.acked))
	}); n != 0 {
		t.Errorf("with losses: %v allocations", n)
	}
}

// BenchmarkSendBuffer is for a packet of 1400 bytes that is written, sent and acked,
// with inFlight bytes between.
func BenchmarkSendBuffer(b *testing.B) {
	for _, inFlight := range []int{64 << 10, 4 << 20} {
		for _, write := range []int{1400, 64 << 10} {
			b.Run(fmt.Sprintf("inflight=%dK/write=%d", inFlight>>10, write), func(b *testing.B) {
				var pool chunk.Pool
				var s SendBuffer
				data, packet := make([]byte, write), make([]byte, 1400)
				b.SetBytes(1400)
				b.ReportAllocs()
				for b.Loop() {
					for s.Unsent() < len(packet) {
						s.Write(&pool, data)
					}
					off := s.Next()
					s.Copy(packet, off)
					s.OnSent(off, len(packet))
					if int(s.next-s.acked) >= inFlight {
						s.OnAcked(s.acked, len(packet))
					}
				}
			})
		}
	}
}

// BenchmarkSendBufferLoss has every tenth packet lost, with 4 MiB in flight.
func BenchmarkSendBufferLoss(b *testing.B) {
	const packets = 3000
	var pool chunk.Pool
	var s SendBuffer
	packet := make([]byte, 1400)
	var lost [packets + 1]bool
	at := func(i int) uint64 { return uint64(i * 1400) }
	i := 0
	b.SetBytes(1400)
	b.ReportAllocs()
	for b.Loop() {
		if off, n := s.Lost(); n > 0 {
			n = min(n, len(packet))
			s.Copy(packet[:n], off)
			s.OnSent(off, n)
			s.OnAcked(off, n)
		}
		s.Write(&pool, packet)
		s.Copy(packet, s.Next())
		s.OnSent(s.Next(), len(packet))
		lost[i%packets] = i%10 == 0
		if j := i - packets + 1; j >= 0 {
			if lost[j%packets] {
				s.OnLost(at(j), len(packet))
			} else {
				s.OnAcked(at(j), len(packet))
			}
		}
		i++
	}
}
