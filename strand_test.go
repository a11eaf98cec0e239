package frittata

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
)

// A model of the runtime: wakers change something and mark, workers run turns.
func TestStrandOneTurnAtATimeAndNoLostWakeup(t *testing.T) {
	leak.Check(t)
	const wakers, wakes, workers, holders = 16, 2000, 3, 2
	var s strand
	var made, seen atomic.Int64 // changes, and those that a turn has seen
	var turns atomic.Int64
	inTurn := 0 // no atomic: the race detector finds two turns at a time
	queue := make(chan struct{}, wakers*wakes)
	var workersDone, wakersDone, holdersDone sync.WaitGroup
	var done atomic.Bool
	for range workers {
		workersDone.Go(func() {
			for range queue {
				if !s.tryRun() {
					continue
				}
				inTurn++
				if inTurn != 1 {
					t.Error("two turns at a time")
				}
				turns.Add(1)
				seen.Store(made.Load())
				if s.takeMark() {
					seen.Store(made.Load())
				}
				inTurn--
				if s.finish(false) {
					queue <- struct{}{}
				}
			}
		})
	}
	for range holders {
		holdersDone.Go(func() {
			for !done.Load() {
				if !s.tryHold() {
					runtime.Gosched()
					continue
				}
				if inTurn != 0 {
					t.Error("held in a turn")
				}
				inTurn++
				inTurn--
				if s.finish(false) {
					queue <- struct{}{}
				}
			}
		})
	}
	for range wakers {
		wakersDone.Go(func() {
			for range wakes {
				made.Add(1)
				if enqueue, _ := s.mark(); enqueue {
					queue <- struct{}{}
				}
			}
		})
	}
	wakersDone.Wait()
	done.Store(true)
	holdersDone.Wait()
	for s.word.Load()&strandState != strandIdle {
		if seen.Load() == made.Load() && len(queue) == 0 && s.word.Load()&strandState == strandQueued {
			t.Fatal("queued, but in no queue")
		}
	}
	close(queue)
	workersDone.Wait()
	if seen.Load() != wakers*wakes {
		t.Errorf("turns have seen %d of %d changes", seen.Load(), wakers*wakes)
	}
	t.Logf("%d turns for %d wake-ups", turns.Load(), wakers*wakes)
}

func TestStrandStates(t *testing.T) {
	var s strand
	if enqueue, owned := s.mark(); !enqueue || owned {
		t.Fatal("marking an idle strand does not queue it")
	}
	if enqueue, _ := s.mark(); enqueue {
		t.Fatal("a queued strand was queued again")
	}
	if !s.tryRun() || s.tryRun() {
		t.Fatal("a queued strand runs once")
	}
	if s.takeMark() {
		t.Fatal("a mark from before the turn")
	}
	if enqueue, _ := s.mark(); enqueue {
		t.Fatal("a running strand was queued")
	}
	if !s.takeMark() || s.takeMark() {
		t.Fatal("the mark of a running strand is taken once")
	}
	s.mark()
	if !s.finish(false) || !s.tryRun() {
		t.Fatal("a marked strand has no other turn")
	}
	if s.finish(false) || s.word.Load() != strandIdle {
		t.Fatal("not idle after its turn")
	}
	s.tryRun()
	if !s.finish(true) || !s.tryRun() {
		t.Fatal("no other turn, though there is more to do")
	}

	s.finish(false)
	if !s.tryHold() || s.tryHold() || s.tryRun() {
		t.Fatal("an idle strand is held once, and does not run meanwhile")
	}
	s.mark()
	if !s.finish(false) || s.tryHold() {
		t.Fatal("a mark was lost to a hold, or a queued strand is held")
	}
	s.tryRun()
	s.finish(false)

	s.runOwned()
	if s.finish(false) {
		t.Fatal("no turn was due")
	}
	if s.tryRun() || s.tryHold() {
		t.Fatal("somebody else runs an owned strand")
	}
	if enqueue, owned := s.mark(); !enqueue || !owned {
		t.Fatal("marking an owned strand does not tell its owner")
	}
	s.runOwned()
	s.mark()
	s.disown()
	if !s.finish(false) || !s.tryRun() {
		t.Fatal("a mark was lost with the owner")
	}
}

func BenchmarkWakeOfADueStrand(b *testing.B) {
	var s strand
	s.mark()
	for b.Loop() {
		s.mark()
	}
}

func BenchmarkTurn(b *testing.B) {
	var s strand
	for b.Loop() {
		s.mark()
		s.tryRun()
		s.finish(false)
	}
}

// When no connection is left, who has marked a strand and comes late starts no runner: Close would not wait for it.
func TestPushAfterTheEnd(t *testing.T) {
	for _, over := range []bool{false, true} {
		started := 0
		var q runQueue
		q.init(1, func(*lane) { started++ })
		q.leave()
		q.close(over)
		q.push(new(Conn))
		if want := map[bool]int{false: 1, true: 0}[over]; started != want {
			t.Errorf("over %v: %d runners were started", over, started)
		}
	}
}
