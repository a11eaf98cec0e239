package quic

import (
	"net/netip"
	"slices"
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
	"github.com/frittata-go/frittata/quic/internal/recovery"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// maxPaths bounds the paths that are known at a time: the one in use, the one
// that was in use before, and one that the peer probes. A further one takes the
// place of the oldest that is not in use.
const maxPaths = 3

const (
	// maxChallenges is how many PATH_CHALLENGE frames a validation sends at most: the
	// first at once, the next one a PTO later, and so on with doubled pauses.
	maxChallenges = 6
	// validationPTOs is how long a validation takes before the path is given up, in
	// PTOs (RFC 9000, Section 8.2.4).
	validationPTOs = 3
	// maxPathProbes bounds the packets with PATH_CHALLENGE or PATH_RESPONSE that are
	// neither acked nor lost. A peer that asks, or moves, and acknowledges nothing meets it.
	maxPathProbes = 32
	// maxValidationPTO bounds the pauses when the only path fails again and again.
	maxValidationPTO = 10 * time.Second
)

// path is one way to the peer: a pair of addresses and a socket
// (RFC 9000, Section 9). Its RTT, congestion controller and pacer are rp, which
// two paths share when only the peer's port differs.
type path struct {
	remote netip.AddrPort
	local  netip.Addr
	socket uint32
	rp     *recovery.Path
	mtu    mtuSearch

	dst    ConnID // the peer's ID on this path
	dstSeq uint64
	// wantsID: the peer used another ID for this path, and we have none to do the same.
	wantsID bool

	validated      bool
	received, sent uint64 // bytes, for the limit before validation
	response       bool   // a PATH_RESPONSE with responseData is due
	responseData   [8]byte
	validation     validation
	failures       int // validations in a row that failed while there was no other path
}

// validation is how a path is asked whether it leads to the peer (RFC 9000, Section 8.2).
type validation struct {
	running bool
	due     bool                   // a PATH_CHALLENGE is to be sent
	sent    int                    // challenges
	data    [maxChallenges][8]byte // of those
	small   [maxChallenges]bool    // those whose datagrams had less than 1200 bytes
	pto     time.Duration          // the first pause
	next    time.Duration          // when another challenge is due
	end     time.Duration          // when the path is given up
}

// pathsState has the paths. Invariant: active is one of list.
type pathsState struct {
	list   []*path
	active *path
	last   *path // the path that was active and validated before active
	probes int   // packets with recPathProbe in flight

	peerMax uint64 // the peer's max_udp_payload_size, once it is known
}

// addPath makes a path, in the place of an unused one when there are too many.
func (c *Conn) addPath(remote netip.AddrPort, local netip.Addr, socket uint32) *path {
	s := &c.paths
	p := &path{remote: remote, local: local, socket: socket}
	p.rp = c.newRecoveryPath()
	p.mtu.init(&c.cfg)
	if c.hs.havePeer {
		p.mtu.setPeerMax(s.peerMax)
	}
	if len(s.list) >= maxPaths {
		for _, q := range s.list {
			if q != s.active && q != s.last {
				c.dropPath(q)
				break
			}
		}
	}
	s.list = append(s.list, p)
	if len(c.ids.remote) > 0 {
		p.dst, p.dstSeq = c.ids.remote[0].id, c.ids.remote[0].seq
		if s.active != nil {
			p.dst, p.dstSeq = s.active.dst, s.active.dstSeq
		}
	}
	return p
}

// dropPath forgets a path that is not in use.
func (c *Conn) dropPath(p *path) {
	s := &c.paths
	if i := slices.Index(s.list, p); i >= 0 {
		s.list = slices.Delete(s.list, i, i+1)
	}
	if s.last == p {
		s.last = nil
	}
	if err := c.ids.release(c, p); err != nil {
		c.fail(err)
	}
}

// setActive makes p the path that packets go by.
func (c *Conn) setActive(p *path) {
	c.paths.active = p
	c.loss.SetActive(p.rp)
	c.loss.SetAmplificationLimited(false, c.now)
	c.maybeSearchMTU(p)
}

// maybeSearchMTU begins the search of the path MTU on a path that is in use and
// validated.
func (c *Conn) maybeSearchMTU(p *path) {
	if c.hs.confirmed && p.validated && !p.mtu.started() {
		p.mtu.start()
	}
}

// newPeerPath makes a path of where an authentic datagram came from, if the
// peer may be there: a client may be anywhere once the handshake is confirmed (RFC 9000, Section 9),
// but at the port of a service, a server stays where it is. otherID tells whether the peer used another connection ID than before.
func (c *Conn) newPeerPath(d *Datagram, space wire.Space, otherID bool) *path {
	if c.client || !c.hs.confirmed || space != wire.SpaceApp {
		return nil
	}
	if servicePort(d.Remote.Port()) && d.Remote != c.paths.active.remote {
		c.stats.PacketsDropped++
		return nil
	}
	p := c.addPath(d.Remote, d.Local, d.Socket)
	p.received = uint64(len(d.Data))
	if otherID {
		c.ids.separate(c, p)
	}
	return p
}

func (c *Conn) newRecoveryPath() *recovery.Path {
	rp := &recovery.Path{}
	cc := c.cfg.CongestionControl(congestion.Config{
		InitialWindow: c.cfg.InitialWindow, MaxDatagramSize: minUDPPayload,
	})
	rp.Init(cc, minUDPPayload, !c.cfg.DisablePacing, !c.cfg.DisableECN)
	return rp
}

// find returns the path with those addresses. A packet whose local address is
// not known belongs to whatever path has its remote one.
func (s *pathsState) find(d *Datagram) *path {
	if p := s.active; p.matches(d) {
		return p
	}
	for _, p := range s.list {
		if p.matches(d) {
			return p
		}
	}
	return nil
}

func (p *path) matches(d *Datagram) bool {
	return p.remote == d.Remote && p.socket == d.Socket && (p.local == d.Local || !p.local.IsValid() || !d.Local.IsValid())
}

// allowance is how many bytes may be sent before the path is validated (RFC
// 9000, Sections 8.1 and 9.3): three times what was received.
func (p *path) allowance() uint64 {
	if p.validated {
		return 1 << 62
	}
	if limit := 3 * p.received; limit > p.sent {
		return limit - p.sent
	}
	return 0
}

// onPeerMoved follows the peer to another address: the highest-numbered packet
// with more than probing frames came from there (RFC 9000, Section 9.3).
func (c *Conn) onPeerMoved(p *path, otherID bool) {
	s := &c.paths
	old, pto := s.active, c.pto()
	if old.validated {
		s.last = old
	}
	if sameHost(old, p) {
		// Only the port changed, most likely by a NAT: the way is the same (Section 9.4).
		p.rp = old.rp
		p.mtu = old.mtu
	}
	if otherID {
		c.ids.separate(c, p)
	}
	c.switchPath(p)
	if !p.validated {
		c.startValidation(p, pto)
	}
	if old.validated && !sameHost(old, p) {
		// An attacker may have sent the packet on: ask at the old address too (Section 9.3.3).
		c.startValidation(old, pto)
	}
}

// switchPath goes on by another path.
func (c *Conn) switchPath(p *path) {
	if c.paths.last == p {
		c.paths.last = nil
	}
	c.setActive(p)
	c.stats.PathChanges++
	c.events.set(EventPathChanged)
	c.dirty = true
}

func sameHost(a, b *path) bool {
	return a.remote.Addr() == b.remote.Addr() && a.local == b.local && a.socket == b.socket
}

// startValidation has a PATH_CHALLENGE sent (RFC 9000, Section 8.2). pto is that
// of the path that was in use.
func (c *Conn) startValidation(p *path, pto time.Duration) {
	var unknown recovery.RTT // the path's may be anything (Section 8.2.4)
	most := max(pto, unknown.PTO(c.peerMaxAckDelay))
	p.validation = validation{running: true, due: true, pto: pto, end: c.now + validationPTOs*most}
}

// appendChallenge writes a PATH_CHALLENGE, with new data each time (Section 8.2.1).
func (c *Conn) appendChallenge(b []byte, p *path, small bool) []byte {
	v := &p.validation
	data := &v.data[v.sent]
	fillRandom(c, data[:])
	v.small[v.sent] = small
	v.due = false
	v.next = c.now + v.pto<<v.sent
	v.sent++
	return wire.AppendPathChallenge(b, data)
}

// handlePathResponse takes PATH_RESPONSE (RFC 9000, Section 8.2.3): it counts on
// whatever path it comes.
func (c *Conn) handlePathResponse(f *wire.Frame) {
	for _, p := range c.paths.list {
		v := &p.validation
		i := slices.Index(v.data[:v.sent], f.PathData)
		if i < 0 {
			continue
		}
		small := v.small[i]
		*v = validation{}
		p.validated, p.failures = true, 0
		if p == c.paths.active {
			c.loss.SetAmplificationLimited(false, c.now)
			c.maybeSearchMTU(p)
		}
		if small {
			// Whether it takes packets of the least size is not known yet (Section 8.2.1).
			c.startValidation(p, c.pto())
		}
		return
	}
}

// deadline is the earliest time at which a validation wants handleTimeout.
func (s *pathsState) deadline() (d time.Duration, ok bool) {
	for _, p := range s.list {
		v := &p.validation
		if !v.running {
			continue
		}
		at := v.end
		if !v.due && v.sent < maxChallenges {
			at = min(at, v.next)
		}
		if !ok || at < d {
			d, ok = at, true
		}
	}
	return d, ok
}

// onPathTimeouts sends the next challenges, and gives paths up (RFC 9000, Section 8.2.4).
func (c *Conn) onPathTimeouts() {
	for i := len(c.paths.list) - 1; i >= 0; i-- { // p itself may leave the list
		p := c.paths.list[i]
		v := &p.validation
		switch {
		case !v.running:
		case c.now >= v.end:
			*v = validation{}
			c.onPathFailed(p)
		case !v.due && v.sent < maxChallenges && c.now >= v.next:
			v.due = true
		}
	}
}

// onPathFailed takes that a validation got no answer.
func (c *Conn) onPathFailed(p *path) {
	s := &c.paths
	switch {
	case p != s.active:
		c.dropPath(p)
	case p.validated:
		// It was, the peer came back, and packets go by it.
	case s.last == nil:
		// There is no other way to the peer. RFC 9000, Section 8.2.4, lets us wait for one
		// that works: we ask again, ever more rarely, until the idle timeout. What an
		// address gets that does not answer is bounded by Section 8.1.
		p.failures++
		c.startValidation(p, min(c.pto()<<min(p.failures, 8), maxValidationPTO))
	default:
		// RFC 9000, Section 9.3.2: back to the last address that was validated.
		c.switchPath(s.last)
		c.dropPath(p)
	}
}
