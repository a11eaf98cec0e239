package frittata

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// newWheel returns a wheel without one of Go's timers that does anything.
func newWheel() *wheel {
	w := &wheel{timer: time.AfterFunc(time.Hour, func() {})}
	w.timer.Stop()
	w.init()
	return w
}

// TestWheelAgainstAModel sets, moves and stops timers, lets time go by in steps of
// all sizes, and checks that each timer is taken once, in the step that its tick is in.
func TestWheelAgainstAModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	// As long as some slot of each level; together they fit a Duration.
	span := func() uint64 { return rng.Uint64N(1 << rng.IntN(36)) }
	for range 50 {
		w := newWheel()
		at := func(tick uint64) time.Time { return w.base.Add(time.Duration(tick) * wheelTick) }
		conns := make([]*Conn, 40)
		for i := range conns {
			conns[i] = new(Conn)
		}
		want := make(map[*Conn]uint64)
		now := span()
		w.advance(now, nil)
		for range 400 {
			c := conns[rng.IntN(len(conns))]
			switch rng.IntN(4) {
			case 0, 1:
				tick := now + span()
				w.set(c, at(now), at(tick))
				want[c] = tick + 1
			case 2:
				w.stop(c)
				delete(want, c)
			case 3:
				now += span()
				for _, c := range w.advance(now, nil) {
					tick, ok := want[c]
					if !ok || tick > now {
						t.Fatalf("at tick %d: taken, though set for %d, %t", now, tick, ok)
					}
					delete(want, c)
				}
				for _, tick := range want {
					if tick <= now {
						t.Fatalf("at tick %d: not taken, though set for %d", now, tick)
					}
				}
			}
			next := w.next()
			if next == 0 != (len(want) == 0) {
				t.Fatalf("next is %d, with %d timers", next, len(want))
			}
			for _, tick := range want {
				if next > tick {
					t.Fatalf("next is %d, later than a timer at %d", next, tick)
				}
			}
		}
	}
}

// TestWheelFires checks that Go's timer is there whenever it has to be: timers that
// are set for any time, some to be moved, all make their connection's turn due.
func TestWheelFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := new(Transport)
		tr.queue.init(1, func(*lane) {})
		tr.wheel.init()
		rng := rand.New(rand.NewPCG(1, 2))
		for range 300 {
			c := newConn(tr, nil, netip.AddrPort{})
			var deadline time.Time
			for range 1 + rng.IntN(2) {
				if !c.strand.tryHold() {
					t.Fatal("a turn is due already")
				}
				now := time.Now()
				wait := time.Duration(rng.Int64N(1 << rng.IntN(50))) // up to six days
				if c.armed.IsZero() || now.Add(wait).Before(c.armed) {
					c.armed, c.deadline = now.Add(wait), now.Add(wait)
					tr.wheel.set(c, now, c.armed)
				}
				deadline = c.armed
				c.strand.finish(false)
			}
			time.Sleep(time.Until(deadline) - 1)
			synctest.Wait()
			if !c.strand.tryHold() {
				t.Fatalf("a turn is due %v early", time.Until(deadline))
			}
			c.strand.finish(false)
			time.Sleep(1 + wheelTick)
			synctest.Wait()
			if !c.strand.tryRun() {
				t.Fatal("no turn is due")
			}
			if due := tr.queue.poll(nil, time.Now()); len(due) != 1 || due[0] != c {
				t.Fatalf("%d strands are in the queue", len(due))
			}
			tr.wheel.stop(c)
		}
		if tr.wheel.timer.Stop() {
			t.Error("a timer for nothing")
		}
	})
}

// BenchmarkWheel sets a timer to a few milliseconds and then to a minute, among
// many that are set for later.
func BenchmarkWheel(b *testing.B) {
	w := newWheel()
	now := w.base
	conns := make([]Conn, 10000)
	for i := range conns {
		w.set(&conns[i], now, now.Add(time.Minute+time.Duration(i)*time.Millisecond))
	}
	var due []*Conn
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c := &conns[i%len(conns)]
		w.set(c, now, now.Add(27*time.Millisecond))
		if now = now.Add(time.Millisecond); i%10 == 0 {
			due = w.advance(w.ticks(now), due[:0])
			for _, c := range due {
				w.set(c, now, now.Add(time.Minute))
			}
		}
	}
}
