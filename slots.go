package frittata

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// handshakeSlots bounds the goroutines that compute a handshake at the same
// time, so that a flood of them leaves processors to established connections.
var handshakeSlots = newSlots(runtime.GOMAXPROCS(0))

func enterHandshake() { handshakeSlots.enter() }
func leaveHandshake() { handshakeSlots.leave() }

// enterSlot has the worker of a handshake hold a slot. The packets that come of the
// cryptography are sent with it, so that they do not wait for one again.
func (w *worker) enterSlot() {
	if !w.slot {
		enterHandshake()
		w.slot = true
	}
}

// leaveSlot lets go of it, if it is held.
func (w *worker) leaveSlot() {
	if w.slot {
		w.slot = false
		leaveHandshake()
	}
}

// slots is a semaphore that serves in the order of arrival and tells how long that takes.
type slots struct {
	start time.Time
	since atomic.Int64 // after start: when the first that waits began to; 0: nobody waits

	mu          sync.Mutex
	free        int
	first, last *slotWaiter
}

type slotWaiter struct {
	since int64
	turn  chan struct{}
	next  *slotWaiter
}

func newSlots(n int) *slots { return &slots{start: time.Now(), free: n} }

func (s *slots) enter() {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return
	}
	w := &slotWaiter{since: max(int64(time.Since(s.start)), 1), turn: make(chan struct{})}
	if s.last != nil {
		s.last.next = w
	} else {
		s.first = w
		s.since.Store(w.since)
	}
	s.last = w
	s.mu.Unlock()
	<-w.turn
}

// leave hands the slot to who has waited longest.
func (s *slots) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.first
	if w == nil {
		s.free++
		return
	}
	s.first = w.next
	if s.first == nil {
		s.last = nil
		s.since.Store(0)
	} else {
		s.since.Store(s.first.since)
	}
	close(w.turn)
}

// delay is how long the one has waited by now that is next: a measure of the
// load that is never out of date.
func (s *slots) delay(now time.Time) time.Duration {
	since := s.since.Load()
	if since == 0 {
		return 0
	}
	return max(now.Sub(s.start)-time.Duration(since), 0)
}
