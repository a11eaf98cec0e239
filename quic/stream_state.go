package quic

import (
	"github.com/frittata-go/frittata/quic/internal/stream"
)

// streamState is a stream. A half that the stream's direction does not have is
// noSend or noRecv. newStreamState makes it, init begins it.
type streamState struct {
	id   StreamID
	send *sendHalf
	recv *recvHalf

	urgency     uint8
	incremental bool
	held        bool // HoldStream: no new credit for the peer before ReleaseStream
	credited    bool // the peer got credit for another stream in this one's place
	removed     bool

	ctlNode stream.Node[*streamState] // has control frames to send
}

// noSend and noRecv stand for the half that a unidirectional stream does not have: it
// is done from the start, and never changes.
var (
	noSend = &sendHalf{done: true}
	noRecv = &recvHalf{done: true}
)

// halves tells which halves a stream has.
type halves uint8

const (
	bothHalves halves = iota
	onlySend
	onlyRecv
	numHalves
)

// halvesOf returns those of a stream; local tells whether we open it.
func halvesOf(id StreamID, local bool) halves {
	switch {
	case id.Dir() == Bidi:
		return bothHalves
	case local:
		return onlySend
	}
	return onlyRecv
}

// newStreamState makes a stream with the halves that are asked for, in one piece of memory.
func newStreamState(h halves) *streamState {
	switch h {
	case onlySend:
		s := new(struct {
			streamState
			half sendHalf
		})
		s.send, s.recv = &s.half, noRecv
		return &s.streamState
	case onlyRecv:
		s := new(struct {
			streamState
			half recvHalf
		})
		s.send, s.recv = noSend, &s.half
		return &s.streamState
	}
	s := new(struct {
		streamState
		out sendHalf
		in  recvHalf
	})
	s.send, s.recv = &s.out, &s.in
	return &s.streamState
}

// init begins a stream whose state is new, or as new.
func (s *streamState) init(id StreamID) {
	s.id, s.urgency = id, defaultUrgency
	s.ctlNode.Value = s
	if h := s.send; h != noSend {
		h.node.Value, h.lostNode.Value, h.writeNode.Value = s, s, s
	}
	if h := s.recv; h != noRecv {
		h.node.Value = s
	}
}

// renew makes the state of a stream that has ended as new, but for memory that its buffers have.
func (s *streamState) renew() {
	if h := s.send; h != noSend {
		buf := h.buf
		buf.Reuse()
		*h = sendHalf{buf: buf}
	}
	if h := s.recv; h != noRecv {
		buf := h.buf
		buf.Reuse()
		*h = recvHalf{buf: buf}
	}
	*s = streamState{send: s.send, recv: s.recv}
}

// discard frees the memory of both halves.
func (s *streamState) discard() {
	s.discardSend()
	s.discardRecv()
}

func (s *streamState) discardSend() {
	if s.send != noSend {
		s.send.buf.Discard()
	}
}

func (s *streamState) discardRecv() {
	if s.recv != noRecv {
		s.recv.buf.Discard()
	}
}

// sendHalf is the sending part of a stream (RFC 9000, Section 3.1).
type sendHalf struct {
	buf       stream.SendBuffer
	window    stream.SendWindow
	fin       sentVal // the end of the stream, once written
	reset     sentVal
	blocked   sentVal // STREAM_DATA_BLOCKED
	blockedAt uint64  // the limit that blocked tells
	resetCode uint64
	resetAt   uint64 // the final size that the reset tells
	stopCode  uint64
	stopped   bool // the peer sent STOP_SENDING
	short     bool // a write came up short: tell when there is room
	done      bool // all acked, or the reset is

	node      stream.Node[*streamState] // has data to send
	lostNode  stream.Node[*streamState] // has data to send again
	writeNode stream.Node[*streamState] // for NextWritable
}

// recvHalf is the receiving part of a stream (RFC 9000, Section 3.2).
type recvHalf struct {
	buf       stream.RecvBuffer
	window    stream.RecvWindow
	highest   uint64 // end of what was received
	final     uint64 // the final size, if haveFinal
	resetCode uint64
	stopCode  uint64
	maxData   sentVal // MAX_STREAM_DATA
	stop      sentVal // STOP_SENDING
	haveFinal bool
	reset     bool // the peer reset it
	stopped   bool // we want no more of it
	done      bool // the application knows its end, or wants no more and the final size is known

	node stream.Node[*streamState] // for NextReadable
}

// sendable tells whether new bytes can go out as far as the stream's own window allows.
func (h *sendHalf) sendable() bool {
	return !h.done && !h.reset.isSet() && h.buf.Unsent() > 0 && h.window.Available() > 0
}

// finAlone tells whether the end of the stream is due and all before it was sent.
func (h *sendHalf) finAlone() bool {
	return h.fin.due() && !h.reset.isSet() && h.buf.Unsent() == 0
}

// allSent tells whether nothing new of the half will go out.
func (h *sendHalf) allSent() bool {
	return h.done || h.reset.isSet() && !h.reset.due() || h.fin.isSet() && !h.fin.due() && h.buf.Unsent() == 0
}

// hasControl tells whether the stream has control frames to send.
func (s *streamState) hasControl() bool {
	return s.send.reset.due() || s.send.finAlone() || s.send.blocked.due() || s.recv.maxData.due() || s.recv.stop.due()
}

// finished tells whether both halves are done.
func (s *streamState) finished() bool { return s.send.done && s.recv.done }
