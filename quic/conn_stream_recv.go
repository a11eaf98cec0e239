package quic

import (
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// The pieces of one stream that wait for what comes before them are bounded: by
// maxGaps, which with packets of 1200 bytes allows windows of several MB with every
// second packet lost; and, beyond freeGaps, by their distance to each other, so that
// a peer that sends every second byte makes us hold no more than the windows promise.
const (
	maxGaps     = 2048
	freeGaps    = 512
	gapDistance = 64 // bytes, of which a gap costs 16
)

// gapLimit is how many pieces may wait in a stream that has so many bytes between
// what was read and the highest that came.
func gapLimit(span uint64) int { return int(min(freeGaps+span/gapDistance, maxGaps)) }

// handleStream takes a STREAM frame (RFC 9000, Section 19.8).
func (c *Conn) handleStream(f *wire.Frame) error {
	st, err := c.streamFor(f, false)
	if st == nil || err != nil {
		return err
	}
	r := st.recv
	end := f.Offset + uint64(len(f.Data))
	if err := c.checkFinalSize(st, f.Type, end, f.Fin); err != nil {
		return err
	}
	if r.done || r.reset {
		return nil
	}
	if err := c.receivedUpTo(st, f.Type, end); err != nil {
		return err
	}
	if f.Fin {
		r.final, r.haveFinal = end, true
	}
	if r.stopped {
		if r.haveFinal {
			c.endStopped(st)
		}
		return nil
	}
	before := r.buf.Readable()
	if len(f.Data) > 0 {
		if err := r.buf.Insert(c.cfg.Buffers, f.Offset, f.Data, gapLimit(r.highest-r.buf.ReadOffset())); err != nil {
			// More holes than a path makes: the peer is after our memory.
			return transportErr(InternalError, f.Type, "too many gaps in a stream")
		}
	}
	after := r.buf.Readable()
	if after > before {
		c.stats.StreamBytesReceived += uint64(after - before)
	}
	if after > before || f.Fin && r.buf.ReadOffset()+uint64(after) == r.final {
		c.armRead(st)
	}
	return nil
}

// checkFinalSize enforces RFC 9000, Section 4.5.
func (c *Conn) checkFinalSize(st *streamState, frameType, end uint64, fin bool) error {
	r := st.recv
	switch {
	case r.haveFinal && (end > r.final || fin && end != r.final):
		return transportErr(FinalSizeError, frameType, "data beyond the final size, or another final size")
	case fin && end < r.highest:
		return transportErr(FinalSizeError, frameType, "final size below what was received")
	}
	return nil
}

// receivedUpTo charges both windows with new data (RFC 9000, Section 4.1).
func (c *Conn) receivedUpTo(st *streamState, frameType, end uint64) error {
	r := st.recv
	if end <= r.highest {
		return nil
	}
	if end > r.window.Limit() {
		return transportErr(FlowControlError, frameType, "more data than the stream's limit")
	}
	n := end - r.highest
	if c.strs.received+n > c.strs.recvWindow.Limit() {
		return transportErr(FlowControlError, frameType, "more data than the connection's limit")
	}
	c.strs.received += n
	r.highest = end
	if r.stopped {
		c.consumed(n)
	}
	return nil
}

// consumed gives the peer connection credit for bytes that are read, or not wanted.
func (c *Conn) consumed(n uint64) {
	if n > 0 && c.strs.recvWindow.OnRead(int(n), c.now, c.paths.active.rp.RTT.Smoothed()) {
		c.strs.maxData.set()
	}
}

// handleResetStream takes RESET_STREAM (RFC 9000, Section 19.4).
func (c *Conn) handleResetStream(f *wire.Frame) error {
	st, err := c.streamFor(f, false)
	if st == nil || err != nil {
		return err
	}
	r := st.recv
	if err := c.checkFinalSize(st, f.Type, f.FinalSize, true); err != nil {
		return err
	}
	if r.done || r.reset {
		return nil
	}
	if err := c.receivedUpTo(st, f.Type, f.FinalSize); err != nil {
		return err
	}
	if r.haveFinal && r.buf.ReadOffset()+uint64(r.buf.Readable()) == r.final && !r.stopped {
		return nil // RFC 9000, Section 3.2: all data is there, so the reset may be ignored
	}
	r.final, r.haveFinal = f.FinalSize, true
	if r.stopped {
		c.endStopped(st)
		return nil
	}
	c.consumed(r.final - r.buf.ReadOffset())
	r.buf.Discard()
	r.reset, r.resetCode = true, f.ErrorCode
	r.maxData.clear()
	c.armRead(st)
	return nil
}

// endStopped ends the receiving half of a stream that we want no more of, when its final size is known.
func (c *Conn) endStopped(st *streamState) {
	r := st.recv
	r.stop.clear()
	r.done = true
	c.strs.read.Remove(&st.recv.node)
	c.maybeFinish(st)
}

// handleStreamDataBlocked takes STREAM_DATA_BLOCKED (RFC 9000, Section 19.13).
func (c *Conn) handleStreamDataBlocked(f *wire.Frame) error {
	_, err := c.streamFor(f, false)
	return err
}

// readable returns the stream whose receiving half can be read, or why there is none.
func (c *Conn) readable(id StreamID) (*streamState, error) {
	st := c.strs.find(id)
	if st == nil {
		if c.life.err != nil {
			return nil, c.life.err
		}
		return nil, ErrNoStream
	}
	if st.recv.stopped || st.id.Dir() == Uni && st.id.ServerInitiated() != c.client {
		return nil, ErrNoStream
	}
	return st, nil
}

// StreamRead copies what has arrived in order to p. fin tells that the stream's
// end was reached with these bytes. Neither bytes nor fin nor an error: nothing is there now, and
// NextReadable will tell. After the peer's reset the error is a *StreamResetError.
func (c *Conn) StreamRead(id StreamID, p []byte) (n int, fin bool, err error) {
	st, err := c.readable(id)
	if err != nil {
		return 0, false, err
	}
	if st.recv.reset {
		return 0, false, c.readReset(st)
	}
	n = st.recv.buf.Read(p)
	fin = c.afterRead(st, n)
	return n, fin, c.noMore(n, fin)
}

// StreamReadBuf is StreamRead by ownership, of at most most bytes: the caller
// releases b. b is nil when nothing is there; fin may be true all the same.
func (c *Conn) StreamReadBuf(id StreamID, most int) (b *Buffer, fin bool, err error) {
	st, err := c.readable(id)
	if err != nil {
		return nil, false, err
	}
	if st.recv.reset {
		return nil, false, c.readReset(st)
	}
	n := 0
	if b = st.recv.buf.ReadBuf(most); b != nil {
		n = len(b.B)
	}
	fin = c.afterRead(st, n)
	return b, fin, c.noMore(n, fin)
}

// StreamReadable returns how many bytes StreamRead would return now.
func (c *Conn) StreamReadable(id StreamID) int {
	if st, err := c.readable(id); err == nil {
		return st.recv.buf.Readable()
	}
	return 0
}

// noMore returns why nothing more can come where nothing was read: the
// connection is closed. Before that it is nil.
func (c *Conn) noMore(n int, fin bool) error {
	if n > 0 || fin {
		return nil
	}
	return c.life.err
}

func (c *Conn) readReset(st *streamState) error {
	st.recv.done = true
	err := &StreamResetError{Stream: st.id, Code: st.recv.resetCode}
	c.maybeFinish(st)
	return err
}

// afterRead renews the windows and tells whether the stream is at its end.
func (c *Conn) afterRead(st *streamState, n int) (fin bool) {
	r := st.recv
	if n > 0 {
		c.consumed(uint64(n))
		// A stream whose end is known needs no more credit.
		if r.window.OnRead(n, c.now, c.paths.active.rp.RTT.Smoothed()) && !r.haveFinal {
			r.maxData.set()
			c.armControl(st)
			c.strs.recvWindow.Grow(r.window.Window() + r.window.Window()/2)
		}
	}
	switch {
	case r.done:
		return true
	case !r.haveFinal || r.buf.ReadOffset() != r.final:
		return false
	}
	r.maxData.clear()
	r.buf.Discard() // what it holds to put bytes in order; the sending half may live long
	r.done = true
	c.maybeFinish(st)
	return true
}

// StopSending asks the peer to end its half of the stream (RFC 9000, Section
// 3.5), and drops what came and what will. code is the application protocol's.
func (c *Conn) StopSending(id StreamID, code uint64) error {
	if c.life.err != nil {
		return c.life.err
	}
	st, err := c.readable(id)
	if err != nil {
		return err
	}
	r := st.recv
	if r.done {
		return nil
	}
	if !r.reset {
		c.consumed(r.highest - r.buf.ReadOffset())
	}
	r.buf.Discard()
	r.maxData.clear()
	r.stopped, r.stopCode = true, min(code, wire.MaxVarint)
	c.strs.read.Remove(&st.recv.node)
	if r.haveFinal {
		c.endStopped(st)
		return nil
	}
	r.stop.set()
	c.armControl(st)
	return nil
}
