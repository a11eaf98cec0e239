package h3

// Frame types (RFC 9114, Section 7.2; RFC 9218, Section 7.2).
const (
	FrameData                  uint64 = 0x0
	FrameHeaders               uint64 = 0x1
	FrameCancelPush            uint64 = 0x3
	FrameSettings              uint64 = 0x4
	FramePushPromise           uint64 = 0x5
	FrameGoAway                uint64 = 0x7
	FrameMaxPushID             uint64 = 0xd
	FramePriorityUpdateRequest uint64 = 0xf0700
	FramePriorityUpdatePush    uint64 = 0xf0701
)

// Types of unidirectional streams (RFC 9114, Section 6.2; RFC 9204, Section 4.2).
const (
	StreamControl      uint64 = 0x0
	StreamPush         uint64 = 0x1
	StreamQPACKEncoder uint64 = 0x2
	StreamQPACKDecoder uint64 = 0x3
)

// maxFrameHeader is the greatest length of a frame's type and length, in bytes.
const maxFrameHeader = 16

// AppendFrameHeader appends a frame's type and the length of its payload
// (RFC 9114, Section 7.1).
func AppendFrameHeader(b []byte, frameType, length uint64) []byte {
	return AppendVarint(AppendVarint(b, frameType), length)
}

// frameFate is what the frame types mean on a kind of stream.
type frameFate uint8

const (
	frameSkip       frameFate = iota // unknown: ignored (RFC 9114, Section 9)
	frameTake                        // known here
	frameUnexpected                  // H3_FRAME_UNEXPECTED
)

// fateOnRequest and fateOnControl are the table of RFC 9114, Section 7, with
// the frame types of HTTP/2 that have no counterpart (Section 7.2.8) and the
// extension of RFC 9218.
func fateOnRequest(frameType uint64) frameFate {
	switch frameType {
	case FrameData, FrameHeaders, FramePushPromise:
		return frameTake
	case FrameCancelPush, FrameSettings, FrameGoAway, FrameMaxPushID, FramePriorityUpdateRequest, FramePriorityUpdatePush,
		0x2, 0x6, 0x8, 0x9:
		return frameUnexpected
	}
	return frameSkip
}

func fateOnControl(frameType uint64) frameFate {
	switch frameType {
	case FrameCancelPush, FrameSettings, FrameGoAway, FrameMaxPushID, FramePriorityUpdateRequest, FramePriorityUpdatePush:
		return frameTake
	case FrameData, FrameHeaders, FramePushPromise, 0x2, 0x6, 0x8, 0x9:
		return frameUnexpected
	}
	return frameSkip
}

// frameHeader is a frame's type and length as it comes in, byte by byte.
type frameHeader struct {
	b [maxFrameHeader]byte
	n uint8
}

// missing returns the bytes that have to come next, as a piece of h.b to be
// filled: never more than belong to the header. It is empty when the header is complete.
func (h *frameHeader) missing(typeOnly bool) []byte {
	need := 1
	if h.n > 0 {
		need = varintLen(h.b[0])
	}
	if !typeOnly {
		t := need
		need++
		if int(h.n) > t {
			need = t + varintLen(h.b[t])
		}
	}
	if int(h.n) >= need {
		return nil
	}
	return h.b[h.n:need]
}

// take ends the header and returns its fields.
func (h *frameHeader) take() (frameType, length uint64) {
	frameType, n := ConsumeVarint(h.b[:h.n])
	length, _ = ConsumeVarint(h.b[n:h.n])
	h.n = 0
	return frameType, length
}
