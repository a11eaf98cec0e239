package quic

import (
	"errors"
	"fmt"
	"net"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// Sentinel errors of commands.
var (
	// ErrStreamLimit: the peer allows no more streams now. EventStreamsAvailable tells when it does.
	ErrStreamLimit = errors.New("quic: stream limit reached")
	// ErrNoStream: there is no such stream, or that half of it, any more or yet.
	ErrNoStream = errors.New("quic: no such stream")
	// ErrStreamFinished: a write after the end of the stream was written.
	ErrStreamFinished = errors.New("quic: write after the end of the stream")
	// ErrNotConnected: the command has to wait for EventConnected.
	ErrNotConnected = errors.New("quic: handshake not complete")
	// ErrDatagramUnsupported: the peer takes no DATAGRAM frames.
	ErrDatagramUnsupported = errors.New("quic: peer does not accept datagrams")
	// ErrDatagramQueueFull: the datagrams that wait to be sent fill the queue.
	// EventDatagramWritable tells when there is room.
	ErrDatagramQueueFull = errors.New("quic: datagram queue is full")
	// ErrClosed is what every command returns after the local application has
	// closed the connection without an error. It wraps net.ErrClosed.
	ErrClosed = fmt.Errorf("quic: connection closed: %w", net.ErrClosed)
)

// TransportErrorCode is an error code of RFC 9000, Section 20.1. Codes 0x100 to
// 0x1ff carry a TLS alert in the low byte.
type TransportErrorCode uint64

// The transport error codes.
const (
	NoError                  TransportErrorCode = wire.ErrNoError
	InternalError            TransportErrorCode = wire.ErrInternalError
	ConnectionRefused        TransportErrorCode = wire.ErrConnectionRefused
	FlowControlError         TransportErrorCode = wire.ErrFlowControlError
	StreamLimitError         TransportErrorCode = wire.ErrStreamLimitError
	StreamStateError         TransportErrorCode = wire.ErrStreamStateError
	FinalSizeError           TransportErrorCode = wire.ErrFinalSizeError
	FrameEncodingError       TransportErrorCode = wire.ErrFrameEncodingError
	TransportParameterError  TransportErrorCode = wire.ErrTransportParameterError
	ConnectionIDLimitError   TransportErrorCode = wire.ErrConnectionIDLimitError
	ProtocolViolation        TransportErrorCode = wire.ErrProtocolViolation
	InvalidToken             TransportErrorCode = wire.ErrInvalidToken
	ApplicationErrorOccurred TransportErrorCode = wire.ErrApplicationError
	CryptoBufferExceeded     TransportErrorCode = wire.ErrCryptoBufferExceeded
	KeyUpdateError           TransportErrorCode = wire.ErrKeyUpdateError
	AEADLimitReached         TransportErrorCode = wire.ErrAEADLimitReached
	NoViablePath             TransportErrorCode = wire.ErrNoViablePath
	cryptoErrorBase          TransportErrorCode = 0x100
)

// String names the code as RFC 9000 does.
func (c TransportErrorCode) String() string { return wire.ErrorName(uint64(c)) }

// Alert returns the TLS alert that the code carries (RFC 9001, Section 4.8).
func (c TransportErrorCode) Alert() (alert uint8, ok bool) {
	return uint8(c), c&^0xff == cryptoErrorBase
}

// TransportError closed the connection: a violation of the protocol, a failed
// handshake, a refusal. With Remote the peer sent it, else we did.
type TransportError struct {
	Code      TransportErrorCode
	FrameType uint64 // of the frame that was at fault, if known
	Reason    string
	Remote    bool
	Err       error // the cause, if there is one: of a failed TLS handshake, say
}

// Error says who closed the connection, and why.
func (e *TransportError) Error() string {
	return closeText(e.Remote, e.Code.String(), e.Reason, e.Err)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// ApplicationError closed the connection: with Remote the peer's application
// did so, else ours. The meaning of Code is the application protocol's.
type ApplicationError struct {
	Code   uint64
	Reason string
	Remote bool
}

// Error says who closed the connection, and why.
func (e *ApplicationError) Error() string {
	return closeText(e.Remote, fmt.Sprintf("application error %#x", e.Code), e.Reason, nil)
}

func closeText(remote bool, code, reason string, err error) string {
	who := "quic: connection closed: "
	if remote {
		who = "quic: peer closed the connection: "
	}
	s := who + code
	if reason != "" {
		s += ": " + reason
	}
	if err != nil && err.Error() != reason {
		s += ": " + err.Error()
	}
	return s
}

// IdleTimeoutError: nothing came from the peer for the idle timeout (RFC 9000,
// Section 10.1). It is a net.Error whose Timeout is true.
type IdleTimeoutError struct{}

func (*IdleTimeoutError) Error() string {
	return "quic: no packet from the peer within the idle timeout"
}

// Timeout returns true.
func (*IdleTimeoutError) Timeout() bool { return true }

// Temporary returns false.
func (*IdleTimeoutError) Temporary() bool { return false }

// HandshakeTimeoutError: the handshake took longer than Config.HandshakeTimeout.
// It is a net.Error whose Timeout is true.
type HandshakeTimeoutError struct {
	Heard bool // whether any packet of the peer was received
}

func (e *HandshakeTimeoutError) Error() string {
	if e.Heard {
		return "quic: handshake did not complete in time"
	}
	return "quic: handshake timeout: no answer from the peer"
}

// Timeout returns true.
func (*HandshakeTimeoutError) Timeout() bool { return true }

// Temporary returns false.
func (*HandshakeTimeoutError) Temporary() bool { return false }

// StatelessResetError: the peer has lost the connection's state (RFC 9000, Section 10.3).
type StatelessResetError struct{}

func (*StatelessResetError) Error() string { return "quic: stateless reset by the peer" }

// VersionNegotiationError: the server speaks none of our versions (RFC 9000, Section 6).
type VersionNegotiationError struct {
	Offered []uint32 // what the server speaks
}

func (e *VersionNegotiationError) Error() string {
	return fmt.Sprintf("quic: no QUIC version in common; the server offers %#x", e.Offered)
}

// StreamResetError is what a read returns after the peer's RESET_STREAM.
type StreamResetError struct {
	Stream StreamID
	Code   uint64 // application error code
}

func (e *StreamResetError) Error() string {
	return fmt.Sprintf("quic: stream %d reset by the peer with code %#x", e.Stream, e.Code)
}

// StreamStoppedError is what a write returns after the peer's STOP_SENDING.
type StreamStoppedError struct {
	Stream StreamID
	Code   uint64 // application error code
}

func (e *StreamStoppedError) Error() string {
	return fmt.Sprintf("quic: peer stopped stream %d with code %#x", e.Stream, e.Code)
}

// DatagramTooLargeError: the datagram does not fit; Limit is the most bytes
// that do now.
type DatagramTooLargeError struct {
	Size, Limit int // bytes
}

func (e *DatagramTooLargeError) Error() string {
	return fmt.Sprintf("quic: datagram of %d bytes is too large, the limit is %d", e.Size, e.Limit)
}

// CloseError is what Conn.Close tells the peer. The zero value closes with the
// transport's NO_ERROR.
type CloseError struct {
	Application bool   // Code is the application protocol's, else a TransportErrorCode
	Code        uint64 // at most 2^62-1
	Reason      string // cut at 1024 bytes, for people
}
