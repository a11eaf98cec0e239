package stream

import (
	"math"
	"time"
)

// maxOffset is the largest offset and the largest limit, 2^62-1 (RFC 9000, Section 4.5).
const maxOffset = 1<<62 - 1

// satAdd returns a+b, at most maxOffset.
func satAdd(a, b uint64) uint64 {
	if a > maxOffset || b > maxOffset-a {
		return maxOffset
	}
	return a + b
}

// SendWindow is flow control of what we send: the peer's limit, and how much of
// it is used (RFC 9000, Section 4.1).
type SendWindow struct {
	limit, used uint64
}

// Init sets the peer's first limit, none of which is used.
func (w *SendWindow) Init(limit uint64) { *w = SendWindow{limit: min(limit, maxOffset)} }

// Raise sets a new limit. It returns true if the limit grew; a lower one is
// ignored (RFC 9000, Section 4.1).
func (w *SendWindow) Raise(limit uint64) bool {
	limit = min(limit, maxOffset)
	if limit <= w.limit {
		return false
	}
	w.limit = limit
	return true
}

// Limit returns the peer's limit.
func (w *SendWindow) Limit() uint64 { return w.limit }

// Available returns how many bytes may be sent now.
func (w *SendWindow) Available() uint64 { return w.limit - w.used }

// Use takes n bytes of what is available.
func (w *SendWindow) Use(n int) {
	if n < 0 || uint64(n) > w.limit-w.used {
		panic("BUG: more sent than flow control allows")
	}
	w.used += uint64(n)
}

const (
	// growRTTs is the time, in RTTs, in which a window's worth of bytes must have
	// been read for the window to double. The peer learns of credit half an RTT after it is
	// given, and uses it half an RTT later; the rest is for updates that wait
	// for a quarter of the window, for lost ones, and for a sender whose rate still grows.
	growRTTs = 4

	// minGrowRTT stands in for shorter RTTs, in the rule above. On a fast local network
	// the RTT says little about how long credit takes: timers of 1 ms, turns of busy
	// processes and delayed ACKs are longer. So there the rate of reading decides: up to
	// 4 x 5 ms worth of it.
	minGrowRTT = 5 * time.Millisecond

	// updateFraction is the part of the window, 1/updateFraction, that is read before
	// the peer gets new credit. Of a window that is barely large enough three quarters
	// are left to use while the update travels, and no more than some four updates
	// are sent in an RTT.
	updateFraction = 4
)

// RecvWindow is flow control of what we receive: the limit that the peer knows, and
// a window that tunes itself. The window begins small and doubles, up to a
// maximum, whenever the application read at least half a window at a rate of more than a window in
// 4 RTTs: then the window, rather than the application, may be what holds the sender back.
type RecvWindow struct {
	read   uint64 // bytes that the application has taken
	limit  uint64
	window uint64
	max    uint64

	// The epoch is the time over which the rate of reading is measured.
	epochRead  uint64        // read at its beginning
	epochStart time.Duration // notStarted until something is read
}

// Init sets the first window, which is the first limit too, and the largest one
// that tuning may reach. A max below window means that the window stays.
func (w *RecvWindow) Init(window, max uint64) {
	window = min(window, maxOffset)
	*w = RecvWindow{limit: window, window: window, max: min(max, maxOffset), epochStart: notStarted}
}

// notStarted is no time that there is.
const notStarted time.Duration = math.MinInt64

// Limit returns what the peer was told, or will be by the next update: the highest offset that it may send up to.
func (w *RecvWindow) Limit() uint64 { return w.limit }

// Window returns the size of the window in bytes.
func (w *RecvWindow) Window() uint64 { return w.window }

// OnRead tells that the application has taken n more bytes, or does not want
// them. now is the time on any clock, rtt the smoothed RTT, 0 if it is not known.
// It returns true when there is a new Limit to be sent.
func (w *RecvWindow) OnRead(n int, now, rtt time.Duration) bool {
	if n <= 0 {
		return false
	}
	if w.epochStart == notStarted {
		// The first bytes count: they were sent as fast as the first window allowed.
		w.epochStart, w.epochRead = now, w.read
	}
	w.read = satAdd(w.read, uint64(n))
	left := w.limit - min(w.read, w.limit) // at most a window
	if w.window-left < (w.window+updateFraction-1)/updateFraction {
		return false
	}
	w.maybeGrow(now, rtt)
	limit := max(satAdd(w.read, w.window), w.limit)
	if limit == w.limit {
		return false
	}
	w.limit = limit
	return true
}

// maybeGrow doubles the window if the epoch tells that it may be too small.
func (w *RecvWindow) maybeGrow(now, rtt time.Duration) {
	n := w.read - w.epochRead
	if n < w.window/2 {
		return
	}
	elapsed := max(now-w.epochStart, 0)
	// elapsed / (n / window) is the time for a window's worth. Floats do not overflow.
	if float64(elapsed)*float64(w.window) <= growRTTs*float64(max(rtt, minGrowRTT))*float64(n) {
		w.Grow(min(2*w.window, w.max))
	}
	w.epochStart, w.epochRead = now, w.read
}

// Grow raises the window to at least min, as far as the maximum allows. The next update
// carries it. The connection's window follows the streams' this way.
func (w *RecvWindow) Grow(min uint64) {
	if min > w.max {
		min = w.max
	}
	if min > w.window {
		w.window = min
	}
}
