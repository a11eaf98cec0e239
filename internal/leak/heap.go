package leak

import "runtime"

// Heap returns how many bytes of the heap are in use, after what is not was collected.
func Heap() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool let go of in the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
