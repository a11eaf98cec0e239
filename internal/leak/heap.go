package leak

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// Heap returns how many bytes of the heap are in use. What goroutines take while it is collected counts
// too; what they have taken since does not.
func Heap() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool let go of in the first
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int64(live[0].Value.Uint64())
}

// CheckHeap has the test fail if the heap is more than most bytes larger than it was, as told by Heap.
func CheckHeap(t testing.TB, before, most int64) {
	t.Helper()
	if n := grown(before, most); n > most {
		t.Errorf("the heap has grown by %d bytes, of %d that it may", n, most)
	}
}

// looks is how often grown looks.
const looks = 20

// grown returns by how much the heap has grown. If it is more than most it looks again: what is held
// is there each time.
func grown(before, most int64) (n int64) {
	for range looks {
		if n = Heap() - before; n <= most {
			break
		}
	}
	return n
}
