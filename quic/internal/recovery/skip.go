package recovery

import (
	"math/rand/v2"
	"slices"

	"github.com/frittata-go/frittata/quic/internal/ranges"
)

const (
	// minSkip is the least number of packets between two skipped numbers, about.
	minSkip = 32

	// keptSkips is how many skipped numbers are remembered. There is one for each
	// window at least, and all else that is older has been settled.
	keptSkips = 16
)

// skips are the packet numbers that are left out at random, against a peer that
// acknowledges what it has not received to make the window grow (RFC 9000,
// Section 21.4). As there is at least one in every window, such a peer is found out
// before the window has doubled; as there is not more than about one, it costs
// next to nothing.
type skips struct {
	rng *rand.Rand
	at  uint64   // the next number to skip
	pn  []uint64 // ascending; at most keptSkips
}

func (s *skips) init(rng *rand.Rand) {
	s.rng = rng
	s.schedule(0, 0)
}

// schedule chooses the number to skip after pn. The window is in packets.
func (s *skips) schedule(pn uint64, window int) {
	n := max(uint64(window), minSkip)
	s.at = pn + 1 + n/2 + s.rng.Uint64N(n/2)
}

// skip enters the number at which to skip, and chooses the next one.
func (s *skips) skip(window int) {
	if s.pn == nil {
		s.pn = make([]uint64, 0, keptSkips)
	}
	if len(s.pn) == keptSkips {
		s.pn = s.pn[:copy(s.pn, s.pn[1:])]
	}
	s.pn = append(s.pn, s.at)
	s.schedule(s.at, window)
}

// oldest returns the oldest number that is remembered, or pn if that is less.
func (s *skips) oldest(pn uint64) uint64 {
	if len(s.pn) > 0 {
		return min(pn, s.pn[0])
	}
	return pn
}

// before returns the number before limit that is as many packets that were sent
// before largest as limit is numbers.
func (s *skips) before(limit, largest uint64) uint64 {
	for i := len(s.pn) - 1; i >= 0 && s.pn[i]+1 >= limit && limit > 0; i-- {
		if s.pn[i] < largest {
			limit--
		}
	}
	return limit
}

// has tells whether pn was skipped.
func (s *skips) has(pn uint64) bool {
	_, ok := slices.BinarySearch(s.pn, pn)
	return ok
}

// acked tells whether a skipped number is in one of the ranges, which are descending.
func (s *skips) acked(rs []ranges.Range) bool {
	i := len(s.pn) - 1
	for _, r := range rs {
		for i >= 0 && s.pn[i] >= r.End {
			i--
		}
		if i < 0 {
			return false
		}
		if s.pn[i] >= r.Start {
			return true
		}
	}
	return false
}
