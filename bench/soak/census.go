package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// sample is what there was at a time.
type sample struct {
	at         time.Duration
	open       int64 // connections of clients
	begun      int64
	server     int   // connections of the server, dead ones included
	bytes      int64 // checked
	streams    int64
	datagrams  int64
	heap       uint64 // bytes, after a collection
	goroutines int
	files      int // open ones, sockets included; -1: the system does not tell
	kinds      string
}

func (s sample) String() string {
	files := "?"
	if s.files >= 0 {
		files = fmt.Sprint(s.files)
	}
	return fmt.Sprintf("%7s: %d open of %d, %d at the server; %.2f GB in %d streams, %d datagrams; heap %.1f MB, %d goroutines, %s files; %s",
		s.at.Round(time.Second), s.open, s.begun, s.server, float64(s.bytes)/1e9, s.streams, s.datagrams,
		float64(s.heap)/1e6, s.goroutines, files, s.kinds)
}

// census takes samples, and judges them.
type census struct {
	tally  *tally
	begin  time.Time
	server func() int
	conns  int      // of clients, at a time
	steady []sample // since all clients were there
}

func (c *census) sample() sample {
	t := c.tally
	s := sample{
		at: time.Since(c.begin), open: t.open.Load(), begun: t.begun.Load(), server: c.server(),
		bytes: t.bytes.Load(), streams: t.streams.Load(), datagrams: t.datagrams.Load(), kinds: t.kindsText(),
	}
	// Twice, as a pool keeps what it has for one collection.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.heap = m.HeapAlloc
	s.goroutines = runtime.NumGoroutine()
	s.files = openFiles()
	return s
}

// openFiles counts the open files of the process, where the system tells.
func openFiles() int {
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if list, err := os.ReadDir(dir); err == nil {
			return len(list)
		}
	}
	return -1
}

// What is tolerated. Under load the counts vary with what the connections are
// at: growth is what is more than a quarter, and more than some for each
// connection. When all have left almost nothing may stay.
const (
	loadFactor     = 1.25
	heapEach       = 4 << 10 // bytes for each connection
	heapPlus       = 8 << 20
	goroutinesEach = 0.1
	goroutinesPlus = 50
	filesEach      = 0.05
	filesPlus      = 20

	// Maps and the scheduler keep what they had at most, which is by connections at a time.
	leftHeap       = 4 << 20
	leftHeapEach   = 4 << 10
	leftGoroutines = 8
	leftFiles      = 2

	// minSteady is how few samples of the steady state can be compared.
	minSteady = 6
)

// growth returns what grew, a line each.
func (c *census) growth(before, after sample) (lines []string) {
	if n := len(c.steady); n >= minSteady {
		early, late := median(c.steady[:n/3]), median(c.steady[n-n/3:])
		conns := float64(max(early.open, late.open))
		check := func(what string, from, to, unit, slack float64) {
			if most := from*loadFactor + slack; to > most {
				lines = append(lines, fmt.Sprintf("%s under load: %.1f at first, %.1f in the end, tolerated %.1f", what, from/unit, to/unit, most/unit))
			}
		}
		check("heap (MB)", float64(early.heap), float64(late.heap), 1e6, heapPlus+conns*heapEach)
		check("goroutines", float64(early.goroutines), float64(late.goroutines), 1, goroutinesPlus+conns*goroutinesEach)
		check("files", float64(early.files), float64(late.files), 1, filesPlus+conns*filesEach)
	}
	if after.heap > before.heap+leftHeap+leftHeapEach*uint64(c.conns) {
		lines = append(lines, fmt.Sprintf("heap: %.1f MB before the clients came, %.1f MB after they left", float64(before.heap)/1e6, float64(after.heap)/1e6))
	}
	if after.goroutines > before.goroutines+leftGoroutines {
		lines = append(lines, fmt.Sprintf("goroutines: %d before the clients came, %d after they left", before.goroutines, after.goroutines))
	}
	if after.files > before.files+leftFiles {
		lines = append(lines, fmt.Sprintf("files: %d before the clients came, %d after they left", before.files, after.files))
	}
	if after.server > 0 {
		lines = append(lines, fmt.Sprintf("%d connections of the server are left", after.server))
	}
	return lines
}

// median returns the median of each count.
func median(list []sample) (m sample) {
	m.heap = middle(list, func(s sample) uint64 { return s.heap })
	m.goroutines = middle(list, func(s sample) int { return s.goroutines })
	m.files = middle(list, func(s sample) int { return s.files })
	m.open = middle(list, func(s sample) int64 { return s.open })
	return m
}

func middle[T uint64 | int | int64](list []sample, of func(sample) T) T {
	v := make([]T, len(list))
	for i, s := range list {
		v[i] = of(s)
	}
	slices.Sort(v)
	return v[(len(v)-1)/2]
}
