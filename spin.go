package frittata

import "time"

// spinTime is how long the router looks for packets before it waits for
// them. A thread that sleeps costs some 50 µs of processor time to wake, so looking for
// about as long costs at most twice the best choice.
const spinTime = 40 * time.Microsecond

// spinner decides how long the router looks before it waits.
type spinner struct {
	since time.Time // of this spell; zero: none yet
}

// hit ends a spell: something came.
func (s *spinner) hit(time.Time) { s.since = time.Time{} }

// again tells whether to look once more.
func (s *spinner) again() bool {
	now := time.Now()
	if s.since.IsZero() {
		s.since = now
		return true
	}
	return now.Sub(s.since) < spinTime
}

// woke begins anew, after the router waited.
func (s *spinner) woke(time.Time) { s.since = time.Time{} }
