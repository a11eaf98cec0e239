package quic

import (
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// writable returns the stream whose sending half takes data, or why none does.
func (c *Conn) writable(id StreamID) (*streamState, error) {
	if c.life.err != nil {
		return nil, c.life.err
	}
	st := c.strs.find(id)
	if st == nil {
		return nil, ErrNoStream
	}
	switch h := st.send; {
	case h.stopped:
		return nil, &StreamStoppedError{Stream: id, Code: h.stopCode}
	case h.reset.isSet() || h.fin.isSet():
		return nil, ErrStreamFinished
	case h.done:
		return nil, ErrNoStream
	}
	return st, nil
}

// sendLimit is how many bytes a stream may have that are not sent.
func (c *Conn) sendLimit() int {
	if c.strs.unsent >= c.cfg.ConnSendBuffer {
		return min(c.cfg.SendBuffer, leastSendBuffer)
	}
	return c.cfg.SendBuffer
}

func (c *Conn) sendRoom(st *streamState) int {
	return max(c.sendLimit()-st.send.buf.Unsent(), 0)
}

// StreamWrite takes the bytes of p that fit the stream's send buffer, which
// bounds what is not sent yet. When n is less than len(p) the error is nil, and
// NextWritable tells when there is room. fin ends the stream; it counts only
// when all of p was taken.
func (c *Conn) StreamWrite(id StreamID, p []byte, fin bool) (n int, err error) {
	st, err := c.writable(id)
	if err != nil {
		return 0, err
	}
	n = min(len(p), c.sendRoom(st))
	if n > 0 {
		st.send.buf.Write(c.cfg.Buffers, p[:n])
		c.strs.unsent += n
	}
	if n < len(p) {
		st.send.short = true
	} else if fin {
		c.endSend(st)
	}
	c.armSend(st)
	return n, nil
}

// StreamWriteBuf takes all of b, by ownership and without a copy, if there is
// any room at all. Else ok is false, b stays the caller's, and NextWritable tells when there is room.
func (c *Conn) StreamWriteBuf(id StreamID, b *Buffer, fin bool) (ok bool, err error) {
	st, err := c.writable(id)
	if err != nil {
		return false, err
	}
	if c.sendRoom(st) == 0 {
		st.send.short = true
		return false, nil
	}
	if n := len(b.B); n > 0 {
		st.send.buf.WriteBuf(b)
		c.strs.unsent += n
	} else {
		b.Release()
	}
	if fin {
		c.endSend(st)
	}
	c.armSend(st)
	return true, nil
}

// endSend ends what the application writes: NextWritable tells of the stream no more.
func (c *Conn) endSend(st *streamState) {
	st.send.fin.set()
	st.send.short = false
	c.strs.write.Remove(&st.send.writeNode)
}

// StreamCapacity returns how many bytes StreamWrite would take now.
func (c *Conn) StreamCapacity(id StreamID) int {
	st, err := c.writable(id)
	if err != nil {
		return 0
	}
	return c.sendRoom(st)
}

// ResetStream ends our half of the stream abruptly with RESET_STREAM (RFC 9000,
// Section 3.1): what the peer has not got yet is lost. code is the application protocol's.
func (c *Conn) ResetStream(id StreamID, code uint64) error {
	if c.life.err != nil {
		return c.life.err
	}
	st := c.strs.find(id)
	if st == nil {
		return ErrNoStream
	}
	c.resetStream(st, code)
	return nil
}

func (c *Conn) resetStream(st *streamState, code uint64) {
	h := st.send
	if h.done || h.reset.isSet() {
		return
	}
	h.resetCode = min(code, wire.MaxVarint)
	h.resetAt = h.buf.Next()
	c.strs.unsent -= h.buf.Unsent()
	h.buf.Discard()
	h.fin.clear()
	h.blocked.clear()
	h.short = false
	h.reset.set()
	c.strs.send.Remove(&st.send.node)
	c.strs.lost.Remove(&st.send.lostNode)
	c.armControl(st)
}

// handleStopSending takes STOP_SENDING (RFC 9000, Section 3.5): the stream is reset.
func (c *Conn) handleStopSending(f *wire.Frame) error {
	st, err := c.streamFor(f, true)
	if st == nil || err != nil {
		return err
	}
	h := st.send
	if h.done || h.reset.isSet() || h.stopped {
		return nil
	}
	h.stopped, h.stopCode = true, f.ErrorCode
	c.resetStream(st, f.ErrorCode)
	c.armWrite(st)
	return nil
}

// handleMaxStreamData takes MAX_STREAM_DATA (RFC 9000, Section 19.10).
func (c *Conn) handleMaxStreamData(f *wire.Frame) error {
	st, err := c.streamFor(f, true)
	if st == nil || err != nil {
		return err
	}
	if !st.send.done && st.send.window.Raise(f.Limit) {
		st.send.blocked.clear()
		c.armSend(st)
	}
	return nil
}

// handleMaxStreams takes MAX_STREAMS (RFC 9000, Section 19.11).
func (c *Conn) handleMaxStreams(f *wire.Frame) {
	d := Bidi
	if f.Type == wire.FrameMaxStreamsUni {
		d = Uni
	}
	o := &c.strs.own[d]
	if f.Limit <= o.limit {
		return
	}
	o.limit = f.Limit
	o.blocked.clear()
	if o.wanted {
		o.wanted = false
		c.events.setStreams(d)
	}
}

// appendStreamControl writes the control frames of streams that fit below limit.
func (c *Conn) appendStreamControl(b []byte, limit int, pn uint64) []byte {
	s := &c.strs
	for n := s.ctl.Peek(); n != nil; n = s.ctl.Peek() {
		if limit-len(b) < maxStreamControlSize {
			return b
		}
		st := n.Value
		b = c.appendControlOf(b, st, pn)
		s.ctl.Remove(n)
	}
	return b
}

// maxStreamControlSize is the most that the control frames of one stream take, in bytes:
// RESET_STREAM or an empty STREAM frame, STREAM_DATA_BLOCKED, MAX_STREAM_DATA and STOP_SENDING.
const maxStreamControlSize = 25 + 17 + 17 + 17

func (c *Conn) appendControlOf(b []byte, st *streamState, pn uint64) []byte {
	id := uint64(st.id)
	h, r := st.send, st.recv
	if h.reset.due() {
		b = wire.AppendResetStream(b, id, h.resetCode, h.resetAt)
		h.reset.onSent(pn)
		c.loss.AddFrame(wire.SpaceApp, frameRecord{Kind: recResetStream, Stream: st})
		c.maybeCredit(st)
	}
	if h.finAlone() {
		end := h.buf.End()
		b = wire.AppendStreamHeader(b, id, end, 0, true, true)
		h.fin.onSent(pn)
		c.loss.AddFrame(wire.SpaceApp, frameRecord{Kind: recStream, Fin: true, Off: end, Stream: st})
		c.maybeCredit(st)
	}
	if h.blocked.due() {
		b = wire.AppendStreamDataBlocked(b, id, h.blockedAt)
		h.blocked.onSent(pn)
		c.loss.AddFrame(wire.SpaceApp, frameRecord{Kind: recStreamDataBlocked, Stream: st})
	}
	if r.maxData.due() {
		b = wire.AppendMaxStreamData(b, id, r.window.Limit())
		r.maxData.onSent(pn)
		c.loss.AddFrame(wire.SpaceApp, frameRecord{Kind: recMaxStreamData, Stream: st})
	}
	if r.stop.due() {
		b = wire.AppendStopSending(b, id, r.stopCode)
		r.stop.onSent(pn)
		c.loss.AddFrame(wire.SpaceApp, frameRecord{Kind: recStopSending, Stream: st})
	}
	return b
}

// appendLostData writes stream data again that was lost, as much as fits.
func (c *Conn) appendLostData(b []byte, limit int, pn uint64) []byte {
	s := &c.strs
	for n := s.lost.Peek(); n != nil; n = s.lost.Peek() {
		st := n.Value
		off, avail := st.send.buf.Lost()
		if avail == 0 {
			s.lost.Remove(n)
			c.armControl(st) // the end may have been lost with it
			continue
		}
		before := len(b)
		var sent int
		if b, sent = c.appendStreamData(b, limit, st, off, avail, pn); len(b) == before {
			return b
		}
		c.stats.StreamBytesRetransmitted += uint64(sent)
		if limit-len(b) < minStreamRoom {
			s.lost.Served(n)
			return b
		}
	}
	return b
}

// appendNewData writes stream data that was not sent yet, as far as both windows and the packet allow.
func (c *Conn) appendNewData(b []byte, limit int, pn uint64) []byte {
	s := &c.strs
	for n := s.send.Peek(); n != nil; n = s.send.Peek() {
		st := n.Value
		h := st.send
		conn := s.sendWindow.Available()
		if conn == 0 {
			break
		}
		avail := int(min(uint64(h.buf.Unsent()), h.window.Available(), conn))
		before := len(b)
		var sent int
		if b, sent = c.appendStreamData(b, limit, st, h.buf.Next(), avail, pn); len(b) == before {
			return b
		}
		h.window.Use(sent)
		s.sendWindow.Use(sent)
		s.unsent -= sent
		c.stats.StreamBytesSent += uint64(sent)
		if !h.sendable() {
			s.send.Remove(n)
			c.armSend(st)
			c.maybeCredit(st)
		}
		c.maybeWritable(st)
		if limit-len(b) < minStreamRoom {
			s.send.Served(n)
			break
		}
	}
	c.noteBlocked()
	return b
}

// noteBlocked has DATA_BLOCKED sent, once for each limit, while streams wait for
// the connection's window (RFC 9000, Section 4.1).
func (c *Conn) noteBlocked() {
	s := &c.strs
	if s.send.Len() == 0 || s.sendWindow.Available() > 0 {
		return
	}
	if at := s.sendWindow.Limit(); !s.blocked.isSet() || s.blockedAt != at {
		s.blockedAt = at
		s.blocked.set()
	}
}

// minStreamRoom is the least room in a packet, in bytes, that is worth another STREAM frame.
const minStreamRoom = 32

// maxStreamFrame bounds the data of one STREAM frame, so that its Length takes two bytes.
const maxStreamFrame = 1<<14 - 1

// appendStreamData writes a STREAM frame of up to avail bytes at off. It writes
// nothing if the room is too small.
func (c *Conn) appendStreamData(b []byte, limit int, st *streamState, off uint64, avail int, pn uint64) (out []byte, sent int) {
	h := st.send
	room := limit - len(b)
	n := min(avail, maxStreamFrame, room)
	n = min(n, room-wire.StreamHeaderLen(uint64(st.id), off, n))
	if n <= 0 {
		return b, 0
	}
	fin := h.fin.isSet() && off+uint64(n) == h.buf.End()
	b = wire.AppendStreamHeader(b, uint64(st.id), off, n, fin, true)
	at := len(b)
	b = b[:at+n]
	h.buf.Copy(b[at:], off)
	h.buf.OnSent(off, n)
	if fin {
		h.fin.onSent(pn)
	}
	c.loss.AddFrame(wire.SpaceApp, frameRecord{Kind: recStream, Fin: fin, Off: off, Len: uint32(n), Stream: st})
	return b, n
}

// onStreamAcked takes the news that the peer has a STREAM frame.
func (c *Conn) onStreamAcked(f *frameRecord) {
	st := f.Stream
	h := st.send
	if st.removed || h.reset.isSet() {
		return
	}
	h.buf.OnAcked(f.Off, int(f.Len))
	if f.Fin {
		h.fin.onAckedAny()
	}
	if h.fin.acked() && h.buf.AllAcked() {
		h.done = true
		c.maybeFinish(st)
	}
}

// onStreamLost makes due what a lost STREAM frame had.
func (c *Conn) onStreamLost(f *frameRecord) {
	st := f.Stream
	h := st.send
	if st.removed || h.done || h.reset.isSet() {
		return
	}
	h.buf.OnLost(f.Off, int(f.Len))
	if f.Fin && !h.fin.acked() {
		h.fin.set()
	}
	if _, n := h.buf.Lost(); n > 0 {
		c.strs.lost.Push(&st.send.lostNode, st.urgency, st.incremental, uint64(st.id))
	} else {
		c.armControl(st)
	}
}
