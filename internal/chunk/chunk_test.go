package chunk

import (
	"fmt"
	"sync"
	"testing"
)

func TestGetSizes(t *testing.T) {
	var pool Pool
	for _, p := range []*Pool{nil, &pool} {
		for _, n := range []int{-1, 0, 1, 511, 512, 513, 1452, 2048, 2049, 4096, 4097, 16384, 16385, MaxSize - 1, MaxSize, MaxSize + 1, 1 << 20} {
			for range 3 {
				b := p.Get(n)
				if len(b.B) != 0 || cap(b.B) < n {
					t.Fatalf("Get(%d): length %d, capacity %d", n, len(b.B), cap(b.B))
				}
				if b.Size() != cap(b.B) {
					t.Fatalf("Get(%d): size %d, capacity %d", n, b.Size(), cap(b.B))
				}
				if p != nil && n <= MaxSize && n > 512 && cap(b.B) > max(4*n, 2048) {
					t.Errorf("Get(%d) wastes memory: capacity %d", n, cap(b.B))
				}
				if b.Pool() != p {
					t.Errorf("Get(%d): wrong pool", n)
				}
				b.Release()
			}
		}
	}
}

// What the owner does to B must not shrink the memory for the next one.
func TestReslicedBufferComesBackWhole(t *testing.T) {
	var pool Pool
	for range 100 {
		b := pool.Get(4096)
		if len(b.B) != 0 || cap(b.B) != 4096 {
			t.Fatalf("length %d, capacity %d", len(b.B), cap(b.B))
		}
		b.B = b.B[:cap(b.B)][100:200:300]
		if b.Size() != 4096 {
			t.Fatalf("size %d", b.Size())
		}
		b.Release()
	}
}

func TestDoubleReleasePanics(t *testing.T) {
	var pool Pool
	for name, b := range map[string]*Buffer{
		"pooled":  pool.Get(100),
		"large":   pool.Get(MaxSize + 1),
		"no pool": (*Pool)(nil).Get(100),
		"by hand": {B: make([]byte, 10)},
	} {
		t.Run(name, func(t *testing.T) {
			b.Release()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			b.Release()
		})
	}
}

func TestReleasedMemoryIsNotHeld(t *testing.T) {
	b := (*Pool)(nil).Get(100)
	b.Release()
	if b.B != nil || b.mem != nil {
		t.Error("the header holds the memory")
	}
	h := &Buffer{B: make([]byte, 10, 20)}
	if h.Size() != 20 || h.Pool() != nil {
		t.Errorf("size %d", h.Size())
	}
	h.Release()
	if h.B != nil {
		t.Error("the header holds the memory")
	}
}

func TestConcurrent(t *testing.T) {
	var pool Pool
	ch := make(chan *Buffer, 16)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				b := pool.Get(1 << (i % 18))
				b.B = append(b.B, byte(g), byte(i))
				ch <- b
			}
		})
	}
	go func() { wg.Wait(); close(ch) }()
	for b := range ch {
		if len(b.B) != 2 || b.B[0] > 3 {
			t.Error("content changed")
		}
		b.Release()
	}
}

func TestNoAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops at random in race builds")
	}
	var pool Pool
	for _, n := range []int{100, 1400, 4096, 16384, MaxSize} {
		if a := testing.AllocsPerRun(1000, func() { pool.Get(n).Release() }); a != 0 {
			t.Errorf("Get(%d) and Release: %v allocations", n, a)
		}
	}
}

func BenchmarkGetRelease(b *testing.B) {
	for _, n := range []int{512, 16384} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var pool Pool
			b.ReportAllocs()
			for b.Loop() {
				pool.Get(n).Release()
			}
		})
	}
}
