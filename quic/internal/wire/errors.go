package wire

import (
	"crypto/tls"
	"strconv"
	"strings"
)

// Transport error codes (RFC 9000, Section 20.1).
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
	ErrCryptoError             = 0x100 // to 0x1ff: the low byte is a TLS alert
)

var errorNames = [...]string{
	ErrNoError:                 "NO_ERROR",
	ErrInternalError:           "INTERNAL_ERROR",
	ErrConnectionRefused:       "CONNECTION_REFUSED",
	ErrFlowControlError:        "FLOW_CONTROL_ERROR",
	ErrStreamLimitError:        "STREAM_LIMIT_ERROR",
	ErrStreamStateError:        "STREAM_STATE_ERROR",
	ErrFinalSizeError:          "FINAL_SIZE_ERROR",
	ErrFrameEncodingError:      "FRAME_ENCODING_ERROR",
	ErrTransportParameterError: "TRANSPORT_PARAMETER_ERROR",
	ErrConnectionIDLimitError:  "CONNECTION_ID_LIMIT_ERROR",
	ErrProtocolViolation:       "PROTOCOL_VIOLATION",
	ErrInvalidToken:            "INVALID_TOKEN",
	ErrApplicationError:        "APPLICATION_ERROR",
	ErrCryptoBufferExceeded:    "CRYPTO_BUFFER_EXCEEDED",
	ErrKeyUpdateError:          "KEY_UPDATE_ERROR",
	ErrAEADLimitReached:        "AEAD_LIMIT_REACHED",
	ErrNoViablePath:            "NO_VIABLE_PATH",
}

// ErrorName names a transport error code as RFC 9000, Section 20.1, does. A
// CRYPTO_ERROR comes with its TLS alert, as in "CRYPTO_ERROR 0x12a (bad
// certificate)", and a code that has no name is told in hexadecimal.
func ErrorName(code uint64) string {
	switch {
	case code < uint64(len(errorNames)):
		return errorNames[code]
	case code&^0xff == ErrCryptoError:
		alert := strings.TrimPrefix(tls.AlertError(code&0xff).Error(), "tls: ")
		return "CRYPTO_ERROR 0x" + strconv.FormatUint(code, 16) + " (" + alert + ")"
	}
	return "error 0x" + strconv.FormatUint(code, 16)
}

// Error is what parsers return for what the peer must not send: it closes the
// connection.
type Error struct {
	Code      uint64 // the transport error code for the peer
	FrameType uint64 // of the frame that is at fault, 0 if none is
	Reason    string // static text: making one allocates at most the Error
}

// Error tells the code, the reason and the frame.
func (e *Error) Error() string {
	s := "quic: " + ErrorName(e.Code) + ": " + e.Reason
	if e.FrameType != 0 {
		s += " (frame type 0x" + strconv.FormatUint(e.FrameType, 16) + ")"
	}
	return s
}
