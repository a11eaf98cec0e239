package congestion

import (
	"math"
	"testing"
	"time"
)

// both runs a test for each controller.
func both(t *testing.T, f func(t *testing.T, make func(Config) Controller, beta float64)) {
	t.Run("reno", func(t *testing.T) { f(t, NewReno, renoBeta) })
	t.Run("cubic", func(t *testing.T) { f(t, NewCUBIC, cubicBeta) })
}

func wantWindow(t *testing.T, c Controller, want float64) {
	t.Helper()
	if got := c.Window(); math.Abs(float64(got)-want) > 1 {
		t.Fatalf("window is %d, want %v", got, want)
	}
}

func wantPhase(t *testing.T, c Controller, want Phase) {
	t.Helper()
	if got := c.State().Phase; got != want {
		t.Fatalf("phase is %v, want %v", got, want)
	}
}

// ack acknowledges a window's worth of packets that were sent rtt ago.
func ackWindow(c Controller, now, rtt time.Duration) {
	for n := c.Window() / mss; n > 0; n-- {
		c.OnAck(&Ack{Now: now, Bytes: mss, Packets: 1, LargestSent: now - rtt, SmoothedRTT: rtt, MinRTT: rtt})
	}
}

func lose(c Controller, now, sent time.Duration, packets int) {
	c.OnLoss(&Loss{Now: now, Bytes: packets * mss, Packets: packets, LargestSent: sent})
}

func TestDefaults(t *testing.T) {
	both(t, func(t *testing.T, make func(Config) Controller, _ float64) {
		c := make(Config{})
		wantWindow(t, c, 32*1200)
		wantPhase(t, c, SlowStart)
		if s := c.State(); !c.InSlowStart() || s.SlowStartThreshold != 0 || c.PacingRate() != 0 {
			t.Fatalf("%+v", s)
		}
		// The initial window follows the datagram's size until it is used.
		c.OnMTU(1452)
		wantWindow(t, c, 32*1452)
		c.OnAck(&Ack{Now: ms, Bytes: 1000, Packets: 1, LargestSent: 0})
		c.OnMTU(1200)
		wantWindow(t, c, 32*1452+1000)

		wantWindow(t, make(Config{InitialWindow: 10, MaxDatagramSize: 1500}), 15000)
		wantWindow(t, make(Config{InitialWindow: 100, MaxWindow: 50000}), 50000)
		wantWindow(t, make(Config{InitialWindow: 1}), 2*1200)
		wantWindow(t, make(Config{InitialWindow: math.MaxInt, MaxDatagramSize: math.MaxInt}), maxWindow/math.MaxUint16*math.MaxUint16)
	})
}

func TestSlowStart(t *testing.T) {
	both(t, func(t *testing.T, make func(Config) Controller, _ float64) {
		c := make(Config{})
		for i := range 5 {
			before := c.Window()
			ackWindow(c, time.Duration(i)*50*ms+50*ms, 50*ms)
			wantWindow(t, c, float64(2*before))
		}
		// What is not used does not grow (RFC 9002, Section 7.8).
		before := c.Window()
		c.OnAck(&Ack{Now: time.Second, Bytes: before, Packets: 1, LargestSent: 900 * ms, AppLimited: true})
		wantWindow(t, c, float64(before))
		// There is an end.
		for i := range 30 {
			c.OnAck(&Ack{Now: time.Second, Bytes: math.MaxInt, Packets: 1, LargestSent: 900*ms + time.Duration(i)})
		}
		wantWindow(t, c, maxWindow)
	})
}

func TestRecoveryPeriod(t *testing.T) {
	both(t, func(t *testing.T, make func(Config) Controller, beta float64) {
		c := make(Config{InitialWindow: 100})
		const w = 100 * mss
		lose(c, 100*ms, 50*ms, 1)
		wantWindow(t, c, w*beta)
		wantPhase(t, c, Recovery)
		// Once in a round trip: losses of what was sent before tell nothing new, acks do not grow.
		lose(c, 120*ms, 100*ms, 5)
		c.OnECN(&ECN{Now: 120 * ms, LargestSent: 90 * ms, CE: 1})
		c.OnAck(&Ack{Now: 130 * ms, Bytes: 10 * mss, Packets: 10, LargestSent: 99 * ms, SmoothedRTT: 50 * ms})
		wantWindow(t, c, w*beta)
		if s := c.State(); s.CongestionEvents != 1 || float64(s.SlowStartThreshold) != w*beta {
			t.Fatalf("%+v", s)
		}
		// An ACK of what was sent in the period ends it.
		c.OnAck(&Ack{Now: 150 * ms, Bytes: mss, Packets: 1, LargestSent: 101 * ms, SmoothedRTT: 50 * ms})
		wantPhase(t, c, CongestionAvoidance)
		w2 := float64(c.Window())
		c.OnECN(&ECN{Now: 200 * ms, LargestSent: 160 * ms, CE: 1})
		wantWindow(t, c, w2*beta)
		wantPhase(t, c, Recovery)
	})
}

func TestMinimumWindow(t *testing.T) {
	both(t, func(t *testing.T, make func(Config) Controller, _ float64) {
		c := make(Config{})
		for i := range 100 {
			now := time.Duration(i) * time.Second
			lose(c, now, now-ms, 1)
			if c.Window() < 2*mss {
				t.Fatalf("window is %d", c.Window())
			}
		}
		wantWindow(t, c, 2*mss)
		c = make(Config{MinWindow: 4})
		for i := range 100 {
			c.OnECN(&ECN{Now: time.Duration(i) * time.Second, LargestSent: time.Duration(i)*time.Second - ms, CE: 1})
		}
		wantWindow(t, c, 4*mss)
	})
}

func TestPersistentCongestion(t *testing.T) {
	both(t, func(t *testing.T, make func(Config) Controller, beta float64) {
		c := make(Config{InitialWindow: 100})
		c.OnLoss(&Loss{Now: time.Second, Bytes: 50 * mss, Packets: 50, LargestSent: 900 * ms, PersistentCongestion: true})
		wantWindow(t, c, 2*mss)
		wantPhase(t, c, SlowStart)
		// Slow start goes on to the threshold, and no further.
		for now := 2 * time.Second; c.InSlowStart(); now += 50 * ms {
			ackWindow(c, now, 50*ms)
			if now > 4*time.Second {
				t.Fatalf("window is %d", c.Window())
			}
		}
		wantWindow(t, c, 100*mss*beta+float64(c.Window()-int(100*mss*beta)))
		if over := float64(c.Window()) - 100*mss*beta; over > 2*mss {
			t.Fatalf("%v bytes over the threshold", over)
		}
		// Losses that turn out spurious do not take it back.
		before := c.Window()
		for range 50 {
			c.OnSpurious(&Spurious{Now: 5 * time.Second, Sent: 900 * ms, Lost: time.Second, Bytes: mss})
		}
		wantWindow(t, c, float64(before))
	})
}

func TestUndo(t *testing.T) {
	spurious := func(c Controller, now, lost time.Duration) {
		c.OnSpurious(&Spurious{Now: now, Lost: lost, Bytes: mss})
	}
	both(t, func(t *testing.T, make func(Config) Controller, beta float64) {
		const w = 100 * mss
		c := make(Config{InitialWindow: 100})
		lose(c, 100*ms, 50*ms, 2)
		lose(c, 110*ms, 60*ms, 1)
		spurious(c, 120*ms, 100*ms)
		spurious(c, 120*ms, 100*ms)
		wantWindow(t, c, w*beta) // one was lost indeed, so far
		spurious(c, 120*ms, 110*ms)
		wantWindow(t, c, w)
		wantPhase(t, c, SlowStart)
		if s := c.State(); s.SpuriousEvents != 1 || s.SlowStartThreshold != 0 {
			t.Fatalf("%+v", s)
		}
		spurious(c, 130*ms, 110*ms)
		wantWindow(t, c, w)

		// A loss of before the last event says nothing of that.
		lose(c, 200*ms, 150*ms, 1)
		lose(c, 300*ms, 250*ms, 1)
		spurious(c, 310*ms, 200*ms)
		wantWindow(t, c, w*beta*beta)
		spurious(c, 310*ms, 300*ms)
		wantWindow(t, c, w*beta)

		// A mark is no loss, and justifies a reduction by itself.
		lose(c, 400*ms, 350*ms, 1)
		c.OnECN(&ECN{Now: 410 * ms, LargestSent: 390 * ms, CE: 1})
		spurious(c, 420*ms, 400*ms)
		wantWindow(t, c, w*beta*beta)
	})
}

// On an ordinary path the bottleneck is used well, and the queue is not filled by far
// more than needed.
func TestBottleneck(t *testing.T) {
	both(t, func(t *testing.T, make func(Config) Controller, _ float64) {
		for _, p := range []struct {
			rate  float64
			delay time.Duration
			queue float64 // in bandwidth-delay products
		}{
			{125e3, 50 * ms, 1},
			{1.25e6, 40 * ms, 1},
			{12.5e6, 20 * ms, 1},
			{12.5e6, 2 * ms, 2},
			{1.25e6, 40 * ms, 0.5},
		} {
			bdp := p.rate * p.delay.Seconds()
			l := &link{cc: make(Config{}), rate: p.rate, delay: p.delay, queue: max(int(bdp*p.queue), 8*mss)}
			l.run(5 * time.Second)
			if s := l.share(15 * time.Second); s < 0.8 || s > 1.01 {
				t.Errorf("%+v: %.2f of the bottleneck", p, s)
			}
			if f := float64(l.lost) / float64(l.delivered+l.lost); f > 0.05 {
				t.Errorf("%+v: %.3f lost", p, f)
			}
		}
	})
}

// On a loopback interface the RTT is far less than the jitter that schedulers
// make. Neither that nor a loss at the beginning must keep the window small.
func TestLoopback(t *testing.T) {
	both(t, func(t *testing.T, make func(Config) Controller, _ float64) {
		for seed := range uint64(6) {
			for _, every := range []int{2, 10, 45} {
				l := &link{
					cc: make(Config{MaxWindow: 16 << 20}), rate: 500e6, delay: 100 * time.Microsecond, queue: 4 << 20,
					every: every, noise: hiccups(seed, 3*ms, 6*ms),
				}
				l.run(50 * ms)
				s := l.share(300 * ms)
				if s < 0.7 {
					t.Errorf("seed %d, an ACK for %d packets: %.2f of the bottleneck, window %d, %+v", seed, every, s, l.cc.Window(), l.cc.State())
				}
			}
		}
	})
}

func TestAllocs(t *testing.T) {
	both(t, func(t *testing.T, make func(Config) Controller, _ float64) {
		c := make(Config{})
		s, a, l := &Sent{}, &Ack{}, &Loss{}
		if n := testing.AllocsPerRun(100, func() {
			a.Now += ms
			*s = Sent{Now: a.Now, Size: mss, InFlight: 10 * mss}
			c.OnSent(s)
			*a = Ack{Now: a.Now, Bytes: mss, Packets: 1, LargestSent: a.Now - ms, SmoothedRTT: ms, RTTSample: true, LatestRTT: ms}
			c.OnAck(a)
			*l = Loss{Now: a.Now, Bytes: mss, Packets: 1, LargestSent: a.Now - 5*ms}
			c.OnLoss(l)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// FuzzController sends events in no sensible order: the window stays within its bounds.
func FuzzController(f *testing.F) {
	f.Add(true, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 200, 100, 0, 50, 60, 70})
	f.Add(false, []byte{3, 255, 3, 255, 2, 255, 4, 1, 5, 1, 0, 0, 1, 7, 3, 9, 6, 128})
	f.Fuzz(func(t *testing.T, useCUBIC bool, ops []byte) {
		cfg := Config{MaxWindow: 1 << 24}
		c := NewReno(cfg)
		if useCUBIC {
			c = NewCUBIC(cfg)
		}
		mtu := mss
		var now time.Duration
		for ; len(ops) >= 2; ops = ops[2:] {
			arg := int64(ops[1])
			back := time.Duration(arg&15) * 10 * ms
			before := c.Window()
			switch ops[0] % 8 {
			case 0:
				now += time.Duration(arg*arg*arg) * 10 * time.Microsecond
			case 1:
				c.OnSent(&Sent{Now: now, Size: mtu, InFlight: mtu * int(arg)})
			case 2:
				c.OnAck(&Ack{Now: now, Bytes: int(arg * arg * arg), Packets: 1, LargestSent: now - back, RTTSample: arg&1 == 0, LatestRTT: back, MinRTT: back, SmoothedRTT: back, AppLimited: arg&2 == 0})
			case 3:
				c.OnLoss(&Loss{Now: now, Bytes: mtu, Packets: int(arg), LargestSent: now - back, PersistentCongestion: arg > 250})
			case 4:
				c.OnECN(&ECN{Now: now, LargestSent: now - back, CE: uint64(arg)})
			case 5:
				c.OnSpurious(&Spurious{Now: now, Sent: now - back, Lost: now - time.Duration(arg)*ms, Bytes: mtu})
			case 6:
				mtu = int(arg * 256)
				c.OnMTU(mtu)
				mtu = max(mtu, 1200)
			case 7:
				c.OnAck(&Ack{Now: now, Bytes: c.Window(), Packets: 1, LargestSent: now, RTTSample: true, LatestRTT: back, SmoothedRTT: back})
			}
			w := c.Window()
			if w < 2*mtu || w > max(1<<24, 2*mtu) {
				t.Fatalf("window is %d with datagrams of %d", w, mtu)
			}
			if op := ops[0] % 8; (op == 3 || op == 4) && w > before {
				t.Fatalf("window grows from %d to %d by loss", before, w)
			}
			if s := c.State(); s.SlowStartThreshold < 0 || c.InSlowStart() != (s.SlowStartThreshold == 0 || w < s.SlowStartThreshold) {
				t.Fatalf("window %d, slow start %v, %+v", w, c.InSlowStart(), s)
			}
		}
	})
}

func TestPhaseString(t *testing.T) {
	for p, want := range map[Phase]string{SlowStart: "slow_start", CongestionAvoidance: "congestion_avoidance", Recovery: "recovery", 9: "unknown"} {
		if p.String() != want {
			t.Errorf("phase %d is %q", p, p)
		}
	}
}

func BenchmarkCUBICAck(b *testing.B) {
	c := NewCUBIC(Config{})
	lose(c, 10*ms, 5*ms, 1)
	a := &Ack{Now: 100 * ms, Bytes: mss, Packets: 1, SmoothedRTT: 50 * ms}
	for b.Loop() {
		a.Now += 10 * time.Microsecond
		a.LargestSent = a.Now - 50*ms
		c.OnAck(a)
	}
}
