package wire

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/frittata-go/frittata/quic/internal/ranges"
)

// ackRanges returns the ranges of a, newest first.
func ackRanges(a *Ack) (rs []Range) {
	it := a.Ranges()
	for it.Next() {
		rs = append(rs, Range{Start: it.Smallest, End: it.Largest + 1})
	}
	return rs
}

// naiveAck decodes an ACK frame as RFC 9000, Section 19.3, reads: all integers
// first, then signed arithmetic. ok is false if the frame is in error.
func naiveAck(b []byte) (a Ack, rs []Range, ok bool) {
	typ := b[0]
	b = b[1:]
	ok = true
	next := func() int64 {
		v, good := readVarint(&b)
		ok = ok && good
		return int64(v)
	}
	largest, delay, count := next(), next(), next()
	first := next()
	if !ok || first > largest {
		return a, nil, false
	}
	a.Largest, a.Delay = uint64(largest), uint64(delay)
	smallest := largest - first
	rs = append(rs, Range{Start: uint64(smallest), End: uint64(largest) + 1})
	for range count {
		gap, size := next(), next()
		if !ok {
			return a, nil, false
		}
		largest = smallest - gap - 2
		if largest < 0 || largest < size {
			return a, nil, false
		}
		smallest = largest - size
		rs = append(rs, Range{Start: uint64(smallest), End: uint64(largest) + 1})
	}
	if typ == FrameAckECN {
		a.HasECN = true
		a.ECT0, a.ECT1, a.CE = uint64(next()), uint64(next()), uint64(next())
	}
	return a, rs, ok
}

func FuzzAck(f *testing.F) {
	for _, s := range []string{
		"0a 05 00 03", "0a 05 01 03 02 03", "0a 05 01 03 02 02 01 4002 03", "0a 00 01 03 02 04", "0a 00 01 03 06 00",
		"ffffffffffffffff 00 01 c000000000000000 fffffffffffffff0 00", "ffffffffffffffff 00 00 ffffffffffffffff", "0a 00 ffffffffffffffff 00 00 00",
	} {
		f.Add(unhex(s), false)
		f.Add(append(unhex(s), 1, 2, 3), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, ecn bool) {
		typ := byte(FrameAck)
		if ecn {
			typ = FrameAckECN
		}
		b = append([]byte{typ}, b...)
		want, wantRanges, ok := naiveAck(b)
		var fr Frame
		_, err := ParseFrame(b, PacketHandshake, &fr)
		if (err == nil) != ok {
			t.Fatalf("%x: %v, want ok %v", b, err, ok)
		}
		if err != nil {
			return
		}
		if got := ackRanges(&fr.Ack); !slices.Equal(got, wantRanges) {
			t.Fatalf("%x: %v, want %v", b, got, wantRanges)
		}
		a := fr.Ack
		if a.Largest != want.Largest || a.Delay != want.Delay || a.HasECN != want.HasECN || a.ECT0 != want.ECT0 || a.ECT1 != want.ECT1 || a.CE != want.CE {
			t.Fatalf("%+v, want %+v", a, want)
		}
	})
}

func TestNoAckRanges(t *testing.T) {
	var a Ack
	if it := a.Ranges(); it.Next() {
		t.Error("an Ack that was not parsed has ranges")
	}
}

// randomRanges makes n ranges, ascending, with steps of various sizes.
func randomRanges(rng *rand.Rand, n int) (s ranges.Set) {
	v := uint64(rng.IntN(3))
	step := func() uint64 { return 1 + rng.Uint64N(1<<(1+rng.IntN(20))) }
	for range n {
		start := v
		v += step()
		s = append(s, Range{Start: start, End: v})
		v += step()
	}
	return s
}

func TestAppendAck(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 10, 63, 64, 65, 200} {
		for _, ecn := range []*ECNCounts{nil, {1, 100, 1 << 40}} {
			s := randomRanges(rng, n)
			delay := rng.Uint64N(1 << 20)
			prefix := []byte{0xaa, 0xbb}
			full := len(AppendAck(prefix, s, delay, ecn, 1<<20)) - 2
			last := 0
			for room := 0; room <= full+2; room++ {
				b := AppendAck(prefix, s, delay, ecn, room)
				b = b[2:]
				if len(b) > room {
					t.Fatalf("%d bytes do not fit in %d", len(b), room)
				}
				if len(b) == 0 {
					if last > 0 {
						t.Fatalf("nothing in %d bytes, but in fewer", room)
					}
					continue
				}
				var f Frame
				if n, err := ParseFrame(b, PacketInitial, &f); err != nil || n != len(b) {
					t.Fatalf("%x: %d of %d bytes, %v", b, n, len(b), err)
				}
				if f.Ack.Delay != delay || f.Ack.HasECN != (ecn != nil) || ecn != nil && *ecn != (ECNCounts{f.Ack.ECT0, f.Ack.ECT1, f.Ack.CE}) {
					t.Fatalf("%+v", f.Ack)
				}
				got := ackRanges(&f.Ack)
				slices.Reverse(got)
				if !slices.Equal(got, s[len(s)-len(got):]) {
					t.Fatalf("in %d bytes: %v are not the newest of %v", room, got, s)
				}
				if len(got) < last {
					t.Fatalf("%d ranges in %d bytes, but %d in fewer", len(got), room, last)
				}
				// As many as fit: one more would not.
				if len(got) < n {
					more := AppendAck(nil, s[len(s)-len(got)-1:], delay, ecn, 1<<20)
					if slack := VarintLen(uint64(n-1)) - VarintLen(uint64(len(got))); len(more)+slack <= room {
						t.Fatalf("%d ranges in %d bytes, but %d take %d", len(got), room, len(got)+1, len(more))
					}
				}
				last = len(got)
			}
			if last != n {
				t.Errorf("%d of %d ranges where all fit", last, n)
			}
		}
	}
}

func TestAppendAckBounds(t *testing.T) {
	b := []byte{1}
	if got := AppendAck(b, nil, 0, nil, 100); len(got) != 1 {
		t.Errorf("no ranges: %x", got)
	}
	for _, room := range []int{-1, 0, 4} {
		if got := AppendAck(b, []Range{{Start: 0, End: 1}}, 0, nil, room); len(got) != 1 {
			t.Errorf("room for %d bytes: %x", room, got)
		}
	}
	got := AppendAck(b, []Range{{Start: 0, End: MaxVarint + 1}}, 1<<63, nil, 100)
	var f Frame
	if _, err := ParseFrame(got[1:], Packet1RTT, &f); err != nil || f.Ack.Largest != MaxVarint || f.Ack.Delay != MaxVarint {
		t.Errorf("%+v, %v", f.Ack, err)
	}
	if rs := ackRanges(&f.Ack); len(rs) != 1 || rs[0] != (Range{Start: 0, End: MaxVarint + 1}) {
		t.Errorf("%v", rs)
	}
}

// sumAcked walks all ranges.
func sumAcked(a *Ack) (n uint64) {
	it := a.Ranges()
	for it.Next() {
		n += it.Largest - it.Smallest + 1
	}
	return n
}

func BenchmarkAck(b *testing.B) {
	for _, n := range []int{1, 4, 32} {
		var s ranges.Set
		for i := range uint64(n) {
			s = append(s, Range{Start: 100_000 + i*10, End: 100_000 + i*10 + 7})
		}
		buf := make([]byte, 0, 1200)
		p := AppendAck(nil, s, 100, nil, 1200)
		b.Run(fmt.Sprintf("parse %d", n), func(b *testing.B) {
			var f Frame
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseFrame(p, Packet1RTT, &f); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("walk %d", n), func(b *testing.B) {
			var f Frame
			ParseFrame(p, Packet1RTT, &f)
			b.ReportAllocs()
			for b.Loop() {
				sumAcked(&f.Ack)
			}
		})
		b.Run(fmt.Sprintf("append %d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				AppendAck(buf, s, 100, nil, 1200)
			}
		})
	}
}
