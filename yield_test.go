package frittata

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestYield checks that what was made runnable runs before a yielder goes on, and that one which has waited long does
// not wait behind all others for a while.
func TestYield(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var y yielder
	// A goroutine whose processor was taken away is not behind the others any more, and race builds shuffle them: not each time.
	tries := func(ok func() bool) bool {
		for range 200 {
			y.shared = 0
			if ok() {
				return true
			}
		}
		return false
	}
	if !tries(func() bool {
		const n = 10
		var ran atomic.Int32
		for range n {
			go ran.Add(1)
		}
		y.yield(false)
		return ran.Load() == n
	}) {
		t.Error("it goes on before those that were made runnable have run")
	}
	if !tries(func() bool {
		go func() {
			for began := time.Now(); time.Since(began) <= 2*yieldLong; {
			}
		}()
		return y.yield(false) > yieldLong && y.shared == yieldShared
	}) {
		t.Errorf("after one that took long the next %d are shared", y.shared)
	}
	if bulk := new(yielder); bulk.yield(true) < 0 || bulk.back != nil {
		t.Error("it waits behind all others while much is copied")
	}
	y.yield(false)
	if y.shared != yieldShared-1 {
		t.Errorf("the next %d are shared", y.shared)
	}
}

func BenchmarkYield(b *testing.B) {
	var y yielder
	b.ReportAllocs()
	for b.Loop() {
		y.wait()
	}
}
