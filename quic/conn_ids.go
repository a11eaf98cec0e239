package quic

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

const (
	// maxPeerConnIDs is how many of the peer's connection IDs are kept at most
	// (Config.ActiveConnIDLimit): one in use, and some for migration.
	maxPeerConnIDs = 4
	// maxIssuedConnIDs is how many IDs of ours the peer gets at most, whatever
	// it would take.
	maxIssuedConnIDs = 4
	// maxRetiring bounds the RETIRE_CONNECTION_ID frames that are not yet
	// acked. A peer that keeps us from sending them and goes on issuing
	// IDs meets it.
	maxRetiring = 8 * maxPeerConnIDs
	// maxSeenRanges bounds the gaps in the sequence numbers of the peer's IDs.
	// They rise by one (RFC 9000, Section 5.1.1), so gaps are only those of
	// frames that overtake each other.
	maxSeenRanges = 8 * maxPeerConnIDs
	// maxLingering is how many IDs that the peer has retired still lead to us.
	maxLingering = 4
)

// localID is a connection ID that leads to us.
type localID struct {
	seq    uint64
	id     ConnID
	token  [16]byte
	told   bool    // TakeRoutes has listed it
	issued sentVal // NEW_CONNECTION_ID; unset for the first, which the handshake tells
}

// remoteID is a connection ID that leads to the peer.
type remoteID struct {
	seq      uint64
	id       ConnID
	token    [16]byte
	hasToken bool
	told     bool // TakeRoutes has listed the token
	used     bool // some path has had it
}

// lingeringID is an ID of ours that the peer has retired: what was under way then, and
// was overtaken, still comes by it.
type lingeringID struct {
	id    ConnID
	until time.Duration
}

type retiredID struct {
	seq uint64
	val sentVal
}

// idState has the connection IDs of both ends (RFC 9000, Section 5.1).
// Invariant: at least one remote ID, and every path uses one of them.
type idState struct {
	local     []localID
	lingering []lingeringID // at most maxLingering, the oldest first
	nextSeq   uint64        // of our next ID
	sentSeq   uint64        // the peer was sent all IDs of ours below
	peerLimit uint64        // how many the peer takes
	remote    []remoteID
	seen      ranges.Set // sequence numbers of the peer's IDs that came
	retireTo  uint64     // the greatest Retire Prior To that came
	retiring  []retiredID

	due          bool   // a frame of issued or retiring is to be sent
	handshakeSrc ConnID // source of the peer's first packet, and so of all its long headers
	lastUsed     ConnID // of ours, in the newest packet
	first        ConnID // of ours, the source of our long headers

	origDst    ConnID // of the client's very first Initial
	chosenDst  ConnID // of the Initials that a server got before the client knew its ID: origDst, or that of the Retry
	routed     bool   // a server's Endpoint still has chosenDst as a route
	removed    []ConnID
	removedTok [][16]byte
	allRemoved bool
}

func (s *idState) initClient(c *Conn) {
	// RFC 9000, Section 7.2: at least 8 unpredictable bytes.
	var b, random [MaxConnIDLen]byte
	n := c.cfg.InitialDstIDs.Len()
	fillRandom(c, random[:n])
	c.cfg.InitialDstIDs.Generate(b[:n], random[:n])
	s.origDst = NewConnID(b[:n])
	s.init(c, s.origDst)
}

func (s *idState) initServer(c *Conn, in *Incoming) {
	s.origDst, s.chosenDst = in.origDstID, in.dstID
	s.routed = true
	s.init(c, in.srcID)
}

// init enters the first ID of each end, which the handshake tells.
func (s *idState) init(c *Conn, remote ConnID) {
	s.remote = []remoteID{{id: remote, used: true}}
	s.seen.Add(0, 1)
	s.first = s.addLocal(c).id
	s.sentSeq = 1
}

func fillRandom(c *Conn, b []byte) {
	for i := range b {
		b[i] = byte(c.rng.Uint64())
	}
}

// addLocal makes a new ID of ours. It returns nil if the generator has none that
// differs from those in use: IDs may be as short as the application likes.
func (s *idState) addLocal(c *Conn) *localID {
	var buf, random [MaxConnIDLen]byte
	n := c.cfg.ConnIDs.Len()
	id := buf[:n]
	for try := 0; try == 0 || s.isLocal(id); try++ {
		if try == 8 {
			return nil
		}
		fillRandom(c, random[:n])
		c.cfg.ConnIDs.Generate(id, random[:n])
	}
	l := localID{seq: s.nextSeq, id: NewConnID(id)}
	if c.cfg.StatelessResetKey != nil {
		l.token = statelessResetToken(c.cfg.StatelessResetKey, id)
	} else {
		// NEW_CONNECTION_ID has the field in any case: a random token resets nothing.
		fillRandom(c, l.token[:])
	}
	s.local = append(s.local, l)
	s.nextSeq++
	c.dirty = true
	return &s.local[len(s.local)-1]
}

// issue makes IDs up to what the peer takes (RFC 9000, Section 5.1.1), once the peer has a use for
// more than one: it may be at another address when its handshake is confirmed, not before (Section 9).
// So a connection that ends sooner has none to make and to tell.
func (s *idState) issue(c *Conn) {
	if c.cfg.ConnIDs.Len() == 0 || !c.hs.bothConfirmed {
		return
	}
	for uint64(len(s.local)) < s.peerLimit {
		l := s.addLocal(c)
		if l == nil {
			return
		}
		l.issued.set()
		s.due = true
	}
}

// setResetToken notes the stateless reset token of the peer's ID with that sequence number.
func (s *idState) setResetToken(c *Conn, seq uint64, token [16]byte) {
	for i := range s.remote {
		if r := &s.remote[i]; r.seq == seq {
			r.token, r.hasToken = token, true
			c.dirty = true
		}
	}
}

// addPreferred enters the ID that comes with a server's preferred address (RFC
// 9000, Section 5.1.1). The address itself is not used.
func (s *idState) addPreferred(c *Conn, a *wire.PreferredAddress) {
	s.remote = append(s.remote, remoteID{seq: 1, id: NewConnID(a.ConnID.Bytes()), token: a.ResetToken, hasToken: true})
	s.seen.Add(1, 2)
	c.dirty = true
}

// onServerID replaces the ID that a client chose for the server by the server's own.
func (s *idState) onServerID(c *Conn, id []byte) {
	s.remote[0].id = NewConnID(id)
	for _, p := range c.paths.list {
		p.dst = s.remote[0].id
	}
}

// onConfirmed: the handshake is confirmed here.
func (s *idState) onConfirmed(c *Conn) {
	if s.routed {
		s.routed = false
		s.removed = append(s.removed, s.chosenDst)
		c.dirty = true
	}
}

// handleNewConnectionID takes NEW_CONNECTION_ID (RFC 9000, Section 19.15).
func (c *Conn) handleNewConnectionID(f *wire.Frame) error {
	s := &c.ids
	if s.remote[0].id.Len() == 0 {
		return transportErr(ProtocolViolation, f.Type, "NEW_CONNECTION_ID to an end that is sent empty IDs")
	}
	for i := range s.remote {
		r := &s.remote[i]
		same := string(r.id.Bytes()) == string(f.ConnID)
		if r.seq == f.Seq {
			if !same || r.hasToken && r.token != f.ResetToken {
				return transportErr(ProtocolViolation, f.Type, "connection ID differs from the one that came before under its number")
			}
			return s.retirePriorTo(c, f.RetirePriorTo)
		}
		if same {
			return transportErr(ProtocolViolation, f.Type, "connection ID came before under another number")
		}
	}
	if s.seen.Contains(f.Seq) {
		return nil // the frame was sent again, and the ID was retired since
	}
	s.seen.Add(f.Seq, f.Seq+1)
	if len(s.seen) > maxSeenRanges {
		return transportErr(ConnectionIDLimitError, f.Type, "connection IDs are not numbered in turn")
	}
	if f.Seq < s.retireTo {
		// RFC 9000, Section 19.15: retired before it was used.
		return s.retire(f.Seq)
	}
	s.remote = append(s.remote, remoteID{seq: f.Seq, id: NewConnID(f.ConnID), token: f.ResetToken, hasToken: true})
	c.dirty = true
	if err := s.retirePriorTo(c, f.RetirePriorTo); err != nil {
		return err
	}
	if len(s.remote) > c.cfg.ActiveConnIDLimit {
		return transportErr(ConnectionIDLimitError, f.Type, "more connection IDs than the limit")
	}
	for _, p := range c.paths.list {
		if p.wantsID {
			s.separate(c, p)
		}
	}
	return nil
}

// retirePriorTo retires the peer's IDs with lesser numbers. One that is not less is there.
func (s *idState) retirePriorTo(c *Conn, to uint64) error {
	if to <= s.retireTo {
		return nil
	}
	s.retireTo = to
	for i := 0; i < len(s.remote); {
		if s.remote[i].seq >= to {
			i++
			continue
		}
		if err := s.dropRemote(c, i); err != nil {
			return err
		}
	}
	for _, p := range c.paths.list {
		if p.dstSeq < to {
			s.assign(c, p)
		}
	}
	return nil
}

// dropRemote forgets the i-th ID of the peer and will tell it so.
func (s *idState) dropRemote(c *Conn, i int) error {
	r := s.remote[i]
	if r.told {
		s.removedTok = append(s.removedTok, r.token)
		c.dirty = true
	}
	s.remote = append(s.remote[:i], s.remote[i+1:]...)
	return s.retire(r.seq)
}

func (s *idState) retire(seq uint64) error {
	for i := range s.retiring {
		if s.retiring[i].seq == seq {
			return nil
		}
	}
	if len(s.retiring) >= maxRetiring {
		return transportErr(ConnectionIDLimitError, wire.FrameNewConnectionID, "too many connection IDs to retire")
	}
	r := retiredID{seq: seq}
	r.val.set()
	s.retiring = append(s.retiring, r)
	s.due = true
	return nil
}

// shared tells whether a path besides p uses the peer's ID with that number.
func (c *Conn) shared(seq uint64, p *path) bool {
	for _, q := range c.paths.list {
		if q != p && q.dstSeq == seq {
			return true
		}
	}
	return false
}

// assign gives the path an ID of the peer that no other path uses, if there is one, else any.
func (s *idState) assign(c *Conn, p *path) {
	pick := &s.remote[len(s.remote)-1]
	for i := range s.remote {
		if r := &s.remote[i]; !c.shared(r.seq, p) {
			pick = r
			break
		}
	}
	pick.used = true
	p.dst, p.dstSeq = pick.id, pick.seq
}

// separate gives the path an ID of its own in the place of one that it shares,
// as the peer does not want the two to be linked (RFC 9000, Section 9.5). If the
// peer has given none that is free, a path that is not needed gives its own back, for which the
// peer issues another; until that comes the two share one.
func (s *idState) separate(c *Conn, p *path) {
	if c.shared(p.dstSeq, p) {
		s.assign(c, p)
	}
	wanted := p.wantsID
	if p.wantsID = c.shared(p.dstSeq, p); !p.wantsID || wanted {
		return
	}
	if q := c.spare(p); q != nil {
		c.dropPath(q)
	}
}

// spare returns a path besides p that has an ID of its own and is good for nothing more:
// not in use, not being asked, and not the only way back.
func (c *Conn) spare(p *path) *path {
	for _, q := range c.paths.list {
		if q != p && q != c.paths.active && !q.validation.running && !c.shared(q.dstSeq, q) &&
			(q != c.paths.last || c.paths.active.validated) {
			return q
		}
	}
	return nil
}

// release retires the ID of a path that is gone, unless another path has it too.
func (s *idState) release(c *Conn, p *path) error {
	if c.shared(p.dstSeq, p) {
		return nil
	}
	for i := range s.remote {
		if s.remote[i].seq == p.dstSeq {
			return s.dropRemote(c, i)
		}
	}
	return nil
}

// handleRetireConnectionID takes RETIRE_CONNECTION_ID (RFC 9000, Section 19.16).
func (c *Conn) handleRetireConnectionID(f *wire.Frame, packetDst []byte) error {
	s := &c.ids
	if f.Seq >= s.sentSeq {
		return transportErr(ProtocolViolation, f.Type, "connection ID was never issued")
	}
	for i := range s.local {
		l := &s.local[i]
		if l.seq != f.Seq {
			continue
		}
		if string(l.id.Bytes()) == string(packetDst) {
			return transportErr(ProtocolViolation, f.Type, "connection ID of the packet that retires it")
		}
		if l.told {
			s.linger(c, l.id)
		}
		s.local = append(s.local[:i], s.local[i+1:]...)
		c.dirty = true
		s.issue(c)
		return nil
	}
	return nil
}

// linger keeps an ID that was retired for as long as packets may be under way.
func (s *idState) linger(c *Conn, id ConnID) {
	if len(s.lingering) >= maxLingering {
		s.dropLingering(c)
	}
	s.lingering = append(s.lingering, lingeringID{id: id, until: c.now + drainPTOs*c.pto()})
}

func (s *idState) dropLingering(c *Conn) {
	s.removed = append(s.removed, s.lingering[0].id)
	s.lingering = append(s.lingering[:0], s.lingering[1:]...)
	c.dirty = true
}

// lingerDeadline is when expireLingering has something to do.
func (s *idState) lingerDeadline() (time.Duration, bool) {
	if len(s.lingering) == 0 {
		return 0, false
	}
	return s.lingering[0].until, true
}

func (s *idState) expireLingering(c *Conn) {
	for len(s.lingering) > 0 && c.now >= s.lingering[0].until {
		s.dropLingering(c)
	}
}

// isResetToken tells whether the datagram ends in a stateless reset token of a
// peer's ID that was used and is not retired: others do not count (RFC 9000, Section 10.3.1).
func (s *idState) isResetToken(b []byte) bool {
	if len(b) < minResetSize {
		return false
	}
	tail := b[len(b)-16:]
	found := 0
	for i := range s.remote {
		if r := &s.remote[i]; r.hasToken && r.used {
			found |= constantTimeEqual(r.token[:], tail)
		}
	}
	return found == 1
}

// TakeRoutes returns which connection IDs and reset tokens were added and
// removed since the last call, for Endpoint.Apply; false if nothing changed.
// Apply it before the packets that the next Transmit writes are sent: they may
// tell the peer about an ID that has to be known by the time it answers.
func (io *IO) TakeRoutes() (RouteChanges, bool) {
	c := io.c
	if !c.dirty {
		return RouteChanges{}, false
	}
	c.dirty = false
	s := &c.ids
	r := RouteChanges{Removed: s.removed, RemovedResets: s.removedTok, Remote: c.paths.active.remote}
	s.removed, s.removedTok = nil, nil
	if c.life.phase == phaseGone {
		if s.allRemoved {
			return r, len(r.Removed) > 0 || len(r.RemovedResets) > 0
		}
		s.allRemoved = true
		for i := range s.local {
			if s.local[i].told {
				r.Removed = append(r.Removed, s.local[i].id)
			}
		}
		for i := range s.lingering {
			r.Removed = append(r.Removed, s.lingering[i].id)
		}
		for i := range s.remote {
			if s.remote[i].told {
				r.RemovedResets = append(r.RemovedResets, s.remote[i].token)
			}
		}
		if s.routed {
			r.Removed = append(r.Removed, s.chosenDst)
		}
		return r, true
	}
	for i := range s.local {
		if l := &s.local[i]; !l.told {
			l.told = true
			r.Added = append(r.Added, l.id)
		}
	}
	for i := range s.remote {
		if m := &s.remote[i]; m.hasToken && !m.told {
			m.told = true
			r.AddedResets = append(r.AddedResets, m.token)
		}
	}
	return r, true
}

// isLocal tells whether id is one of ours.
func (s *idState) isLocal(id []byte) bool {
	for i := range s.local {
		if string(s.local[i].id.Bytes()) == string(id) {
			return true
		}
	}
	for i := range s.lingering {
		if string(s.lingering[i].id.Bytes()) == string(id) {
			return true
		}
	}
	return false
}

// handshakeLocal is the source ID of our long headers (RFC 9000, Section 7.2).
func (s *idState) handshakeLocal() *ConnID { return &s.first }

func (s *idState) localBySeq(seq uint64) *localID {
	for i := range s.local {
		if s.local[i].seq == seq {
			return &s.local[i]
		}
	}
	return nil
}

func (s *idState) retiringBySeq(seq uint64) *sentVal {
	for i := range s.retiring {
		if s.retiring[i].seq == seq {
			return &s.retiring[i].val
		}
	}
	return nil
}

// onRetireAcked forgets a RETIRE_CONNECTION_ID that the peer has got.
func (s *idState) onRetireAcked(seq uint64) {
	for i := range s.retiring {
		if s.retiring[i].seq == seq {
			s.retiring = append(s.retiring[:i], s.retiring[i+1:]...)
			return
		}
	}
}

// appendTo writes the NEW_CONNECTION_ID and RETIRE_CONNECTION_ID frames that are due and fit.
func (s *idState) appendTo(c *Conn, b []byte, limit int, pn uint64) []byte {
	for i := range s.local {
		l := &s.local[i]
		if !l.issued.due() {
			continue
		}
		if limit-len(b) < maxControlSize {
			return b
		}
		b = wire.AppendNewConnectionID(b, l.seq, 0, l.id.Bytes(), &l.token)
		l.issued.onSent(pn)
		s.sentSeq = max(s.sentSeq, l.seq+1)
		c.loss.AddFrame(wire.SpaceApp, frameRecord{Kind: recNewConnectionID, Off: l.seq})
	}
	for i := range s.retiring {
		r := &s.retiring[i]
		if !r.val.due() {
			continue
		}
		if limit-len(b) < maxControlSize {
			return b
		}
		b = wire.AppendRetireConnectionID(b, r.seq)
		r.val.onSent(pn)
		c.loss.AddFrame(wire.SpaceApp, frameRecord{Kind: recRetireConnectionID, Off: r.seq})
	}
	s.due = false
	return b
}

// RotateConnID goes on under another of the peer's connection IDs, so that whoever
// watches cannot tell by it that the connection is the same: after a silence, say
// (RFC 9000, Sections 5.1 and 9.5). The old ID is retired, and the peer gives a new one
// for it. False: there is none at the moment that was not used before.
func (c *Conn) RotateConnID() bool {
	s := &c.ids
	if c.life.phase != phaseOpen || !c.hs.confirmed || len(s.retiring) >= maxPeerConnIDs {
		return false
	}
	p := c.paths.active
	for i := range s.remote {
		r := &s.remote[i]
		if r.used {
			continue
		}
		old := *p
		r.used = true
		p.dst, p.dstSeq = r.id, r.seq
		if err := s.release(c, &old); err != nil {
			c.fail(err)
		}
		return true
	}
	return false
}
