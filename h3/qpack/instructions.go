package qpack

// HandleEncoderStream takes bytes of the peer's encoder stream, in any pieces
// (RFC 9204, Section 4.3). An error is an *Error and final.
//
// With a table capacity of 0, all that the peer may say is that the capacity
// is 0: an entry would be larger than the table, and there is none to duplicate.
func (d *Decoder) HandleEncoderStream(p []byte) error {
	for _, b := range p {
		state := intMore
		if d.streamBusy {
			state = d.stream.next(b)
		} else {
			switch {
			case b&0x80 != 0, b&0x40 != 0:
				return errEncoderStream("insert into a table of capacity 0") // Section 3.2.2
			case b&0x20 == 0:
				return errEncoderStream("duplicate of an entry that does not exist") // Section 2.2.3
			}
			state = d.stream.begin(b, 5)
		}
		switch state {
		case intTooBig:
			return errEncoderStream("integer too big")
		case intDone:
			if d.stream.v > 0 {
				return errEncoderStream("table capacity above the limit") // Section 4.3.1
			}
		}
		d.streamBusy = state == intMore
	}
	return nil
}

// HandleDecoderStream takes bytes of the peer's decoder stream, in any pieces
// (RFC 9204, Section 4.4). An error is an *Error and final.
//
// The encoder makes no insertions and no references to the dynamic table, so
// that there is nothing to acknowledge; that a stream is cancelled may be told.
func (e *Encoder) HandleDecoderStream(p []byte) error {
	for _, b := range p {
		state := intMore
		if e.streamBusy {
			state = e.stream.next(b)
		} else {
			switch {
			case b&0x80 != 0:
				return errDecoderStream("acknowledgment of a section that needs none") // Section 4.4.1
			case b&0x40 == 0:
				return errDecoderStream("insert count increment of nothing inserted") // Section 4.4.3
			}
			state = e.stream.begin(b, 6)
		}
		if state == intTooBig {
			return errDecoderStream("integer too big")
		}
		e.streamBusy = state == intMore
	}
	return nil
}

func errEncoderStream(reason string) error {
	return &Error{Code: CodeEncoderStreamError, Reason: reason}
}

func errDecoderStream(reason string) error {
	return &Error{Code: CodeDecoderStreamError, Reason: reason}
}
