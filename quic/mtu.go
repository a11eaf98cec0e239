package quic

import "time"

const (
	// mtuStep ends the search: a gain of less is not worth a lost probe.
	mtuStep = 16
	// mtuProbes is how many probes of one size are lost before the size is
	// taken as too large (RFC 8899, Section 5.1.2).
	mtuProbes = 3
	// mtuAgain is how long after a search the next one begins (RFC 8899, Section 5.1.1).
	mtuAgain = 10 * time.Minute
	// mtuDelay is how long after the handshake the first search begins, unless more is sent before that than
	// one datagram has room for. A connection that is closed at once, or asks for something small, needs none.
	mtuDelay = 10 * time.Millisecond
	// mtuBlackHole is how many probe timeouts in a row at a searched size mean that the size does not pass any more.
	mtuBlackHole = 3
)

// mtuSearch finds the largest datagram that the path takes (DPLPMTUD, RFC 8899,
// RFC 9000, Section 14.3): the largest size first, since most paths take it,
// then a binary search.
type mtuSearch struct {
	size    int // what packets may have now
	max     int // what is worth trying
	tooBig  int // the smallest size that is known not to pass; max+1 at first
	probe   int // the size of the probe in flight, 0 if none
	lost    int // probes of the current size that were lost
	running bool
	ever    bool
	first   time.Duration // when to search for the first time; 0 unless that is to come
	again   time.Duration // when to search anew; 0 while searching
	off     bool
}

func (m *mtuSearch) init(cfg *Config) {
	m.size = minUDPPayload
	m.max = min(cfg.MaxUDPPayload, maxTrain)
	m.tooBig = m.max + 1
	m.off = cfg.DisablePathMTUDiscovery
}

// setPeerMax heeds the peer's max_udp_payload_size.
func (m *mtuSearch) setPeerMax(v uint64) {
	if v < uint64(m.max) {
		m.max = max(int(v), minUDPPayload)
		m.tooBig = m.max + 1
	}
}

func (m *mtuSearch) start() {
	if m.off {
		return
	}
	m.running, m.ever = true, true
	m.first, m.again = 0, 0
	m.tooBig = m.max + 1
	m.lost = 0
}

// startAt has the first search begin at that time, unless hurry is called before.
func (m *mtuSearch) startAt(at time.Duration) {
	if !m.off {
		m.first = at
	}
}

// hurry begins the first search if it is to come.
func (m *mtuSearch) hurry() {
	if m.first != 0 {
		m.start()
	}
}

func (m *mtuSearch) started() bool { return m.ever }

// next returns the size of the probe to send now, 0 if none.
func (m *mtuSearch) next(now time.Duration) int {
	if !m.running && m.again != 0 && now >= m.again && !m.off {
		m.running, m.again, m.tooBig, m.lost = true, 0, m.max+1, 0
	}
	if !m.running || m.probe != 0 {
		return 0
	}
	if m.tooBig-m.size <= mtuStep && m.tooBig <= m.max || m.size >= m.max {
		m.running = false
		m.again = now + mtuAgain
		return 0
	}
	if m.tooBig > m.max {
		return m.max
	}
	return (m.size + m.tooBig) / 2
}

func (m *mtuSearch) onProbeSent(size int) { m.probe = size }

// onProbeAcked tells whether the size grew.
func (m *mtuSearch) onProbeAcked(size int) bool {
	if size == m.probe {
		m.probe, m.lost = 0, 0
	}
	if size > m.size && size < m.tooBig {
		m.size = size
		return true
	}
	return false
}

func (m *mtuSearch) onProbeLost(size int) {
	if size != m.probe {
		return
	}
	m.probe = 0
	if m.lost++; m.lost >= mtuProbes {
		m.tooBig, m.lost = size, 0
	}
}

// onTooLarge: the interface does not take datagrams of that size.
func (m *mtuSearch) onTooLarge(size int) bool {
	if size == m.probe {
		m.probe, m.lost = 0, 0
	}
	if size > minUDPPayload && size < m.tooBig {
		m.tooBig = size
	}
	if m.size >= size && size > minUDPPayload {
		m.size = minUDPPayload
		m.running = !m.off
		return true
	}
	return false
}

// onBlackHole falls back to the size that every path takes, and searches anew.
func (m *mtuSearch) onBlackHole() bool {
	if m.size == minUDPPayload {
		return false
	}
	m.tooBig = m.size
	m.size = minUDPPayload
	m.probe, m.lost = 0, 0
	m.running = !m.off
	return true
}
