package frittata

import "sync/atomic"

// The states of a strand. They are one word, so that a wake-up is one atomic
// operation and none when a turn is due already.
const (
	strandIdle    uint32 = iota
	strandQueued         // a turn is due, and somebody will run it
	strandRunning        // a goroutine runs a turn
	strandAgain          // a goroutine runs a turn, and another one is due after it

	strandState uint32 = 3
	// strandOwned: the turns are a handshake goroutine's, and nobody else's.
	strandOwned uint32 = 4
)

// strand makes turns happen one at a time and loses no wake-up: whoever
// changed something and then called mark knows that a turn begins after
// that. It is the state alone; who runs turns is the caller's matter.
type strand struct{ word atomic.Uint32 }

// mark makes a turn due. If enqueue is set, the strand was idle and the caller has
// to see to it that somebody runs it: its own goroutine if owned is set,
// else whoever takes from the run queue.
func (s *strand) mark() (enqueue, owned bool) {
	for {
		w := s.word.Load()
		next := w&^strandState | strandQueued
		switch w & strandState {
		case strandQueued, strandAgain:
			return false, false
		case strandIdle:
			enqueue, owned = true, w&strandOwned != 0
		case strandRunning:
			next = w&^strandState | strandAgain
			enqueue, owned = false, false
		}
		if s.word.CompareAndSwap(w, next) {
			return enqueue, owned
		}
	}
}

// tryRun begins a turn, unless one is under way or the turns are a handshake
// goroutine's. A queued strand may be run before its time in the queue comes.
func (s *strand) tryRun() bool {
	for {
		w := s.word.Load()
		if w != strandIdle && w != strandQueued {
			return false
		}
		if s.word.CompareAndSwap(w, strandRunning) {
			return true
		}
	}
}

// tryHold holds an idle strand for a moment, in which no turn begins: who holds it may
// use what is the strand's, and then calls finish. It returns false if a turn
// is due or under way, or if the turns are a handshake goroutine's.
func (s *strand) tryHold() bool { return s.word.CompareAndSwap(strandIdle, strandRunning) }

// runOwned begins a turn of the handshake goroutine, whose turn is due.
func (s *strand) runOwned() { s.word.Store(strandOwned | strandRunning) }

// takeMark tells whether a turn was made due since this one began, and makes
// this one count as that: it has to do all that a turn does from here on.
func (s *strand) takeMark() bool {
	w := s.word.Load()
	if w&strandState != strandAgain {
		return false
	}
	// Nobody else changes the word of a strand that runs and is marked.
	s.word.Store(w&^strandState | strandRunning)
	return true
}

// finish ends a turn. If it returns true the strand is queued, as more was set
// or another turn was made due, and the caller has to see to it that somebody runs it.
func (s *strand) finish(more bool) (requeue bool) {
	w := s.word.Load()
	owned := w & strandOwned // which is the idle state but for that
	if !more && w&strandState == strandRunning && s.word.CompareAndSwap(w, owned) {
		return false
	}
	s.word.Store(owned | strandQueued)
	return true
}

// disown makes the turns everybody's. The handshake goroutine calls it in a turn.
func (s *strand) disown() {
	for {
		w := s.word.Load()
		if s.word.CompareAndSwap(w, w&^strandOwned) {
			return
		}
	}
}
