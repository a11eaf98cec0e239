package quic

import (
	"errors"
	"time"

	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// lifePhase is where a connection stands between its beginning and its end
// (RFC 9000, Section 10).
type lifePhase uint8

const (
	phaseOpen     lifePhase = iota
	phaseClosing            // we sent CONNECTION_CLOSE, or are about to
	phaseDraining           // the peer sent it: nothing more goes out
	phaseGone
)

// drainPTOs is how many probe timeouts the closing and draining phases last
// (RFC 9000, Section 10.2).
const drainPTOs = 3

// maxCloseReason bounds the reason of a CONNECTION_CLOSE that we send, in bytes.
const maxCloseReason = 1024

// lifeState is how the connection ends, and the timers that end it.
type lifeState struct {
	phase lifePhase
	err   error

	closeFrame closeFrame
	closeDue   bool
	closeSent  time.Duration // when CONNECTION_CLOSE went out last
	closeHeard uint          // datagrams since the close
	drainEnd   time.Duration // of the closing or draining phase; 0: it begins with the Transmit that comes next

	handshakeEnd time.Duration
	idleTimeout  time.Duration // 0: none
	idleStart    time.Duration // of the present idle period
	lastReceived time.Duration
	elicited     bool // an ack-eliciting packet was sent since the last one received
}

// closeFrame is the content of our CONNECTION_CLOSE.
type closeFrame struct {
	app       bool
	code      uint64
	frameType uint64
	reason    string
}

func (l *lifeState) init(cfg *Config) {
	l.idleTimeout = cfg.MaxIdleTimeout
	l.handshakeEnd = cfg.HandshakeTimeout
}

// onPeerParams takes the lesser of both idle timeouts (RFC 9000, Section 10.1).
func (l *lifeState) onPeerParams(p *wire.TransportParameters) {
	if p.MaxIdleTimeout == 0 {
		return
	}
	peer := time.Duration(min(p.MaxIdleTimeout, uint64(maxDuration/time.Millisecond))) * time.Millisecond
	if l.idleTimeout == 0 || peer < l.idleTimeout {
		l.idleTimeout = peer
	}
}

// maxDuration bounds durations that a peer names, so that sums stay far from overflow.
const maxDuration = 1 << 60 * time.Nanosecond

// onReceived restarts the idle period when a packet was processed.
func (l *lifeState) onReceived(now time.Duration) {
	l.lastReceived, l.idleStart = now, now
	l.elicited = false
}

// onElicitingSent restarts it with the first ack-eliciting packet after that.
func (l *lifeState) onElicitingSent(now time.Duration) {
	if !l.elicited {
		l.elicited = true
		l.idleStart = now
	}
}

// idleDeadline is when the connection is idle for too long: at least three probe timeouts (RFC 9000, Section 10.1).
func (c *Conn) idleDeadline() (time.Duration, bool) {
	if c.life.idleTimeout == 0 || !c.hs.complete {
		return 0, false
	}
	d := max(c.life.idleTimeout, drainPTOs*c.pto())
	return c.life.idleStart + d, true
}

// keepAliveDeadline is when a PING is due for want of packets.
func (c *Conn) keepAliveDeadline() (time.Duration, bool) {
	if c.cfg.KeepAlive <= 0 || !c.hs.connected || c.pingDue || c.life.elicited {
		return 0, false
	}
	every := c.cfg.KeepAlive
	if c.life.idleTimeout != 0 {
		every = min(every, c.life.idleTimeout/2) // the peer's timeout may be shorter than the application knows
	}
	return c.life.lastReceived + every, true
}

// pto is the probe timeout of the path in use, without backoff.
func (c *Conn) pto() time.Duration {
	return c.paths.active.rp.RTT.PTO(c.peerMaxAckDelay)
}

func transportErr(code TransportErrorCode, frameType uint64, reason string) *TransportError {
	return &TransportError{Code: code, FrameType: frameType, Reason: reason}
}

// fromWireErr makes what a parser found a TransportError.
func fromWireErr(err error) error {
	var w *wire.Error
	if errors.As(err, &w) {
		return transportErr(TransportErrorCode(w.Code), w.FrameType, w.Reason)
	}
	return err
}

// Close closes the connection: the peer is told e, and what streams have not
// sent yet is lost. It does nothing if the connection is closed already.
func (c *Conn) Close(e CloseError) {
	code := min(e.Code, wire.MaxVarint)
	if e.Application {
		c.fail(&ApplicationError{Code: code, Reason: e.Reason})
		return
	}
	if code == uint64(NoError) && e.Reason == "" {
		c.fail(ErrClosed)
		return
	}
	c.fail(&TransportError{Code: TransportErrorCode(code), Reason: e.Reason})
}

// fail closes the connection because of a local decision or of what the peer did wrong.
func (c *Conn) fail(err error) {
	if c.life.phase != phaseOpen {
		return
	}
	f := &c.life.closeFrame
	var te *TransportError
	var ae *ApplicationError
	switch {
	case errors.As(err, &ae):
		*f = closeFrame{app: true, code: ae.Code, reason: ae.Reason}
	case errors.As(err, &te):
		*f = closeFrame{code: uint64(te.Code), frameType: te.FrameType, reason: te.Reason}
	case errors.Is(err, ErrClosed):
		*f = closeFrame{code: uint64(NoError)}
	default:
		// What went wrong inside is for this end alone.
		*f = closeFrame{code: uint64(InternalError)}
	}
	if len(f.reason) > maxCloseReason {
		f.reason = f.reason[:maxCloseReason]
	}
	c.life.closeDue = true
	c.end(phaseClosing, err)
}

// end enters one of the last phases and frees what only an open connection needs.
func (c *Conn) end(phase lifePhase, err error) {
	if c.life.err == nil {
		c.life.err = err
		c.events.set(EventClosed)
	}
	c.life.phase = phase
	if phase == phaseDraining {
		c.life.drainEnd = c.now + drainPTOs*c.pto()
	}
	c.strs.closeSending()
	c.dgrams.send.clear()
	if phase != phaseDraining {
		// What came before the peer's close may still be read.
		c.strs.close()
		c.dgrams.recv.clear()
	}
	c.hs.release()
	c.hs.undecryptable = nil
	for _, s := range c.spaces {
		if s != nil {
			s.crypto.recv.Discard()
			s.crypto.send.Discard()
		}
	}
	if phase == phaseGone {
		c.dirty = true
	}
}

// Draining tells that the peer has closed the connection. What it sent before that can
// be read until Gone.
func (io *IO) Draining() bool { return io.c.life.phase == phaseDraining }

// Abort ends the connection at once with err. Nothing is sent.
func (io *IO) Abort(err error) {
	if io.c.life.phase != phaseGone {
		io.c.end(phaseGone, err)
	}
}

// handleConnectionClose takes CONNECTION_CLOSE (RFC 9000, Section 10.2.2).
func (c *Conn) handleConnectionClose(f *wire.Frame) {
	reason := string(f.Data)
	if f.Type == wire.FrameConnectionCloseApp {
		c.end(phaseDraining, &ApplicationError{Code: f.ErrorCode, Reason: reason, Remote: true})
		return
	}
	c.end(phaseDraining, &TransportError{Code: TransportErrorCode(f.ErrorCode), FrameType: f.FrameType, Reason: reason, Remote: true})
}

// onReceivedClosing answers what a peer sends that has not got our
// CONNECTION_CLOSE, ever more rarely (RFC 9000, Section 10.2.1). What comes within a round trip
// was sent before the peer could get it.
func (c *Conn) onReceivedClosing() {
	if rtt := &c.paths.active.rp.RTT; rtt.Latest() > 0 && c.now < c.life.closeSent+rtt.Smoothed() {
		return
	}
	c.life.closeHeard++
	if n := c.life.closeHeard; n&(n-1) == 0 {
		c.life.closeDue = true
	}
}

// Deadline tells when HandleDeadline has to be called, unless another call
// changes that before. It is not valid until Transmit has returned false.
func (io *IO) Deadline() (time.Time, bool) {
	d, ok := io.c.deadline()
	if !ok {
		return time.Time{}, false
	}
	return io.c.epoch.Add(d), true
}

func (c *Conn) deadline() (at time.Duration, ok bool) {
	earlier := func(d time.Duration, is bool) {
		if is && (!ok || d < at) {
			at, ok = d, true
		}
	}
	switch c.life.phase {
	case phaseGone:
		return 0, false
	case phaseClosing, phaseDraining:
		return c.life.drainEnd, c.life.drainEnd != 0
	}
	if !c.hs.complete {
		earlier(c.life.handshakeEnd, true)
	}
	earlier(c.idleDeadline())
	earlier(c.keepAliveDeadline())
	earlier(c.loss.Deadline())
	earlier(c.restDeadline())
	// What an address that is not validated may not be sent waits for datagrams from there.
	p := c.paths.active
	limited := p.allowance() < uint64(p.mtu.size)
	for i := range c.spaces {
		if c.canSeal(wire.Space(i)) && !limited {
			earlier(c.spaces[i].acks.Deadline())
		}
	}
	earlier(c.paths.deadline())
	earlier(p.mtu.first, p.mtu.first != 0)
	earlier(c.ids.lingerDeadline())
	earlier(c.keys.app.OldDeadline())
	if !limited && p.rp.Window() >= p.mtu.size && c.hasData() {
		earlier(p.rp.Release(c.now), true)
	}
	return at, ok
}

// HandleDeadline does what is due at now. Calling it too early does no harm.
func (io *IO) HandleDeadline(now time.Time) {
	c := io.c
	c.setNow(now)
	switch c.life.phase {
	case phaseGone:
		return
	case phaseClosing, phaseDraining:
		if end := c.life.drainEnd; end != 0 && c.now >= end {
			c.end(phaseGone, c.life.err)
		}
		return
	}
	if !c.hs.complete && c.now >= c.life.handshakeEnd {
		c.end(phaseGone, &HandshakeTimeoutError{Heard: c.hs.heard})
		return
	}
	if d, ok := c.idleDeadline(); ok && c.now >= d {
		// RFC 9000, Section 10.1: the state is discarded silently.
		c.end(phaseGone, &IdleTimeoutError{})
		return
	}
	if d, ok := c.keepAliveDeadline(); ok && c.now >= d {
		c.pingDue = true
	}
	if d, ok := c.loss.Deadline(); ok && c.now >= d {
		c.onLossTimeout()
	}
	c.ids.expireLingering(c)
	c.keys.app.DropOld(c.now)
	if p := c.paths.active; c.now >= p.mtu.first {
		p.mtu.hurry()
	}
	c.onPathTimeouts()
	c.maybeRest()
}

// transmitClose writes CONNECTION_CLOSE in a packet of each level that the peer may be
// able to read (RFC 9000, Section 10.2.3).
func (c *Conn) transmitClose(buf []byte) (Train, bool) {
	if !c.life.closeDue {
		return Train{}, false
	}
	if c.life.drainEnd == 0 {
		// Not when Close was called: what the time was then is not known, the last packet may be long ago.
		c.life.drainEnd = c.now + drainPTOs*c.pto()
	}
	p := c.paths.active
	limit := min(minUDPPayload, len(buf))
	if allowed := p.allowance(); allowed < uint64(limit) {
		limit = int(allowed)
	}
	o := &c.out
	o.n = 0
	b := buf[:0:len(buf)]
	for i := range c.spaces {
		space := wire.Space(i)
		if space == wire.SpaceApp && !c.keys.app.CanWrite() || space != wire.SpaceApp && !c.canSeal(space) {
			continue
		}
		b = c.writeClose(b, p, space, limit)
	}
	if o.n == 0 {
		// It stays due: when more comes from that address, more may be sent there (RFC 9000, Section 8.1).
		return Train{}, false
	}
	c.life.closeDue = false
	c.life.closeSent = c.now
	if c.client && o.packets[0].space == wire.SpaceInitial {
		b = c.padLast(b, limit) // RFC 9000, Section 14.1
	}
	n := c.sealDatagram(b, p)
	return c.finishTrain(p, n, n), true
}

func (c *Conn) writeClose(b []byte, p *path, space wire.Space, limit int) []byte {
	f := c.life.closeFrame
	if f.app && space != wire.SpaceApp {
		// RFC 9000, Section 10.2.3: the application's reasons are not for everyone to read.
		f = closeFrame{code: uint64(ApplicationErrorOccurred)}
	}
	const header = 64
	room := limit - len(b) - header - 2*MaxConnIDLen - len(c.hs.token) - protect.Overhead
	if room < 0 {
		return b
	}
	f.reason = f.reason[:min(len(f.reason), room)]
	start := len(b)
	pn := c.loss.NextPN(space)
	pnLen := c.loss.PNLen(space, pn)
	lengthOff := 0
	src := c.ids.handshakeLocal()
	switch space {
	case wire.SpaceInitial:
		b, lengthOff = wire.AppendLongHeader(b, wire.PacketInitial, c.keys.version, p.dst.Bytes(), src.Bytes(), c.hs.token, pn, pnLen)
	case wire.SpaceHandshake:
		b, lengthOff = wire.AppendLongHeader(b, wire.PacketHandshake, c.keys.version, p.dst.Bytes(), src.Bytes(), nil, pn, pnLen)
	default:
		b = wire.AppendShortHeader(b, p.dst.Bytes(), pn, pnLen, c.keys.app.KeyPhase(), false)
	}
	k := c.out.begin(space, pn, start, len(b)-pnLen, pnLen, lengthOff)
	b = wire.AppendConnectionClose(b, f.app, f.code, f.frameType, f.reason)
	return c.out.end(k, b)
}
