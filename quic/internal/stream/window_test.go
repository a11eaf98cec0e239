package stream

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestSendWindow(t *testing.T) {
	var w SendWindow
	if w.Available() != 0 || w.Limit() != 0 {
		t.Error("the zero value lets something through")
	}
	w.Init(100)
	w.Use(60)
	if w.Available() != 40 {
		t.Errorf("%d available", w.Available())
	}
	if w.Raise(100) || w.Raise(50) || w.Limit() != 100 {
		t.Error("the limit must not shrink (RFC 9000, Section 4.1)")
	}
	if !w.Raise(math.MaxUint64) || w.Limit() != maxOffset || w.Available() != maxOffset-60 {
		t.Errorf("limit %d", w.Limit())
	}
	w.Init(10)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	w.Use(math.MaxInt)
}

func TestRecvWindowUpdates(t *testing.T) {
	var w RecvWindow
	w.Init(1000, 1000)
	if w.Limit() != 1000 || w.Window() != 1000 {
		t.Fatal(w)
	}
	now := time.Duration(0)
	read, last := uint64(0), uint64(1000)
	for i := range 1000 {
		n := i % 7
		now += time.Millisecond
		due := w.OnRead(n, now, 0)
		read += uint64(n)
		if used := read + 1000 - last; due != (n > 0 && used >= 250) {
			t.Fatalf("%d bytes used: update %v", used, due)
		}
		if due {
			last = read + 1000
		}
		if w.Limit() != last {
			t.Fatalf("limit %d, want %d", w.Limit(), last)
		}
	}
}

// transfer reads at a steady rate, in bytes a second, in reads of size bytes, and returns the window that
// comes of it.
func transfer(w *RecvWindow, rate float64, size int, rtt, length time.Duration) uint64 {
	step := time.Duration(float64(size) / rate * 1e9)
	for now := time.Hour; now < time.Hour+length; now += step {
		before := w.Limit()
		if due := w.OnRead(size, now, rtt); due != (w.Limit() > before) {
			panic("a new limit without an update, or none with one")
		}
	}
	return w.Window()
}

func TestRecvWindowTuning(t *testing.T) {
	const kb, mb = 1 << 10, 1 << 20
	for _, c := range []struct {
		name        string
		rate        float64
		rtt         time.Duration
		least, most uint64
	}{
		{"slow", 10 * kb, 20 * time.Millisecond, 64 * kb, 64 * kb},
		{"100 Mbit/s over 50 ms", 12.5e6, 50 * time.Millisecond, 2 * 12.5e6 / 20, 8 * 12.5e6 / 20},
		{"1 Gbit/s over 30 ms", 125e6, 30 * time.Millisecond, 8 * mb, 16 * mb},
		{"10 Gbit/s over 100 µs", 1.25e9, 100 * time.Microsecond, 12 * mb, 16 * mb},
		{"8 Gbit/s, RTT unknown", 1e9, 0, 10 * mb, 16 * mb},
		{"200 Mbit/s over 100 µs", 25e6, 100 * time.Microsecond, 256 * kb, mb},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w RecvWindow
			w.Init(64*kb, 16*mb)
			if got := transfer(&w, c.rate, 1400, c.rtt, 3*time.Second/2); got < c.least || got > c.most {
				t.Errorf("window %d, want %d to %d", got, c.least, c.most)
			}
		})
	}
}

// A sender that is held back by the window gets a window's worth through in an RTT, and the
// window must grow until it is held back no more.
func TestRecvWindowOpensUp(t *testing.T) {
	for _, rtt := range []time.Duration{0, time.Millisecond, 50 * time.Millisecond, time.Second} {
		var w RecvWindow
		w.Init(16<<10, 8<<20)
		now, read := time.Duration(0), uint64(0)
		rounds := 0
		for ; w.Window() < 8<<20; rounds++ {
			if rounds > 20 {
				t.Fatalf("RTT %v: window %d after %d RTTs", rtt, w.Window(), rounds)
			}
			now += rtt
			for limit := w.Limit(); read < limit; {
				n := min(int(limit-read), 1400)
				read += uint64(n)
				w.OnRead(n, now, rtt)
			}
		}
	}
}

func TestRecvWindowIdleDoesNotGrow(t *testing.T) {
	var w RecvWindow
	w.Init(64<<10, 16<<20)
	// Bursts of a tenth of the window, a second apart.
	for i := range 200 {
		w.OnRead(6<<10, time.Duration(i)*time.Second, 50*time.Millisecond)
	}
	if w.Window() != 64<<10 {
		t.Errorf("window %d", w.Window())
	}
}

func TestRecvWindowExtremes(t *testing.T) {
	for _, window := range []uint64{0, 1, 3, 1 << 20, maxOffset, math.MaxUint64} {
		for _, most := range []uint64{0, 1 << 21, math.MaxUint64} {
			t.Run(fmt.Sprintf("%d/%d", window, most), func(t *testing.T) {
				var w RecvWindow
				w.Init(window, most)
				read := uint64(0)
				for i, n := range []int{0, -1, math.MinInt, 1, 1, 2, 1 << 20, math.MaxInt, 1, math.MaxInt, 5} {
					before, size := w.Limit(), w.Window()
					now := time.Duration(i) * math.MaxInt64 / 5 // runs backwards, too
					due := w.OnRead(n, now, time.Duration(math.MaxInt64))
					read = satAdd(read, uint64(max(n, 0)))
					if due != (w.Limit() > before) || w.Limit() < before || w.Limit() > maxOffset || w.Window() < size {
						t.Fatalf("limit %d, then %d, update %v; window %d, then %d", before, w.Limit(), due, size, w.Window())
					}
					if w.Window() > max(min(window, maxOffset), min(most, maxOffset)) {
						t.Fatalf("window %d", w.Window())
					}
				}
				w.Grow(math.MaxUint64)
				if w.Window() != max(min(window, maxOffset), min(most, maxOffset)) {
					t.Fatalf("window %d", w.Window())
				}
			})
		}
	}
}

// The connection's window follows the streams', and the next update carries it.
func TestRecvWindowGrow(t *testing.T) {
	var w RecvWindow
	w.Init(1000, 10_000)
	w.Grow(500)
	if w.Window() != 1000 {
		t.Error("Grow made it smaller")
	}
	w.Grow(5000)
	if w.Limit() != 1000 || w.Window() != 5000 {
		t.Errorf("limit %d, window %d", w.Limit(), w.Window())
	}
	if !w.OnRead(1, time.Hour, 0) || w.Limit() != 5001 {
		t.Errorf("limit %d", w.Limit())
	}
	w.Grow(50_000)
	if w.Window() != 10_000 {
		t.Errorf("window %d", w.Window())
	}
}

func BenchmarkRecvWindow(b *testing.B) {
	var w RecvWindow
	w.Init(64<<10, 16<<20)
	b.ReportAllocs()
	now := time.Duration(0)
	for b.Loop() {
		now += 1400
		w.OnRead(1400, now, 30*time.Millisecond)
	}
}
