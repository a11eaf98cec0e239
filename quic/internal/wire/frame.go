package wire

// Frame types (RFC 9000, Section 12.4; RFC 9221, Section 4).
const (
	FramePadding            = 0x00
	FramePing               = 0x01
	FrameAck                = 0x02
	FrameAckECN             = 0x03
	FrameResetStream        = 0x04
	FrameStopSending        = 0x05
	FrameCrypto             = 0x06
	FrameNewToken           = 0x07
	FrameStream             = 0x08 // to 0x0f
	FrameMaxData            = 0x10
	FrameMaxStreamData      = 0x11
	FrameMaxStreamsBidi     = 0x12
	FrameMaxStreamsUni      = 0x13
	FrameDataBlocked        = 0x14
	FrameStreamDataBlocked  = 0x15
	FrameStreamsBlockedBidi = 0x16
	FrameStreamsBlockedUni  = 0x17
	FrameNewConnectionID    = 0x18
	FrameRetireConnectionID = 0x19
	FramePathChallenge      = 0x1a
	FramePathResponse       = 0x1b
	FrameConnectionClose    = 0x1c
	FrameConnectionCloseApp = 0x1d
	FrameHandshakeDone      = 0x1e
	FrameDatagram           = 0x30 // and 0x31
)

// Flag bits of frame types.
const (
	streamFin    = 0x01
	streamLen    = 0x02
	streamOff    = 0x04
	datagramLen  = 0x01
	numFrameType = 0x40 // frame types of one byte
)

// maxStreams is the greatest number of streams of a type (RFC 9000, Section 4.6).
const maxStreams = 1 << 60

// Frame is one parsed frame. Which fields are valid follows from Type: the
// others may have what an earlier frame left. Slices alias the input.
type Frame struct {
	Type          uint64 // STREAM and DATAGRAM frames keep their flag bits
	StreamID      uint64
	Offset        uint64 // CRYPTO, STREAM
	Data          []byte // CRYPTO, STREAM, DATAGRAM; the token of NEW_TOKEN; the reason of CONNECTION_CLOSE
	Fin           bool   // STREAM
	Limit         uint64 // MAX_*, *_BLOCKED
	ErrorCode     uint64 // RESET_STREAM, STOP_SENDING, CONNECTION_CLOSE
	FinalSize     uint64 // RESET_STREAM
	FrameType     uint64 // CONNECTION_CLOSE; 0 in the application's
	Seq           uint64 // NEW_CONNECTION_ID, RETIRE_CONNECTION_ID
	RetirePriorTo uint64 // NEW_CONNECTION_ID
	ConnID        []byte // NEW_CONNECTION_ID: 1 to 20 bytes
	ResetToken    [16]byte
	PathData      [8]byte
	Ack           Ack
}

// A layout is how the fields of a frame are laid out. It stands for the parser
// in the table of frames: a function there would have each Frame escape.
type layout uint8

const (
	layoutUnknown layout = iota
	layoutPadding
	layoutEmpty
	layoutAck
	layoutResetStream
	layoutStopSending
	layoutCrypto
	layoutNewToken
	layoutStream
	layoutLimit
	layoutStreamLimit
	layoutStreamCount
	layoutNewConnectionID
	layoutRetireConnectionID
	layoutPath
	layoutClose
	layoutDatagram
)

// frameInfo is a row of the table of frames.
type frameInfo struct {
	layout    layout
	packets   uint8 // a bit for each PacketType that may carry the frame
	eliciting bool  // it makes a packet ack-eliciting (RFC 9002, Section 2)
	probing   bool  // RFC 9000, Section 9.1
}

// Sets of packet types, as in RFC 9000, Table 3.
const (
	in1    = 1 << Packet1RTT
	in01   = in1 | 1<<Packet0RTT
	inIH1  = in1 | 1<<PacketInitial | 1<<PacketHandshake
	inIH01 = inIH1 | in01
)

// frames is RFC 9000, Table 3, and RFC 9221's frames. RETIRE_CONNECTION_ID may
// not be in a 0-RTT packet, as Section 12.5 permits: its sender can have nothing to retire.
var frames = [numFrameType]frameInfo{
	FramePadding:            {layoutPadding, inIH01, false, true},
	FramePing:               {layoutEmpty, inIH01, true, false},
	FrameAck:                {layoutAck, inIH1, false, false},
	FrameAckECN:             {layoutAck, inIH1, false, false},
	FrameResetStream:        {layoutResetStream, in01, true, false},
	FrameStopSending:        {layoutStopSending, in01, true, false},
	FrameCrypto:             {layoutCrypto, inIH1, true, false},
	FrameNewToken:           {layoutNewToken, in1, true, false},
	FrameStream:             {layoutStream, in01, true, false},
	FrameStream + 1:         {layoutStream, in01, true, false},
	FrameStream + 2:         {layoutStream, in01, true, false},
	FrameStream + 3:         {layoutStream, in01, true, false},
	FrameStream + 4:         {layoutStream, in01, true, false},
	FrameStream + 5:         {layoutStream, in01, true, false},
	FrameStream + 6:         {layoutStream, in01, true, false},
	FrameStream + 7:         {layoutStream, in01, true, false},
	FrameMaxData:            {layoutLimit, in01, true, false},
	FrameMaxStreamData:      {layoutStreamLimit, in01, true, false},
	FrameMaxStreamsBidi:     {layoutStreamCount, in01, true, false},
	FrameMaxStreamsUni:      {layoutStreamCount, in01, true, false},
	FrameDataBlocked:        {layoutLimit, in01, true, false},
	FrameStreamDataBlocked:  {layoutStreamLimit, in01, true, false},
	FrameStreamsBlockedBidi: {layoutStreamCount, in01, true, false},
	FrameStreamsBlockedUni:  {layoutStreamCount, in01, true, false},
	FrameNewConnectionID:    {layoutNewConnectionID, in01, true, true},
	FrameRetireConnectionID: {layoutRetireConnectionID, in1, true, false},
	FramePathChallenge:      {layoutPath, in01, true, true},
	FramePathResponse:       {layoutPath, in1, true, true},
	FrameConnectionClose:    {layoutClose, inIH01, false, false},
	FrameConnectionCloseApp: {layoutClose, in01, false, false},
	FrameHandshakeDone:      {layoutEmpty, in1, true, false},
	FrameDatagram:           {layoutDatagram, in01, true, false},
	FrameDatagram + 1:       {layoutDatagram, in01, true, false},
}

// AckEliciting tells whether a frame type that ParseFrame returned makes its
// packet ack-eliciting (RFC 9002, Section 2).
func AckEliciting(frameType uint64) bool {
	return frameType < numFrameType && frames[frameType].eliciting
}

// Probing tells whether a frame type that ParseFrame returned is a probing frame
// (RFC 9000, Section 9.1).
func Probing(frameType uint64) bool {
	return frameType < numFrameType && frames[frameType].probing
}

// ParseFrame parses the first frame of b, which is what is left of the payload of
// a packet of type t, into f, and returns the frame's length in bytes. A run of
// PADDING is one frame. Errors are *Error; after one, f is undefined. It
// allocates nothing but an error.
func ParseFrame(b []byte, t PacketType, f *Frame) (n int, err error) {
	if len(b) == 0 {
		return 0, faultNoFrames.err(0) // RFC 9000, Section 12.4
	}
	if b[0] >= numFrameType {
		return 0, parseLongType(b)
	}
	info := &frames[b[0]]
	if info.packets>>t&1 == 0 {
		return 0, info.forbidden(b[0])
	}
	f.Type = uint64(b[0])
	switch info.layout {
	case layoutStream:
		n = f.parseStream(b)
	case layoutAck:
		n = f.parseAck(b)
	case layoutDatagram:
		n = f.parseDatagram(b)
	case layoutPadding:
		n = paddingLen(b)
	case layoutEmpty:
		n = 1
	case layoutCrypto:
		n = f.parseCrypto(b)
	default:
		n = f.parseControl(b, info.layout)
	}
	if n <= 0 {
		return 0, fault(n).err(f.Type)
	}
	return n, nil
}

// parseLongType returns the error for a frame type of more than a byte: none is known.
func parseLongType(b []byte) error {
	typ, n := ConsumeVarint(b)
	switch {
	case n == 0:
		return faultCut.err(0)
	case n != VarintLen(typ):
		return faultLongType.err(typ) // RFC 9000, Section 12.4
	}
	return faultUnknown.err(typ)
}

// forbidden returns the error for a frame that the packet may not carry. Unknown
// frames are in no packet.
func (i *frameInfo) forbidden(typ byte) error {
	if i.layout == layoutUnknown {
		return faultUnknown.err(uint64(typ)) // RFC 9000, Section 12.4
	}
	return faultPacket.err(uint64(typ)) // RFC 9000, Section 12.4
}
