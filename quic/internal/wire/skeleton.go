package wire

// Skeleton of the exported API: the signatures are the contract.

const (
	ErrNoError                 = 0x0
	ErrInternalError           = 0x1
	ErrConnectionRefused       = 0x2
	ErrFlowControlError        = 0x3
	ErrStreamLimitError        = 0x4
	ErrStreamStateError        = 0x5
	ErrFinalSizeError          = 0x6
	ErrFrameEncodingError      = 0x7
	ErrTransportParameterError = 0x8
	ErrConnectionIDLimitError  = 0x9
	ErrProtocolViolation       = 0xa
	ErrInvalidToken            = 0xb
	ErrApplicationError        = 0xc
	ErrCryptoBufferExceeded    = 0xd
	ErrKeyUpdateError          = 0xe
	ErrAEADLimitReached        = 0xf
	ErrNoViablePath            = 0x10
)

// ErrorName names a transport error code as RFC 9000, Section 20.1, does ("PROTOCOL_VIOLATION"); CRYPTO_ERROR codes with the alert.
func ErrorName(code uint64) string { panic("skeleton") }

// Error is what parsers return: the transport error code for the peer.
type Error struct {
	Code      uint64
	FrameType uint64
	Reason    string // static text: making one allocates at most the Error
}

func (e *Error) Error() string { panic("skeleton") }

const MaxVarint = 1<<62 - 1

func AppendVarint(b []byte, v uint64) []byte   { panic("skeleton") } // panics with BUG for v > MaxVarint
func VarintLen(v uint64) int                   { panic("skeleton") }
func ConsumeVarint(b []byte) (v uint64, n int) { panic("skeleton") } // n <= 0: truncated

// Space is a packet number space.
type Space uint8

const (
	SpaceInitial Space = iota
	SpaceHandshake
	SpaceApp
	NumSpaces = 3
)

type PacketType uint8

const (
	PacketInitial PacketType = iota
	Packet0RTT
	PacketHandshake
	PacketRetry
	PacketVersionNegotiation
	Packet1RTT
)

// ConnID is a connection ID of at most 20 bytes by value.
type ConnID struct {
	n uint8
	b [20]byte
}

func NewConnID(b []byte) ConnID { panic("skeleton") }
func (c *ConnID) Bytes() []byte { panic("skeleton") }
func (c *ConnID) Len() int      { panic("skeleton") }

// Invariant is the version-independent header (RFC 8999). Slices alias the input.
type Invariant struct {
	Long         bool
	Version      uint32 // long only
	DstID, SrcID []byte // of up to 255 bytes in a long header
}

// ParseInvariant: idLen is the length of the destination ID of short headers.
func ParseInvariant(b []byte, idLen int) (Invariant, error) { panic("skeleton") }

// Header is a packet's header up to the packet number, which is still protected. Slices alias the input.
type Header struct {
	Type         PacketType
	Version      uint32
	DstID, SrcID []byte
	Token        []byte // of Initial and Retry
	Tag          []byte // of Retry: the 16 bytes of the integrity tag
	Versions     []byte // of Version Negotiation: 4 bytes each
	PNOffset     int    // where the packet number begins
	End          int    // where the packet ends within the datagram: the next coalesced one begins there
}

// ParseHeader parses the first packet of b; b may hold more packets. It accepts version 1's long headers, Version Negotiation (Version 0), and short headers.
// The fixed bit has to be set but in Version Negotiation.
func ParseHeader(b []byte, idLen int, h *Header) error { panic("skeleton") }

// AppendLongHeader appends an Initial, 0-RTT or Handshake header with the packet number in pnLen bytes. The Length field is 2 bytes at lengthOffset; SetLength fills it in.
func AppendLongHeader(b []byte, t PacketType, version uint32, dst, src, token []byte, pn uint64, pnLen int) (out []byte, lengthOffset int) {
	panic("skeleton")
}

// SetLength writes n (packet number, payload and tag) to the 2-byte Length field.
func SetLength(b []byte, lengthOffset, n int) { panic("skeleton") }

func AppendShortHeader(b []byte, dst []byte, pn uint64, pnLen int, keyPhase, spin bool) []byte {
	panic("skeleton")
}
func AppendVersionNegotiation(b []byte, first byte, dst, src []byte, versions []uint32) []byte {
	panic("skeleton")
}

// AppendRetry appends a Retry without its tag.
func AppendRetry(b []byte, version uint32, first byte, dst, src, token []byte) []byte {
	panic("skeleton")
}

// PacketNumberLen is how many bytes pn needs when largestAcked was acked (RFC 9000, Appendix A.2); hasAcked false: none was.
func PacketNumberLen(pn, largestAcked uint64, hasAcked bool) int { panic("skeleton") }

// Frame types.
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

// Frame is one parsed frame: which fields are valid follows from Type. Slices alias the input.
type Frame struct {
	Type          uint64 // stream and datagram frames keep their flag bits
	StreamID      uint64
	Offset        uint64 // CRYPTO, STREAM
	Data          []byte // CRYPTO, STREAM, DATAGRAM; the token of NEW_TOKEN; the reason of CONNECTION_CLOSE
	Fin           bool
	Limit         uint64 // MAX_*, *_BLOCKED
	ErrorCode     uint64 // RESET_STREAM, STOP_SENDING, CONNECTION_CLOSE
	FinalSize     uint64
	FrameType     uint64 // CONNECTION_CLOSE
	Seq           uint64 // NEW_CONNECTION_ID, RETIRE_CONNECTION_ID
	RetirePriorTo uint64
	ConnID        []byte
	ResetToken    [16]byte
	PathData      [8]byte
	Ack           Ack
}

// Ack is an ACK frame's content. All ranges were checked to be valid.
type Ack struct {
	Largest        uint64
	Delay          uint64 // as encoded: the peer's exponent is still to be applied
	HasECN         bool
	ECT0, ECT1, CE uint64
	// unexported: first range, count, raw range bytes
}

// Ranges calls nothing: it is an iterator by value. for it := a.Ranges(); it.Next(); { it.Smallest, it.Largest } in descending order, both inclusive.
func (a *Ack) Ranges() AckRanges { panic("skeleton") }

type AckRanges struct {
	Smallest, Largest uint64
}

func (r *AckRanges) Next() bool { panic("skeleton") }

// ParseFrame parses the first frame of b, which is the payload of a packet of type t: it enforces by one table which packets may carry the frame.
// A run of PADDING is one frame. Errors are *Error. It allocates nothing but an error.
func ParseFrame(b []byte, t PacketType, f *Frame) (n int, err error) { panic("skeleton") }

// AckEliciting and Probing tell what the table says of a frame type that ParseFrame returned.
func AckEliciting(frameType uint64) bool { panic("skeleton") }
func Probing(frameType uint64) bool      { panic("skeleton") }

func AppendResetStream(b []byte, id, code, finalSize uint64) []byte { panic("skeleton") }
func AppendStopSending(b []byte, id, code uint64) []byte            { panic("skeleton") }

// StreamHeaderLen is the size of a STREAM frame's header with an explicit Length for n bytes of data (n up to 16383: the length field takes at most 2 bytes).
func StreamHeaderLen(id, offset uint64, n int) int { panic("skeleton") }

// AppendStreamHeader writes a STREAM frame up to its data. Without hasLength the frame extends to the packet's end.
func AppendStreamHeader(b []byte, id, offset uint64, n int, fin, hasLength bool) []byte {
	panic("skeleton")
}
func CryptoHeaderLen(offset uint64, n int) int                     { panic("skeleton") }
func AppendCryptoHeader(b []byte, offset uint64, n int) []byte     { panic("skeleton") }
func AppendMaxData(b []byte, limit uint64) []byte                  { panic("skeleton") }
func AppendMaxStreamData(b []byte, id, limit uint64) []byte        { panic("skeleton") }
func AppendMaxStreams(b []byte, uni bool, limit uint64) []byte     { panic("skeleton") }
func AppendDataBlocked(b []byte, limit uint64) []byte              { panic("skeleton") }
func AppendStreamDataBlocked(b []byte, id, limit uint64) []byte    { panic("skeleton") }
func AppendStreamsBlocked(b []byte, uni bool, limit uint64) []byte { panic("skeleton") }
func AppendNewConnectionID(b []byte, seq, retirePriorTo uint64, id []byte, token *[16]byte) []byte {
	panic("skeleton")
}
func AppendRetireConnectionID(b []byte, seq uint64) []byte { panic("skeleton") }
func AppendPathChallenge(b []byte, data *[8]byte) []byte   { panic("skeleton") }
func AppendPathResponse(b []byte, data *[8]byte) []byte    { panic("skeleton") }

// AppendConnectionClose writes the transport's (app false) or the application's CONNECTION_CLOSE.
func AppendConnectionClose(b []byte, app bool, code, frameType uint64, reason string) []byte {
	panic("skeleton")
}
func AppendHandshakeDone(b []byte) []byte   { panic("skeleton") }
func AppendNewToken(b, token []byte) []byte { panic("skeleton") }

// DatagramHeaderLen and AppendDatagramHeader: type 0x31, with a length.
func DatagramHeaderLen(n int) int                 { panic("skeleton") }
func AppendDatagramHeader(b []byte, n int) []byte { panic("skeleton") }

// AppendAck writes an ACK frame of the ranges, which are ascending and half-open like ranges.Set, newest last; as many of the newest as fit in room bytes.
// ecn nil: no counts. It returns b unchanged if not even one range fits.
func AppendAck(b []byte, r []Range, delay uint64, ecn *ECNCounts, room int) []byte { panic("skeleton") }

// Range is ranges.Range.
type Range = rangesRange

type ECNCounts struct{ ECT0, ECT1, CE uint64 }

// TransportParameters are those of RFC 9000, Section 18.2, and max_datagram_frame_size of RFC 9221. Zero values are the RFC's defaults where ParseTransportParameters fills them in (ack_delay_exponent 3, max_ack_delay 25, active_connection_id_limit 2, max_udp_payload_size 65527).
type TransportParameters struct {
	OriginalDstID                  ConnID
	HasOriginalDstID               bool
	MaxIdleTimeout                 uint64 // ms
	StatelessResetToken            [16]byte
	HasStatelessResetToken         bool
	MaxUDPPayloadSize              uint64
	InitialMaxData                 uint64
	InitialMaxStreamDataBidiLocal  uint64
	InitialMaxStreamDataBidiRemote uint64
	InitialMaxStreamDataUni        uint64
	InitialMaxStreamsBidi          uint64
	InitialMaxStreamsUni           uint64
	AckDelayExponent               uint64
	MaxAckDelay                    uint64 // ms
	DisableActiveMigration         bool
	ActiveConnIDLimit              uint64
	InitialSrcID                   ConnID
	HasInitialSrcID                bool
	RetrySrcID                     ConnID
	HasRetrySrcID                  bool
	MaxDatagramFrameSize           uint64
	// preferred_address: parsed and checked (Section 18.2); kept for later
}

// Append writes the parameters.
func (p *TransportParameters) Append(b []byte) []byte { panic("skeleton") }

// ParseTransportParameters: fromClient forbids what only a server may send. Errors are *Error with TRANSPORT_PARAMETER_ERROR.
func ParseTransportParameters(b []byte, fromClient bool, p *TransportParameters) error {
	panic("skeleton")
}
