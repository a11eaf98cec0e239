package congestion

import (
	"testing"
	"time"
)

// round is a round trip of n ACKs with RTTs in turn.
func (h *hystart) round(now time.Duration, n int, rtts ...time.Duration) (divisor int, over bool) {
	for i := range n {
		h.onSent(now)
		divisor, over = h.onAck(&Ack{Now: now, LargestSent: now, RTTSample: true, LatestRTT: rtts[i%len(rtts)]})
		if over {
			return divisor, over
		}
	}
	return divisor, over
}

func TestHyStart(t *testing.T) {
	var h hystart
	now := time.Second
	round := func(n int, rtts ...time.Duration) (int, bool) {
		now += 100 * ms
		return h.round(now, n, rtts...)
	}
	want := func(what string, divisor int, over bool) func(int, bool) {
		return func(d int, o bool) {
			t.Helper()
			if d != divisor || o != over {
				t.Fatalf("%s: divisor %d, over %v; want %d, %v", what, d, o, divisor, over)
			}
		}
	}
	want("first round", 1, false)(round(10, 100*ms))
	want("as before", 1, false)(round(10, 105*ms, 150*ms))
	// The threshold is an eighth, between 4 and 16 ms.
	want("less than the threshold", 1, false)(round(10, 117*ms))
	want("the threshold, too few samples", 1, false)(round(7, 132*ms))
	want("as the round before", 1, false)(round(10, 132*ms))
	want("the threshold", 4, false)(round(10, 148*ms))
	want("it was jitter", 1, false)(round(1, 147*ms))
	want("more", 1, false)(round(10, 147*ms))
	want("the threshold again", 4, false)(round(10, 163*ms))
	for range hystartRounds - 1 {
		want("conservative", 4, false)(round(10, 170*ms))
	}
	want("the end", 4, true)(round(10, 170*ms))
}

// A bottleneck with a large queue: slow start ends before the queue overflows by much.
func TestHyStartEndsSlowStart(t *testing.T) {
	const rate, delay = 12.5e6, 50 * ms
	run := func(cfg Config) *link {
		l := &link{cc: NewCUBIC(cfg), rate: rate, delay: delay, queue: 4 * rate / 20}
		for l.cc.InSlowStart() && l.now < 10*time.Second {
			l.run(10 * ms)
		}
		return l
	}
	with, without := run(Config{}), run(Config{DisableHyStart: true})
	if with.lost > without.lost/10 || with.cc.Window() < rate/20 {
		t.Errorf("with HyStart++ %d bytes are lost, without %d; the window is %d", with.lost, without.lost, with.cc.Window())
	}
}
