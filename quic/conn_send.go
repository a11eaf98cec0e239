package quic

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/recovery"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

const (
	// maxPNLen is the most bytes of a packet number.
	maxPNLen = 4
	// maxTrain is the most bytes that one sendmsg takes over IPv4.
	maxTrain = 65507
	// padSlack is how many bytes short of the segment size a packet is padded
	// when more is to be sent: a train goes on only after full segments.
	padSlack = 64
	// minPacketRoom is the room in a datagram, in bytes, that another coalesced packet is worth.
	minPacketRoom = 96
	// maxLongHeader is the most that a long header takes, in bytes, besides connection IDs and token.
	maxLongHeader = 24
	// ackDelayExponent is ours (RFC 9000, Section 18.2): the default.
	ackDelayExponent = 3
)

// outPacket is a packet that was written to a datagram and is not sealed yet.
type outPacket struct {
	space        wire.Space
	pn           uint64
	start, end   int // in the datagram; end is that of the payload
	pnOff, pnLen int
	lengthOff    int // of a long header's Length
	eliciting    bool
	padded       bool
	probe        bool // of the path MTU
	hasAck       bool
	largestAcked uint64
}

// outState has the packets of the datagram that is being written.
type outState struct {
	packets *[wire.NumSpaces]outPacket // memory for them; nil at rest
	n       int

	follower bool // the datagram is not the first of its train
}

// Transmit writes the next train of datagrams to buf: at most maxSegments, all
// for one address and with one ECN mark, each but the last of the same size.
// buf needs room for one datagram at least (Config.MaxUDPPayload); with 64 KiB
// the trains are as long as the system takes them. False: there is nothing to
// send now, and Deadline tells when there may be.
func (io *IO) Transmit(now time.Time, buf []byte, maxSegments int) (Train, bool) {
	c := io.c
	c.setNow(now)
	switch c.life.phase {
	case phaseDraining, phaseGone:
		return Train{}, false
	case phaseClosing:
		return c.transmitClose(buf)
	}
	for _, p := range c.paths.list {
		if p.response || p.validation.due {
			if t, ok := c.transmitProbe(buf, p); ok {
				return t, true
			}
		}
	}
	p := c.paths.active
	if t, ok := c.transmitMTUProbe(buf, p); ok {
		return t, true
	}
	return c.transmitTrain(buf, p, maxSegments)
}

// finishTrain counts what goes out on a path.
func (c *Conn) finishTrain(p *path, n, segment int) Train {
	p.sent += uint64(n)
	c.stats.BytesSent += uint64(n)
	t := Train{N: n, Segment: segment, Remote: p.remote, Local: p.local, Socket: p.socket, Alone: p.rp.Alone()}
	if p.rp.ECT() {
		t.ECN = ECT0
	}
	return t
}

func (c *Conn) transmitTrain(buf []byte, p *path, maxSegments int) (Train, bool) {
	limit := min(p.mtu.size, len(buf))
	if !p.validated {
		if allowed := p.allowance(); allowed < uint64(limit) {
			// RFC 9000, Section 8.1. Rather than dribble we wait for enough.
			if c.wantsToSend() {
				c.loss.SetAmplificationLimited(true, c.now)
			}
			return Train{}, false
		}
	}
	room := min(len(buf), maxTrain)
	var budget int
	if p.rp.Release(c.now) <= c.now {
		budget = p.rp.PacerBudget(c.now)
	}
	n, segment := 0, limit
	for count := 0; count < maxSegments && n+segment <= room; count++ {
		if count > 0 && !p.validated && p.allowance() < uint64(n+segment) {
			break
		}
		data := n < budget && p.rp.Window() >= segment
		c.out.follower = count > 0 && !p.rp.Alone()
		size := c.writeDatagram(buf[n:n:len(buf)], p, segment, data)
		if size == 0 {
			break
		}
		n += size
		if count == 0 {
			segment = size
			if size < limit && !c.datagramFits(p, size) {
				break
			}
		} else if size < segment {
			break
		}
	}
	c.out.follower = false
	if c.hs.connected && p.rp.Window() >= segment && !c.hasAppData() {
		p.rp.SetAppLimited()
	}
	if n == 0 {
		return Train{}, false
	}
	if n > segment {
		p.mtu.hurry()
	}
	return c.finishTrain(p, n, segment), true
}

// wantsToSend tells whether there is anything to send but for limits.
func (c *Conn) wantsToSend() bool {
	for i := range c.spaces {
		space := wire.Space(i)
		if c.canSeal(space) && (c.spaces[i].acks.Due(c.now) || c.loss.Probes(space) > 0 || c.hasSpaceData(space)) {
			return true
		}
	}
	return false
}

// hasData tells whether there is anything to send that the congestion window and the pacer may hold up.
func (c *Conn) hasData() bool {
	for i := range c.spaces {
		if space := wire.Space(i); c.canSeal(space) && c.hasSpaceData(space) {
			return true
		}
	}
	return false
}

// canSeal tells whether packets of the space can be sent.
func (c *Conn) canSeal(space wire.Space) bool {
	switch space {
	case wire.SpaceInitial:
		return c.keys.initialSeal != nil
	case wire.SpaceHandshake:
		return c.keys.handshakeSeal != nil
	}
	return c.hs.connected
}

// writeDatagram writes one datagram of at most limit bytes to b, which is empty,
// and returns its size; 0: nothing to send. data tells whether the congestion
// window and the pacer let out more than ACKs and probes.
func (c *Conn) writeDatagram(b []byte, p *path, limit int, data bool) int {
	o := &c.out
	o.n = 0
	if c.keys.initialSeal != nil {
		b = c.writeLong(b, p, wire.SpaceInitial, limit, data)
	}
	if c.keys.handshakeSeal != nil {
		b = c.writeLong(b, p, wire.SpaceHandshake, limit, data)
	}
	if c.hs.connected {
		b = c.writeShort(b, p, limit, data)
	}
	if o.n == 0 {
		return 0
	}
	if first := &o.packets[0]; first.space == wire.SpaceInitial && (c.client || first.eliciting) {
		// RFC 9000, Section 14.1: such a datagram has 1200 bytes at least.
		b = c.padLast(b, minUDPPayload)
	}
	return c.sealDatagram(b, p)
}

// padLast pads the last packet so that the datagram has size bytes.
func (c *Conn) padLast(b []byte, size int) []byte {
	last := &c.out.packets[c.out.n-1]
	if len(b) >= size {
		return b
	}
	n := size - len(b)
	payload := b[:last.end]
	payload = appendZeros(payload, n)
	last.end = len(payload)
	last.padded = true
	return payload[:last.end+protect.Overhead]
}

func appendZeros(b []byte, n int) []byte {
	at := len(b)
	b = b[:at+n]
	clear(b[at:])
	return b
}

// sealDatagram protects the packets and enters them as sent.
func (c *Conn) sealDatagram(b []byte, p *path) int {
	o := &c.out
	handshake := false
	for i := range o.packets[:o.n] {
		k := &o.packets[i]
		pkt := b[k.start:k.end:len(b)]
		off := k.pnOff - k.start
		switch k.space {
		case wire.SpaceInitial:
			wire.SetLength(b, k.lengthOff, k.end-k.pnOff+protect.Overhead)
			c.keys.initialSeal.Seal(pkt, off, k.pnLen, k.pn)
		case wire.SpaceHandshake:
			handshake = true
			wire.SetLength(b, k.lengthOff, k.end-k.pnOff+protect.Overhead)
			c.keys.handshakeSeal.Seal(pkt, off, k.pnLen, k.pn)
		default:
			c.keys.app.Seal(pkt, off, k.pnLen, k.pn)
		}
		c.loss.OnSent(k.space, &recovery.Sent{
			Now: c.now, PN: k.pn, Size: k.end - k.start + protect.Overhead,
			AckEliciting: k.eliciting, InFlight: k.eliciting || k.padded, MTUProbe: k.probe,
			ECT: p.rp.ECT(), Path: p.rp, Follower: c.out.follower, LargestAcked: k.largestAcked, HasAck: k.hasAck,
		})
		c.stats.PacketsSent++
		if k.hasAck {
			c.spaces[k.space].acks.OnAckSent()
		}
		if k.eliciting {
			c.life.onElicitingSent(c.now)
			if k.space == wire.SpaceApp {
				c.glitches.onElicitingSent()
			}
		}
	}
	if handshake && c.client {
		// RFC 9001, Section 4.9.1
		c.discardSpace(wire.SpaceInitial)
	}
	if c.keys.app.NeedsUpdate() && c.hs.confirmed {
		if c.keys.app.Update(c.now) == nil {
			c.stats.KeyUpdates++
		} else if c.keys.app.Exhausted() {
			// RFC 9001, Section 6.6
			c.fail(transportErr(AEADLimitReached, 0, "keys are used up, and the peer does not let them be updated"))
		}
	}
	return len(b)
}

// begin enters a packet whose header b ends with.
func (o *outState) begin(space wire.Space, pn uint64, start, pnOff, pnLen, lengthOff int) *outPacket {
	if o.packets == nil {
		o.packets = new([wire.NumSpaces]outPacket)
	}
	k := &o.packets[o.n]
	*k = outPacket{space: space, pn: pn, start: start, pnOff: pnOff, pnLen: pnLen, lengthOff: lengthOff}
	return k
}

// end closes it. The header protection sample needs 4 bytes of packet number
// and payload (RFC 9001, Section 5.4.2).
func (o *outState) end(k *outPacket, b []byte) []byte {
	if short := k.pnLen + len(b) - k.pnOff - k.pnLen; short < maxPNLen {
		b = appendZeros(b, maxPNLen-short)
	}
	k.end = len(b)
	o.n++
	return b[:len(b)+protect.Overhead]
}

// writeLong appends an Initial or Handshake packet if there is any to send.
func (c *Conn) writeLong(b []byte, p *path, space wire.Space, limit int, data bool) []byte {
	s := c.spaces[space]
	probe := c.loss.Probes(space) > 0
	eliciting := probe || data && s.crypto.due()
	if !eliciting && !s.acks.Due(c.now) || limit-len(b) < minPacketRoom {
		return b
	}
	typ, token := wire.PacketInitial, c.hs.token
	if space == wire.SpaceHandshake {
		typ, token = wire.PacketHandshake, nil
	}
	start := len(b)
	pn := c.loss.NextPN(space)
	pnLen := c.loss.PNLen(space, pn)
	src := c.ids.handshakeLocal()
	if maxLongHeader+p.dst.Len()+src.Len()+len(token)+minPacketRoom > limit-start {
		return b
	}
	out, lengthOff := wire.AppendLongHeader(b, typ, c.keys.version, p.dst.Bytes(), src.Bytes(), token, pn, pnLen)
	k := c.out.begin(space, pn, start, len(out)-pnLen, pnLen, lengthOff)
	end := limit - protect.Overhead
	out = c.appendAck(out, k, end)
	if eliciting {
		out = s.crypto.appendTo(out, end, func(off uint64, n int) {
			c.loss.AddFrame(space, frameRecord{Kind: recCrypto, Off: off, Len: uint32(n)})
			k.eliciting = true
		})
		if !k.eliciting && probe {
			out = append(out, wire.FramePing)
			k.eliciting = true
		}
	}
	if !k.eliciting && !k.hasAck {
		c.loss.ResetFrames(space)
		return b
	}
	return c.out.end(k, out)
}

// appendAck writes an ACK frame if there is anything to acknowledge.
func (c *Conn) appendAck(b []byte, k *outPacket, limit int) []byte {
	a := &c.spaces[k.space].acks
	if !a.Pending() {
		return b
	}
	r := a.Ranges()
	out := wire.AppendAck(b, r, uint64(a.Delay(c.now)/time.Microsecond)>>ackDelayExponent, a.ECN(), limit-len(b))
	if len(out) > len(b) {
		k.hasAck, k.largestAcked = true, r[len(r)-1].End-1
	}
	return out
}

// writeShort appends a 1-RTT packet if there is any to send.
func (c *Conn) writeShort(b []byte, p *path, limit int, data bool) []byte {
	s := c.spaces[wire.SpaceApp]
	probe := c.loss.Probes(wire.SpaceApp) > 0
	eliciting := probe || data && c.hasAppData()
	if !eliciting && !s.acks.Due(c.now) || limit-len(b) < minPacketRoom {
		return b
	}
	start := len(b)
	pn := c.loss.NextPN(wire.SpaceApp)
	pnLen := c.loss.PNLen(wire.SpaceApp, pn)
	out := wire.AppendShortHeader(b, p.dst.Bytes(), pn, pnLen, c.keys.app.KeyPhase(), false)
	k := c.out.begin(wire.SpaceApp, pn, start, len(out)-pnLen, pnLen, 0)
	end := limit - protect.Overhead
	out = c.appendAck(out, k, end)
	if eliciting {
		at := len(out)
		out = c.appendAppFrames(out, end, pn)
		if len(out) == at && probe {
			out = append(out, wire.FramePing)
		}
		k.eliciting = len(out) > at
	}
	if !k.eliciting && !k.hasAck {
		c.loss.ResetFrames(wire.SpaceApp)
		return b
	}
	if !k.eliciting && data && s.acks.WantsAcked() {
		// RFC 9000, Section 13.2.4: once the peer acknowledges our ACK, old ranges can be forgotten.
		out = append(out, wire.FramePing)
		k.eliciting = true
	}
	if short := end - len(out); k.eliciting && short > 0 && short <= padSlack && c.hasAppData() {
		out = appendZeros(out, short)
		k.padded = true
	}
	return c.out.end(k, out)
}

// hasAppData tells whether there is anything to send in 1-RTT packets that
// elicits an ACK, as far as flow control allows.
func (c *Conn) hasAppData() bool {
	s := &c.strs
	return s.ctl.Len() > 0 || s.lost.Len() > 0 || s.send.Len() > 0 && s.sendWindow.Available() > 0 ||
		!c.dgrams.send.empty() || c.hasConnControl()
}

// hasConnControl tells whether a control frame of the connection itself is due.
func (c *Conn) hasConnControl() bool {
	s := &c.strs
	return c.pingDue || s.maxData.due() || s.blocked.due() ||
		s.peer[Bidi].maxStreams.due() || s.peer[Uni].maxStreams.due() ||
		s.own[Bidi].blocked.due() || s.own[Uni].blocked.due() ||
		c.hs.done.due() || c.ids.due || c.spaces[wire.SpaceApp].crypto.due()
}

// appendAppFrames writes the frames of a 1-RTT packet, the most urgent first.
func (c *Conn) appendAppFrames(b []byte, limit int, pn uint64) []byte {
	if c.hasConnControl() {
		b = c.appendConnControl(b, limit, pn)
	}
	if c.strs.ctl.Len() > 0 {
		b = c.appendStreamControl(b, limit, pn)
	}
	if c.strs.lost.Len() > 0 {
		b = c.appendLostData(b, limit, pn)
	}
	if !c.dgrams.send.empty() {
		b = c.appendDatagrams(b, limit)
	}
	if c.strs.send.Len() > 0 {
		b = c.appendNewData(b, limit, pn)
	}
	return b
}

// maxControlSize is the most that one control frame of the connection takes, in
// bytes: NEW_CONNECTION_ID.
const maxControlSize = 1 + 8 + 8 + 1 + MaxConnIDLen + resetTokenLen

// appendConnControl writes the control frames of the connection that fit.
func (c *Conn) appendConnControl(b []byte, limit int, pn uint64) []byte {
	const space = wire.SpaceApp
	room := func() bool { return limit-len(b) >= maxControlSize }
	sent := func(v *sentVal, kind uint8, number uint64) {
		v.onSent(pn)
		c.loss.AddFrame(space, frameRecord{Kind: kind, Off: number})
	}
	s := &c.strs
	if c.hs.done.due() && room() {
		b = wire.AppendHandshakeDone(b)
		sent(&c.hs.done, recHandshakeDone, 0)
	}
	b = c.spaces[space].crypto.appendTo(b, limit, func(off uint64, n int) {
		c.loss.AddFrame(space, frameRecord{Kind: recCrypto, Off: off, Len: uint32(n)})
	})
	if s.maxData.due() && room() {
		b = wire.AppendMaxData(b, s.recvWindow.Limit())
		sent(&s.maxData, recMaxData, 0)
	}
	if s.blocked.due() && room() {
		b = wire.AppendDataBlocked(b, s.blockedAt)
		sent(&s.blocked, recDataBlocked, 0)
	}
	for d := range s.peer {
		if p := &s.peer[d]; p.maxStreams.due() && room() {
			b = wire.AppendMaxStreams(b, Dir(d) == Uni, p.limit)
			sent(&p.maxStreams, recMaxStreams, uint64(d))
		}
		if o := &s.own[d]; o.blocked.due() && room() {
			b = wire.AppendStreamsBlocked(b, Dir(d) == Uni, o.limit)
			sent(&o.blocked, recStreamsBlocked, uint64(d))
		}
	}
	if c.ids.due {
		b = c.ids.appendTo(c, b, limit, pn)
	}
	if c.pingDue && room() {
		b = append(b, wire.FramePing)
		c.pingDue = false
	}
	return b
}

// due tells whether there is handshake data to send.
func (s *cryptoStream) due() bool {
	if s.send.Unsent() > 0 {
		return true
	}
	_, n := s.send.Lost()
	return n > 0
}

// appendTo writes CRYPTO frames that fit below limit and tells record of each.
func (s *cryptoStream) appendTo(b []byte, limit int, record func(off uint64, n int)) []byte {
	for {
		off, n := s.send.Lost()
		if n == 0 {
			off, n = s.send.Next(), s.send.Unsent()
		}
		room := limit - len(b)
		n = min(n, room, maxStreamFrame)
		n = min(n, room-wire.CryptoHeaderLen(off, n))
		if n <= 0 {
			return b
		}
		b = wire.AppendCryptoHeader(b, off, n)
		at := len(b)
		b = b[:at+n]
		s.send.Copy(b[at:], off)
		s.send.OnSent(off, n)
		record(off, n)
	}
}
