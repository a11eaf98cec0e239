package h3

import "github.com/frittata-go/frittata/quic"

// ReadBody reads body bytes, across DATA frames. n == 0, not fin, nil: nothing
// there now (EventData tells of more), or trailers come next. fin: the message
// is complete. Call Next afterwards: the read may have come to the trailers. The
// error is a *StreamError (told here and not by Next), an *Error (close the
// connection), ErrNoStream, or one of the quic.Conn.
func (c *Conn) ReadBody(id quic.StreamID, p []byte) (n int, fin bool, err error) {
	st, err := c.reading(id)
	if err != nil {
		return 0, false, err
	}
	for n < len(p) {
		more, err := c.toBody(st)
		if err != nil {
			return n, false, c.onBodyError(st, err)
		}
		if !more {
			break
		}
		m, eof, err := c.qc.StreamRead(id, p[n:n+int(min(uint64(len(p)-n), st.left))])
		if err == nil {
			err = st.tookBody(m, eof)
		}
		n += m
		if err != nil {
			return n, false, c.onBodyError(st, err)
		}
		if m == 0 {
			break
		}
	}
	fin, err = c.bodyEnd(st)
	return n, fin, err
}

// ReadBodyBuf is ReadBody passing ownership of the memory that the bytes are
// in: at most max bytes that came in one piece. b is nil if there is nothing now. It may
// come with an error, that of the message's end.
func (c *Conn) ReadBodyBuf(id quic.StreamID, max int) (b *quic.Buffer, fin bool, err error) {
	st, err := c.reading(id)
	if err != nil {
		return nil, false, err
	}
	more, err := c.toBody(st)
	if err != nil {
		return nil, false, c.onBodyError(st, err)
	}
	if more && max > 0 {
		var eof bool
		b, eof, err = c.qc.StreamReadBuf(id, int(min(uint64(max), st.left)))
		n := 0
		if b != nil {
			n = len(b.B)
		}
		if err == nil {
			err = st.tookBody(n, eof)
		}
		if err != nil {
			if b != nil {
				b.Release()
			}
			return nil, false, c.onBodyError(st, err)
		}
	}
	fin, err = c.bodyEnd(st)
	return b, fin, err
}

// BodyReadable returns how many bytes of the DATA frame at hand have come:
// what ReadBody returns at least.
func (c *Conn) BodyReadable(id quic.StreamID) int {
	st := c.streams[id]
	if st == nil || st.recv != recvBody || !st.inFrame || st.frameType != FrameData {
		return 0
	}
	return int(min(uint64(c.qc.StreamReadable(id)), st.left))
}

// reading returns a stream whose body can be read.
func (c *Conn) reading(id quic.StreamID) (*streamState, error) {
	if c.err != nil {
		return nil, c.err
	}
	st := c.streams[id]
	if st == nil || st.kind != kindRequest || st.recv == recvDone {
		return nil, ErrNoStream
	}
	return st, nil
}

// toBody comes to the next bytes of the body. more is false if what comes next
// is not there yet, or is something else, which is left for Next.
func (c *Conn) toBody(st *streamState) (more bool, err error) {
	if st.recv != recvBody {
		return false, nil
	}
	if more, err = c.nextFrame(st); more && st.frameType != FrameData {
		c.queue(st)
		return false, nil
	}
	return more, err
}

// tookBody counts bytes of a DATA frame that were read.
func (st *streamState) tookBody(n int, eof bool) error {
	st.left -= uint64(n)
	st.fin = eof
	if st.left == 0 {
		st.inFrame = false
	} else if eof {
		return errTruncated()
	}
	return nil
}

// bodyEnd tells whether the body, and with it the message, has come to its end.
func (c *Conn) bodyEnd(st *streamState) (fin bool, err error) {
	if st.recv != recvBody || !st.atEnd() {
		return false, nil
	}
	if err := st.checkLength(); err != nil {
		return false, c.onBodyError(st, err)
	}
	c.endIf(st, true)
	return true, nil
}

// onBodyError makes of an error of reading what ReadBody returns.
func (c *Conn) onBodyError(st *streamState, err error) error {
	if se := c.streamError(st, err); se != nil {
		return se
	}
	if err != quic.ErrNoStream {
		c.err = err
	}
	return err
}
