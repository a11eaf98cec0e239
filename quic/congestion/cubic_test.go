package congestion

import (
	"math"
	"testing"
	"time"
)

// afterLoss is a CUBIC that lost at a window of n packets, and the time.
func afterLoss(n int, cfg Config) (*cubic, time.Duration) {
	cfg.InitialWindow = n
	c := NewCUBIC(cfg).(*cubic)
	lose(c, 100*ms, 50*ms, 1)
	return c, 100 * ms
}

// grow acknowledges windows for a time.
func grow(c *cubic, now, rtt, d time.Duration) time.Duration {
	for end := now + d; now < end; {
		now += rtt
		ackWindow(c, now, rtt)
	}
	return now
}

// The window follows W_cubic(t) = C (t - K)³ + W_max (RFC 9438, Section 4.2).
func TestCUBICCurve(t *testing.T) {
	const n = 1000
	c, now := afterLoss(n, Config{})
	if c.Name() != "cubic" {
		t.Error(c.Name())
	}
	wantWindow(t, c, 0.7*n*mss)
	const rtt = 100 * ms
	now = grow(c, now, rtt, rtt)
	start := now
	k := math.Cbrt(0.3 * n / 0.4)
	for _, at := range []float64{1, 3, 6, 9, 12, 15} {
		now = grow(c, now, rtt, start+time.Duration(at*1e9)-now)
		d := (now + rtt - start).Seconds() - k
		want := 0.4*d*d*d + n
		if got := float64(c.Window()) / mss; math.Abs(got-want) > 0.02*want {
			t.Errorf("after %v s the window is %.1f packets, want %.1f", at, got, want)
		}
	}
}

// With short RTTs CUBIC is as fast as Reno at least (RFC 9438, Section 4.3).
func TestCUBICRenoFriendly(t *testing.T) {
	c, now := afterLoss(50, Config{})
	const rtt = 2 * ms
	now = grow(c, now, rtt, rtt)
	before := c.Window()
	grow(c, now, rtt, 10*rtt)
	if got, want := float64(c.Window()-before)/mss, 10*cubicAlpha; math.Abs(got-want) > 0.1*want {
		t.Errorf("%.2f packets in ten round trips, want %.2f", got, want)
	}
	// Past the old window it is a packet for each round trip.
	now = grow(c, now, rtt, 40*rtt)
	before = c.Window()
	grow(c, now, rtt, 10*rtt)
	if got := float64(c.Window()-before) / mss; got < 9 || got > 12 {
		t.Errorf("%.2f packets in ten round trips, want 10", got)
	}
}

func TestCUBICFastConvergence(t *testing.T) {
	for _, off := range []bool{false, true} {
		c, now := afterLoss(100, Config{DisableFastConvergence: off})
		w := float64(c.Window())
		lose(c, now+time.Second, now+900*ms, 1)
		want := w * (1 + cubicBeta) / 2
		if off {
			want = w
		}
		if math.Abs(c.c.wMax-want) > 1 {
			t.Errorf("off %v: W_max is %v, want %v", off, c.c.wMax, want)
		}
	}
}

// The time in which the application sends less does not count (RFC 9438, Section
// 4.2), nor that in which it sends nothing.
func TestCUBICIdle(t *testing.T) {
	const rtt = 100 * ms
	next := func(pause func(c *cubic, now time.Duration) time.Duration) float64 {
		c, now := afterLoss(1000, Config{})
		now = grow(c, now, rtt, 5*time.Second)
		now = pause(c, now)
		before := c.Window()
		grow(c, now, rtt, rtt)
		return float64(c.Window()-before) / mss
	}
	want := next(func(_ *cubic, now time.Duration) time.Duration { return now })
	idle := next(func(c *cubic, now time.Duration) time.Duration {
		now += time.Minute
		c.OnSent(&Sent{Now: now, Size: mss, InFlight: mss})
		return now
	})
	limited := next(func(c *cubic, now time.Duration) time.Duration {
		for range 600 {
			c.OnSent(&Sent{Now: now, Size: mss, InFlight: 2 * mss})
			now += rtt
			c.OnAck(&Ack{Now: now, Bytes: mss, Packets: 1, LargestSent: now - rtt, SmoothedRTT: rtt, AppLimited: true})
		}
		return now
	})
	if math.Abs(idle-want) > 1 || math.Abs(limited-want) > 1 {
		t.Errorf("%.1f packets in a round trip after a pause, %.1f after limited sending, want %.1f", idle, limited, want)
	}
}

// What a spurious loss did is taken back with all that belongs to it.
func TestCUBICUndo(t *testing.T) {
	const rtt = 100 * ms
	c, now := afterLoss(1000, Config{})
	now = grow(c, now, rtt, 3*time.Second)
	before, w := c.c, c.Window()
	lose(c, now, now-rtt, 1)
	c.OnSpurious(&Spurious{Now: now + 50*ms, Sent: now - rtt, Lost: now, Bytes: mss})
	wantWindow(t, c, float64(w))
	before.epoch += 50 * ms
	if c.c != before {
		t.Errorf("%+v, want %+v", c.c, before)
	}
}

// After the slow start that HyStart++ ended the window grows from where it is.
func TestCUBICAfterHyStart(t *testing.T) {
	c := NewCUBIC(Config{InitialWindow: 100}).(*cubic)
	c.ssthresh = c.cwnd
	c.c = cubicState{noWMax: true, prior: float64(c.cwnd)}
	grow(c, 0, 100*ms, time.Second)
	if c.c.wMax != 100*mss || c.c.k != 0 {
		t.Errorf("%+v", c.c)
	}
	if got := float64(c.Window()) / mss; got < 109 || got > 112 {
		t.Errorf("window is %.1f packets after ten round trips, want 110", got)
	}
}
