package quic

import (
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
	"github.com/frittata-go/frittata/quic/internal/recovery"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// maxPaths bounds the paths that are known at a time: the one in use, the one
// that was in use before, and one that the peer probes. A further one takes the
// place of the oldest that is not in use.
const maxPaths = 3

// maxChallenges is how many PATH_CHALLENGE frames go unanswered before a path
// is given up; the first goes at once, each further one a PTO later, doubled.
const maxChallenges = 4

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

	validated        bool
	received, sent   uint64 // bytes, for the limit before validation
	response         bool   // a PATH_RESPONSE with responseData is due
	responseData     [8]byte
	challenge        bool // a PATH_CHALLENGE is due
	challengeData    [8]byte
	challengesSent   int
	challengeTimeout time.Duration // when the next one is due; 0: not validating
}

// pathsState has the paths. Invariant: active is one of list.
type pathsState struct {
	list   []*path
	active *path
	last   *path // the path that was active and validated before active
}

func (s *pathsState) all() []*path { return s.list }

// addPath makes a path, in the place of an unused one when there are too many.
func (c *Conn) addPath(remote netip.AddrPort, local netip.Addr, socket uint32) *path {
	s := &c.paths
	p := &path{remote: remote, local: local, socket: socket}
	p.rp = c.newRecoveryPath()
	p.mtu.init(&c.cfg)
	if c.hs.havePeer {
		p.mtu.setPeerMax(c.hs.peer.MaxUDPPayloadSize)
	}
	if len(s.list) >= maxPaths {
		for i, q := range s.list {
			if q != s.active && q != s.last {
				s.list = append(s.list[:i], s.list[i+1:]...)
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

// setActive makes p the path that packets go by.
func (c *Conn) setActive(p *path) {
	c.paths.active = p
	c.loss.SetActive(p.rp)
	c.loss.SetAmplificationLimited(false, c.now) // the limit is a path's
}

// newPeerPath makes a path of where an authentic datagram came from, if the
// peer may be there: a client may be anywhere once the handshake is confirmed (RFC 9000, Section 9),
// a server stays where it is.
func (c *Conn) newPeerPath(d *Datagram, space wire.Space) *path {
	if c.client || !c.hs.confirmed || space != wire.SpaceApp {
		return nil
	}
	return c.addPath(d.Remote, d.Local, d.Socket)
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
func (c *Conn) onPeerMoved(p *path, usedDst bool) error {
	s := &c.paths
	old := s.active
	if old.validated {
		s.last = old
	}
	if sameHost(old, p) {
		// Only the port changed, most likely by a NAT: the way is the same (Section 9.4).
		p.rp = old.rp
		p.mtu = old.mtu
	}
	c.setActive(p)
	c.stats.PathChanges++
	c.events.set(EventPathChanged)
	c.dirty = true
	if !p.validated {
		c.startValidation(p)
	}
	if old.validated && !sameHost(old, p) {
		// An attacker may have sent the packet on: ask at the old address too (Section 9.3.3).
		c.startValidation(old)
	}
	if usedDst {
		return c.ids.rotate(c, p)
	}
	return nil
}

func sameHost(a, b *path) bool {
	return a.remote.Addr() == b.remote.Addr() && a.local == b.local && a.socket == b.socket
}

// startValidation has a PATH_CHALLENGE sent (RFC 9000, Section 8.2).
func (c *Conn) startValidation(p *path) {
	p.challengesSent = 0
	p.challenge = true
	fillRandom(c, p.challengeData[:])
}

// onChallengeSent arms the timer for the next challenge.
func (c *Conn) onChallengeSent(p *path) {
	p.challenge = false
	pto := max(p.rp.RTT.PTO(c.peerMaxAckDelay), c.pto())
	p.challengeTimeout = c.now + pto<<p.challengesSent
	p.challengesSent++
}

// handlePathResponse takes PATH_RESPONSE (RFC 9000, Section 8.2.3): it counts on
// whatever path it comes.
func (c *Conn) handlePathResponse(f *wire.Frame) {
	for _, p := range c.paths.list {
		if p.challengeTimeout != 0 && p.challengeData == f.PathData {
			p.validated = true
			p.challenge, p.challengeTimeout = false, 0
			c.loss.SetAmplificationLimited(false, c.now)
			if p == c.paths.active && !p.mtu.started() {
				p.mtu.start(&c.cfg)
			}
			return
		}
	}
}

// onPathTimeout sends the next challenge or gives the path up (RFC 9000, Section 8.2.4).
func (c *Conn) onPathTimeout(p *path) {
	p.challengeTimeout = 0
	if p.challengesSent < maxChallenges {
		p.challenge = true
		return
	}
	s := &c.paths
	if p != s.active {
		p.validated = false
		p.received, p.sent = 0, 0 // what was sent while it was validated does not count
		if p == s.last {
			s.last = nil
		}
		return
	}
	if s.last == nil {
		if p.validated {
			return
		}
		c.fail(transportErr(NoViablePath, 0, "path validation failed"))
		return
	}
	// RFC 9000, Section 9.3.2: back to the last address that was validated.
	c.setActive(s.last)
	s.last = nil
	c.events.set(EventPathChanged)
	c.dirty = true
}

// pathDeadline is the earliest time at which a path wants onPathTimeout.
func (s *pathsState) deadline() (d time.Duration, ok bool) {
	for _, p := range s.list {
		if p.challengeTimeout != 0 && (!ok || p.challengeTimeout < d) {
			d, ok = p.challengeTimeout, true
		}
	}
	return d, ok
}
