package quic

import (
	"testing"
	"time"
)

// TestSpareStreams: the states of streams that ended are used again, but not while a packet of theirs may
// still be heard of, and an idle connection has none.
func TestSpareStreams(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.connect()
	seen := make(map[*streamState]bool)
	for range 40 {
		p.transfer(p.client, p.server, Bidi, 3000, time.Minute)
		p.transfer(p.server, p.client, Uni, 3000, time.Minute)
		for _, st := range p.client.strs.live {
			seen[st] = true
		}
		if spare := p.client.strs.spare; spare != nil {
			for _, l := range spare {
				for _, s := range l.list[l.head:] {
					seen[s.st] = true
				}
			}
		}
	}
	if n := len(seen); n > 50 {
		t.Errorf("%d states for 80 streams, one after the other", n)
	}
	p.until("the rest", time.Minute, func() bool {
		return p.client.strs.spare == nil && p.server.strs.spare == nil
	})
}

// TestSpareStreamsAreBounded: however many streams end, so many states are kept and no more.
func TestSpareStreamsAreBounded(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.connect()
	s := new(spareList)
	for i := range 5 * maxSpareStreams {
		s.put(p.client, newStreamState(bothHalves))
		if i%3 == 0 {
			s.take(p.client)
		}
		if n := len(s.list) - s.head; n > maxSpareStreams || len(s.list) > 2*maxSpareStreams {
			t.Fatalf("%d are kept, in a list of %d", n, len(s.list))
		}
	}
}
