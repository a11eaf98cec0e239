package quic

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"time"

	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// reservedShort and reservedLong are the bits of the first byte that have to be
// zero under header protection (RFC 9000, Sections 17.2 and 17.3.1).
const (
	reservedShort = 0x18
	reservedLong  = 0x0c
)

// earlyPacket is a packet that came before its keys.
type earlyPacket struct {
	data []byte
	ecn  ECN
}

func constantTimeEqual(a, b []byte) int { return subtle.ConstantTimeCompare(a, b) }

// inbound is the datagram that is being processed.
type inbound struct {
	d         *Datagram
	path      *path // nil: from an address of no path, to a server
	authentic bool  // a packet of it was decrypted
}

// Recv processes a datagram of the peer. What is wrong with it is either
// ignored or closes the connection, as RFC 9000, Section 12.2 and 5.2, say:
// EventClosed and Err tell. d.Data is overwritten and not kept.
func (io *IO) Recv(now time.Time, d *Datagram) {
	c := io.c
	c.setNow(now)
	switch c.life.phase {
	case phaseDraining, phaseGone:
		return
	case phaseClosing:
		if p := c.paths.find(d); p != nil && !p.validated {
			p.received += uint64(len(d.Data)) // our CONNECTION_CLOSE may wait for that
		}
		c.onReceivedClosing()
		return
	}
	c.stats.BytesReceived += uint64(len(d.Data))
	in := inbound{d: d, path: c.paths.find(d)}
	if in.path == nil && c.client {
		c.stats.PacketsDropped++
		return // RFC 9000, Section 9: a server stays where it is
	}
	if p := in.path; p != nil && !p.validated {
		p.received += uint64(len(d.Data))
		c.loss.SetAmplificationLimited(false, c.now)
	}
	c.recvPackets(&in, d.Data)
	if !in.authentic && c.hs.complete && c.life.phase == phaseOpen && c.ids.isResetToken(d.Data) {
		// RFC 9000, Section 10.3.1: no packet could be decrypted, which leaves the
		// end of it as it was, and that is a token of the peer's.
		c.end(phaseDraining, &StatelessResetError{})
		return
	}
	c.replayEarly()
}

// recvPackets processes the coalesced packets of a datagram (RFC 9000, Section 12.2).
func (c *Conn) recvPackets(in *inbound, b []byte) {
	for len(b) > 0 && c.life.phase == phaseOpen {
		if b[0]&0x80 == 0 {
			c.recvShort(in, b)
			return
		}
		var h wire.Header
		if err := wire.ParseHeader(b, c.cfg.ConnIDs.Len(), &h); err != nil {
			c.stats.PacketsDropped++
			return
		}
		pkt := b[:h.End]
		b = b[h.End:]
		switch h.Type {
		case wire.PacketVersionNegotiation:
			c.recvVersionNegotiation(&h)
			return
		case wire.PacketRetry:
			c.recvRetry(in, &h, pkt)
			return
		}
		if !c.recvLong(in, &h, pkt) {
			c.stats.PacketsDropped++
		}
	}
}

// recvLong processes an Initial or Handshake packet. False: dropped.
func (c *Conn) recvLong(in *inbound, h *wire.Header, pkt []byte) bool {
	if h.Version != c.keys.version {
		return false
	}
	var open *protect.Opener
	space := wire.SpaceInitial
	switch h.Type {
	case wire.PacketInitial:
		if open = c.keys.initialOpen; open == nil {
			return false
		}
		if c.client && len(h.Token) > 0 {
			return false // RFC 9000, Section 17.2.2: a server sends no token
		}
		if !c.client && len(in.d.Data) < minUDPPayload {
			return false // RFC 9000, Section 14.1
		}
	case wire.PacketHandshake:
		space = wire.SpaceHandshake
		if open = c.keys.handshakeOpen; open == nil {
			return c.keepEarly(in, pkt)
		}
	default: // 0-RTT, which we never allow
		return false
	}
	if !c.ids.isLocal(h.DstID) && (c.client || string(h.DstID) != string(c.ids.chosenDst.Bytes())) {
		return false
	}
	if c.hs.heard && string(h.SrcID) != string(c.ids.handshakeSrc.Bytes()) {
		return false // RFC 9000, Section 7.2: another source ID than before
	}
	pn, payload, err := open.Open(pkt, h.PNOffset, c.spaces[space].acks.Next())
	if err != nil {
		c.onOpenError(err)
		return false
	}
	if pkt[0]&reservedLong != 0 {
		c.fail(transportErr(ProtocolViolation, 0, "reserved bits are set"))
		return true
	}
	if c.spaces[space].acks.Duplicate(pn) {
		return false
	}
	in.authentic = true
	if !c.hs.heard {
		c.hs.heard = true
		c.ids.handshakeSrc = NewConnID(h.SrcID)
		if c.client {
			c.ids.onServerID(c, h.SrcID)
		}
	}
	if h.Type == wire.PacketHandshake && !c.client {
		// RFC 9000, Section 8.1: the client has got our Initial, so the address is its own.
		c.paths.active.validated = true
		c.loss.SetAmplificationLimited(false, c.now)
		c.discardSpace(wire.SpaceInitial)
	}
	c.onPacket(in, space, h.Type, h.DstID, pn, payload)
	return true
}

// recvShort processes a 1-RTT packet, the last one of a datagram.
func (c *Conn) recvShort(in *inbound, pkt []byte) {
	n := c.cfg.ConnIDs.Len()
	if len(pkt) < 1+n || pkt[0]&0x40 == 0 || !c.ids.isLocal(pkt[1:1+n]) {
		c.stats.PacketsDropped++
		return
	}
	if !c.keys.app.CanRead() {
		if !c.keepEarly(in, pkt) {
			c.stats.PacketsDropped++
		}
		return
	}
	s := c.spaces[wire.SpaceApp]
	pn, payload, updated, err := c.keys.app.Open(pkt, 1+n, s.acks.Next(), c.now, drainPTOs*c.pto())
	if err != nil {
		c.onOpenError(err)
		c.stats.PacketsDropped++
		return
	}
	if pkt[0]&reservedShort != 0 {
		c.fail(transportErr(ProtocolViolation, 0, "reserved bits are set"))
		return
	}
	if s.acks.Duplicate(pn) {
		c.stats.PacketsDropped++
		return
	}
	if updated {
		c.stats.KeyUpdates++
	}
	in.authentic = true
	c.onPacket(in, wire.SpaceApp, wire.Packet1RTT, pkt[1:1+n], pn, payload)
}

// onOpenError closes the connection where a failure is more than a packet that is not for us.
func (c *Conn) onOpenError(err error) {
	switch {
	case errors.Is(err, protect.ErrLimit):
		c.fail(transportErr(AEADLimitReached, 0, "too many packets that cannot be decrypted"))
	case errors.Is(err, protect.ErrKeyUpdate):
		c.fail(transportErr(KeyUpdateError, 0, "key update against the rules"))
	}
}

// onPacket processes the frames of an authentic packet.
func (c *Conn) onPacket(in *inbound, space wire.Space, t wire.PacketType, dst []byte, pn uint64, payload []byte) {
	c.stats.PacketsReceived++
	s := c.spaces[space]
	newest := pn >= s.acks.Next()
	if len(payload) == 0 {
		c.fail(transportErr(ProtocolViolation, 0, "packet without frames")) // RFC 9000, Section 12.4
		return
	}
	otherID := string(dst) != string(c.ids.lastUsed.Bytes())
	if in.path == nil {
		if in.path = c.newPeerPath(in.d, space, otherID); in.path == nil || c.life.phase != phaseOpen {
			return
		}
	}
	p := in.path
	eliciting, probing := false, true
	if c.frame == nil {
		c.frame = new(wire.Frame)
	}
	f := c.frame
	odd, stale, had := 0, 0, c.brought()
	for len(payload) > 0 {
		n, err := wire.ParseFrame(payload, t, f)
		if err != nil {
			c.fail(fromWireErr(err))
			return
		}
		payload = payload[n:]
		eliciting = eliciting || wire.AckEliciting(f.Type)
		probing = probing && wire.Probing(f.Type)
		before := c.brought()
		c.glitches.news = false
		if err := c.handleFrame(space, p, dst, f); err != nil {
			c.fail(err)
			return
		}
		if c.life.phase != phaseOpen {
			return
		}
		switch ack := f.Type&^1 == wire.FrameAck; {
		case space != wire.SpaceApp:
		case ack && !c.glitches.news:
			stale++
		case !ack && c.isGlitch(f, before):
			odd++
		}
	}
	odd += c.glitches.staleAcks(stale, !eliciting)
	if c.onGlitches(odd, c.brought() != had); c.life.phase != phaseOpen {
		return
	}
	s.acks.OnReceived(pn, c.now, eliciting, uint8(in.d.ECN))
	c.life.onReceived(c.now)
	if space == wire.SpaceInitial && newest && eliciting {
		c.hurryHandshake()
	}
	if space != wire.SpaceApp || !newest {
		return
	}
	if !probing && p != c.paths.active {
		c.onPeerMoved(p, otherID)
	}
	if otherID {
		c.ids.lastUsed = NewConnID(dst)
	}
}

// handleFrame takes one frame. f is valid during the call.
func (c *Conn) handleFrame(space wire.Space, p *path, dst []byte, f *wire.Frame) error {
	switch f.Type {
	case wire.FramePadding, wire.FramePing:
		return nil
	case wire.FrameAck, wire.FrameAckECN:
		return c.handleAck(space, f)
	case wire.FrameCrypto:
		return c.handleCrypto(space, f)
	case wire.FrameResetStream:
		return c.handleResetStream(f)
	case wire.FrameStopSending:
		return c.handleStopSending(f)
	case wire.FrameNewToken:
		if !c.client {
			return transportErr(ProtocolViolation, f.Type, "NEW_TOKEN from a client") // RFC 9000, Section 19.7
		}
		return nil // tokens for later connections are not kept
	case wire.FrameMaxData:
		if c.strs.sendWindow.Raise(f.Limit) {
			c.strs.blocked.clear()
		}
		return nil
	case wire.FrameMaxStreamData:
		return c.handleMaxStreamData(f)
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni:
		c.handleMaxStreams(f)
		return nil
	case wire.FrameDataBlocked, wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		return nil // limits are raised as soon as they can be
	case wire.FrameStreamDataBlocked:
		return c.handleStreamDataBlocked(f)
	case wire.FrameNewConnectionID:
		return c.handleNewConnectionID(f)
	case wire.FrameRetireConnectionID:
		return c.handleRetireConnectionID(f, dst)
	case wire.FramePathChallenge:
		// The newest alone is answered, on the path that it came by (RFC 9000, Section 8.2.2).
		p.response, p.responseData = true, f.PathData
		return nil
	case wire.FramePathResponse:
		c.handlePathResponse(f)
		return nil
	case wire.FrameConnectionClose, wire.FrameConnectionCloseApp:
		c.handleConnectionClose(f)
		return nil
	case wire.FrameHandshakeDone:
		return c.handleHandshakeDone(f)
	}
	if f.Type&^7 == wire.FrameStream {
		return c.handleStream(f)
	}
	if f.Type&^1 == wire.FrameDatagram {
		return c.handleDatagram(f)
	}
	panic("BUG: a frame type that was parsed and is not handled")
}

// keepEarly keeps a packet whose keys are not there yet: the packets of a
// flight may overtake each other. Few are kept, and only until the handshake is complete.
func (c *Conn) keepEarly(in *inbound, pkt []byte) bool {
	if c.hs.complete || len(c.hs.undecryptable) >= maxUndecryptable || in.path == nil {
		return false
	}
	c.hs.undecryptable = append(c.hs.undecryptable, earlyPacket{data: append([]byte(nil), pkt...), ecn: in.d.ECN})
	return true
}

// replayEarly processes the kept packets once new keys are there.
func (c *Conn) replayEarly() {
	h := &c.hs
	if len(h.undecryptable) == 0 || c.life.phase != phaseOpen || !h.newKeys {
		return
	}
	h.newKeys = false
	kept := h.undecryptable
	h.undecryptable = nil
	for i := range kept {
		e := &kept[i]
		d := Datagram{Data: e.data, Remote: c.paths.active.remote, Local: c.paths.active.local, Socket: c.paths.active.socket, ECN: e.ecn}
		in := inbound{d: &d, path: c.paths.active}
		c.recvPackets(&in, e.data)
	}
	c.replayEarly()
}

// recvVersionNegotiation ends a client's attempt (RFC 9000, Section 6.2).
func (c *Conn) recvVersionNegotiation(h *wire.Header) {
	if !c.client || c.hs.heard || c.hs.retried || !c.ids.isLocal(h.DstID) || string(h.SrcID) != string(c.ids.origDst.Bytes()) {
		c.stats.PacketsDropped++
		return
	}
	e := &VersionNegotiationError{}
	for b := h.Versions; len(b) >= 4 && len(e.Offered) < maxOfferedVersions; b = b[4:] {
		v := binary.BigEndian.Uint32(b)
		if v == c.keys.version {
			return // such a packet is not to be believed
		}
		e.Offered = append(e.Offered, v)
	}
	c.end(phaseGone, e)
}

// maxOfferedVersions bounds the list that a VersionNegotiationError carries.
const maxOfferedVersions = 32

// maxRetryToken is the longest token that leaves room for anything else in an Initial, with IDs of any length.
const maxRetryToken = minUDPPayload - maxLongHeader - 2*MaxConnIDLen - minPacketRoom

// recvRetry takes a Retry (RFC 9000, Section 17.2.5).
func (c *Conn) recvRetry(in *inbound, h *wire.Header, pkt []byte) {
	ok := c.client && !c.hs.heard && !c.hs.retried && h.Version == c.keys.version &&
		c.ids.isLocal(h.DstID) && len(h.Token) > 0 && len(h.Token) <= maxRetryToken &&
		string(h.SrcID) != string(c.ids.origDst.Bytes()) && len(h.SrcID) <= MaxConnIDLen
	if ok {
		tag := protect.RetryIntegrityTag(h.Version, c.ids.origDst.Bytes(), pkt[:len(pkt)-len(h.Tag)])
		ok = constantTimeEqual(tag[:], h.Tag) == 1
	}
	if !ok {
		c.stats.PacketsDropped++
		return
	}
	in.authentic = true
	c.hs.retried, c.hs.retrySrcID = true, NewConnID(h.SrcID)
	c.hs.token = append([]byte(nil), h.Token...)
	c.ids.onServerID(c, h.SrcID)
	c.setInitialKeys(h.SrcID)
	c.loss.ResetForRetry((*lossHandler)(c))
}
