package h3

import "github.com/frittata-go/frittata/quic"

// readControl reads the peer's control stream until there is an event, or
// nothing more to read (RFC 9114, Section 6.2.1).
func (c *Conn) readControl(st *streamState) (Event, bool, error) {
	for {
		if !st.inFrame {
			got, err := c.readHeader(st, false)
			if err != nil {
				return Event{}, false, criticalError(err)
			}
			if !got {
				return Event{}, false, c.controlEnd(st)
			}
			st.frameType, st.left = st.header.take()
			st.inFrame = true
			if err := c.beginControlFrame(st); err != nil {
				return Event{}, false, err
			}
		}
		if fateOnControl(st.frameType) == frameSkip {
			done, err := c.skip(st)
			if err != nil {
				return Event{}, false, criticalError(err)
			}
			if !done {
				return Event{}, false, c.controlEnd(st)
			}
			st.inFrame = false
			continue
		}
		payload, err := c.readPayload(st)
		if err != nil {
			return Event{}, false, criticalError(err)
		}
		if payload == nil {
			return Event{}, false, c.controlEnd(st)
		}
		st.inFrame = false
		if ev, ok, err := c.onControlFrame(st.frameType, payload); ok || err != nil {
			return ev, ok, err
		}
	}
}

// controlEnd returns the error for the end of the control stream, if it came.
func (c *Conn) controlEnd(st *streamState) error {
	if st.fin {
		return errClosedCritical()
	}
	return nil
}

// beginControlFrame judges a frame by its type and length.
func (c *Conn) beginControlFrame(st *streamState) error {
	if (st.frameType == FrameSettings) == c.haveSettings {
		if c.haveSettings { // RFC 9114, Section 7.2.4
			return &Error{CodeFrameUnexpected, "second SETTINGS"}
		}
		return &Error{CodeMissingSettings, "first frame of the control stream is not SETTINGS"} // Section 6.2.1
	}
	switch fateOnControl(st.frameType) {
	case frameUnexpected:
		return &Error{CodeFrameUnexpected, "frame that may not be on the control stream"}
	case frameSkip:
		c.stats.FramesSkipped++
		return c.glitch(glitchFrame)
	}
	most := uint64(8) // one integer
	tooLong := CodeFrameError
	switch st.frameType {
	case FrameSettings:
		most, tooLong = maxSettingsPayload, CodeExcessiveLoad
	case FrameMaxPushID: // RFC 9114, Section 7.2.7
		if c.client {
			return &Error{CodeFrameUnexpected, "MAX_PUSH_ID of a server"}
		}
	case FramePriorityUpdateRequest, FramePriorityUpdatePush: // RFC 9218, Section 7.2
		if c.client {
			return &Error{CodeFrameUnexpected, "PRIORITY_UPDATE of a server"}
		}
		most, tooLong = 8+maxPriorityField, CodeExcessiveLoad
	}
	if st.left > most {
		return &Error{tooLong, "control frame too long"}
	}
	return nil
}

// onControlFrame takes a complete frame of the control stream.
func (c *Conn) onControlFrame(frameType uint64, payload []byte) (Event, bool, error) {
	if frameType == FrameSettings {
		return c.onSettings(payload)
	}
	if err := c.glitch(glitchFrame); err != nil {
		return Event{}, false, err
	}
	id, n := ConsumeVarint(payload)
	rest := payload[n:]
	if n == 0 || len(rest) > 0 && frameType != FramePriorityUpdateRequest && frameType != FramePriorityUpdatePush {
		return Event{}, false, &Error{CodeFrameError, "control frame of the wrong length"} // RFC 9114, Section 7.1
	}
	switch frameType {
	case FrameGoAway:
		return c.onGoAway(id)
	case FrameMaxPushID: // RFC 9114, Section 7.2.7
		if id < c.maxPushID {
			return Event{}, false, &Error{CodeIDError, "MAX_PUSH_ID shrinks"}
		}
		c.maxPushID = id
	case FrameCancelPush:
		// RFC 9114, Section 7.2.3: a client has allowed no push, and a server has promised none.
		return Event{}, false, &Error{CodeIDError, "CANCEL_PUSH without a promise"}
	case FramePriorityUpdatePush:
		return Event{}, false, &Error{CodeIDError, "PRIORITY_UPDATE of a push that was not promised"} // RFC 9218, Section 7.2
	case FramePriorityUpdateRequest:
		return Event{}, false, c.onPriorityUpdate(quic.StreamID(id), string(rest))
	}
	return Event{}, false, nil
}

func (c *Conn) onSettings(payload []byte) (Event, bool, error) {
	s, e := parseSettings(payload)
	if e != nil {
		return Event{}, false, e
	}
	if s.Datagrams && c.cfg.EnableDatagrams && c.qc.DatagramLimit() == 0 { // RFC 9297, Section 2.1.1
		return Event{}, false, &Error{CodeSettingsError, "SETTINGS_H3_DATAGRAM without the transport parameter"}
	}
	c.settings, c.haveSettings = *s, true
	return Event{Kind: EventSettings}, true, nil
}

// onGoAway takes GOAWAY (RFC 9114, Sections 5.2 and 7.2.6).
func (c *Conn) onGoAway(id uint64) (Event, bool, error) {
	if c.client && id%4 != 0 {
		return Event{}, false, &Error{CodeIDError, "GOAWAY with the ID of no request"}
	}
	if c.peerGoAway && id > c.peerGoAwayID {
		return Event{}, false, &Error{CodeIDError, "GOAWAY with a greater ID than before"}
	}
	c.peerGoAway, c.peerGoAwayID = true, id
	return Event{Kind: EventGoAway, ID: id}, true, nil
}

// onPriorityUpdate takes PRIORITY_UPDATE for a request (RFC 9218, Section 7.2). A value
// that cannot be parsed is ignored.
func (c *Conn) onPriorityUpdate(id quic.StreamID, value string) error {
	if id.Dir() != quic.Bidi || id.ServerInitiated() {
		return &Error{CodeIDError, "PRIORITY_UPDATE of a stream that is no request's"}
	}
	p, ok := ParsePriority(value)
	if !ok || c.cfg.IgnorePriority {
		return nil
	}
	if st := c.streams[id]; st != nil && st.known {
		c.qc.SetStreamPriority(id, p.Urgency, p.Incremental)
	} else if c.early.put(id, p) {
		c.stats.PrioritiesDropped++
	}
	return nil
}
