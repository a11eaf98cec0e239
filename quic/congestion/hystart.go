package congestion

import (
	"math"
	"time"
)

// The constants of RFC 9406, Section 4.3.
const (
	hystartMinThreshold = 4 * time.Millisecond  // MIN_RTT_THRESH
	hystartMaxThreshold = 16 * time.Millisecond // MAX_RTT_THRESH
	hystartDivisor      = 8                     // MIN_RTT_DIVISOR
	hystartSamples      = 8                     // N_RTT_SAMPLE
	hystartGrowth       = 4                     // CSS_GROWTH_DIVISOR
	hystartRounds       = 5                     // CSS_ROUNDS
)

const noRTT = time.Duration(math.MaxInt64)

// hystart is HyStart++ (RFC 9406): it notices in the first slow start that the
// RTT grows, goes on more slowly for some rounds, called conservative slow
// start, and ends slow start unless the RTT falls again.
type hystart struct {
	started   bool
	roundEnd  time.Duration // packets sent later belong to the next round
	lastSent  time.Duration
	last, cur time.Duration // least RTT of the last round and of this one
	samples   int           // of this round

	conservative bool
	baseline     time.Duration // cur when conservative slow start began
	rounds       int           // of conservative slow start that are over
}

func (h *hystart) onSent(now time.Duration) { h.lastSent = now }

// onAck returns by how much less than the acknowledged bytes the window grows,
// as a divisor, and whether slow start is over.
func (h *hystart) onAck(a *Ack) (divisor int, over bool) {
	if !h.started {
		h.started = true
		h.roundEnd = h.lastSent
		h.last, h.cur = noRTT, noRTT
	} else if a.LargestSent > h.roundEnd {
		h.roundEnd = h.lastSent
		h.last, h.cur, h.samples = h.cur, noRTT, 0
		if h.conservative {
			if h.rounds++; h.rounds >= hystartRounds {
				return hystartGrowth, true
			}
		}
	}
	if a.RTTSample {
		h.cur = min(h.cur, a.LatestRTT)
		h.samples++
	}
	switch {
	case h.conservative:
		// One sample tells that the queue is gone; RFC 9406 waits for eight. That
		// matters where one ACK comes for many packets, and where the RTT is less than the
		// jitter of schedulers.
		if h.cur < h.baseline {
			h.conservative = false
		}
	case h.samples >= hystartSamples && h.last != noRTT && h.cur != noRTT:
		threshold := max(hystartMinThreshold, min(h.last/hystartDivisor, hystartMaxThreshold))
		if h.cur >= h.last+threshold {
			h.conservative, h.rounds, h.baseline = true, 0, h.cur
		}
	}
	if h.conservative {
		return hystartGrowth, false
	}
	return 1, false
}
