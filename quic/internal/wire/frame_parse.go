package wire

import "encoding/binary"

// A fault is what is wrong with a frame. Parsers return it in place of the
// frame's length, which is positive.
type fault int

const (
	faultCut fault = -iota
	faultNoFrames
	faultUnknown
	faultLongType
	faultPacket
	faultAckRange
	faultCryptoOffset
	faultStreamOffset
	faultToken
	faultStreamCount
	faultIDLen
	faultRetire
)

var faults = [...]struct {
	code   uint64
	reason string
}{
	-faultCut:          {ErrFrameEncodingError, "frame is cut off"},
	-faultNoFrames:     {ErrProtocolViolation, "packet without frames"},
	-faultUnknown:      {ErrFrameEncodingError, "unknown frame type"},
	-faultLongType:     {ErrProtocolViolation, "frame type is not in its shortest encoding"},
	-faultPacket:       {ErrProtocolViolation, "frame in a packet that must not carry it"},
	-faultAckRange:     {ErrFrameEncodingError, "ACK of negative packet numbers"},
	-faultCryptoOffset: {ErrFrameEncodingError, "CRYPTO data beyond the greatest offset"},
	-faultStreamOffset: {ErrFrameEncodingError, "stream data beyond the greatest offset"},
	-faultToken:        {ErrFrameEncodingError, "NEW_TOKEN without a token"},
	-faultStreamCount:  {ErrFrameEncodingError, "more streams than there are IDs"},
	-faultIDLen:        {ErrFrameEncodingError, "connection ID of a length that is not allowed"},
	-faultRetire:       {ErrFrameEncodingError, "NEW_CONNECTION_ID retires itself"},
}

// err makes the error of a fault in a frame of a type.
func (f fault) err(frameType uint64) error {
	e := &faults[-f]
	return &Error{Code: e.code, FrameType: frameType, Reason: e.reason}
}

// paddingLen returns how many PADDING frames b begins with.
func paddingLen(b []byte) int {
	n := 0
	for len(b)-n >= 8 && binary.LittleEndian.Uint64(b[n:]) == 0 {
		n += 8
	}
	for n < len(b) && b[n] == FramePadding {
		n++
	}
	return n
}

// parseStream parses a STREAM frame (RFC 9000, Section 19.8).
func (f *Frame) parseStream(b []byte) int {
	typ := b[0]
	id, n := ConsumeVarint(b[1:])
	if n == 0 {
		return int(faultCut)
	}
	i := 1 + n
	off := uint64(0)
	if typ&streamOff != 0 {
		if off, n = ConsumeVarint(b[i:]); n == 0 {
			return int(faultCut)
		}
		i += n
	}
	data := b[i:]
	if typ&streamLen != 0 {
		size, n := ConsumeVarint(data)
		if n == 0 || size > uint64(len(data)-n) {
			return int(faultCut)
		}
		i += n
		data = data[n : n+int(size)]
	}
	if off > MaxVarint-uint64(len(data)) {
		return int(faultStreamOffset)
	}
	f.StreamID = id
	f.Offset = off
	f.Data = data
	f.Fin = typ&streamFin != 0
	return i + len(data)
}

// parseCrypto parses a CRYPTO frame (RFC 9000, Section 19.6).
func (f *Frame) parseCrypto(b []byte) int {
	c := cursor{b: b[1:]}
	f.Offset = c.varint()
	f.Data = c.bytes(c.varint())
	switch {
	case c.cut:
		return int(faultCut)
	case f.Offset > MaxVarint-uint64(len(f.Data)):
		return int(faultCryptoOffset)
	}
	return len(b) - len(c.b)
}

// parseDatagram parses a DATAGRAM frame (RFC 9221, Section 4).
func (f *Frame) parseDatagram(b []byte) int {
	if b[0]&datagramLen == 0 {
		f.Data = b[1:]
		return len(b)
	}
	size, n := ConsumeVarint(b[1:])
	data := b[1+n:]
	if n == 0 || size > uint64(len(data)) {
		return int(faultCut)
	}
	f.Data = data[:size]
	return 1 + n + int(size)
}

// parseControl parses the frames that are not worth a fast path.
func (f *Frame) parseControl(b []byte, l layout) int {
	c := cursor{b: b[1:]}
	bad := faultCut // unless something else is wrong
	switch l {
	case layoutResetStream: // RFC 9000, Section 19.4
		f.StreamID = c.varint()
		f.ErrorCode = c.varint()
		f.FinalSize = c.varint()
	case layoutStopSending: // Section 19.5
		f.StreamID = c.varint()
		f.ErrorCode = c.varint()
	case layoutNewToken: // Section 19.7
		f.Data = c.bytes(c.varint())
		if len(f.Data) == 0 {
			bad = faultToken
		}
	case layoutLimit: // Sections 19.9 and 19.12
		f.Limit = c.varint()
	case layoutStreamLimit: // Sections 19.10 and 19.13
		f.StreamID = c.varint()
		f.Limit = c.varint()
	case layoutStreamCount: // Sections 19.11 and 19.14
		f.Limit = c.varint()
		if f.Limit > maxStreams {
			bad = faultStreamCount
		}
	case layoutNewConnectionID: // Section 19.15
		f.Seq = c.varint()
		f.RetirePriorTo = c.varint()
		n := c.byte()
		f.ConnID = c.bytes(uint64(n))
		copy(f.ResetToken[:], c.bytes(uint64(len(f.ResetToken))))
		switch {
		case n == 0 || n > MaxConnIDLen:
			bad = faultIDLen
		case f.RetirePriorTo > f.Seq:
			bad = faultRetire
		}
	case layoutRetireConnectionID: // Section 19.16
		f.Seq = c.varint()
	case layoutPath: // Sections 19.17 and 19.18
		copy(f.PathData[:], c.bytes(uint64(len(f.PathData))))
	case layoutClose: // Section 19.19
		f.ErrorCode = c.varint()
		f.FrameType = 0
		if b[0] == FrameConnectionClose {
			f.FrameType = c.varint()
		}
		f.Data = c.bytes(c.varint())
	default:
		panic("BUG: a frame layout without a parser")
	}
	switch {
	case c.cut:
		return int(faultCut)
	case bad != faultCut:
		return int(bad)
	}
	return len(b) - len(c.b)
}
