package recovery

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// HandleAck takes an ACK frame (RFC 9002, Appendix A.7). Work is bounded by what
// is outstanding, not by the frame. Errors are *wire.Error: PROTOCOL_VIOLATION
// for packets never sent, or skipped.
func (r *Recovery[S]) HandleAck(space wire.Space, now time.Duration, a *wire.Ack, h Handler[S]) error {
	r.ranges = r.ranges[:0]
	// What is below the floor is settled, or was never of interest.
	floor := r.floor(space)
	// Declared outside: a loop variable would be copied for each range.
	it := a.Ranges()
	for it.Next() && it.Largest >= floor {
		r.ranges = append(r.ranges, ranges.Range{Start: it.Smallest, End: it.Largest + 1})
	}
	return r.handleAck(space, now, &ackFrame{
		largest: a.Largest,
		delay:   a.Delay,
		hasECN:  a.HasECN,
		ecn:     wire.ECNCounts{ECT0: a.ECT0, ECT1: a.ECT1, CE: a.CE},
	}, h)
}

// ackFrame is an ACK frame but for its ranges.
type ackFrame struct {
	largest, delay uint64
	hasECN         bool
	ecn            wire.ECNCounts
}

// floor is the least packet number of the space that an ACK frame can tell anything of.
func (r *Recovery[S]) floor(space wire.Space) uint64 {
	sp := &r.spaces[space]
	floor := sp.next
	if sp.packets.n > 0 {
		floor = sp.packets.at(0).pn
	}
	if len(sp.late) > 0 {
		floor = min(floor, sp.late[0].pn)
	}
	if space == wire.SpaceApp {
		floor = r.skips.oldest(floor)
	}
	return floor
}

// handleAck is HandleAck with the ranges in r.ranges, in descending order.
func (r *Recovery[S]) handleAck(space wire.Space, now time.Duration, a *ackFrame, h Handler[S]) error {
	sp := &r.spaces[space]
	if sp.discarded {
		return nil
	}
	now = r.tick(now)
	if a.largest >= sp.next {
		// RFC 9000, Section 13.1.
		return &wire.Error{Code: wire.ErrProtocolViolation, FrameType: wire.FrameAck, Reason: "ACK of a packet that was never sent"}
	}
	if space == wire.SpaceApp && r.skips.acked(r.ranges) {
		// RFC 9000, Section 21.4.
		return &wire.Error{Code: wire.ErrProtocolViolation, FrameType: wire.FrameAck, Reason: "ACK of a packet number that was skipped"}
	}
	if space != wire.SpaceInitial {
		// RFC 9002, Section 6.2.2.1: only a server that has our Handshake packets, and
		// so our address, can acknowledge these.
		r.validated = true
	}
	before := sp.largestAcked
	grown := !sp.hasAcked || a.largest > before
	if grown {
		sp.largestAcked, sp.hasAcked = a.largest, true
	}

	var largest *packet // if it is newly acknowledged
	newly, eliciting := false, false
	for i, rg := range r.ranges {
		for j := sp.packets.search(rg.Start); j < sp.packets.n; j++ {
			p := sp.packets.at(j)
			if p.pn >= rg.End {
				break
			}
			if p.state != packetUnsettled {
				continue
			}
			newly = true
			eliciting = eliciting || p.eliciting
			if i == 0 && p.pn == a.largest {
				largest = p
			}
			r.onAcked(space, p, h)
		}
	}
	if len(sp.late) > 0 {
		r.handleLate(sp, now, before)
	}
	if largest != nil && eliciting {
		r.sampleRTT(space, now, largest, a.delay)
	}
	if grown {
		if largest != nil {
			sp.largestPath = largest.path
		}
		r.handleECN(sp, now, a, largest)
	}
	if newly || grown {
		r.detectLost(space, now, h)
	}
	r.flush(now)
	if newly {
		// RFC 9002, Section 6.2.1.
		if r.validated {
			r.ptoCount = 0
		}
		r.lastEvent = now
		sp.probes = 0
	}
	sp.pop()
	r.maybeTrimLater(now)
	return nil
}

// onAcked takes a packet that was not acknowledged before.
func (r *Recovery[S]) onAcked(space wire.Space, p *packet, h Handler[S]) {
	sp := &r.spaces[space]
	path := p.path
	if p.inFlight {
		r.touch(path)
		b := &path.batch
		b.acked += int(p.size)
		b.ackedPackets++
		path.rate.delivered += uint64(p.size)
		if b.newest == nil || p.pn > b.newest.pn {
			b.newest = p
		}
	}
	if p.ect {
		r.touch(path)
		path.batch.ectAcked++
	}
	path.blackHole.onArrived(p.size)
	if path.followers.onAcked(p, r.now) {
		r.counts.Alone++
	}
	sp.settle(p, packetAcked)
	r.acked = Acked{Size: int(p.size), MTUProbe: p.mtuProbe, Path: path, LargestAcked: p.largestAcked, HasAck: p.hasAck}
	h.OnPacketAcked(space, p.pn, &r.acked)
	end := p.frame + uint32(p.frames)
	for i := p.frame; i != end; i++ {
		f := sp.frames.at(i)
		h.OnFrameAcked(space, p.pn, f)
		*f = Frame[S]{}
	}
}

// sampleRTT takes the RTT sample that the acknowledgment of p gives (RFC 9002, Section 5).
func (r *Recovery[S]) sampleRTT(space wire.Space, now time.Duration, p *packet, delay uint64) {
	var d time.Duration
	if space != wire.SpaceInitial {
		// Initial packets are not delayed (RFC 9002, Section 5.3).
		us := min(delay, uint64(maxDuration/time.Microsecond)>>r.ackDelayExp) << r.ackDelayExp
		d = time.Duration(us) * time.Microsecond
	}
	if r.confirmed {
		// RFC 9002, Section 5.3: the lesser of the delay and the peer's max_ack_delay.
		d = min(d, r.maxAckDelay)
	}
	p.path.RTT.update(now, now-p.sent, d)
	r.touch(p.path)
	p.path.batch.rttSample = true
}

// handleECN validates the counts of an ACK frame that increased the largest
// acknowledged number, and tells of congestion marks (RFC 9000, Section 13.4.2).
func (r *Recovery[S]) handleECN(sp *space[S], now time.Duration, a *ackFrame, largest *packet) {
	if sp.ecn.sent == 0 {
		return
	}
	acked := uint64(0)
	for p := r.touched; p != nil; p = p.batch.next {
		acked += p.batch.ectAcked
	}
	ce, ok := sp.ecn.validate(a.hasECN, &a.ecn, acked)
	if !ok {
		// The counts do not tell which of the paths it was.
		failed := acked == 0
		for p := r.touched; p != nil; p = p.batch.next {
			if p.batch.ectAcked > 0 {
				p.ecn.status = ecnFailed
			}
		}
		if failed && sp.largestPath != nil {
			sp.largestPath.ecn.status = ecnFailed
		}
		return
	}
	for p := r.touched; p != nil; p = p.batch.next {
		marks := uint64(0)
		if largest != nil && largest.path == p {
			marks = ce
		}
		p.ecn.onValidated(p.batch.ectAcked, marks)
	}
	if ce == 0 || largest == nil || largest.path.ecn.status != ecnCapable {
		return
	}
	p := largest.path
	p.batch.ecnArg.Now, p.batch.ecnArg.LargestSent = now, largest.sent
	p.batch.ecnArg.CE, p.batch.ecnArg.InFlight = ce, p.InFlight
	p.CC.OnECN(&p.batch.ecnArg)
}

// handleLate looks for lost packets that arrived after all. largest is what the
// largest acknowledged number was before.
func (r *Recovery[S]) handleLate(sp *space[S], now time.Duration, largest uint64) {
	i := len(sp.late) - 1
	for _, rg := range r.ranges {
		for i >= 0 && sp.late[i].pn >= rg.End {
			i--
		}
		last := i
		for i >= 0 && sp.late[i].pn >= rg.Start {
			r.onSpurious(&sp.late[i], now, largest)
			i--
		}
		if i < last {
			sp.late = append(sp.late[:i+1], sp.late[last+1:]...)
		}
		if i < 0 {
			break
		}
	}
	if r.active != nil {
		sp.late.expire(now - 3*r.active.RTT.PTO(r.maxAckDelay))
	}
	if len(sp.late) == 0 && cap(sp.late) > minRing {
		sp.late = nil
	}
}

// onSpurious takes a packet that was declared lost but was only late.
func (r *Recovery[S]) onSpurious(l *latePacket, now time.Duration, largest uint64) {
	r.counts.SpuriousLost++
	r.realLosses = 0
	// RFC 9002, Section 6.1.1: a path that reorders gets a larger threshold.
	if d := largest - l.pn + 1; d > r.threshold {
		r.threshold = min(d, maxPacketThreshold)
	}
	p := l.path
	if l.follower {
		p.followers.onArrived(l.sent)
	}
	p.blackHole.onArrived(uint32(l.size))
	p.rate.delivered += uint64(l.size)
	s := &p.batch.spurious
	s.Now, s.Sent, s.Lost, s.Bytes = now, l.sent, l.lost, l.size
	p.CC.OnSpurious(s)
}
