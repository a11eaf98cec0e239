package chunk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestQueue compares with a list of slices.
func TestQueue(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var pool Pool
		var p *Pool
		if seed%2 == 0 {
			p = &pool
		}
		var q Queue
		var model [][]byte
		for i := range 5000 {
			grow := i/500%2 == 0
			if len(model) == 0 || rng.IntN(10) < 7 == grow {
				n := rng.IntN(1500)
				if rng.IntN(50) == 0 {
					n = rng.IntN(2 * MaxSize)
				}
				m := bytes.Repeat([]byte{byte(i)}, n)
				q.Push(p, m)
				model = append(model, m)
			} else {
				if got := q.Front(); !bytes.Equal(got, model[0]) {
					t.Fatalf("seed %d: %d bytes come out, want %d", seed, len(got), len(model[0]))
				}
				q.Pop()
				model = model[1:]
			}
			if q.Empty() != (len(model) == 0) {
				t.Fatalf("seed %d: empty is %v with %d messages", seed, q.Empty(), len(model))
			}
		}
		q.Clear()
		if !q.Empty() || q.Memory() != 0 {
			t.Error("something is left")
		}
	}
}

// TestQueueMemory: messages of any size take little more than their bytes.
func TestQueueMemory(t *testing.T) {
	var pool Pool
	for _, n := range []int{0, 1, 20, 100, 513, 1200, 2049, 9000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var q Queue
			size := 0
			for size < 1<<20 {
				q.Push(&pool, make([]byte, n))
				size += n + queueHeader
			}
			if m := q.Memory(); m > 2*size+queueChunk {
				t.Errorf("%d bytes of memory for %d", m, size)
			}
			q.Clear()
			q.Push(&pool, make([]byte, n))
			if m := q.Memory(); m > max(4*n, MinSize) {
				t.Errorf("%d bytes of memory for a single message", m)
			}
			q.Clear()
		})
	}
}

func BenchmarkQueue(b *testing.B) {
	var pool Pool
	var q Queue
	m := make([]byte, 1200)
	for b.Loop() {
		for range 40 {
			q.Push(&pool, m)
		}
		for !q.Empty() {
			q.Front()
			q.Pop()
		}
	}
}
