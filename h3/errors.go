package h3

import (
	"errors"
	"fmt"
	"io"

	"github.com/frittata-go/frittata/quic"
)

// ErrorCode is an application error code of HTTP/3 (RFC 9114, Section 8.1), of
// QPACK (RFC 9204, Section 6) or of HTTP Datagrams (RFC 9297, Section 5.2).
type ErrorCode uint64

// The error codes.
const (
	CodeDatagramError        ErrorCode = 0x33
	CodeNoError              ErrorCode = 0x100
	CodeGeneralProtocolError ErrorCode = 0x101
	CodeInternalError        ErrorCode = 0x102
	CodeStreamCreationError  ErrorCode = 0x103
	CodeClosedCriticalStream ErrorCode = 0x104
	CodeFrameUnexpected      ErrorCode = 0x105
	CodeFrameError           ErrorCode = 0x106
	CodeExcessiveLoad        ErrorCode = 0x107
	CodeIDError              ErrorCode = 0x108
	CodeSettingsError        ErrorCode = 0x109
	CodeMissingSettings      ErrorCode = 0x10a
	CodeRequestRejected      ErrorCode = 0x10b
	CodeRequestCancelled     ErrorCode = 0x10c
	CodeRequestIncomplete    ErrorCode = 0x10d
	CodeMessageError         ErrorCode = 0x10e
	CodeConnectError         ErrorCode = 0x10f
	CodeVersionFallback      ErrorCode = 0x110

	CodeQPACKDecompressionFailed ErrorCode = 0x200
	CodeQPACKEncoderStreamError  ErrorCode = 0x201
	CodeQPACKDecoderStreamError  ErrorCode = 0x202
)

// String names the code as its RFC does: H3_FRAME_UNEXPECTED, say.
func (c ErrorCode) String() string {
	switch c {
	case CodeDatagramError:
		return "H3_DATAGRAM_ERROR"
	case CodeNoError:
		return "H3_NO_ERROR"
	case CodeGeneralProtocolError:
		return "H3_GENERAL_PROTOCOL_ERROR"
	case CodeInternalError:
		return "H3_INTERNAL_ERROR"
	case CodeStreamCreationError:
		return "H3_STREAM_CREATION_ERROR"
	case CodeClosedCriticalStream:
		return "H3_CLOSED_CRITICAL_STREAM"
	case CodeFrameUnexpected:
		return "H3_FRAME_UNEXPECTED"
	case CodeFrameError:
		return "H3_FRAME_ERROR"
	case CodeExcessiveLoad:
		return "H3_EXCESSIVE_LOAD"
	case CodeIDError:
		return "H3_ID_ERROR"
	case CodeSettingsError:
		return "H3_SETTINGS_ERROR"
	case CodeMissingSettings:
		return "H3_MISSING_SETTINGS"
	case CodeRequestRejected:
		return "H3_REQUEST_REJECTED"
	case CodeRequestCancelled:
		return "H3_REQUEST_CANCELLED"
	case CodeRequestIncomplete:
		return "H3_REQUEST_INCOMPLETE"
	case CodeMessageError:
		return "H3_MESSAGE_ERROR"
	case CodeConnectError:
		return "H3_CONNECT_ERROR"
	case CodeVersionFallback:
		return "H3_VERSION_FALLBACK"
	case CodeQPACKDecompressionFailed:
		return "QPACK_DECOMPRESSION_FAILED"
	case CodeQPACKEncoderStreamError:
		return "QPACK_ENCODER_STREAM_ERROR"
	case CodeQPACKDecoderStreamError:
		return "QPACK_DECODER_STREAM_ERROR"
	}
	return fmt.Sprintf("HTTP/3 error %#x", uint64(c))
}

// Error is a connection error that the Conn found. Whoever holds the
// quic.Conn closes it with CloseError.
type Error struct {
	Code   ErrorCode
	Reason string
}

// Error names the code and the reason.
func (e *Error) Error() string {
	if e.Reason == "" {
		return "h3: " + e.Code.String()
	}
	return "h3: " + e.Code.String() + ": " + e.Reason
}

// CloseError returns what quic.Conn.Close is to be called with.
func (e *Error) CloseError() quic.CloseError {
	return quic.CloseError{Application: true, Code: uint64(e.Code), Reason: e.Reason}
}

// StreamError ended one half of a request's stream, or both: with Remote the
// peer reset or stopped it, else the Conn found what it carried to be at fault
// and has reset and stopped it. If that is that the message ended, without a reset, before it
// was complete, the error is an io.ErrUnexpectedEOF too.
type StreamError struct {
	Stream quic.StreamID
	Code   ErrorCode
	Reason string
	Remote bool

	short bool
}

// Is is for errors.Is.
func (e *StreamError) Is(target error) bool { return e.short && target == io.ErrUnexpectedEOF }

// Error says whose error it is, and what.
func (e *StreamError) Error() string {
	who := "h3: stream "
	if e.Remote {
		who = "h3: peer ended stream "
	}
	s := fmt.Sprintf("%s%d: %v", who, uint64(e.Stream), e.Code)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// FieldSectionError is an ErrFieldSectionTooLarge, with the size of the fields and what the peer
// accepts, in bytes as RFC 9114, Section 4.2.2 counts them.
type FieldSectionError struct{ Size, Limit uint64 }

// Error tells both.
func (e *FieldSectionError) Error() string {
	return fmt.Sprintf("%v: %d bytes, and the limit is %d", ErrFieldSectionTooLarge, e.Size, e.Limit)
}

// Unwrap returns ErrFieldSectionTooLarge.
func (e *FieldSectionError) Unwrap() error { return ErrFieldSectionTooLarge }

// Errors of commands.
var (
	// ErrNoStream: there is no such stream, or that half of it, any more.
	// It is quic.ErrNoStream.
	ErrNoStream = quic.ErrNoStream
	// ErrGoAway: the peer, or this side, is shutting the connection down and
	// there can be no new request on it (RFC 9114, Section 5.2).
	ErrGoAway = errors.New("h3: connection is shutting down")
	// ErrFieldSectionTooLarge: the fields are more than the peer's
	// SETTINGS_MAX_FIELD_SECTION_SIZE allows (RFC 9114, Section 4.2.2). It comes in a *FieldSectionError.
	ErrFieldSectionTooLarge = errors.New("h3: field section is larger than the peer accepts")
	// ErrExtendedConnect: a request has :protocol, but the server has not said
	// that it supports extended CONNECT (RFC 9220, Section 3).
	ErrExtendedConnect = errors.New("h3: peer does not support extended CONNECT")
	// ErrOrder: the call is out of order: a body before the headers, or
	// anything after the end.
	ErrOrder = errors.New("h3: headers, body and trailers out of order")
)
