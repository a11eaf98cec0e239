package recovery

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// persistentThreshold is kPersistentCongestionThreshold of RFC 9002, Section 7.6.1.
const persistentThreshold = 3

// detectLost declares packets lost by the packet and the time threshold (RFC
// 9002, Section 6.1 and Appendix A.10). The caller flushes.
func (r *Recovery[S]) detectLost(space wire.Space, now time.Duration, h Handler[S]) {
	sp := &r.spaces[space]
	sp.lossTime = 0
	if !sp.hasAcked {
		return
	}
	// Packets before overtaken are past the packet threshold.
	overtaken := uint64(0)
	if sp.largestAcked >= r.threshold {
		overtaken = sp.largestAcked - r.threshold + 1
		if space == wire.SpaceApp {
			overtaken = r.skips.before(overtaken, sp.largestAcked)
		}
	}
	var path *Path // of the packet before
	var delay, persistent time.Duration
	for i := range sp.packets.n {
		p := sp.packets.at(i)
		if p.pn > sp.largestAcked {
			break
		}
		switch p.state {
		case packetAcked:
			p.path.batch.run = false
			continue
		case packetGone:
			continue
		}
		if !p.inFlight {
			// Nobody waits for it, but it must not hold the ring.
			if p.pn < overtaken {
				sp.settle(p, packetGone)
				r.reportLost(space, p, h)
			}
			continue
		}
		if p.path != path {
			path = p.path
			delay = path.RTT.lossDelay()
			persistent = persistentThreshold * path.RTT.PTO(r.maxAckDelay)
		}
		// The order of packets of different paths tells nothing.
		if t := p.sent + delay; t <= now || p.pn < overtaken && path == sp.largestPath {
			r.onLost(space, now, p, persistent, h)
		} else if sp.lossTime == 0 || t < sp.lossTime {
			sp.lossTime = t
		}
	}
}

// onLost declares a packet lost that was in flight.
func (r *Recovery[S]) onLost(space wire.Space, now time.Duration, p *packet, persistent time.Duration, h Handler[S]) {
	sp := &r.spaces[space]
	r.touch(p.path)
	if p.mtuProbe {
		// RFC 9000, Section 14.4: the loss of a probe is no sign of congestion.
		h.OnMTUProbeLost(p.path, int(p.size))
	} else {
		p.path.onLost(p, persistent)
		p.path.blackHole.onLost(p, now)
		sp.late.add(p, now)
		r.counts.Lost++
		r.counts.LostBytes += uint64(p.size)
	}
	if p.follower && p.path.followers.onLost(p, now) {
		r.counts.Alone++
	}
	if p.ect {
		p.path.ecn.onLost()
	}
	sp.settle(p, packetGone)
	r.reportLost(space, p, h)
}

// reportLost reports a packet's frames as lost, unless they were before.
func (r *Recovery[S]) reportLost(space wire.Space, p *packet, h Handler[S]) {
	frames := &r.spaces[space].frames
	end := p.frame + uint32(p.frames)
	for i := p.frame; i != end; i++ {
		f := frames.at(i)
		if !p.requeued {
			h.OnFrameLost(space, p.pn, f)
		}
		if p.state != packetUnsettled {
			*f = Frame[S]{}
		}
	}
	p.requeued = true
}
