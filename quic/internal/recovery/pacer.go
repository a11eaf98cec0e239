package recovery

import (
	"math"
	"time"
)

const (
	// pacerTick is what a pacer sends in one go, in time: timers are no more
	// precise than 1 ms, and a wait that takes a tick too long is to cost nothing.
	pacerTick = 2 * time.Millisecond

	// pacerMaxQuantum is the most that one train holds, in bytes.
	pacerMaxQuantum = 64 << 10

	// pacerBurst is how many packets may go at once in any case: the initial window
	// that RFC 9002, Section 7.2, recommends, and so Section 7.7's limit of bursts.
	pacerBurst = 10
)

// pacer spreads what a path sends over time (RFC 9002, Section 7.7). It is a
// bucket of tokens that fills at the pacing rate. A train goes when the bucket
// holds a quantum; the bucket holds what the rate brings within a tick, so that a
// sender whose timer was late catches up.
type pacer struct {
	on     bool
	waits  bool    // false while there is no rate, or pacing would make no difference
	rate   float64 // bytes per second
	tokens float64 // bytes; less than zero after probes, which do not wait
	last   time.Duration

	quantum, depth float64
}

// updatePacer brings the pacer up to date, and tells whether it limits at all.
func (p *Path) updatePacer(now time.Duration) bool {
	c := &p.pacer
	c.waits = false
	if !c.on {
		return false
	}
	window := float64(p.CC.Window())
	c.rate = p.rateOf(window)
	if c.rate == 0 {
		return false
	}
	tick := c.rate * pacerTick.Seconds()
	c.quantum = min(max(tick, float64(2*p.mtu)), pacerMaxQuantum)
	c.depth = max(tick, c.quantum, float64(pacerBurst*p.mtu))
	elapsed := max(now-c.last, 0)
	c.last = max(c.last, now)
	if window <= c.quantum || window <= tick {
		c.tokens = c.depth
		return false
	}
	c.tokens = min(c.tokens+c.rate*elapsed.Seconds(), c.depth)
	c.waits = true
	return true
}

// rateOf is the pacing rate in bytes per second for a window, 0 if there is none.
func (p *Path) rateOf(window float64) float64 {
	if r := p.CC.PacingRate(); r != 0 {
		return float64(r)
	}
	if !p.RTT.sampled {
		// The initial window goes as it comes.
		return 0
	}
	gain := 1.25
	if p.CC.InSlowStart() {
		gain = 2
	}
	return gain * window / p.RTT.smoothed.Seconds()
}

func (c *pacer) onSent(size int) {
	if c.waits {
		c.tokens = max(c.tokens-float64(size), -c.depth)
	}
}

// Release returns when the pacer lets the next train go: at once if that is not
// after now. It is called before each train, and what ECT says may change then.
func (p *Path) Release(now time.Duration) time.Duration {
	p.ecn.maybeEndTest(now)
	if !p.updatePacer(now) {
		return 0
	}
	c := &p.pacer
	// Rounding must not keep a train back.
	if c.tokens+1 >= c.quantum {
		return 0
	}
	wait := (c.quantum - c.tokens) / c.rate * float64(time.Second)
	return now + time.Duration(min(math.Ceil(wait), float64(maxDuration)))
}

// PacerBudget returns how many bytes the pacer lets go in one train now: at
// least a full datagram when Release allows any, 0 when it does not.
func (p *Path) PacerBudget(now time.Duration) int {
	if !p.updatePacer(now) {
		return math.MaxInt
	}
	c := &p.pacer
	if c.tokens+1 < c.quantum {
		return 0
	}
	return max(int(min(c.tokens, math.MaxInt32)), p.mtu)
}

// PacingRate returns the rate in bytes per second, 0 if it is not limited.
func (p *Path) PacingRate() uint64 {
	if !p.pacer.on {
		return 0
	}
	return uint64(min(p.rateOf(float64(p.CC.Window())), math.MaxInt64))
}
