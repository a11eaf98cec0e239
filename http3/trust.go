package http3

import (
	"sync/atomic"
	"time"
)

// trust is the judgement whether handlers return soon, without waiting for anything.
// Those that do are run by the goroutine that has read the request from the socket
// (see [frittata.Errand]), which spares two hand-overs; one that does not, while
// it is trusted to, makes everybody on the socket wait for some milliseconds, once. So trust
// is given after many that were quick, and lost by one that blocks, or by several that are
// slow; and each time that it is lost it takes longer to win. The zero value is ready.
type trust struct {
	given  atomic.Bool
	score  int // what was won, while it is not given; what there is to lose, while it is
	need   int // the score that it takes; zero means trustNeed
	lasted int // handlers since it was given
}

const (
	// quickTime is what a quick handler takes at most.
	quickTime = 50 * time.Microsecond
	// slowCost is how many quick ones make up for another one, which may have been quick
	// and without a processor.
	slowCost = 32

	trustNeed   = 64
	trustCredit = 1024    // the score that there is to lose
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
		t.score, t.lasted = trustCredit, 0
		t.given.Store(true)
	}
}

// kept takes in that a handler was trusted, and returned.
func (t *trust) kept() {
	if !t.given.Load() {
		return
	}
	t.score = min(t.score+1, trustCredit)
	t.lasted++
	if t.lasted == trustLasts {
		t.need = 0
	}
}

// slow takes in that n handlers that were trusted took longer than quick ones, or had no
// processor: a collection of garbage, or another process, is not to end the trust.
func (t *trust) slow(n int) {
	if !t.given.Load() {
		return
	}
	t.score -= n * slowCost
	if t.score < 0 {
		t.lose()
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

// slow is that of the trust, for who does not hold mu.
func (p *workers) slow(n int) {
	p.mu.Lock()
	p.trust.slow(n)
	p.mu.Unlock()
}
