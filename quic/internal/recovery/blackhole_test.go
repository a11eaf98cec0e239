package recovery

import (
	"testing"
	"time"
)

func TestBlackHole(t *testing.T) {
	const large = 1452
	now := time.Second
	lost := func(p *Path, size uint32, sent time.Duration) {
		p.blackHole.onLost(&packet{size: size, sent: sent}, now)
	}
	newPath := func() *Path {
		p := new(Path)
		p.blackHole.least = 1200
		return p
	}

	p := newPath()
	for i := range blackHoleLosses {
		if p.BlackHole() {
			t.Fatalf("after %d losses", i)
		}
		lost(p, large, now)
		lost(p, large, now-1) // of the same flight
		p.blackHole.onArrived(1200)
		now += time.Second
	}
	if !p.BlackHole() {
		t.Errorf("not after %d losses", blackHoleLosses)
	}
	if p.BlackHole() {
		t.Error("told twice")
	}

	p = newPath()
	sent := now
	now += time.Second
	for range 10 * blackHoleLosses {
		lost(p, large, sent)
	}
	if p.BlackHole() {
		t.Error("one flight is enough")
	}
	for range 10 * blackHoleLosses {
		lost(p, 1200, now)
		now += time.Second
	}
	if p.BlackHole() {
		t.Error("small packets count")
	}
	for range 10 * blackHoleLosses {
		lost(p, large, now)
		now += time.Second
		p.blackHole.onArrived(large)
	}
	if p.BlackHole() {
		t.Error("though large ones arrive")
	}
}
