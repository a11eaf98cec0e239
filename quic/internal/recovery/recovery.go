package recovery

import (
	"math/rand/v2"
	"time"

	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// Sent describes a packet for OnSent.
type Sent struct {
	Now          time.Duration
	PN           uint64
	Size         int // bytes of UDP payload that it takes
	AckEliciting bool
	InFlight     bool // ack-eliciting or has PADDING
	MTUProbe     bool // its loss says nothing about congestion
	ECT          bool
	Follower     bool // not the first of its train
	Path         *Path
	LargestAcked uint64 // that the ACK frame in it acknowledged, if HasAck
	HasAck       bool
}

// Handler learns what became of frames. Its methods must not call the Recovery,
// but for getters, and must not keep the pointers.
type Handler[S any] interface {
	OnFrameAcked(space wire.Space, pn uint64, f *Frame[S])

	// OnFrameLost tells that a frame has to be sent again, if what it says still
	// holds. It is called once for each frame of a packet at most.
	OnFrameLost(space wire.Space, pn uint64, f *Frame[S])

	// OnPacketAcked is called once for each newly acked packet, before its frames.
	OnPacketAcked(space wire.Space, pn uint64, s *Acked)

	OnMTUProbeLost(p *Path, size int)
}

// Acked tells of a packet.
type Acked struct {
	Size         int
	MTUProbe     bool
	Path         *Path
	LargestAcked uint64
	HasAck       bool
}

// Counts of packets, in all spaces.
type Counts struct {
	Lost, LostBytes, SpuriousLost, PTOs, PersistentCongestion uint64

	Alone uint64 // paths that lose all of a train but its first packet
}

const (
	// packetThreshold is kPacketThreshold of RFC 9002, Section 6.1.1.
	packetThreshold = 3

	// maxPacketThreshold bounds what the threshold grows to on a path that reorders.
	maxPacketThreshold = 128

	// thresholdLosses is after how many losses in a row that were none but real
	// ones the threshold is what it was at first.
	thresholdLosses = 16

	// maxPlain is how many packets that are not ack-eliciting are remembered at
	// most in a space. The peer may never acknowledge them.
	maxPlain = 64
)

// Recovery is loss detection of the three packet number spaces (RFC 9002, Section
// 6 and Appendix A): packet and time threshold, PTO, persistent congestion,
// spurious losses undone, packet numbers skipped against optimistic ACKs.
type Recovery[S any] struct {
	spaces [wire.NumSpaces]space[S]
	skips  skips
	active *Path

	client        bool
	handshakeKeys bool
	confirmed     bool
	validated     bool // the peer has validated our address
	limited       bool // by anti-amplification

	now           time.Duration // the latest that was told
	maxAckDelay   time.Duration // the peer's
	ackDelayExp   uint64        // the peer's
	lastEvent     time.Duration // when the timer would have been set last
	lastEliciting time.Duration // when an ack-eliciting packet was sent last
	trimAt        time.Duration // when to let go of memory; 0: there is none
	ptoCount      int

	threshold  uint64 // in packets
	realLosses int    // loss events since the last spurious loss

	counts  Counts
	touched *Path          // list of the paths with a batch
	ranges  []ranges.Range // of the ACK frame that is being handled
	acked   Acked
}

// space is what is remembered of a packet number space.
type space[S any] struct {
	packets packetRing
	frames  arena[S]
	late    lateList

	next         uint64 // packet number
	largestAcked uint64 // if hasAcked
	largestPath  *Path  // that the packet was sent on
	hasAcked     bool
	discarded    bool

	lossTime      time.Duration // when a packet is lost next; 0: none
	lastEliciting time.Duration // when an ack-eliciting packet was sent last
	eliciting     int           // ack-eliciting packets that are neither acknowledged nor lost
	plain         int           // packets in the ring that are not ack-eliciting, and neither acknowledged nor lost
	probes        int
	ecn           ecnCounts
}

// Init begins a connection.
func (r *Recovery[S]) Init(client bool, rng *rand.Rand) {
	*r = Recovery[S]{
		client:      client,
		validated:   !client,
		maxAckDelay: 25 * time.Millisecond, // the defaults of RFC 9000, Section 18.2
		ackDelayExp: 3,
		threshold:   packetThreshold,
	}
	r.skips.init(rng)
}

// SetActive tells the path whose RTT the timers use.
func (r *Recovery[S]) SetActive(p *Path) { r.active = p }

// SetMaxAckDelay sets the peer's max_ack_delay (RFC 9000, Section 18.2).
func (r *Recovery[S]) SetMaxAckDelay(d time.Duration) {
	r.maxAckDelay = min(max(d, 0), 1<<14*time.Millisecond)
}

// SetAckDelayExponent sets the peer's ack_delay_exponent (RFC 9000, Section 18.2).
func (r *Recovery[S]) SetAckDelayExponent(e uint64) { r.ackDelayExp = min(e, 20) }

// SetHandshakeKeys tells that Handshake packets can be sent.
func (r *Recovery[S]) SetHandshakeKeys() { r.handshakeKeys = true }

// SetHandshakeComplete tells that the handshake is complete, which for a server
// is its confirmation (RFC 9001, Section 4.1.2).
func (r *Recovery[S]) SetHandshakeComplete() {
	if !r.client {
		r.SetHandshakeConfirmed()
	}
}

// SetHandshakeConfirmed tells that the handshake is confirmed (RFC 9001, Section 4.1.2).
func (r *Recovery[S]) SetHandshakeConfirmed() { r.confirmed, r.validated = true, true }

// SetAmplificationLimited tells that a server cannot send, or that it can again
// (RFC 9002, Section 6.2.2.1). There is no PTO meanwhile.
func (r *Recovery[S]) SetAmplificationLimited(b bool, now time.Duration) {
	if r.limited && !b {
		r.lastEvent = r.tick(now)
	}
	r.limited = b
}

// tick takes the time, and returns it, or the latest so far if it went backwards.
func (r *Recovery[S]) tick(now time.Duration) time.Duration {
	r.now = max(r.now, now)
	return r.now
}

// NextPN returns the number of the space's next packet, the same until OnSent. In
// the App space a number is left out now and then; a peer that acknowledges
// that has not received what it acknowledges.
func (r *Recovery[S]) NextPN(space wire.Space) uint64 { return r.spaces[space].next }

// PNLen returns in how many bytes to write the number.
func (r *Recovery[S]) PNLen(space wire.Space, pn uint64) int {
	sp := &r.spaces[space]
	return wire.PacketNumberLen(pn, sp.largestAcked, sp.hasAcked)
}

// AddFrame remembers a frame of the packet that is being built.
func (r *Recovery[S]) AddFrame(space wire.Space, f Frame[S]) { r.spaces[space].frames.add(f) }

// FramesAdded is a mark after the frames that were added so far: see FramesGone.
func (r *Recovery[S]) FramesAdded(space wire.Space) uint32 { return r.spaces[space].frames.open }

// FramesGone tells whether all frames that were added before the mark was taken are forgotten: nothing
// will be heard of them any more.
func (r *Recovery[S]) FramesGone(space wire.Space, mark uint32) bool {
	return int32(r.spaces[space].frames.head-mark) >= 0 // there are never so many that this goes wrong
}

// ResetFrames forgets the frames of a packet that is not sent after all.
func (r *Recovery[S]) ResetFrames(space wire.Space) { r.spaces[space].frames.reset() }

// OnSent enters the packet that was built, with the frames that were added.
func (r *Recovery[S]) OnSent(space wire.Space, s *Sent) {
	sp := &r.spaces[space]
	now := r.tick(s.Now)
	if s.PN != sp.next || sp.discarded {
		panic("BUG: packet number out of order, or of a discarded space")
	}
	sp.next++
	if space == wire.SpaceApp && sp.next == r.skips.at {
		r.skips.skip(s.Path.CC.Window() / s.Path.mtu)
		sp.next++
	}
	if s.ECT {
		sp.ecn.sent++
	}
	inFlight := s.InFlight || s.AckEliciting
	n := sp.frames.open - sp.frames.end
	if !inFlight && n == 0 && sp.plain >= maxPlain {
		return
	}
	if q := &sp.packets; q.n == len(q.buf) {
		// Rather than let the ring grow we forget what may never be acknowledged.
		sp.popPlain()
	}
	// Field by field: a composite literal would be built elsewhere and copied.
	p := sp.packets.push()
	p.pn, p.sent, p.path = s.PN, now, s.Path
	p.largestAcked, p.hasAck = s.LargestAcked, s.HasAck
	p.size, p.frame, p.frames = uint32(s.Size), sp.frames.end, uint16(n)
	p.state, p.requeued = packetUnsettled, false
	p.eliciting, p.inFlight, p.mtuProbe, p.ect = s.AckEliciting, inFlight, s.MTUProbe, s.ECT
	p.follower = s.Follower
	sp.frames.end = sp.frames.open
	if s.AckEliciting {
		sp.eliciting++
		sp.lastEliciting, r.lastEliciting, r.lastEvent = now, now, now
		r.trimAt = 0
		sp.probes = max(sp.probes-1, 0)
	} else {
		sp.plain++
	}
	if inFlight {
		s.Path.onSent(p, now)
	}
}

// pop lets go of the settled packets at the beginning of the ring.
func (sp *space[S]) pop() {
	for sp.packets.n > 0 {
		p := sp.packets.at(0)
		if p.state == packetUnsettled {
			return
		}
		sp.frames.head = p.frame + uint32(p.frames)
		sp.packets.pop()
	}
}

// popPlain lets go of the first packet of the ring if nobody waits for it, and tells
// whether it did.
func (sp *space[S]) popPlain() bool {
	if sp.packets.n == 0 {
		return false
	}
	p := sp.packets.at(0)
	if p.state == packetUnsettled {
		if p.inFlight || p.frames > 0 {
			return false
		}
		sp.settle(p, packetGone)
	}
	sp.pop()
	return true
}

// settle ends a packet's time in flight.
func (sp *space[S]) settle(p *packet, state packetState) {
	p.state = state
	if p.eliciting {
		sp.eliciting--
	} else {
		sp.plain--
	}
	if p.inFlight {
		p.path.remove(p)
	}
}

// touch puts a path on the list of those to flush.
func (r *Recovery[S]) touch(p *Path) {
	if !p.batch.begun {
		p.begin()
		p.batch.next, r.touched = r.touched, p
	}
}

// flush tells the controllers what happened.
func (r *Recovery[S]) flush(now time.Duration) {
	for p := r.touched; p != nil; {
		next := p.batch.next
		if p.batch.lostPackets > 0 {
			if r.realLosses++; r.realLosses >= thresholdLosses {
				r.threshold = packetThreshold
			}
		}
		if p.batch.persistent {
			r.counts.PersistentCongestion++
		}
		p.flush(now)
		p = next
	}
	r.touched = nil
}

// Outstanding returns the number of ack-eliciting packets of the space that are
// neither acknowledged nor lost.
func (r *Recovery[S]) Outstanding(space wire.Space) int { return r.spaces[space].eliciting }

// outstanding is that of all spaces.
func (r *Recovery[S]) outstanding() int {
	n := 0
	for i := range r.spaces {
		n += r.spaces[i].eliciting
	}
	return n
}

// LargestAcked returns the largest packet number of the space that was
// acknowledged, if any was.
func (r *Recovery[S]) LargestAcked(space wire.Space) (uint64, bool) {
	sp := &r.spaces[space]
	return sp.largestAcked, sp.hasAcked
}

// LastAckElicitingSent returns when an ack-eliciting packet was sent last, in any space.
func (r *Recovery[S]) LastAckElicitingSent() time.Duration { return r.lastEliciting }

// Counts returns the counters.
func (r *Recovery[S]) Counts() Counts { return r.counts }
