package h3

import (
	"slices"

	"github.com/frittata-go/frittata/quic"
)

// readUniType reads the type of a unidirectional stream of the peer and makes
// it what it is (RFC 9114, Section 6.2).
func (c *Conn) readUniType(st *streamState) (Event, bool, error) {
	got, err := c.readHeader(st, true)
	if err != nil || !got && st.fin {
		// RFC 9114, Section 6.2: the end before the type is no error.
		if _, reset := resetCode(err); reset || err == nil || err == quic.ErrNoStream {
			c.forget(st)
			err = nil
		}
		return Event{}, false, err
	}
	if !got {
		return Event{}, false, nil
	}
	t, _ := ConsumeVarint(st.header.b[:st.header.n])
	st.header.n = 0
	switch t {
	case StreamControl:
		return Event{}, false, c.becomeCritical(st, kindControl, 1<<0)
	case StreamQPACKEncoder:
		return Event{}, false, c.becomeCritical(st, kindEncoder, 1<<1)
	case StreamQPACKDecoder:
		return Event{}, false, c.becomeCritical(st, kindDecoder, 1<<2)
	case StreamPush:
		if !c.client { // RFC 9114, Section 6.2.2
			return Event{}, false, &Error{CodeStreamCreationError, "push stream of a client"}
		}
		return Event{}, false, &Error{CodeIDError, "push without MAX_PUSH_ID"} // Section 4.6
	}
	if slices.Contains(c.cfg.RawUniTypes, t) {
		st.kind = kindRaw
		return Event{Kind: EventRawStream, Stream: st.id, ID: t}, true, nil
	}
	// RFC 9114, Section 6.2: unknown types are no error.
	c.stats.StreamsRefused++
	if !st.fin {
		c.qc.StopSending(st.id, uint64(CodeStreamCreationError))
	}
	c.forget(st)
	return Event{}, false, c.glitch(glitchFrame)
}

// becomeCritical makes the stream the peer's only one of a kind.
func (c *Conn) becomeCritical(st *streamState, kind streamKind, bit uint8) error {
	if c.seenCritical&bit != 0 { // RFC 9114, Section 6.2.1; RFC 9204, Section 4.2
		return &Error{CodeStreamCreationError, "second stream of a type that may be there once"}
	}
	c.seenCritical |= bit
	st.kind = kind
	c.queue(st)
	return nil
}

func errClosedCritical() *Error { // RFC 9114, Section 6.2.1; RFC 9204, Section 4.2
	return &Error{CodeClosedCriticalStream, "control or QPACK stream closed"}
}

// criticalError makes of an error of reading a critical stream one of the connection.
func criticalError(err error) error {
	if _, reset := resetCode(err); reset {
		return errClosedCritical()
	}
	return err
}

// readQPACK feeds the peer's encoder or decoder stream to QPACK.
func (c *Conn) readQPACK(st *streamState) error {
	for {
		if st.fin {
			return errClosedCritical()
		}
		p := c.scratchOf(512)
		n, fin, err := c.qc.StreamRead(st.id, p)
		if err != nil {
			return criticalError(err)
		}
		st.fin = fin
		if st.kind == kindEncoder {
			err = c.dec.HandleEncoderStream(p[:n])
		} else {
			err = c.enc.HandleDecoderStream(p[:n])
		}
		if err != nil {
			return qpackError(err)
		}
		if n == 0 && !fin {
			return nil
		}
	}
}
