package quic

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

const (
	// defaultGlitchLimit is what ngtcp2 came to after a tenth of it had met ordinary clients.
	defaultGlitchLimit = 10_000
	// glitchPeriod is the time in which Config.GlitchLimit is there again.
	glitchPeriod = 30 * time.Second
	// maxAcksOwed bounds how many packets of ours the peer may have acknowledged so late, or twice, that
	// it told nothing new: more than a path's window has.
	maxAcksOwed = 1 << 14
)

// glitches is a token bucket for what a peer may do and should not do often: frames that
// bring neither data nor an end to anything, and what HTTP/3 finds odd. It is kept as the time at
// which the bucket will be full again: each glitch puts that off, progress brings it nearer.
type glitches struct {
	each time.Duration // what a glitch costs; 0: there is no limit
	full time.Duration
	acks int32 // packets of ours that may yet bring an ACK of nothing new
	news bool  // the ACK frame at hand acknowledges something
}

func (g *glitches) init(limit int) {
	g.each = 0
	if limit > 0 {
		g.each = max(glitchPeriod/time.Duration(limit), 1)
	}
}

// charge takes n glitches out of the bucket; false: there are not as many.
func (g *glitches) charge(now time.Duration, n int) bool {
	if g.each == 0 {
		return true
	}
	// More than the bucket has ever is no more than that, so nothing overflows.
	g.full = max(g.full, now) + min(time.Duration(n), glitchPeriod/g.each+1)*g.each
	if g.full-now <= glitchPeriod {
		return true
	}
	g.full = now + 2*glitchPeriod // for a caller that does not mind
	return false
}

// progress puts back what one glitch took.
func (g *glitches) progress() { g.full -= g.each }

// Glitch counts n oddities of the application's protocol against Config.GlitchLimit, together
// with those that QUIC finds. False: the limit is exceeded, and the caller should close the connection.
func (c *Conn) Glitch(n int) bool {
	if n <= 0 {
		return true
	}
	c.stats.Glitches += uint64(n)
	return c.glitches.charge(c.now, n)
}

// brought tells how much stream data has come: it grows with each frame that has any that is new, but for
// some of those that fill gaps.
func (c *Conn) brought() uint64 { return c.strs.received + c.stats.StreamBytesReceived }

// isGlitch tells whether a frame of a 1-RTT packet, which was processed and is no ACK, brought nothing. Data that has
// come before is a glitch.
func (c *Conn) isGlitch(f *wire.Frame, before uint64) bool {
	switch f.Type {
	case wire.FramePadding, wire.FrameConnectionClose, wire.FrameConnectionCloseApp:
		return false
	}
	if f.Type&^1 == wire.FrameDatagram {
		return len(f.Data) == 0
	}
	return f.Type&^7 != wire.FrameStream || c.brought() == before
}

// onElicitingSent counts a packet of ours that the peer has to acknowledge.
func (g *glitches) onElicitingSent() { g.acks = min(g.acks+1, maxAcksOwed) }

// staleAcks returns how many glitches n ACK frames of one packet are that told nothing new. One is free beside
// frames that are to be acknowledged. A packet of nothing else answers one of ours (RFC 9000, Section 13.2.1), and may
// come after a later one that tells the same: but no more of them than there were packets of ours.
func (g *glitches) staleAcks(n int, alone bool) int {
	switch {
	case n == 0:
	case !alone:
		n--
	case g.acks > 0:
		g.acks--
		n--
	}
	return n
}

// onGlitches takes the frames of a packet that brought nothing (RFC 9000, Section 21.9), and whether others did.
func (c *Conn) onGlitches(n int, progress bool) {
	if progress {
		c.glitches.progress()
	}
	if !c.Glitch(n) {
		c.fail(transportErr(ProtocolViolation, 0, "too many frames that bring nothing"))
	}
}
