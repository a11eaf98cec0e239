package quic

import (
	"github.com/frittata-go/frittata/quic/internal/stream"
)

// streamState is a stream, both halves. A half that the stream's direction does
// not have is done from the start.
type streamState struct {
	id   StreamID
	send sendHalf
	recv recvHalf

	urgency     uint8
	incremental bool
	held        bool // HoldStream: no new credit for the peer before ReleaseStream
	credited    bool // the peer got credit for another stream in this one's place
	removed     bool

	sendNode  stream.Node[*streamState] // has data to send
	lostNode  stream.Node[*streamState] // has data to send again
	ctlNode   stream.Node[*streamState] // has control frames to send
	readNode  stream.Node[*streamState] // for NextReadable
	writeNode stream.Node[*streamState] // for NextWritable
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
