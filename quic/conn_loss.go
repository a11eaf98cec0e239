package quic

import (
	"github.com/frittata-go/frittata/quic/internal/recovery"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// frameRecord is what is remembered of a frame that was sent.
type frameRecord = recovery.Frame[*streamState]

// The kinds of frameRecord. Off and Len are those of stream and crypto data;
// else Off is the frame's number or direction, as noted.
const (
	recNone uint8 = iota
	recStream
	recCrypto
	recResetStream
	recStopSending
	recStreamDataBlocked
	recMaxStreamData
	recMaxData
	recDataBlocked
	recMaxStreams         // Off: direction
	recStreamsBlocked     // Off: direction
	recNewConnectionID    // Off: sequence number
	recRetireConnectionID // Off: sequence number
	recHandshakeDone
	recPathProbe // PATH_CHALLENGE, PATH_RESPONSE or both, which are not sent again
)

// maxFlight is how many packets of a handshake flight are sent again at once.
const maxFlight = 8

// maxHurries is how often a server sends its flight again before its time.
const maxHurries = 3

// requeueFlight makes what is in flight of the handshake due again: all of Initial,
// without which the peer can read nothing else and acknowledge nothing else, or else
// all of Handshake. One packet is the probe; the others go as the window allows.
// It tells whether there was anything.
func (c *Conn) requeueFlight() bool {
	for _, space := range [...]wire.Space{wire.SpaceInitial, wire.SpaceHandshake} {
		if !c.hasSpaceData(space) {
			c.loss.Requeue(space, maxFlight, (*lossHandler)(c))
		}
		if c.hasSpaceData(space) {
			return true
		}
	}
	return false
}

// hurryHandshake sends a server's flight again when the client asks for more by
// an Initial although all was sent: RFC 9002, Section 6.2.3, allows that a few times.
// Without a sample of the RTT the probe timeout is a second and more.
func (c *Conn) hurryHandshake() {
	if c.client || c.hs.complete || c.hs.hurries >= maxHurries || c.hasSpaceData(wire.SpaceInitial) || c.hasSpaceData(wire.SpaceHandshake) {
		return
	}
	if c.requeueFlight() {
		c.hs.hurries++
	}
}

// lossHandler is the Conn as recovery sees it.
type lossHandler Conn

func (h *lossHandler) OnPacketAcked(space wire.Space, pn uint64, a *recovery.Acked) {
	c := (*Conn)(h)
	c.glitches.news = true
	if a.HasAck {
		c.spaces[space].acks.OnAckAcked(a.LargestAcked)
	}
	if space == wire.SpaceApp {
		if err := c.keys.app.OnAcked(pn); err != nil {
			h.keyError = err
		}
	}
	if a.MTUProbe {
		for _, p := range c.paths.list {
			if p.rp == a.Path && p.mtu.onProbeAcked(a.Size) {
				p.rp.SetMTU(p.mtu.size)
			}
		}
	}
}

func (h *lossHandler) OnMTUProbeLost(rp *recovery.Path, size int) {
	for _, p := range (*Conn)(h).paths.list {
		if p.rp == rp {
			p.mtu.onProbeLost(size)
		}
	}
}

func (h *lossHandler) OnFrameAcked(space wire.Space, pn uint64, f *frameRecord) {
	c := (*Conn)(h)
	switch f.Kind {
	case recStream:
		c.onStreamAcked(f)
		c.glitches.progress()
	case recCrypto:
		c.spaces[space].crypto.send.OnAcked(f.Off, int(f.Len))
	case recResetStream:
		f.Stream.send.reset.onAckedAny()
		f.Stream.send.done = true
		c.maybeFinish(f.Stream)
	case recStopSending:
		f.Stream.recv.stop.onAckedAny()
	case recHandshakeDone:
		c.hs.done.onAckedAny()
		c.onBothConfirmed()
	case recPathProbe:
		c.paths.probes--
	case recNewConnectionID:
		if l := c.ids.localBySeq(f.Off); l != nil {
			l.issued.onAckedAny()
		}
	case recRetireConnectionID:
		c.ids.onRetireAcked(f.Off)
	default:
		if v := c.valueOf(f); v != nil {
			v.onAcked(pn)
		}
	}
}

func (h *lossHandler) OnFrameLost(space wire.Space, pn uint64, f *frameRecord) {
	c := (*Conn)(h)
	switch f.Kind {
	case recStream:
		c.onStreamLost(f)
	case recCrypto:
		c.spaces[space].crypto.send.OnLost(f.Off, int(f.Len))
	case recPathProbe:
		c.paths.probes--
		f.Kind = recNone // the packet may be acked all the same
	default:
		if v := c.valueOf(f); v != nil && v.onLost(pn) {
			if f.Stream != nil {
				c.armControl(f.Stream)
			}
			c.ids.due = c.ids.due || f.Kind == recNewConnectionID || f.Kind == recRetireConnectionID
		}
	}
}

// valueOf returns the control value that a record tells of, nil if it is gone.
func (c *Conn) valueOf(f *frameRecord) *sentVal {
	switch f.Kind {
	case recResetStream:
		return &f.Stream.send.reset
	case recStopSending:
		return &f.Stream.recv.stop
	case recStreamDataBlocked:
		return &f.Stream.send.blocked
	case recMaxStreamData:
		return &f.Stream.recv.maxData
	case recMaxData:
		return &c.strs.maxData
	case recDataBlocked:
		return &c.strs.blocked
	case recMaxStreams:
		return &c.strs.peer[f.Off].maxStreams
	case recStreamsBlocked:
		return &c.strs.own[f.Off].blocked
	case recHandshakeDone:
		return &c.hs.done
	case recNewConnectionID:
		if l := c.ids.localBySeq(f.Off); l != nil {
			return &l.issued
		}
	case recRetireConnectionID:
		return c.ids.retiringBySeq(f.Off)
	}
	return nil
}

// handleAck takes an ACK frame (RFC 9000, Section 19.3).
func (c *Conn) handleAck(space wire.Space, f *wire.Frame) error {
	if err := c.loss.HandleAck(space, c.now, &f.Ack, (*lossHandler)(c)); err != nil {
		return fromWireErr(err)
	}
	if c.keyError != nil {
		// RFC 9001, Section 6.2
		return transportErr(KeyUpdateError, f.Type, "ACK of new keys under old ones")
	}
	c.checkBlackHole()
	if c.client && space == wire.SpaceApp && c.hs.complete {
		// RFC 9001, Section 4.1.2: who acknowledges a 1-RTT packet has completed the handshake.
		c.onHandshakeConfirmed()
	}
	return nil
}

// onLossTimeout declares losses, or has probes sent (RFC 9002, Section 6.2).
func (c *Conn) onLossTimeout() {
	h := (*lossHandler)(c)
	_, pto := c.loss.HandleTimeout(c.now, h)
	c.checkBlackHole()
	if !pto {
		return
	}
	c.requeueFlight()
	for _, space := range [...]wire.Space{wire.SpaceInitial, wire.SpaceHandshake} {
		if c.canSeal(space) && c.hasSpaceData(space) {
			c.loss.AddProbe(space)
		}
	}
	for space := range wire.Space(wire.NumSpaces) {
		// What the oldest packets carried may be of no use any more; then that of the next ones is.
		n := c.loss.Probes(space)
		for i := 0; i < maxFlight && n > 0 && !c.hasSpaceData(space); i++ {
			c.loss.Requeue(space, n, h)
		}
	}
}

// checkBlackHole goes back to small packets when the path in use seems to take no others any more.
func (c *Conn) checkBlackHole() {
	p := c.paths.active
	if (p.rp.BlackHole() || c.loss.PTOCount() >= mtuBlackHole) && p.mtu.onBlackHole() {
		p.rp.SetMTU(p.mtu.size)
	}
}

// hasSpaceData tells whether the space has anything to send that elicits an ACK.
func (c *Conn) hasSpaceData(space wire.Space) bool {
	if space == wire.SpaceApp {
		return c.hasAppData()
	}
	s := c.spaces[space]
	return s != nil && s.crypto.due()
}
