package recovery

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

const (
	// maxAckRanges is how many ranges are remembered in a space. A sender has
	// declared lost what is between older ones long ago.
	maxAckRanges = 64

	// ackThreshold is how many ack-eliciting packets make an ACK due (RFC 9000,
	// Section 13.2.2).
	ackThreshold = 2

	// wantAckedRanges and wantAckedSent are from how many ranges on, and after how
	// many ACKs without one that was acknowledged, it is worth a PING to get rid of ranges.
	wantAckedRanges = 8
	wantAckedSent   = 16
)

// AckTracker is what one packet number space received and has to acknowledge (RFC
// 9000, Section 13.2). It keeps at most 64 ranges, the newest.
//
// Whether an ACK is due is asked when packets are sent, which is after all
// packets of a batch were processed: so there is one ACK for a batch and not one for
// every second packet.
type AckTracker struct {
	ranges ranges.Set
	floor  uint64 // what is below counts as received

	immediate     bool // each ack-eliciting packet is acknowledged at once
	maxAckDelay   time.Duration
	now           bool          // an ACK is due whatever the time
	eliciting     int           // ack-eliciting packets since the last ACK
	deadline      time.Duration // for them
	hasEliciting  bool          // an ack-eliciting packet was ever received
	lastEliciting uint64        // the largest number of one
	largestAt     time.Duration // when the largest number was received

	counts  wire.ECNCounts
	unacked int // ACKs sent since one of ours was acknowledged
}

// Init begins a space. maxAckDelay is the max_ack_delay that we announced; it
// holds in the App space alone (RFC 9000, Section 13.2.1).
func (a *AckTracker) Init(space wire.Space, maxAckDelay time.Duration) {
	*a = AckTracker{immediate: space != wire.SpaceApp, maxAckDelay: maxAckDelay}
}

// Duplicate tells whether pn was received before, or is older than what is
// remembered. Such packets must not be processed (RFC 9000, Section 12.3).
func (a *AckTracker) Duplicate(pn uint64) bool {
	if n := len(a.ranges); n > 0 && pn >= a.ranges[n-1].End {
		return false
	}
	return pn < a.floor || a.ranges.Contains(pn)
}

// OnReceived takes a packet that was processed and is no duplicate. ecn is the
// mark of its datagram, as in the IP header. Packets out of order and those with
// a CE mark are acknowledged at once (RFC 9000, Section 13.2.1); else every second
// ack-eliciting packet makes an ACK due, or the passing of maxAckDelay.
func (a *AckTracker) OnReceived(pn uint64, now time.Duration, ackEliciting bool, ecn uint8) {
	switch ecn & 3 {
	case 0b10:
		a.counts.ECT0++
	case 0b01:
		a.counts.ECT1++
	case 0b11:
		a.counts.CE++
	}
	n := len(a.ranges)
	if pn >= a.Next() {
		a.largestAt = now
	}
	if n > 0 && a.ranges[n-1].End == pn {
		a.ranges[n-1].End++
	} else {
		a.insert(pn)
	}
	if !ackEliciting {
		return
	}
	if a.eliciting == 0 {
		a.deadline = now + a.maxAckDelay
	}
	a.eliciting++
	// Out of order: there is an ack-eliciting packet with a larger number, or
	// packets are missing between the largest of those and this one.
	last := a.ranges[len(a.ranges)-1]
	if a.immediate || ecn&3 == 0b11 || a.hasEliciting && (pn < a.lastEliciting || a.lastEliciting < last.Start) || !a.hasEliciting && last.Start > a.floor {
		a.now = true
	}
	if !a.hasEliciting || pn > a.lastEliciting {
		a.hasEliciting, a.lastEliciting = true, pn
	}
}

func (a *AckTracker) insert(pn uint64) {
	a.ranges.Add(pn, pn+1)
	if len(a.ranges) > maxAckRanges {
		a.dropRanges(1)
	}
}

// dropRanges forgets the oldest n ranges.
func (a *AckTracker) dropRanges(n int) {
	a.floor = max(a.floor, a.ranges[n-1].End)
	a.ranges = a.ranges[:copy(a.ranges, a.ranges[n:])]
}

// Next returns one more than the largest packet number received, 0 if none was.
func (a *AckTracker) Next() uint64 {
	if n := len(a.ranges); n > 0 {
		return a.ranges[n-1].End
	}
	return a.floor
}

// Pending tells whether there is anything that has to be acknowledged sooner or
// later: an ack-eliciting packet since the last ACK. Packets that have nothing but
// ACK frames are not, so that two peers do not acknowledge each other's ACKs for ever.
func (a *AckTracker) Pending() bool { return a.eliciting > 0 }

// Due tells whether an ACK has to be sent now.
func (a *AckTracker) Due(now time.Duration) bool {
	return a.eliciting > 0 && (a.now || a.eliciting >= ackThreshold || now >= a.deadline)
}

// Deadline returns when an ACK becomes due. There is none when nothing is
// pending, and none when an ACK is due already: it goes out with the next train.
func (a *AckTracker) Deadline() (time.Duration, bool) {
	if a.eliciting == 0 || a.now || a.eliciting >= ackThreshold {
		return 0, false
	}
	return a.deadline, true
}

// Ranges returns what was received, ascending, newest last. It is valid until
// the next call of another method.
func (a *AckTracker) Ranges() []ranges.Range { return a.ranges }

// Delay returns how long the packet with the largest number waits.
func (a *AckTracker) Delay(now time.Duration) time.Duration { return max(now-a.largestAt, 0) }

// ECN returns the counts of marked packets, nil if no marks came.
func (a *AckTracker) ECN() *wire.ECNCounts {
	if a.counts == (wire.ECNCounts{}) {
		return nil
	}
	return &a.counts
}

// OnAckSent tells that an ACK frame with the ranges went out.
func (a *AckTracker) OnAckSent() {
	a.eliciting, a.now = 0, false
	a.unacked++
}

// OnAckAcked tells that the peer has an ACK frame of ours that acknowledged up to
// largest: older ranges need not be told again (RFC 9000, Section 13.2.4).
func (a *AckTracker) OnAckAcked(largest uint64) {
	a.unacked = 0
	// The range with largest stays whole, so that what is missing before it may
	// still come; there has to be one range.
	n := 0
	for n+1 < len(a.ranges) && a.ranges[n].End <= largest {
		n++
	}
	if n > 0 {
		a.dropRanges(n)
	}
}

// WantsAcked tells that there are many ranges, and that no ACK of ours was
// acknowledged for long: a PING with the next ACK would let the ranges be
// forgotten (RFC 9000, Section 13.2.4).
func (a *AckTracker) WantsAcked() bool {
	return len(a.ranges) >= wantAckedRanges && a.unacked >= wantAckedSent
}
