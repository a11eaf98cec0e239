package recovery

import "time"

type packetState uint8

const (
	packetUnsettled packetState = iota // neither acknowledged nor lost
	packetAcked
	packetGone // lost, or of no interest any more
)

// packet is what is remembered of a packet that was sent.
type packet struct {
	pn           uint64
	sent         time.Duration
	path         *Path
	largestAcked uint64 // by the ACK frame in it, if hasAck

	snapshot rateSnapshot

	size   uint32
	frame  uint32 // the first of its frames in the arena
	frames uint16
	state  packetState

	eliciting bool
	inFlight  bool
	mtuProbe  bool
	ect       bool
	hasAck    bool
	follower  bool // not the first of its train
	requeued  bool // its frames were reported as lost for a probe
}

// minRing is how many packets a ring has room for at first, and how many one
// that is not in use may keep.
const minRing = 8

// packetRing is a queue of packets in ascending order of their numbers. The
// numbers have gaps where a number was skipped, or a packet that only had an ACK
// frame was not worth remembering; without gaps a number's place is known, else it
// is searched for.
type packetRing struct {
	buf  []packet // its length is a power of two
	head int      // the first's place in buf
	n    int
}

func (q *packetRing) at(i int) *packet { return &q.buf[(q.head+i)&(len(q.buf)-1)] }

// push makes room for one more packet at the end. What it returns is to be
// overwritten.
func (q *packetRing) push() *packet {
	if q.n == len(q.buf) {
		q.resize(max(2*q.n, minRing))
	}
	q.n++
	return q.at(q.n - 1)
}

func (q *packetRing) resize(size int) {
	buf := make([]packet, size)
	for i := range q.n {
		buf[i] = *q.at(i)
	}
	q.buf, q.head = buf, 0
}

func (q *packetRing) pop() {
	q.at(0).path = nil
	q.head = (q.head + 1) & (len(q.buf) - 1)
	q.n--
}

// search returns the place of the first packet whose number is not less than
// pn, n if there is none.
func (q *packetRing) search(pn uint64) int {
	if q.n == 0 {
		return 0
	}
	first := q.at(0).pn
	if pn <= first {
		return 0
	}
	// Gaps only move a packet to the front, never to the back.
	lo, hi := 0, q.n
	if d := pn - first; d < uint64(q.n) {
		if q.at(int(d)).pn == pn {
			return int(d)
		}
		hi = int(d)
	}
	for lo < hi {
		if m := (lo + hi) / 2; q.at(m).pn < pn {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}
