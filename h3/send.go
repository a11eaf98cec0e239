package h3

import (
	"strings"

	"github.com/frittata-go/frittata/h3/qpack"
	"github.com/frittata-go/frittata/quic"
)

// OpenRequest sends a request's head on a new stream, at a client. fields begin
// with the pseudo-header fields; capital letters of names are sent as small
// ones. fin: there is no body. Nothing of fields is retained.
// quic.ErrStreamLimit: the peer allows no more now. ErrGoAway,
// ErrFieldSectionTooLarge, ErrExtendedConnect: nothing was sent.
func (c *Conn) OpenRequest(fields []Field, fin bool) (quic.StreamID, error) {
	switch {
	case c.err != nil:
		return 0, c.err
	case !c.client:
		return 0, ErrOrder
	case c.peerGoAway || c.goingAway: // RFC 9114, Section 5.2
		return 0, ErrGoAway
	}
	if err := c.checkSize(fields); err != nil {
		return 0, err
	}
	var head, connect bool
	for i := range fields {
		f := &fields[i]
		if !strings.HasPrefix(f.Name, ":") {
			break
		}
		switch {
		case f.Name == ":method":
			head, connect = f.Value == "HEAD", f.Value == "CONNECT"
		case f.Name == ":protocol" && !c.settings.EnableConnectProtocol: // RFC 9220, Section 3
			return 0, ErrExtendedConnect
		}
	}
	id, err := c.qc.OpenStream(quic.Bidi)
	if err != nil {
		return 0, err
	}
	st := c.newStream(id, kindRequest)
	st.headReq, st.connect = head, connect
	st.send = sendBody
	c.stats.Requests++
	if err := c.sendSection(st, fields, fin); err != nil {
		if c.streams[id] == st {
			c.abort(st, CodeRequestCancelled)
		}
		return 0, err
	}
	return id, nil
}

// SendHeaders sends a response's head, at a server: any number of interim ones
// (status 1xx) and then the final one. fields begin with ":status". It always
// takes all (what QUIC has no room for yet is kept).
func (c *Conn) SendHeaders(id quic.StreamID, fields []Field, fin bool) error {
	st, err := c.sending(id)
	if err != nil {
		return err
	}
	if st.send != sendHead || !st.known || len(fields) == 0 || fields[0].Name != ":status" {
		return ErrOrder
	}
	status := parseStatus(fields[0].Value)
	interim := status < 200
	if status == 0 || interim && fin {
		return ErrOrder
	}
	if err := c.checkSize(fields); err != nil {
		return err
	}
	if !interim {
		st.send = sendBody
	}
	return c.sendSection(st, fields, fin)
}

// SendTrailers sends trailers, which end the message.
func (c *Conn) SendTrailers(id quic.StreamID, fields []Field) error {
	st, err := c.sending(id)
	if err != nil {
		return err
	}
	if st.send != sendBody || st.tunnel {
		return ErrOrder
	}
	if err := c.checkSize(fields); err != nil {
		return err
	}
	return c.sendSection(st, fields, true)
}

// WriteBody sends p, or the first n bytes of it, in DATA frames. A short n with
// nil error: EventWritable tells when there is room. fin ends the message and
// counts only when n == len(p). After the peer stopped the stream the error is
// a *StreamError with Remote.
func (c *Conn) WriteBody(id quic.StreamID, p []byte, fin bool) (n int, err error) {
	st, err := c.body(id)
	if err != nil {
		return 0, err
	}
	if room, err := c.flush(st); err != nil || !room {
		if err == nil && len(p) == 0 && fin {
			st.pendFin, st.send = true, sendDone
			return 0, nil
		}
		st.short = true
		return 0, c.onWriteError(st, err)
	}
	if len(p) == 0 && !fin {
		return 0, nil
	}
	// A frame announces what QUIC has room for and no more, so that no
	// announced byte is owed.
	if len(p) > 0 {
		n = c.bodyRoom(id, len(p))
		if n == 0 {
			return 0, c.waitForRoom(st)
		}
		if err := c.writeDataHeader(st, n); err != nil {
			return 0, c.onWriteError(st, err)
		}
	}
	fin = fin && n == len(p)
	if err := c.writeAll(st, p[:n], fin); err != nil {
		return 0, c.onWriteError(st, err)
	}
	c.sentFin(st, fin)
	if n < len(p) {
		return n, c.waitForRoom(st)
	}
	return n, nil
}

// WriteBodyBuf sends b.B in a DATA frame and takes ownership of b, if there is
// any room. Else ok is false, b stays the caller's, and EventWritable tells
// when there is room. fin counts only when ok. With an error b stays the caller's too.
func (c *Conn) WriteBodyBuf(id quic.StreamID, b *quic.Buffer, fin bool) (ok bool, err error) {
	if len(b.B) == 0 {
		if _, err = c.WriteBody(id, nil, fin); err == nil {
			b.Release()
		}
		return err == nil, err
	}
	st, err := c.body(id)
	if err != nil {
		return false, err
	}
	if room, err := c.flush(st); err != nil || !room {
		st.short = true
		return false, c.onWriteError(st, err)
	}
	if c.bodyRoom(id, 1) == 0 {
		return false, c.waitForRoom(st)
	}
	if err := c.writeDataHeader(st, len(b.B)); err != nil {
		return false, c.onWriteError(st, err)
	}
	ok, err = c.qc.StreamWriteBuf(id, b, fin)
	if err != nil {
		return false, c.onWriteError(st, err)
	}
	if !ok {
		panic("BUG: h3: StreamWriteBuf refuses with room left")
	}
	c.sentFin(st, fin)
	return true, nil
}

// BodyCapacity returns how many bytes WriteBody would take now, or a few less.
func (c *Conn) BodyCapacity(id quic.StreamID) int {
	st := c.streams[id]
	if st == nil || st.kind != kindRequest || st.send != sendBody || len(st.pending) > 0 {
		return 0
	}
	return max(c.qc.StreamCapacity(id)-maxDataHeader, 0)
}

// ResetStream aborts what we send on a request's stream.
func (c *Conn) ResetStream(id quic.StreamID, code ErrorCode) error {
	st := c.streams[id]
	if st == nil || st.kind != kindRequest || st.send == sendDone && !st.pendFin {
		return ErrNoStream
	}
	err := c.qc.ResetStream(id, uint64(code))
	c.endSending(st)
	return err
}

// StopSending tells the peer that we read no more of a request's stream; its
// rest is dropped, and there are no more events of its receiving half.
func (c *Conn) StopSending(id quic.StreamID, code ErrorCode) error {
	st := c.streams[id]
	if st == nil || st.kind != kindRequest || st.recv == recvDone {
		return ErrNoStream
	}
	var err error
	if !st.fin {
		err = c.qc.StopSending(id, uint64(code))
	}
	st.recv = recvDone
	c.maybeForget(st)
	return err
}

// Cancel aborts both halves of a request's stream, as far as they are not done,
// and forgets it. It may be called at any time.
func (c *Conn) Cancel(id quic.StreamID, code ErrorCode) {
	c.ResetStream(id, code)
	c.StopSending(id, code)
}

// SetPriority sets by which priority the stream's data is sent. A server's Conn
// does that by itself, from the priority field and PRIORITY_UPDATE, unless
// Config.IgnorePriority.
func (c *Conn) SetPriority(id quic.StreamID, p Priority) error {
	return c.qc.SetStreamPriority(id, p.Urgency, p.Incremental)
}

// checkSize holds fields against what the peer accepts (RFC 9114, Section 4.2.2).
func (c *Conn) checkSize(fields []Field) error {
	if size, limit := qpack.SectionSize(fields), c.settings.MaxFieldSectionSize; size > limit {
		return &FieldSectionError{size, limit}
	}
	return nil
}

// sending returns a request's stream whose sending half is not done.
func (c *Conn) sending(id quic.StreamID) (*streamState, error) {
	if c.err != nil {
		return nil, c.err
	}
	st := c.streams[id]
	if st == nil || st.kind != kindRequest || st.send == sendDone {
		return nil, ErrNoStream
	}
	return st, nil
}

// body returns a stream of which the head was sent, and the end was not.
func (c *Conn) body(id quic.StreamID) (*streamState, error) {
	st, err := c.sending(id)
	if err == nil && st.send != sendBody {
		return nil, ErrOrder
	}
	return st, err
}

// maxDataHeader is the length of the longest header of a DATA frame, in bytes.
const maxDataHeader = 1 + 8

// bodyRoom returns how much of n body bytes QUIC takes now, with a frame's header.
func (c *Conn) bodyRoom(id quic.StreamID, n int) int {
	return min(n, max(c.qc.StreamCapacity(id)-maxDataHeader, 0))
}

// waitForRoom has EventWritable come when there is room, unless the reason that
// there is none is an error.
func (c *Conn) waitForRoom(st *streamState) error {
	if _, err := c.qc.StreamWrite(st.id, nil, false); err != nil {
		return c.onWriteError(st, err)
	}
	st.short = true
	c.qc.RearmWrite(st.id)
	return nil
}

func (c *Conn) writeDataHeader(st *streamState, n int) error {
	c.out = AppendFrameHeader(c.out[:0], FrameData, uint64(n))
	return c.writeAll(st, c.out, false)
}

// sendSection sends fields in a HEADERS frame.
func (c *Conn) sendSection(st *streamState, fields []Field, fin bool) error {
	// The header, whose length depends on the section's, goes right before it.
	var room [maxFrameHeader]byte
	c.out = c.enc.AppendSection(append(c.out[:0], room[:]...), fields)
	section := len(c.out) - maxFrameHeader
	header := AppendFrameHeader(room[:0], FrameHeaders, uint64(section))
	frame := c.out[maxFrameHeader-len(header):]
	copy(frame, header)
	if err := c.writeAll(st, frame, fin); err != nil {
		return c.onWriteError(st, err)
	}
	if cap(c.out) > maxKeptOut {
		c.out = nil
	}
	c.sentFin(st, fin)
	return nil
}

// maxKeptOut bounds the scratch for encoded fields that stays, in bytes.
const maxKeptOut = 16 << 10

// writeAll gives p to QUIC and keeps what it has no room for.
func (c *Conn) writeAll(st *streamState, p []byte, fin bool) error {
	n := 0
	if len(st.pending) == 0 {
		var err error
		if n, err = c.qc.StreamWrite(st.id, p, fin); err != nil {
			return err
		}
		if n == len(p) {
			return nil
		}
	}
	st.pending = append(st.pending, p[n:]...)
	st.pendFin = fin
	return nil
}

// flush gives QUIC what was kept. room: all of it went.
func (c *Conn) flush(st *streamState) (room bool, err error) {
	if len(st.pending) == 0 {
		return true, nil
	}
	n, err := c.qc.StreamWrite(st.id, st.pending, st.pendFin)
	if err != nil {
		return false, err
	}
	st.pending = st.pending[:copy(st.pending, st.pending[n:])]
	if len(st.pending) > 0 {
		return false, nil
	}
	st.pendFin = false
	return true, nil
}

// sentFin notes that the end of the message was sent, if fin.
func (c *Conn) sentFin(st *streamState, fin bool) {
	if !fin {
		return
	}
	st.send = sendDone
	if !st.pendFin {
		c.maybeForget(st)
	}
}

// endSending ends the sending half, whatever was kept for it.
func (c *Conn) endSending(st *streamState) {
	st.send, st.pendFin, st.pending = sendDone, false, st.pending[:0]
	c.maybeForget(st)
}

// onWriteError makes of an error of writing what the caller gets.
func (c *Conn) onWriteError(st *streamState, err error) error {
	if err == nil {
		return nil
	}
	id := st.id
	if code, ok := stopCode(err); ok {
		c.endSending(st)
		return &StreamError{Stream: id, Code: code, Remote: true}
	}
	if err == quic.ErrNoStream || err == quic.ErrStreamFinished {
		c.endSending(st) // stopped, and forgotten by QUIC before we looked
		return ErrNoStream
	}
	return err
}
