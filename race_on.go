//go:build race

package frittata

import (
	"bytes"
	"runtime"
	"strconv"
	"sync/atomic"
)

// strandGuard checks, in race builds, that what belongs to a strand is used by
// the goroutine that runs its turn and by no other.
type strandGuard struct{ goroutine atomic.Int64 }

func (g *strandGuard) enter() {
	if !g.goroutine.CompareAndSwap(0, goroutineID()) {
		panic("BUG: two turns of a strand at a time")
	}
}

func (g *strandGuard) leave() {
	g.check()
	g.goroutine.Store(0)
}

// take makes the turn one of this goroutine.
func (g *strandGuard) take() { g.goroutine.Store(goroutineID()) }

func (g *strandGuard) check() {
	if g.goroutine.Load() != goroutineID() {
		panic("frittata: what belongs to a connection's strand was used outside of a callback")
	}
}

// goroutineID reads the number of the goroutine from the head of its stack trace.
func goroutineID() int64 {
	var buf [64]byte
	b := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	b, _, _ = bytes.Cut(b, []byte(" "))
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		panic("BUG: no goroutine number in a stack trace")
	}
	return n
}
