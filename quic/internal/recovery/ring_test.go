package recovery

import (
	"slices"
	"testing"
)

func FuzzPacketRing(f *testing.F) {
	f.Add([]byte{1, 1, 1, 0, 1, 5, 0, 0})
	f.Add([]byte{9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 200, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var q packetRing
		var model []uint64
		next := uint64(0)
		for _, op := range ops {
			if op == 0 && len(model) > 0 {
				q.pop()
				model = model[1:]
			} else {
				next += uint64(op)
				*q.push() = packet{pn: next}
				model = append(model, next)
				next++
			}
			if q.n != len(model) || len(q.buf)&(len(q.buf)-1) != 0 {
				t.Fatalf("%d packets in %d places, want %d", q.n, len(q.buf), len(model))
			}
			for i, pn := range model {
				if q.at(i).pn != pn {
					t.Fatalf("packet %d at %d, want %d", q.at(i).pn, i, pn)
				}
			}
			for pn := uint64(0); pn < min(next+2, 300); pn++ {
				want, _ := slices.BinarySearch(model, pn)
				if got := q.search(pn); got != want {
					t.Fatalf("search(%d) = %d in %v", pn, got, model)
				}
			}
		}
	})
}

func FuzzArena(f *testing.F) {
	f.Add([]byte{1, 1, 2, 0, 1, 1, 1, 3, 2, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var a arena[*int]
		var sent, open []uint64
		one, n := 1, uint64(0)
		for _, op := range ops {
			switch op % 5 {
			case 0: // let go of the first
				if len(sent) > 0 {
					a.clear(a.head, a.head+1)
					a.head++
					sent = sent[1:]
				}
			case 1:
				a.reset()
				open = nil
			case 2:
				a.end = a.open
				sent, open = append(sent, open...), nil
			default:
				n++
				a.add(Frame[*int]{Off: n, Stream: &one})
				open = append(open, n)
			}
			all := append(slices.Clone(sent), open...)
			if int(a.open-a.head) != len(all) || int(a.end-a.head) != len(sent) {
				t.Fatalf("from %d to %d to %d, want %d and %d", a.head, a.end, a.open, len(sent), len(open))
			}
			for i, off := range all {
				if f := a.at(a.head + uint32(i)); f.Off != off || f.Stream == nil {
					t.Fatalf("frame %d is %v, want %d", i, f, off)
				}
			}
			held := 0
			for i := range a.buf {
				if a.buf[i].Stream != nil {
					held++
				}
			}
			if held != len(all) {
				t.Fatalf("%d frames hold streams, want %d", held, len(all))
			}
		}
	})
}

func TestArenaWrapsAround(t *testing.T) {
	a := arena[int]{head: ^uint32(0) - 1, end: ^uint32(0) - 1, open: ^uint32(0) - 1}
	for i := range 40 {
		a.add(Frame[int]{Off: uint64(i)})
	}
	for i := range 40 {
		if f := a.at(a.head + uint32(i)); f.Off != uint64(i) {
			t.Fatalf("frame %d is %d", i, f.Off)
		}
	}
}
