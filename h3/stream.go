package h3

import (
	"errors"
	"slices"

	"github.com/frittata-go/frittata/quic"
)

// streamKind is what a stream is for.
type streamKind uint8

const (
	kindRequest  streamKind = iota
	kindBidiNew             // the peer's bidirectional stream, whose first frame type may make it raw
	kindUniNew              // the peer's unidirectional stream, whose type is not known yet
	kindControl             // the peer's control stream
	kindEncoder             // the peer's QPACK encoder stream
	kindDecoder             // the peer's QPACK decoder stream
	kindCritical            // our own control and QPACK streams
	kindRaw
)

// recvPhase is what may come next on a request's stream (RFC 9114, Section 4.1).
type recvPhase uint8

const (
	recvHead recvPhase = iota // the head, or after an interim response another one
	recvBody
	recvTail // the trailers have come: nothing but frames of unknown types
	recvDone
)

// sendPhase is what may be sent next on a request's stream.
type sendPhase uint8

const (
	sendHead sendPhase = iota
	sendBody
	sendDone
)

// streamState is a stream that is not done in both directions.
type streamState struct {
	id   quic.StreamID
	kind streamKind

	// Receiving.
	recv      recvPhase
	inFrame   bool // left bytes of a frame's payload are to come
	fin       bool // QUIC's end of the stream was read
	known     bool // the caller has had an event of it
	queued    bool // in Conn.ready
	tunnel    bool // of CONNECT: DATA frames alone
	headReq   bool // a client's HEAD
	connect   bool // a client's CONNECT
	noContent bool // the response has none, whatever its content-length
	header    frameHeader
	frameType uint64
	left      uint64
	payload   []byte // of a frame that has to be complete, if it came in pieces
	lack      uint8  // bytes of the last DATA frame, see onDataLength
	length    int64  // content-length, or -1
	received  uint64 // body bytes in DATA frames so far

	// Sending.
	send    sendPhase
	pendFin bool   // the stream ends after pending
	short   bool   // the caller waits for EventWritable
	pending []byte // frames, or their beginnings, that QUIC had no room for

	next *streamState // in Conn.free
}

// maxFreeStreams bounds the states that are kept for reuse.
const maxFreeStreams = 64

// maxKeptPayload bounds the scratch of one state that is kept for reuse, in bytes.
const maxKeptPayload = 1 << 10

func (c *Conn) newStream(id quic.StreamID, kind streamKind) *streamState {
	st := c.free
	if st != nil {
		c.free, st.next = st.next, nil
		c.nfree--
	} else {
		st = new(streamState)
	}
	st.id, st.kind, st.length = id, kind, -1
	c.streams[id] = st
	if kind == kindRequest || kind == kindBidiNew {
		c.requests++
	}
	return st
}

// forget drops the state of a stream.
func (c *Conn) forget(st *streamState) {
	if c.streams[st.id] != st {
		panic("BUG: h3: stream forgotten twice")
	}
	delete(c.streams, st.id)
	if st.kind == kindRequest || st.kind == kindBidiNew {
		c.requests--
	}
	payload, pending := st.payload[:0], st.pending[:0]
	if cap(payload) > maxKeptPayload {
		payload = nil
	}
	if cap(pending) > maxKeptPayload {
		pending = nil
	}
	*st = streamState{payload: payload, pending: pending}
	if c.nfree < maxFreeStreams {
		st.next, c.free = c.free, st
		c.nfree++
	}
}

// maybeForget drops a request's stream when both of its halves are done.
func (c *Conn) maybeForget(st *streamState) {
	if st.recv == recvDone && st.send == sendDone && !st.pendFin {
		c.forget(st)
	}
}

// queue has Next look at the stream.
func (c *Conn) queue(st *streamState) {
	if !st.queued {
		st.queued = true
		c.ready = append(c.ready, st.id)
	}
}

// popReady returns a stream that queue put there.
func (c *Conn) popReady() *streamState {
	for c.readyAt < len(c.ready) {
		st := c.streams[c.ready[c.readyAt]]
		c.readyAt++
		if st != nil && st.queued {
			st.queued = false
			return st
		}
	}
	c.ready, c.readyAt = c.ready[:0], 0
	return nil
}

// readHeader reads a frame's header, or its type alone, never a byte more. got
// is false when it is not all there; then st.fin tells whether the stream is over.
func (c *Conn) readHeader(st *streamState, typeOnly bool) (got bool, err error) {
	for {
		p := st.header.missing(typeOnly)
		if len(p) == 0 {
			return true, nil
		}
		if st.fin {
			return false, nil
		}
		n, fin, err := c.qc.StreamRead(st.id, p)
		if err != nil {
			return false, err
		}
		st.header.n += uint8(n)
		st.fin = fin
		if n == 0 {
			return false, nil
		}
	}
}

// readPayload collects the payload of the frame that st is in. It returns nil
// while it is not complete. An empty payload is not nil. What it returns is
// valid until the next call.
func (c *Conn) readPayload(st *streamState) ([]byte, error) {
	if len(st.payload) == 0 && uint64(c.qc.StreamReadable(st.id)) >= st.left {
		// All is there: no need for the stream to have memory of its own.
		p := c.scratchOf(int(st.left))
		for at := 0; at < len(p); {
			n, fin, err := c.qc.StreamRead(st.id, p[at:])
			if err != nil {
				return nil, err
			}
			if n == 0 {
				panic("BUG: h3: StreamRead returned less than StreamReadable")
			}
			at += n
			st.fin = fin
		}
		st.left = 0
		return p, nil
	}
	for st.left > 0 && !st.fin {
		// Memory grows with what has come, not with what was announced.
		n := min(st.left, max(uint64(c.qc.StreamReadable(st.id)), 1), readStep)
		at := len(st.payload)
		st.payload = slices.Grow(st.payload, int(n))
		m, fin, err := c.qc.StreamRead(st.id, st.payload[at:at+int(n)])
		st.payload = st.payload[:at+m]
		if err != nil {
			return nil, err
		}
		st.left -= uint64(m)
		st.fin = fin
		if m == 0 {
			break
		}
	}
	if st.left > 0 {
		return nil, nil
	}
	p := st.payload
	st.payload = st.payload[:0]
	return p, nil
}

// readStep is how much is read at once into memory that grows, in bytes.
const readStep = 4 << 10

// skip drops the rest of the payload of the frame that st is in, as far as it is there.
func (c *Conn) skip(st *streamState) (done bool, err error) {
	for st.left > 0 {
		if st.fin {
			return false, nil
		}
		n, fin, err := c.qc.StreamRead(st.id, c.scratchOf(int(min(st.left, scratchSize))))
		if err != nil {
			return false, err
		}
		st.left -= uint64(n)
		st.fin = fin
		if n == 0 {
			return false, nil
		}
	}
	return true, nil
}

// What a connection keeps for what comes in, in bytes: most heads are smaller.
const (
	minScratch  = 512
	scratchSize = 2 << 10 // at most
)

// scratchOf returns n bytes that are valid until the next call.
func (c *Conn) scratchOf(n int) []byte {
	if n > scratchSize {
		return make([]byte, n)
	}
	if c.scratch == nil || n > len(c.scratch) {
		size := minScratch
		for size < n {
			size *= 2
		}
		c.scratch = make([]byte, size)
	}
	return c.scratch[:n]
}

// resetCode returns the code of the peer's reset, if err is one.
func resetCode(err error) (code ErrorCode, ok bool) {
	if reset, ok := errors.AsType[*quic.StreamResetError](err); ok {
		return ErrorCode(reset.Code), true
	}
	return 0, false
}

// stopCode returns the code of the peer's STOP_SENDING, if err is one.
func stopCode(err error) (code ErrorCode, ok bool) {
	if stopped, ok := errors.AsType[*quic.StreamStoppedError](err); ok {
		return ErrorCode(stopped.Code), true
	}
	return 0, false
}
