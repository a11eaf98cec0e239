package h3

import (
	"github.com/frittata-go/frittata/h3/qpack"
	"github.com/frittata-go/frittata/quic"
)

// readRequest goes on with a request's stream to its next event, if that is there.
func (c *Conn) readRequest(st *streamState) (Event, bool, error) {
	if st.recv == recvDone {
		return Event{}, false, nil
	}
	more, err := c.nextFrame(st)
	if err != nil {
		return c.onReadError(st, err)
	}
	if !more {
		if st.atEnd() {
			return c.endMessage(st)
		}
		return Event{}, false, nil
	}
	if st.kind == kindRaw {
		return Event{Kind: EventRawStream, Stream: st.id, ID: st.frameType}, true, nil
	}
	if st.frameType == FrameData {
		return c.onData(st)
	}
	payload, err := c.readPayload(st)
	if err != nil {
		return c.onReadError(st, err)
	}
	if payload == nil {
		if st.fin {
			err = errTruncated()
		}
		return Event{}, false, err
	}
	st.inFrame = false
	return c.onFieldSection(st, payload)
}

// atEnd tells whether a stream ended at the end of a frame.
func (st *streamState) atEnd() bool { return st.fin && !st.inFrame && st.header.n == 0 }

func errTruncated() *Error {
	return &Error{CodeFrameError, "stream ends in the middle of a frame"} // RFC 9114, Section 7.1
}

// nextFrame comes to the next frame that matters, or to what is left of the one that st is in: HEADERS, or
// DATA with a payload. more is false when it is not there yet, and at the
// stream's end. Errors that are no *Error or *messageFault are the transport's.
func (c *Conn) nextFrame(st *streamState) (more bool, err error) {
	for {
		if st.inFrame {
			switch st.frameType {
			case FrameData:
				if st.left > 0 {
					return true, nil
				}
			case FrameHeaders:
				return true, nil
			default:
				if done, err := c.skip(st); !done {
					if err == nil && st.fin {
						err = errTruncated()
					}
					return false, err
				}
			}
			st.inFrame = false
		}
		if st.kind == kindBidiNew {
			if raw, err := c.bidiType(st); raw || err != nil || st.kind == kindBidiNew {
				return raw, err
			}
		}
		got, err := c.readHeader(st, false)
		if err != nil {
			return false, err
		}
		if !got {
			if st.fin && st.header.n > 0 {
				return false, errTruncated()
			}
			return false, nil
		}
		st.frameType, st.left = st.header.take()
		st.inFrame = true
		if err := c.beginFrame(st); err != nil {
			return false, err
		}
	}
}

// bidiType finds out whether a bidirectional stream of the peer is a request's or
// raw. kindBidiNew stays while that is open.
func (c *Conn) bidiType(st *streamState) (raw bool, err error) {
	got, err := c.readHeader(st, true)
	if err != nil {
		return false, err
	}
	if !got {
		if st.fin && c.client {
			return false, errServerBidi()
		}
		if st.fin && st.header.n > 0 {
			return false, errTruncated()
		}
		return false, nil
	}
	t, _ := ConsumeVarint(st.header.b[:st.header.n])
	for _, want := range c.cfg.RawBidiTypes {
		if t == want {
			st.kind, st.frameType = kindRaw, t
			c.requests--
			return true, nil
		}
	}
	if c.client {
		return false, errServerBidi()
	}
	st.kind = kindRequest
	return false, nil
}

func errServerBidi() *Error { // RFC 9114, Section 6.1
	return &Error{CodeStreamCreationError, "bidirectional stream of the server"}
}

// messageFault is why a message is malformed, or refused for what it is.
type messageFault struct {
	code   ErrorCode
	reason string
	short  bool // the message ended before it was complete
}

func (f *messageFault) Error() string { return f.reason }

func malformed(reason string) error { return &messageFault{code: CodeMessageError, reason: reason} }

func incomplete(code ErrorCode, reason string) error {
	return &messageFault{code: code, reason: reason, short: true}
}

// beginFrame judges a frame by its type and length (RFC 9114, Sections 4.1 and 7).
func (c *Conn) beginFrame(st *streamState) error {
	switch fateOnRequest(st.frameType) {
	case frameUnexpected:
		return &Error{CodeFrameUnexpected, "frame that may not be on a request stream"}
	case frameSkip:
		c.stats.FramesSkipped++
		return c.glitch(glitchFrame)
	}
	switch st.frameType {
	case FramePushPromise:
		if !c.client { // RFC 9114, Section 7.2.5
			return &Error{CodeFrameUnexpected, "PUSH_PROMISE of a client"}
		}
		return &Error{CodeIDError, "PUSH_PROMISE without MAX_PUSH_ID"}
	case FrameData:
		if st.recv != recvBody {
			return &Error{CodeFrameUnexpected, "DATA before the head or after the trailers"}
		}
		if err := c.onDataLength(st); err != nil {
			return err
		}
		return st.countBody()
	default: // HEADERS
		if st.recv == recvTail {
			return &Error{CodeFrameUnexpected, "HEADERS after the trailers"}
		}
		if st.recv == recvBody && st.tunnel { // RFC 9114, Section 4.4
			return &Error{CodeFrameUnexpected, "HEADERS in a tunnel"}
		}
		// What is longer than the limit when encoded is so when decoded: an
		// encoder that makes strings longer than they are is not to be served.
		if st.left > c.cfg.MaxFieldSectionSize {
			return errFieldsTooLarge
		}
	}
	return nil
}

var errFieldsTooLarge = &messageFault{code: CodeExcessiveLoad, reason: "field section too large"}

// countBody holds the length of a DATA frame against content-length (RFC 9114, Section 4.1.2).
func (st *streamState) countBody() error {
	if st.noContent && st.left > 0 {
		return malformed("content in a response that has none")
	}
	if st.length >= 0 && st.left > uint64(st.length)-st.received {
		return malformed("more content than content-length")
	}
	st.received += st.left // below 2^62 a frame, and each has to be read to the end: no overflow
	return nil
}

// onData tells of body bytes, unless the stream was reset behind the caller's back.
func (c *Conn) onData(st *streamState) (Event, bool, error) {
	if st.fin {
		return Event{}, false, errTruncated()
	}
	_, fin, err := c.qc.StreamRead(st.id, nil)
	if err != nil {
		return c.onReadError(st, err)
	}
	if st.fin = fin; fin {
		return Event{}, false, errTruncated()
	}
	if c.qc.StreamReadable(st.id) == 0 {
		return Event{}, false, nil
	}
	return Event{Kind: EventData, Stream: st.id}, true, nil
}

// onFieldSection takes a complete HEADERS frame.
func (c *Conn) onFieldSection(st *streamState, payload []byte) (Event, bool, error) {
	fields, err := c.dec.Decode(c.fields[:0], payload, c.cfg.MaxFieldSectionSize)
	if err == qpack.ErrTooLarge {
		return c.onReadError(st, errFieldsTooLarge)
	}
	if err != nil {
		return Event{}, false, qpackError(err)
	}
	c.fields = fields
	if st.recv == recvBody {
		return c.onTrailers(st, fields)
	}
	m := &c.msg
	var fault string
	if c.client {
		fault = parseResponse(fields, m)
	} else {
		fault = parseRequest(fields, c.cfg.EnableConnectProtocol, m)
	}
	if fault != "" {
		return c.onReadError(st, malformed(fault))
	}
	ev := Event{Kind: EventHeaders, Stream: st.id, Fields: fields, Status: m.status, ContentLength: m.contentLength}
	if c.client && m.interim() {
		if st.fin {
			return c.onReadError(st, incomplete(CodeMessageError, "no response after an interim one"))
		}
		ev.Interim, ev.ContentLength = true, -1
		st.known = true
		return ev, true, c.glitch(glitchFrame)
	}
	st.recv = recvBody
	st.length = m.contentLength
	if c.client {
		st.noContent = st.headReq || m.noContent()
		st.tunnel = st.connect && m.status/100 == 2
	} else {
		st.tunnel = m.connect || m.extended
	}
	if st.noContent || st.tunnel {
		st.length = -1
	}
	if st.fin {
		if err := st.checkLength(); err != nil {
			return c.onReadError(st, err)
		}
		ev.End = true
	}
	if !c.client {
		c.stats.Requests++
		c.setInitialPriority(st, m)
	}
	st.known = true
	c.endIf(st, ev.End)
	return ev, true, nil
}

func (c *Conn) onTrailers(st *streamState, fields []Field) (Event, bool, error) {
	if fault := parseTrailers(fields); fault != "" {
		return c.onReadError(st, malformed(fault))
	}
	st.recv = recvTail
	ev := Event{Kind: EventTrailers, Stream: st.id, Fields: fields, ContentLength: -1, End: st.fin}
	if err := st.checkLength(); err != nil {
		return c.onReadError(st, err)
	}
	c.endIf(st, ev.End)
	return ev, true, nil
}

// endIf ends the receiving half.
func (c *Conn) endIf(st *streamState, end bool) {
	if end {
		st.recv = recvDone
		c.maybeForget(st)
	}
}

// checkLength holds a complete body against content-length (RFC 9114, Section 4.1.2).
func (st *streamState) checkLength() error {
	if st.length >= 0 && st.received != uint64(st.length) {
		return incomplete(CodeMessageError, "less content than content-length")
	}
	return nil
}

// endMessage takes the end of the stream after a complete frame.
func (c *Conn) endMessage(st *streamState) (Event, bool, error) {
	if st.recv == recvHead {
		if c.client {
			return c.onReadError(st, incomplete(CodeMessageError, "stream ends without a response"))
		}
		return c.onReadError(st, incomplete(CodeRequestIncomplete, "stream ends without a request"))
	}
	if err := st.checkLength(); err != nil {
		return c.onReadError(st, err)
	}
	id := st.id
	c.endIf(st, true)
	return Event{Kind: EventEnd, Stream: id}, true, nil
}

// onReadError deals with what keeps a message from being complete. What comes
// out is the event for it, if the caller knows the stream, or an error of the connection.
func (c *Conn) onReadError(st *streamState, err error) (Event, bool, error) {
	if st.kind == kindBidiNew && c.client {
		return Event{}, false, errServerBidi()
	}
	known, cost := st.known || c.client, glitchMessage
	if _, reset := resetCode(err); reset {
		if cost = 0; st.send != sendDone {
			cost = glitchReset
		}
	}
	if se := c.streamError(st, err); se != nil {
		return Event{Kind: EventReset, Stream: se.Stream, Err: se}, known, c.glitch(cost)
	}
	if err == quic.ErrNoStream {
		return Event{}, false, nil
	}
	return Event{}, false, err
}

// streamError deals with an error of reading that concerns the stream alone: a
// reset of the peer, or a malformed message, for which both halves are aborted. It returns nil for others.
func (c *Conn) streamError(st *streamState, err error) *StreamError {
	if fault, ok := err.(*messageFault); ok {
		se := &StreamError{Stream: st.id, Code: fault.code, Reason: fault.reason, short: fault.short}
		switch fault.code {
		case CodeMessageError:
			c.stats.Malformed++
		case CodeRequestIncomplete:
			c.stats.Incomplete++
		case CodeExcessiveLoad:
			c.stats.FieldsTooLarge++
			if !c.client && !st.known {
				c.refuseTooLarge(st)
				return se
			}
		}
		c.abort(st, fault.code)
		return se
	}
	code, ok := resetCode(err)
	if !ok {
		if err == quic.ErrNoStream {
			c.forget(st)
		}
		return nil
	}
	se := &StreamError{Stream: st.id, Code: code, Remote: true}
	st.fin = true
	if !c.client && !st.known {
		// Nobody waits for a response. RFC 9114, Sections 4.1 and 4.1.1.
		c.stats.Incomplete++
		answer := CodeRequestIncomplete
		if code == CodeRequestCancelled {
			answer = CodeRequestRejected
		}
		c.abort(st, answer)
		return se
	}
	st.recv = recvDone
	c.maybeForget(st)
	return se
}

// abort ends both halves of a stream and forgets it.
func (c *Conn) abort(st *streamState, code ErrorCode) {
	if st.recv != recvDone && !st.fin {
		c.qc.StopSending(st.id, uint64(code))
	}
	if st.send != sendDone {
		c.qc.ResetStream(st.id, uint64(code))
	}
	c.forget(st)
}

// refuseTooLarge answers a request whose fields are too large (RFC 9114, Section 4.2.2).
func (c *Conn) refuseTooLarge(st *streamState) {
	if !st.fin {
		c.qc.StopSending(st.id, uint64(CodeNoError)) // RFC 9114, Section 4.1
	}
	st.recv = recvDone
	if err := c.sendSection(st, tooLargeResponse, true); err != nil && c.streams[st.id] == st {
		c.forget(st)
	}
}

var tooLargeResponse = []Field{{Name: ":status", Value: "431"}}

func qpackError(err error) error {
	if e, ok := err.(*qpack.Error); ok {
		return &Error{ErrorCode(e.Code), e.Reason}
	}
	return err
}

// setInitialPriority sets the priority by what came in a PRIORITY_UPDATE before
// the request, else by its priority field (RFC 9218, Section 7).
func (c *Conn) setInitialPriority(st *streamState, m *message) {
	if c.cfg.IgnorePriority {
		return
	}
	p, ok := c.early.take(st.id)
	if !ok {
		p, ok = m.priority, m.hasPriority
	}
	if ok {
		c.qc.SetStreamPriority(st.id, p.Urgency, p.Incremental)
	}
}
