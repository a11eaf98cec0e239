package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// takeUsage returns a snapshot of this process.
func takeUsage() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{
		CPU:        cpuSeconds(),
		Mallocs:    m.Mallocs,
		AllocBytes: m.TotalAlloc,
		Heap:       m.HeapInuse,
		Stacks:     m.StackInuse,
		Goroutines: runtime.NumGoroutine(),
	}
}

// takeMemory returns a snapshot after a collection that gave back to the system
// what it could. Twice, because the first empties only the pools' first half.
func takeMemory() usage {
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	u := takeUsage()
	u.RSS = resident()
	return u
}

// resident returns the resident bytes of this process: those of the system if
// it tells, else those that the Go runtime knows of.
func resident() int64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			if pages, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

// since returns what was used between before and u.
func (u usage) since(before usage) usage {
	d := u
	d.CPU -= before.CPU
	d.Mallocs -= before.Mallocs
	d.AllocBytes -= before.AllocBytes
	d.RSS -= before.RSS
	d.Heap -= before.Heap
	d.Stacks -= before.Stacks
	d.Goroutines -= before.Goroutines
	d.Datagrams -= before.Datagrams
	return d
}
