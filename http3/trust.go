package http3

import (
	"sync/atomic"
	"time"
)

// trust is the judgement whether handlers return soon, without waiting for anything.
// Those that do are run by the goroutine that has read the request from the socket
// (see [frittata.Errand]), which spares two hand-overs; one that does not, while
// it is trusted to, makes everybody on the socket wait for some milliseconds, once. So trust
// is given after many that were quick, and lost by one that was not; and each
// time that it is lost it takes longer to win. The zero value is ready.
type trust struct {
	given atomic.Bool
	score int // what was won, while it is not given; handlers since then, while it is
	need  int // the score that it takes; zero means trustNeed
}

const (
	// quickTime is what a quick handler takes at most.
	quickTime = 50 * time.Microsecond
	// slowCost is how many quick ones make up for another one, which may have been quick
	// and without a processor.
	slowCost = 32

	trustNeed   = 64
	trustGrowth = 8       // by as much need grows
	trustMost   = 1 << 18 // up to this
	trustLasts  = 1 << 16 // after so many handlers all is forgotten
)

// note takes in how long a handler took that had a goroutine of its own.
func (t *trust) note(took time.Duration) {
	if t.given.Load() {
		return
	}
	if took > quickTime {
		t.score = max(t.score-slowCost, 0)
		return
	}
	t.score++
	if t.score >= max(t.need, trustNeed) {
		t.score = 0
		t.given.Store(true)
	}
}

// kept takes in that a handler was trusted, and returned.
func (t *trust) kept() {
	if !t.given.Load() {
		return
	}
	t.score++
	if t.score == trustLasts {
		t.need = 0
	}
}

// lose takes in that a handler was trusted, and did not return soon.
func (t *trust) lose() {
	if !t.given.Load() {
		return // several can be found at the same time
	}
	t.given.Store(false)
	t.score = 0
	t.need = min(max(t.need, trustNeed)*trustGrowth, trustMost)
}

// distrust is lose, for who does not hold mu.
func (p *workers) distrust() {
	p.mu.Lock()
	p.trust.lose()
	p.mu.Unlock()
}
