package frittata

import (
	"runtime"
	"time"
)

// yielder lets goroutines that have been made runnable run, and then goes on. runtime.Gosched puts who calls it at the
// end of a queue that all processors share: one that is idle takes it from there at once, and it goes on at the
// same time as those it made way for, with its memory in the caches of another processor and nothing to do yet. A yielder waits at the
// end of its own processor's queue, unless others who are in there have needed long, or much is copied: then to do
// it at the same time is worth more.
type yielder struct {
	back   chan struct{}
	helper func()
	shared int // for so many times it is the shared queue
}

const (
	// yieldLong is how long those that have been made runnable take at most, for one to wait behind them all.
	yieldLong = time.Millisecond
	// yieldShared is how many times one does not after that.
	yieldShared = 64
)

// yieldBulk is how many bytes, received and sent since the last time, are much.
const yieldBulk = 96 << 10

// yield returns how long it took.
func (y *yielder) yield(bulk bool) time.Duration {
	began := time.Now()
	if bulk || y.shared > 0 {
		y.shared = max(y.shared-1, 0)
		runtime.Gosched()
		return time.Since(began)
	}
	y.wait()
	took := time.Since(began)
	if took > yieldLong {
		y.shared = yieldShared
	}
	return took
}

// wait waits at the end of the processor's queue. What is made runnable comes first in it, and what
// was first before comes last: so another goroutine has to make this one runnable, and then one more.
func (y *yielder) wait() {
	if y.back == nil {
		y.back = make(chan struct{}, 1)
		y.helper = func() {
			y.back <- struct{}{}
			go func() {}()
		}
	}
	go y.helper()
	<-y.back
}
