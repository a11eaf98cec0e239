package quic

import (
	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/stream"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

const (
	// maxStreamCount is the greatest number of streams of a kind (RFC 9000, Section 4.6).
	maxStreamCount = 1 << 60
	// defaultUrgency is that of RFC 9218, Section 4.1.
	defaultUrgency = 3
	maxUrgency     = 7
)

// streamsState has the connection's streams and what they share.
type streamsState struct {
	live  map[StreamID]*streamState
	last  *streamState  // of the previous look-up
	spare *spareStreams // made when the first stream ends

	own  [2]ownStreams  // by Dir
	peer [2]peerStreams // by Dir

	send, lost, ctl, read, write stream.Queue[*streamState]

	// The peer's initial_max_stream_data: of the streams that it opens, of those that we open, of unidirectional ones.
	peerBidiLocal, peerBidiRemote, peerUni uint64

	sendWindow stream.SendWindow
	unsent     int // bytes that were accepted and not sent
	recvWindow stream.RecvWindow
	received   uint64 // sum of the ends of what was received on each stream
	maxData    sentVal
	blocked    sentVal // DATA_BLOCKED
	blockedAt  uint64
}

// ownStreams are the streams of one direction that we open.
type ownStreams struct {
	next    uint64 // index of the next one
	limit   uint64 // the peer's
	blocked sentVal
	wanted  bool // OpenStream met the limit: tell when it is raised
}

// peerStreams are those that the peer opens.
type peerStreams struct {
	opened uint64     // all with a lesser index are open or were
	unseen ranges.Set // indexes that were opened by a greater one alone, and have no state yet
	limit  uint64     // what the peer was told, or will be by maxStreams
	most   uint64     // how many may be open at a time
	credit uint64     // streams that ended since limit was raised
	// lent are streams that gave their credit back but are not gone: all was
	// sent, and not all is acked. They are bounded by most once more.
	lent       uint64
	maxStreams sentVal
}

func (s *streamsState) init(cfg *Config) {
	s.live = make(map[StreamID]*streamState)
	s.recvWindow.Init(cfg.ConnWindow, cfg.MaxConnWindow)
	for d, most := range [2]int{cfg.MaxStreamsBidi, cfg.MaxStreamsUni} {
		s.peer[d].most = min(uint64(most), maxStreamCount)
		s.peer[d].limit = s.peer[d].most
	}
}

// onPeerParams takes the peer's limits (RFC 9000, Section 18.2).
func (s *streamsState) onPeerParams(p *wire.TransportParameters) {
	s.sendWindow.Raise(p.InitialMaxData)
	s.peerBidiLocal, s.peerBidiRemote = p.InitialMaxStreamDataBidiLocal, p.InitialMaxStreamDataBidiRemote
	s.peerUni = p.InitialMaxStreamDataUni
	s.own[Bidi].limit = p.InitialMaxStreamsBidi
	s.own[Uni].limit = p.InitialMaxStreamsUni
}

// closeSending frees what only an open connection needs of its streams.
func (s *streamsState) closeSending() {
	s.spare = nil
	for _, st := range s.live {
		st.discardSend()
		s.send.Remove(&st.send.node)
		s.lost.Remove(&st.send.lostNode)
		s.ctl.Remove(&st.ctlNode)
		s.write.Remove(&st.send.writeNode)
	}
}

// close frees all streams.
func (s *streamsState) close() {
	for id, st := range s.live {
		st.discardRecv()
		s.read.Remove(&st.recv.node)
		st.removed = true
		delete(s.live, id)
	}
	s.last = nil
	for d := range s.peer {
		s.peer[d].unseen = nil
	}
}

// rest lets go of the queues' memory, and of what is kept for streams to come.
func (s *streamsState) rest() {
	s.spare = nil
	for _, q := range []*stream.Queue[*streamState]{&s.send, &s.lost, &s.ctl, &s.read, &s.write} {
		q.Rest()
	}
}

// newStream makes the state of a stream.
func (c *Conn) newStream(id StreamID) *streamState {
	local := id.ServerInitiated() != c.client
	h := halvesOf(id, local)
	st := c.strs.spare.take(c, h)
	if st == nil {
		st = newStreamState(h)
	}
	st.init(id)
	if !st.send.done {
		switch {
		case id.Dir() == Uni:
			st.send.window.Init(c.strs.peerUni)
		case local:
			st.send.window.Init(c.strs.peerBidiRemote)
		default:
			st.send.window.Init(c.strs.peerBidiLocal)
		}
	}
	if !st.recv.done {
		st.recv.window.Init(c.cfg.StreamWindow, c.cfg.MaxStreamWindow)
	}
	c.strs.live[id] = st
	return st
}

// find returns the state of a stream, nil if there is none.
func (s *streamsState) find(id StreamID) *streamState {
	if s.last != nil && s.last.id == id {
		return s.last
	}
	st := s.live[id]
	if st != nil {
		s.last = st
	}
	return st
}

// streamFor returns the stream that a frame of the peer is about; nil, and no
// error, if it has ended already. It is the one place where the rules on roles
// and limits of all stream frames are (RFC 9000, Sections 3, 4.6, 19.4 to 19.13).
// toSender tells whether the frame speaks to the sending half.
func (c *Conn) streamFor(f *wire.Frame, toSender bool) (*streamState, error) {
	id := StreamID(f.StreamID)
	if st := c.strs.last; st != nil && st.id == id {
		if id.Dir() == Bidi {
			return st, nil
		}
	}
	local := id.ServerInitiated() != c.client
	if id.Dir() == Uni && toSender != local {
		return nil, transportErr(StreamStateError, f.Type, "frame for a half that the stream does not have")
	}
	idx := id.index()
	if local {
		if idx >= c.strs.own[id.Dir()].next {
			return nil, transportErr(StreamStateError, f.Type, "frame for a stream that was not opened")
		}
		return c.strs.find(id), nil
	}
	return c.peerStream(id, idx, f.Type)
}

// peerStream finds or opens a stream of the peer.
func (c *Conn) peerStream(id StreamID, idx, frameType uint64) (*streamState, error) {
	s := &c.strs
	p := &s.peer[id.Dir()]
	if idx >= p.limit {
		return nil, transportErr(StreamLimitError, frameType, "stream beyond the limit")
	}
	if idx < p.opened {
		if st := s.find(id); st != nil {
			return st, nil
		}
		if !p.unseen.Contains(idx) {
			return nil, nil
		}
		p.unseen.Remove(idx, idx+1)
	} else {
		// RFC 9000, Section 2.1: all streams with lower numbers open too.
		p.unseen.Add(p.opened, idx)
		p.opened = idx + 1
		p.maybeRaise()
	}
	c.stats.StreamsAccepted++
	st := c.newStream(id)
	s.last = st
	return st, nil
}

// armRead has NextReadable return the stream.
func (c *Conn) armRead(st *streamState) {
	c.strs.read.Push(&st.recv.node, st.urgency, st.incremental, uint64(st.id))
}

func (c *Conn) armWrite(st *streamState) {
	c.strs.write.Push(&st.send.writeNode, st.urgency, st.incremental, uint64(st.id))
}

func (c *Conn) armControl(st *streamState) {
	if !st.removed && st.hasControl() {
		c.strs.ctl.Push(&st.ctlNode, st.urgency, st.incremental, uint64(st.id))
	}
}

// armSend puts the stream where its data is sent from, and notes what keeps it from being sent.
func (c *Conn) armSend(st *streamState) {
	switch {
	case st.send.sendable():
		c.strs.send.Push(&st.send.node, st.urgency, st.incremental, uint64(st.id))
		c.noteBlocked()
	case st.send.buf.Unsent() > 0 && !st.send.reset.isSet():
		// RFC 9000, Section 4.1: the peer may want to know what holds us back.
		if limit := st.send.window.Limit(); !st.send.blocked.isSet() || st.send.blockedAt != limit {
			st.send.blockedAt = limit
			st.send.blocked.set()
		}
	}
	c.armControl(st)
}

// maybeFinish forgets a stream whose halves are both done, and gives the peer credit
// for another one.
func (c *Conn) maybeFinish(st *streamState) {
	if st.removed {
		return
	}
	c.maybeCredit(st)
	if !st.finished() || st.held {
		return
	}
	s := &c.strs
	st.removed = true
	delete(s.live, st.id)
	if s.last == st {
		s.last = nil
	}
	s.send.Remove(&st.send.node)
	s.lost.Remove(&st.send.lostNode)
	s.ctl.Remove(&st.ctlNode)
	s.read.Remove(&st.recv.node)
	s.write.Remove(&st.send.writeNode)
	st.discard()
	if st.credited {
		s.peer[st.id.Dir()].lent--
	}
	if s.spare == nil {
		s.spare = new(spareStreams)
	}
	s.spare.put(c, st)
}

// maybeCredit lets the peer open another stream as soon as nothing but
// acknowledgements is missing of this one.
func (c *Conn) maybeCredit(st *streamState) {
	if st.credited || st.held || !st.recv.done || st.id.ServerInitiated() != c.client {
		return
	}
	if !st.send.allSent() {
		return
	}
	p := &c.strs.peer[st.id.Dir()]
	if !st.send.done && p.lent >= p.most {
		return
	}
	st.credited = true
	p.lent++
	p.credit++
	p.maybeRaise()
}

// maybeRaise tells the peer of its credit: by a good part of the limit at a
// time, but at once if the peer has little left, which may be all that the
// streams that are still open leave it.
func (p *peerStreams) maybeRaise() {
	part := max(p.most/4, 1)
	if p.credit == 0 || p.credit < part && p.limit-p.opened >= part {
		return
	}
	p.limit = min(p.limit+p.credit, maxStreamCount)
	p.credit = 0
	p.maxStreams.set()
}

// OpenStream opens a stream. ErrStreamLimit: the peer allows no more now, and
// EventStreamsAvailable will tell when it does.
func (c *Conn) OpenStream(dir Dir) (StreamID, error) {
	if c.life.err != nil {
		return 0, c.life.err
	}
	if !c.hs.connected {
		return 0, ErrNotConnected
	}
	o := &c.strs.own[dir]
	if o.next >= o.limit {
		if !o.wanted {
			o.wanted = true
			o.blocked.set() // RFC 9000, Section 4.6
		}
		return 0, ErrStreamLimit
	}
	id := StreamID(o.next<<2 | uint64(dir)<<1)
	if !c.client {
		id |= 1
	}
	o.next++
	c.stats.StreamsOpened++
	c.strs.last = c.newStream(id)
	return id, nil
}

// StreamsAvailable returns how many streams OpenStream can open now.
func (c *Conn) StreamsAvailable(dir Dir) uint64 {
	if o := &c.strs.own[dir]; c.hs.connected && o.limit > o.next {
		return o.limit - o.next
	}
	return 0
}

// OpenStreams returns the number of streams that have state.
func (c *Conn) OpenStreams() int { return len(c.strs.live) }

// NextReadable returns a stream that has data, its end, or a reset for the
// application, in order of priority. The peer's streams are first seen here.
// The stream does not come again before something new arrives or RearmRead is called.
func (c *Conn) NextReadable() (StreamID, bool) {
	n := c.strs.read.Pop()
	if n == nil {
		return 0, false
	}
	return n.Value.id, true
}

// NextWritable returns a stream that takes data again after a write came up
// short, or whose peer sent STOP_SENDING, in order of priority.
func (c *Conn) NextWritable() (StreamID, bool) {
	n := c.strs.write.Pop()
	if n == nil {
		return 0, false
	}
	return n.Value.id, true
}

// RearmRead makes NextReadable return the stream again if there is anything to
// read: for an application that has taken less than all.
func (c *Conn) RearmRead(id StreamID) {
	if st := c.strs.find(id); st != nil && !st.recv.done &&
		(st.recv.buf.Readable() > 0 || st.recv.reset || st.recv.haveFinal && st.recv.buf.ReadOffset() == st.recv.final) {
		c.armRead(st)
	}
}

// RearmWrite makes NextWritable return the stream again as soon as it takes data.
func (c *Conn) RearmWrite(id StreamID) {
	if st := c.strs.find(id); st != nil && !st.send.done {
		st.send.short = true
		c.maybeWritable(st)
	}
}

// maybeWritable tells the application once there is room for a good piece.
func (c *Conn) maybeWritable(st *streamState) {
	if st.send.short && st.send.buf.Unsent() <= c.sendLimit()/2 {
		st.send.short = false
		c.armWrite(st)
	}
}

// SetStreamPriority sets the order in which streams are sent and told by
// NextReadable: urgency 0 (first) to 7, incremental streams of one urgency in
// turn, others one after the other (RFC 9218, Section 4). The default is 3, false.
func (c *Conn) SetStreamPriority(id StreamID, urgency uint8, incremental bool) error {
	if c.life.err != nil {
		return c.life.err
	}
	st := c.strs.find(id)
	if st == nil {
		return ErrNoStream
	}
	urgency = min(urgency, maxUrgency)
	if st.urgency == urgency && st.incremental == incremental {
		return nil
	}
	st.urgency, st.incremental = urgency, incremental
	s := &c.strs
	for _, q := range [...]struct {
		queue *stream.Queue[*streamState]
		node  *stream.Node[*streamState]
	}{{&s.send, &st.send.node}, {&s.lost, &st.send.lostNode}, {&s.ctl, &st.ctlNode}, {&s.read, &st.recv.node}, {&s.write, &st.send.writeNode}} {
		if q.node.Queued() {
			q.queue.Remove(q.node)
			q.queue.Push(q.node, urgency, incremental, uint64(id))
		}
	}
	return nil
}

// HoldStream keeps a stream of the peer counted against its limit until
// ReleaseStream, even when both halves are done: while a handler still runs for it, say.
func (c *Conn) HoldStream(id StreamID) {
	if st := c.strs.find(id); st != nil {
		st.held = true
	}
}

// ReleaseStream ends HoldStream.
func (c *Conn) ReleaseStream(id StreamID) {
	if st := c.strs.find(id); st != nil && st.held {
		st.held = false
		c.maybeFinish(st)
	}
}
