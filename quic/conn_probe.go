package quic

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// transmitProbe writes a datagram with PATH_RESPONSE and PATH_CHALLENGE, alone.
func (c *Conn) transmitProbe(buf []byte, p *path) (Train, bool) {
	if !c.hs.connected || len(buf) < minUDPPayload || c.paths.probes >= maxPathProbes {
		return Train{}, false
	}
	if !p.validation.due && p.rp.Window() < minUDPPayload && c.loss.PTOCount() == 0 {
		// RFC 9000, Section 8.2.2: congestion control may hold a response back. But when
		// nothing is acknowledged the peer may be waiting for just that response before it says more
		// to us; then the response is a probe (RFC 9002, Section 7.5).
		return Train{}, false
	}
	size, room := minUDPPayload, minUDPPayload // RFC 9000, Section 8.2.1
	if allowed := p.allowance(); allowed < uint64(room) {
		// No larger than need be, so that something is left for a challenge more: the first may be lost,
		// and the peer may have nothing to send before it comes.
		size, room = 0, int(allowed)
		if room < 1+p.dst.Len()+maxPNLen+2*9+protect.Overhead {
			p.response = false
			return Train{}, false
		}
	}
	o := &c.out
	o.n = 0
	pn := c.loss.NextPN(wire.SpaceApp)
	pnLen := c.loss.PNLen(wire.SpaceApp, pn)
	b := wire.AppendShortHeader(buf[:0], p.dst.Bytes(), pn, pnLen, c.keys.app.KeyPhase(), false)
	k := o.begin(wire.SpaceApp, pn, 0, len(b)-pnLen, pnLen, 0)
	k.eliciting = true
	if p.response {
		b = wire.AppendPathResponse(b, &p.responseData)
		p.response = false
	}
	if p.validation.due {
		b = c.appendChallenge(b, p, size < minUDPPayload)
	}
	if p == c.paths.active {
		// Where little may be sent there is no other packet to tell it by, and without it
		// the peer's window stays full of what has long come.
		b = c.appendAck(b, k, room-protect.Overhead)
	}
	c.paths.probes++
	c.loss.AddFrame(wire.SpaceApp, frameRecord{Kind: recPathProbe})
	b = o.end(k, b)
	b = c.padLast(b, size)
	n := c.sealDatagram(b, p)
	return c.finishTrain(p, n, n), true
}

// transmitMTUProbe writes a probe of the path MTU search, alone (RFC 9000, Section 14.4).
func (c *Conn) transmitMTUProbe(buf []byte, p *path) (Train, bool) {
	if !c.hs.confirmed || !p.validated {
		return Train{}, false
	}
	size := p.mtu.next(c.now)
	if size == 0 || size > len(buf) || p.rp.Window() < size || p.rp.Release(c.now) > c.now {
		return Train{}, false
	}
	o := &c.out
	o.n = 0
	pn := c.loss.NextPN(wire.SpaceApp)
	pnLen := c.loss.PNLen(wire.SpaceApp, pn)
	b := wire.AppendShortHeader(buf[:0], p.dst.Bytes(), pn, pnLen, c.keys.app.KeyPhase(), false)
	k := o.begin(wire.SpaceApp, pn, 0, len(b)-pnLen, pnLen, 0)
	k.eliciting, k.probe = true, true
	b = append(b, wire.FramePing)
	b = o.end(k, b)
	b = c.padLast(b, size)
	p.mtu.onProbeSent(size)
	n := c.sealDatagram(b, p)
	return c.finishTrain(p, n, n), true
}

// HandleTooLarge tells that the system took no datagrams of the train's size
// (EMSGSIZE): the path takes less.
func (io *IO) HandleTooLarge(now time.Time, t *Train) {
	c := io.c
	c.setNow(now)
	p := c.paths.active
	if p.mtu.onTooLarge(t.Segment) {
		p.rp.SetMTU(p.mtu.size)
	}
}
