package quic

import "github.com/frittata-go/frittata/quic/internal/wire"

// maxSpareStreams bounds the states of each kind that are kept for later: at most some 700 bytes each, until the connection rests.
const maxSpareStreams = 128

// spareStreams are the states of streams that have ended, by the halves that they have. A connection that
// makes one short request after the other would else spend a quarter of its memory on them.
type spareStreams [numHalves]spareList

// spareList has those with the same halves, the oldest first.
type spareList struct {
	list []spareStream // from head on
	head int
}

// spareStream is a state that can be used again when what was sent of the stream is forgotten: until then
// news of a packet may still be about it.
type spareStream struct {
	st   *streamState
	mark uint32 // of Recovery.FramesAdded
}

// put keeps the state of a stream that was removed.
func (s *spareStreams) put(c *Conn, st *streamState) {
	s[halvesOf(st.id, st.id.ServerInitiated() != c.client)].put(c, st)
}

// take returns a state that is as new, nil if there is none.
func (s *spareStreams) take(c *Conn, h halves) *streamState {
	if s == nil {
		return nil
	}
	return s[h].take(c)
}

func (s *spareList) put(c *Conn, st *streamState) {
	if len(s.list)-s.head == maxSpareStreams || c.life.phase != phaseOpen {
		return
	}
	if s.head > 0 && len(s.list) == cap(s.list) {
		n := copy(s.list, s.list[s.head:])
		clear(s.list[n:])
		s.list, s.head = s.list[:n], 0
	}
	s.list = append(s.list, spareStream{st, c.loss.FramesAdded(wire.SpaceApp)})
}

func (s *spareList) take(c *Conn) *streamState {
	if s.head == len(s.list) || !c.loss.FramesGone(wire.SpaceApp, s.list[s.head].mark) {
		return nil
	}
	st := s.list[s.head].st
	s.list[s.head] = spareStream{}
	if s.head++; s.head == len(s.list) {
		s.list, s.head = s.list[:0], 0
	}
	st.renew()
	return st
}
