package recovery

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// Discard forgets a space whose keys are dropped (RFC 9002, Section 6.4): its
// bytes leave InFlight, nothing is reported. ACK frames for it are ignored from
// now on.
func (r *Recovery[S]) Discard(space wire.Space) {
	sp := &r.spaces[space]
	if sp.discarded {
		return
	}
	for i := range sp.packets.n {
		if p := sp.packets.at(i); p.state == packetUnsettled && p.inFlight {
			p.path.remove(p)
		}
	}
	// RFC 9002, Section 6.2.2: the timers begin anew.
	*sp = spaceAfter(sp)
	sp.discarded = true
	r.ptoCount = 0
	r.lastEvent = r.now
}

// ResetForRetry forgets the packets of the Initial space because a Retry came,
// reports their frames as lost, and keeps counting packet numbers (RFC 9000,
// Section 17.2.5.3; RFC 9002, Section 6.3).
func (r *Recovery[S]) ResetForRetry(h Handler[S]) { r.Abandon(wire.SpaceInitial, h) }

// Abandon forgets the packets of a space, which the peer will not process, and
// reports their frames as lost. The congestion controller does not learn of it.
// Packet numbers go on. It serves for Retry, and for 0-RTT that was rejected.
func (r *Recovery[S]) Abandon(space wire.Space, h Handler[S]) {
	sp := &r.spaces[space]
	for i := range sp.packets.n {
		if p := sp.packets.at(i); p.state == packetUnsettled {
			sp.settle(p, packetGone)
			r.reportLost(space, p, h)
		}
	}
	discarded := sp.discarded
	*sp = spaceAfter(sp)
	sp.discarded = discarded
	r.ptoCount = 0
	r.lastEvent = r.now
}

// spaceAfter is a space that is empty but goes on counting.
func spaceAfter[S any](sp *space[S]) space[S] {
	return space[S]{
		next:         sp.next,
		largestAcked: sp.largestAcked,
		hasAcked:     sp.hasAcked,
		ecn:          sp.ecn,
	}
}

// minIdle is for how long nothing has to be in flight before memory is let go of:
// what pauses for less keeps it.
const minIdle = 3 * time.Second

// maybeTrimLater has memory let go of in a while if nothing is in flight any more.
func (r *Recovery[S]) maybeTrimLater(now time.Duration) {
	if r.trimAt != 0 || r.active == nil || r.outstanding() > 0 || !r.bloated() {
		return
	}
	r.trimAt = now + max(3*r.active.RTT.PTO(r.maxAckDelay), minIdle)
}

// bloated tells whether more memory is held than an idle connection should.
func (r *Recovery[S]) bloated() bool {
	if cap(r.ranges) > minRing {
		return true
	}
	for i := range r.spaces {
		sp := &r.spaces[i]
		if len(sp.packets.buf) > minRing || len(sp.frames.buf) > minArena || cap(sp.late) > 0 {
			return true
		}
	}
	return false
}

// trim lets go of the memory that an idle connection does not need.
func (r *Recovery[S]) trim() {
	r.trimAt = 0
	if cap(r.ranges) > minRing {
		r.ranges = nil
	}
	for i := range r.spaces {
		sp := &r.spaces[i]
		sp.late = nil
		for sp.popPlain() {
		}
		if sp.packets.n > 0 || sp.frames.open != sp.frames.end {
			continue
		}
		if len(sp.packets.buf) > minRing {
			sp.packets = packetRing{}
		}
		if len(sp.frames.buf) > minArena {
			sp.frames.drop()
		}
	}
}
