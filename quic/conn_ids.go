package quic

import (
	"github.com/frittata-go/frittata/quic/internal/wire"
)

const (
	// maxPeerConnIDs is how many of the peer's connection IDs are kept
	// (active_connection_id_limit): one in use, and some for migration.
	maxPeerConnIDs = 4
	// maxIssuedConnIDs is how many IDs of ours the peer gets at most, whatever
	// it would take.
	maxIssuedConnIDs = 4
	// maxRetiring bounds the RETIRE_CONNECTION_ID frames that are not yet
	// acked. A peer that keeps us from sending them and goes on issuing
	// IDs meets it.
	maxRetiring = 8 * maxPeerConnIDs
)

// localID is a connection ID that leads to us.
type localID struct {
	seq    uint64
	id     ConnID
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
}

type retiredID struct {
	seq uint64
	val sentVal
}

// idState has the connection IDs of both ends (RFC 9000, Section 5.1).
// Invariant: at least one remote ID, and every path uses one of them.
type idState struct {
	local     []localID
	nextSeq   uint64 // of our next ID
	peerLimit uint64 // how many the peer takes
	remote    []remoteID
	retireTo  uint64 // the greatest Retire Prior To that came
	retiring  []retiredID

	due          bool   // a frame of issued or retiring is to be sent
	handshakeSrc ConnID // source of the peer's first packet, and so of all its long headers
	lastUsed     ConnID // of ours, in the newest packet
	first        ConnID // of ours, the source of our long headers

	origDst    ConnID // of the client's first Initial
	origRouted bool   // a server's Endpoint still has origDst as a route
	removed    []ConnID
	removedTok [][16]byte
	allRemoved bool
}

func (s *idState) initClient(c *Conn) {
	// RFC 9000, Section 7.2: at least 8 unpredictable bytes.
	var b [8]byte
	fillRandom(c, b[:])
	s.origDst = NewConnID(b[:])
	s.remote = []remoteID{{id: s.origDst}}
	s.addLocal(c)
}

func (s *idState) initServer(c *Conn, in *Incoming) {
	s.origDst = in.dstID
	s.origRouted = true
	s.remote = []remoteID{{id: in.srcID}}
	s.addLocal(c)
}

func fillRandom(c *Conn, b []byte) {
	for i := range b {
		b[i] = byte(c.rng.Uint64())
	}
}

// addLocal makes a new ID of ours.
func (s *idState) addLocal(c *Conn) *localID {
	var id, random [MaxConnIDLen]byte
	n := c.cfg.ConnIDs.Len()
	fillRandom(c, random[:n])
	c.cfg.ConnIDs.Generate(id[:n], random[:n])
	s.local = append(s.local, localID{seq: s.nextSeq, id: NewConnID(id[:n])})
	if s.nextSeq == 0 {
		s.first = NewConnID(id[:n])
	}
	s.nextSeq++
	c.dirty = true
	return &s.local[len(s.local)-1]
}

func (l *localID) resetToken(c *Conn) [16]byte {
	if c.cfg.StatelessResetKey == nil {
		// The frame has the field in any case: a random token resets nothing.
		var t [16]byte
		fillRandom(c, t[:])
		return t
	}
	return statelessResetToken(c.cfg.StatelessResetKey, l.id.Bytes())
}

// issue makes IDs up to what the peer takes (RFC 9000, Section 5.1.1).
func (s *idState) issue(c *Conn) {
	if c.cfg.ConnIDs.Len() == 0 || !c.hs.connected {
		return
	}
	for uint64(len(s.local)) < s.peerLimit {
		s.addLocal(c).issued.set()
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

// onServerID replaces the ID that a client chose for the server by the server's own.
func (s *idState) onServerID(c *Conn, id []byte) {
	s.remote[0].id = NewConnID(id)
	for _, p := range c.paths.all() {
		p.dst = s.remote[0].id
	}
}

func (s *idState) onConfirmed(c *Conn) {
	if s.origRouted {
		s.origRouted = false
		s.removed = append(s.removed, s.origDst)
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
			return nil
		}
		if same {
			return transportErr(ProtocolViolation, f.Type, "connection ID came before under another number")
		}
	}
	if f.Seq < s.retireTo {
		// RFC 9000, Section 19.15: retired before it was used.
		return s.retire(f.Seq)
	}
	s.remote = append(s.remote, remoteID{seq: f.Seq, id: NewConnID(f.ConnID), token: f.ResetToken, hasToken: true})
	c.dirty = true
	if f.RetirePriorTo > s.retireTo {
		s.retireTo = f.RetirePriorTo
		for i := 0; i < len(s.remote); {
			if s.remote[i].seq >= s.retireTo {
				i++
				continue
			}
			if err := s.dropRemote(c, i); err != nil {
				return err
			}
		}
		for _, p := range c.paths.all() {
			if p.dstSeq < s.retireTo {
				s.assign(c, p)
			}
		}
	}
	if len(s.remote) > maxPeerConnIDs {
		return transportErr(ConnectionIDLimitError, f.Type, "more connection IDs than the limit")
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

// assign gives the path an ID of the peer that no other path uses, if there is one, else any.
func (s *idState) assign(c *Conn, p *path) {
	pick := &s.remote[len(s.remote)-1]
next:
	for i := range s.remote {
		for _, q := range c.paths.all() {
			if q != p && q.dstSeq == s.remote[i].seq {
				continue next
			}
		}
		pick = &s.remote[i]
		break
	}
	p.dst, p.dstSeq = pick.id, pick.seq
}

// rotate moves the path to a fresh ID, if the peer has given one, and retires the
// old one unless another path uses it (RFC 9000, Section 9.5).
func (s *idState) rotate(c *Conn, p *path) error {
	old := p.dstSeq
	fresh := -1
next:
	for i := range s.remote {
		for _, q := range c.paths.all() {
			if q.dstSeq == s.remote[i].seq {
				continue next
			}
		}
		fresh = i
		break
	}
	if fresh < 0 {
		return nil
	}
	p.dst, p.dstSeq = s.remote[fresh].id, s.remote[fresh].seq
	for _, q := range c.paths.all() {
		if q.dstSeq == old {
			return nil
		}
	}
	for i := range s.remote {
		if s.remote[i].seq == old {
			return s.dropRemote(c, i)
		}
	}
	return nil
}

// handleRetireConnectionID takes RETIRE_CONNECTION_ID (RFC 9000, Section 19.16).
func (c *Conn) handleRetireConnectionID(f *wire.Frame, packetDst []byte) error {
	s := &c.ids
	if f.Seq >= s.nextSeq {
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
			s.removed = append(s.removed, l.id)
		}
		s.local = append(s.local[:i], s.local[i+1:]...)
		c.dirty = true
		s.issue(c)
		return nil
	}
	return nil
}

// isResetToken tells whether the datagram ends in a stateless reset token of a
// peer's ID that is in use (RFC 9000, Section 10.3.1).
func (s *idState) isResetToken(b []byte) bool {
	if len(b) < minResetSize {
		return false
	}
	tail := b[len(b)-16:]
	found := 0
	for i := range s.remote {
		if r := &s.remote[i]; r.hasToken {
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
		for i := range s.remote {
			if s.remote[i].told {
				r.RemovedResets = append(r.RemovedResets, s.remote[i].token)
			}
		}
		if s.origRouted {
			r.Removed = append(r.Removed, s.origDst)
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
		token := l.resetToken(c)
		b = wire.AppendNewConnectionID(b, l.seq, 0, l.id.Bytes(), &token)
		l.issued.onSent(pn)
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
