package recovery

import (
	"math"
	"testing"
	"time"
)

// transmit sends trains for a while as a connection with enough to send would,
// woken by a timer with a resolution of tick, and returns the bytes sent and
// the number of times that it waited.
func transmit(t *testing.T, p *Path, from, to, tick time.Duration) (sent int64, waits int) {
	t.Helper()
	for now := from; now < to; {
		if at := p.Release(now); at > now {
			if p.PacerBudget(now) != 0 {
				t.Fatal("a budget before the release")
			}
			waits++
			now = max(at, now+tick)
			continue
		}
		budget := p.PacerBudget(now)
		if budget < p.mtu {
			t.Fatalf("budget %d after the release", budget)
		}
		train := min(budget, 64<<10)
		for n := 0; n < train; n += p.mtu {
			p.pacer.onSent(p.mtu)
			sent += int64(p.mtu)
		}
		if !p.pacer.waits {
			return math.MaxInt64, 0
		}
	}
	return sent, waits
}

func pacedPath(window int, rtt time.Duration) (*Path, *fakeCC) {
	cc := &fakeCC{window: window}
	p := &Path{}
	p.Init(cc, mtu, true, false)
	p.RTT.update(0, rtt, 0)
	return p, cc
}

func TestPacingRate(t *testing.T) {
	p, cc := pacedPath(1_000_000, 100*ms)
	wantEqual(t, "rate", p.PacingRate(), 12_500_000)
	cc.slow = true
	wantEqual(t, "rate in slow start", p.PacingRate(), 20_000_000)
	cc.rate = 5_000_000
	wantEqual(t, "rate of the controller", p.PacingRate(), 5_000_000)
	p.pacer.on = false
	wantEqual(t, "rate without pacing", p.PacingRate(), 0)
	wantEqual(t, "release without pacing", p.Release(0), 0)
	wantEqual(t, "budget without pacing", p.PacerBudget(0), math.MaxInt)
}

// Over a second the rate is kept, whatever the rate and the timers.
func TestPacerKeepsRate(t *testing.T) {
	for _, rate := range []uint64{10_000, 1_000_000, 30_000_000, 100_000_000, 1_000_000_000} {
		for _, tick := range []time.Duration{0, ms, 1500 * time.Microsecond} {
			p, cc := pacedPath(1<<30, time.Second)
			cc.rate = rate
			p.Release(0)
			p.pacer.tokens = 0
			from := 10 * time.Second
			p.pacer.last = from
			sent, waits := transmit(t, p, from, from+10*time.Second, tick)
			want := 10 * float64(rate)
			if got := float64(sent); got < 0.97*want-pacerBurst*mtu || got > 1.01*want+pacerBurst*mtu+pacerMaxQuantum {
				t.Errorf("%d bytes/s, timer %v: %v bytes in 10 s", rate, tick, sent)
			}
			if tick >= ms && waits > 10000 {
				t.Errorf("%d bytes/s: %d waits in 10 s", rate, waits)
			}
		}
	}
}

func TestPacerQuantum(t *testing.T) {
	for _, c := range []struct {
		rate    uint64
		quantum float64
	}{
		{1000, 2 * mtu},
		{10_000_000, 20_000},
		{1_000_000_000, pacerMaxQuantum},
	} {
		p, cc := pacedPath(1<<30, time.Second)
		cc.rate = c.rate
		p.Release(0)
		wantEqual(t, "quantum", p.pacer.quantum, c.quantum)
	}
}

// Where pacing could make no difference there is none: before there is an RTT, when
// the window is less than a quantum, and when the RTT is less than what timers resolve.
func TestPacerStaysOut(t *testing.T) {
	p, _ := pacedPath(1_000_000, 100*ms)
	p.RTT = RTT{}
	if sent, _ := transmit(t, p, 0, time.Second, 0); sent != math.MaxInt64 {
		t.Error("waits without an RTT")
	}
	p, cc := pacedPath(pacerMaxQuantum, 100*ms)
	cc.rate = 1 << 30
	if sent, _ := transmit(t, p, 0, time.Second, 0); sent != math.MaxInt64 {
		t.Error("waits with a window of a quantum")
	}
	for _, window := range []int{2 * mtu, 32 * mtu, 1 << 20, 1 << 30} {
		p, _ = pacedPath(window, 100*time.Microsecond)
		if sent, _ := transmit(t, p, 0, time.Second, 0); sent != math.MaxInt64 {
			t.Errorf("waits on loopback with a window of %d", window)
		}
	}
}

// After a pause there is a burst, but not more than RFC 9002, Section 7.7, has.
func TestPacerBurst(t *testing.T) {
	p, _ := pacedPath(100*mtu, 100*ms)
	now := time.Hour
	burst := 0
	for p.Release(now) <= now {
		p.pacer.onSent(mtu)
		burst += mtu
	}
	if burst < 8*mtu || burst > pacerBurst*mtu {
		t.Fatalf("burst of %d bytes", burst)
	}
	// Probes do not wait, but are accounted for, up to a bound.
	for range 1000 {
		p.pacer.onSent(mtu)
	}
	if at := p.Release(now); at <= now || at > now+20*ms {
		t.Fatalf("release at %v after %v", at, at-now)
	}
}

func TestPacerExtremes(t *testing.T) {
	for _, rate := range []uint64{1, math.MaxUint64} {
		for _, window := range []int{0, 1, math.MaxInt} {
			p, cc := pacedPath(window, maxDuration)
			cc.rate = rate
			for _, now := range []time.Duration{0, math.MaxInt64 / 2, 5, -7} {
				p.Release(now)
				p.PacerBudget(now)
				p.PacingRate()
				for range 20 {
					p.pacer.onSent(65535)
				}
				if at := p.Release(now); at > 0 && at < now {
					t.Errorf("release at %v", at)
				}
			}
		}
	}
}

func BenchmarkPacerLoopback(b *testing.B) {
	p, cc := pacedPath(1<<20, 100*time.Microsecond)
	cc.slow = true
	for b.Loop() {
		if p.Release(time.Second) > time.Second || p.PacerBudget(time.Second) == 0 {
			b.Fatal("wait")
		}
	}
}
