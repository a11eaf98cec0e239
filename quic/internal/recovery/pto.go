package recovery

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// maxPTO bounds what backoff makes of a probe timeout: a peer that is there
// again is noticed within a minute, and the arithmetic stays far from overflow.
const maxPTO = time.Minute

// Deadline returns when HandleTimeout is to be called: at the earliest loss time,
// else at the PTO (RFC 9002, Appendix A.8), else when memory is to be let go of
// because the connection is idle.
func (r *Recovery[S]) Deadline() (time.Duration, bool) {
	if t, _, ok := r.lossTimer(); ok {
		return t, true
	}
	if t, _, ok := r.ptoTimer(); ok {
		return t, true
	}
	return r.trimAt, r.trimAt != 0
}

// lossTimer returns the earliest loss time of all spaces.
func (r *Recovery[S]) lossTimer() (t time.Duration, space wire.Space, ok bool) {
	for i := range r.spaces {
		if l := r.spaces[i].lossTime; l != 0 && (!ok || l < t) {
			t, space, ok = l, wire.Space(i), true
		}
	}
	return t, space, ok
}

// backoff doubles a duration for each PTO in a row.
func (r *Recovery[S]) backoff(d time.Duration) time.Duration {
	if n := min(r.ptoCount, 30); d < maxPTO>>n {
		return d << n
	}
	return max(d, maxPTO)
}

// ptoTimer returns when the next PTO is, and of which space.
func (r *Recovery[S]) ptoTimer() (t time.Duration, space wire.Space, ok bool) {
	if r.limited || r.active == nil {
		// RFC 9002, Section 6.2.2.1: nothing could be sent.
		return 0, 0, false
	}
	rtt := &r.active.RTT
	for i := range r.spaces {
		sp := &r.spaces[i]
		if sp.eliciting == 0 {
			continue
		}
		d := rtt.PTO(0)
		if wire.Space(i) == wire.SpaceApp {
			// RFC 9002, Section 6.2.1: not before the handshake is confirmed.
			if !r.confirmed {
				continue
			}
			d = rtt.PTO(r.maxAckDelay)
		}
		if e := sp.lastEliciting + r.backoff(d); !ok || e < t {
			t, space, ok = e, wire.Space(i), true
		}
	}
	if !ok && !r.validated {
		// RFC 9002, Section 6.2.2.1: the server may wait for us to be allowed to send.
		space = wire.SpaceInitial
		if r.handshakeKeys {
			space = wire.SpaceHandshake
		}
		return r.lastEvent + r.backoff(rtt.PTO(0)), space, !r.spaces[space].discarded
	}
	return t, space, ok
}

// HandleTimeout does what is due at the time: it declares packets lost, or makes
// probes due (RFC 9002, Appendix A.9). It returns the space and true if a probe
// timeout fired. Probes of that space is then 2, or 1 in Initial and Handshake,
// and the caller sends that many ack-eliciting packets without regard to the
// window: new data, or what Requeue gives, or PING. Other spaces with packets in
// flight may have one probe too, to be sent along. Before its time it does nothing.
func (r *Recovery[S]) HandleTimeout(now time.Duration, h Handler[S]) (space wire.Space, pto bool) {
	now = r.tick(now)
	if t, _, ok := r.lossTimer(); ok {
		if t > now {
			return 0, false
		}
		for i := range r.spaces {
			sp := &r.spaces[i]
			if sp.lossTime != 0 && sp.lossTime <= now {
				r.detectLost(wire.Space(i), now, h)
				r.flush(now)
				sp.pop()
			}
		}
		r.maybeTrimLater(now)
		return 0, false
	}
	if t, s, ok := r.ptoTimer(); ok {
		if t > now {
			return 0, false
		}
		r.ptoCount++
		r.counts.PTOs++
		r.lastEvent = now
		r.setProbes(s)
		return s, true
	}
	if r.trimAt != 0 && now >= r.trimAt {
		r.trim()
	}
	return 0, false
}

// setProbes makes probes due for a PTO of the space.
func (r *Recovery[S]) setProbes(space wire.Space) {
	if space == wire.SpaceApp {
		r.spaces[space].probes = 2
		return
	}
	r.spaces[space].probes = 1
	// RFC 9002, Section 6.2.4: probes of the other spaces go along, since the peer may
	// have the keys of one alone. A server's 1-RTT packets are of no use to a
	// client that still is at the handshake.
	for i := range r.spaces {
		if sp := &r.spaces[i]; sp.eliciting > 0 && (wire.Space(i) != wire.SpaceApp || r.client) {
			sp.probes = 1
		}
	}
}

// AddProbe makes one probe of the space due beside those of a timeout, for a space
// that has nothing in flight any more but lost data to send: what is in flight of
// other spaces may fill the window, and nobody would acknowledge it.
func (r *Recovery[S]) AddProbe(space wire.Space) {
	sp := &r.spaces[space]
	sp.probes = max(sp.probes, 1)
}

// Probes returns how many ack-eliciting packets of the space are to be sent
// without regard to the window. OnSent counts down; an ACK makes them needless.
func (r *Recovery[S]) Probes(space wire.Space) int { return r.spaces[space].probes }

// PTOCount returns how many probe timeouts fired since the last ACK.
func (r *Recovery[S]) PTOCount() int { return r.ptoCount }

// Requeue reports the frames of the oldest ack-eliciting packets, up to n, by
// OnFrameLost, without declaring the packets lost: for probes that have nothing
// new to carry. Frames that were reported once are not reported again.
func (r *Recovery[S]) Requeue(space wire.Space, n int, h Handler[S]) {
	sp := &r.spaces[space]
	for i := 0; i < sp.packets.n && n > 0; i++ {
		p := sp.packets.at(i)
		if p.state == packetUnsettled && p.eliciting && !p.requeued && p.frames > 0 {
			r.reportLost(space, p, h)
			n--
		}
	}
}
