package qpack

import "errors"

// The error codes of RFC 9204, Section 6, as HTTP/3 application error codes.
const (
	CodeDecompressionFailed uint64 = 0x200
	CodeEncoderStreamError  uint64 = 0x201
	CodeDecoderStreamError  uint64 = 0x202
)

// Error is a violation of RFC 9204, which closes the connection with Code.
type Error struct {
	Code   uint64
	Reason string
}

// Error returns the reason.
func (e *Error) Error() string { return "qpack: " + e.Reason }

// ErrTooLarge is what Decode returns for a field section above the limit. It
// concerns the message alone; nothing of the section has been kept.
var ErrTooLarge = errors.New("qpack: field section too large")

func errDecompression(reason string) error {
	return &Error{Code: CodeDecompressionFailed, Reason: reason}
}
