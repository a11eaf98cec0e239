package recovery

import (
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
)

// maxPackets bounds the packets in flight on a path, however small they are.
const maxPackets = 1 << 20

// Path is what recovery knows of one network path: RTT, congestion controller,
// pacer, bytes in flight, ECN validation (RFC 9000, Section 13.4.2), delivery
// rate. It must not be copied.
type Path struct {
	RTT      RTT
	CC       congestion.Controller
	InFlight int // bytes

	packets int // in flight
	mtu     int
	pacer   pacer
	ecn     ecn
	rate    rate
	batch   batch

	followers followers
	blackHole blackHole
}

// batch is what one ACK frame or one timeout did to a path, and the values that
// its controller is told of it.
type batch struct {
	next  *Path // in the list of paths that were touched
	begun bool

	priorInFlight int
	newest        *packet // of those acknowledged that were in flight
	acked         int     // bytes
	ackedPackets  int
	ectAcked      uint64
	rttSample     bool

	lost        int // bytes
	lostPackets int
	lostSent    time.Duration // when the newest of them was sent

	// The present run of lost ack-eliciting packets with none acknowledged in between.
	run        bool
	runStart   time.Duration
	persistent bool

	sent     congestion.Sent
	ackArg   congestion.Ack
	lossArg  congestion.Loss
	ecnArg   congestion.ECN
	spurious congestion.Spurious
}

// Init begins a path with datagrams of mtu bytes of UDP payload. With ecn,
// packets are marked ECT(0) until validation shows that this does not work.
func (p *Path) Init(cc congestion.Controller, mtu int, pacing, ecn bool) {
	*p = Path{CC: cc, mtu: mtu}
	p.blackHole.least = uint32(mtu)
	p.pacer.on = pacing
	if ecn {
		p.ecn.status = ecnTesting
	}
}

// SetMTU tells the controller and the pacer the size of full datagrams.
func (p *Path) SetMTU(size int) {
	p.mtu = size
	p.CC.OnMTU(size)
}

// Window returns how many bytes congestion control lets go now.
func (p *Path) Window() int {
	if p.packets >= maxPackets {
		return 0
	}
	return max(p.CC.Window()-p.InFlight, 0)
}

// ECT tells whether packets on the path are to be marked ECT(0) now. Between two
// calls of Release only a call of HandleAck or HandleTimeout changes that.
func (p *Path) ECT() bool { return p.ecn.status == ecnTesting || p.ecn.status == ecnCapable }

// SetAppLimited tells that there was nothing more to send although the window
// and the pacer allowed it.
func (p *Path) SetAppLimited() { p.rate.markAppLimited(p.InFlight) }

// windowUsed tells whether the window limits what is sent, by what was in flight
// before an ACK. In slow start half of it is enough: the window doubles within
// a round trip, and the other half was not there when this was sent.
func (p *Path) windowUsed(inFlight int) bool {
	window := p.CC.Window()
	if inFlight+p.mtu > window {
		return true
	}
	return p.CC.InSlowStart() && 2*inFlight > window
}

func (p *Path) onSent(k *packet, now time.Duration) {
	size := int(k.size)
	p.InFlight += size
	p.packets++
	p.rate.onSent(&k.snapshot, now, size, p.InFlight)
	p.pacer.onSent(size)
	if k.ect {
		p.ecn.onSent(now, &p.RTT)
	}
	s := &p.batch.sent
	*s = congestion.Sent{Now: now, Size: size, InFlight: p.InFlight}
	p.CC.OnSent(s)
}

// remove takes a packet out of what is in flight.
func (p *Path) remove(k *packet) {
	p.InFlight -= int(k.size)
	p.packets--
}

// onLost adds a packet to the batch's losses.
func (p *Path) onLost(k *packet, persistentAfter time.Duration) {
	b := &p.batch
	p.rate.lost += uint64(k.size)
	b.lost += int(k.size)
	b.lostPackets++
	b.lostSent = max(b.lostSent, k.sent)
	// RFC 9002, Section 7.6.2: the packets must be ack-eliciting, and sent after the
	// first RTT sample.
	if !k.eliciting || !p.RTT.sampled || k.sent <= p.RTT.firstSample {
		return
	}
	if !b.run {
		b.run, b.runStart = true, k.sent
	} else if k.sent-b.runStart > persistentAfter {
		b.persistent = true
	}
}

// begin begins a batch.
func (p *Path) begin() {
	b := &p.batch
	b.begun = true
	b.priorInFlight = p.InFlight
	b.acked, b.ackedPackets, b.ectAcked, b.rttSample = 0, 0, 0, false
	b.lost, b.lostPackets, b.lostSent = 0, 0, 0
	b.run, b.persistent = false, false
}

// flush ends the batch and tells the controller of it: losses first.
func (p *Path) flush(now time.Duration) {
	b := &p.batch
	used := p.windowUsed(b.priorInFlight)
	if b.lostPackets > 0 {
		b.lossArg = congestion.Loss{
			Now:                  now,
			Bytes:                b.lost,
			Packets:              b.lostPackets,
			LargestSent:          b.lostSent,
			PriorInFlight:        b.priorInFlight,
			InFlight:             p.InFlight,
			PersistentCongestion: b.persistent,
		}
		p.CC.OnLoss(&b.lossArg)
		if b.persistent {
			p.RTT.restartMin()
		}
	}
	if b.ackedPackets > 0 {
		p.flushAck(now, used)
	}
	b.next, b.begun, b.newest = nil, false, nil
}

func (p *Path) flushAck(now time.Duration, used bool) {
	b := &p.batch
	a := &b.ackArg
	*a = congestion.Ack{
		Now:           now,
		Bytes:         b.acked,
		Packets:       b.ackedPackets,
		LargestSent:   b.newest.sent,
		RTTSample:     b.rttSample,
		LatestRTT:     p.RTT.latest,
		MinRTT:        p.RTT.least,
		SmoothedRTT:   p.RTT.Smoothed(),
		PriorInFlight: b.priorInFlight,
		InFlight:      p.InFlight,
	}
	p.rate.sample(&a.Rate, now, b.newest, p.RTT.least)
	a.AppLimited = p.rate.appLimited != 0 && !used
	p.CC.OnAck(a)
}
