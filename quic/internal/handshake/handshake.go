package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// Level is an encryption level that CRYPTO frames and secrets belong to. There is none for 0-RTT, which carries no CRYPTO frames.
type Level uint8

const (
	LevelInitial Level = iota
	LevelHandshake
	LevelApp
)

func (l Level) String() string {
	switch l {
	case LevelInitial:
		return "Initial"
	case LevelHandshake:
		return "Handshake"
	case LevelApp:
		return "1-RTT"
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// EventKind says what an [Event] is about.
type EventKind uint8

const (
	EventNone        EventKind = iota
	EventReadSecret            // Level, Suite, Data: the secret
	EventWriteSecret           // Level, Suite, Data: the secret
	EventWriteCrypto           // Level, Data: bytes for CRYPTO frames
	EventPeerParams            // Data: the peer's transport parameters, encoded
	EventDone                  // the handshake is complete; the secret for reading 1-RTT packets comes after it
)

// An Event is something that the handshake wants done. Data is valid until the next call of a method of the [Handshaker].
type Event struct {
	Kind  EventKind
	Level Level
	Suite uint16
	Data  []byte
}

// An AlertError is a TLS alert that has to be sent to the peer, as CRYPTO_ERROR 0x0100 + Alert (RFC 9001, Section 4.8). It wraps the cause.
type AlertError struct {
	Alert uint8
	Err   error
}

func (e *AlertError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("handshake failed with alert %d", e.Alert)
	}
	return fmt.Sprintf("handshake failed with alert %d: %v", e.Alert, e.Err)
}

func (e *AlertError) Unwrap() error { return e.Err }

// Alerts of RFC 8446, Section 6.
const (
	alertUnexpectedMessage     = 10
	alertDecodeError           = 50
	alertDecryptError          = 51
	alertInternalError         = 80
	alertNoApplicationProtocol = 120
)

// ErrProtocolViolation is in the chain of an [AlertError] whose connection error RFC 9001 wants to be PROTOCOL_VIOLATION: for data of an encryption level that should have
// ended (Section 4.1.3), and for a CertificateRequest after the handshake (Section 4.4). The alert, unexpected_message, is what TLS calls it.
var ErrProtocolViolation = errors.New("handshake: protocol violation")

var (
	errLevel           = fmt.Errorf("%w: CRYPTO data at the wrong encryption level", ErrProtocolViolation)
	errCertificateLate = fmt.Errorf("%w: certificate request after the handshake", ErrProtocolViolation)
)

var (
	errClosed      = errors.New("handshake: closed")
	errStarted     = errors.New("handshake: started twice")
	errParams      = errors.New("handshake: started without transport parameters")
	errParamsTwice = errors.New("handshake: transport parameters set twice")
	errNoProtocol  = errors.New("handshake: no application protocol was negotiated")
	errNoALPN      = errors.New("handshake: no application protocols: NextProtos is required (RFC 9001, Section 8.1)")
)

// A Handshaker is one side of a handshake. Errors that the peer has to be told are of type [*AlertError].
type Handshaker interface {
	// SetParams sets our transport parameters, encoded, once. A client does so before Start. A server may wait for EventPeerParams: the handshake goes
	// on then, State has the server name and the protocol, and the error is as of HandleCrypto.
	SetParams(p []byte) error
	Start() error
	// HandleCrypto takes bytes of CRYPTO frames, in order. It does not retain b. On an error, events that precede it are still there. An error is final: it is returned from then on.
	HandleCrypto(l Level, b []byte) error
	// NextEvent returns the next event, of kind EventNone if there is none.
	NextEvent() Event
	// SendTicket makes a server write a session ticket, after EventDone, if tickets are enabled and of use to the client. A server can send one. An error is that there is no ticket, no more.
	SendTicket() error
	// State is of the handshake so far. It stays after Close.
	State() tls.ConnectionState
	// Close ends the handshake and frees what it holds. Later calls fail; Close may be called again.
	Close()
}

// events is a queue of events.
type events struct {
	list []Event
	next int
}

func (q *events) push(e Event) { q.list = append(q.list, e) }

func (q *events) pop() Event {
	if q.next == len(q.list) {
		*q = events{} // handshakes are short: nothing is kept for the rest of the connection
		return Event{}
	}
	e := q.list[q.next]
	q.list[q.next] = Event{}
	q.next++
	return e
}

// Types of handshake messages (RFC 8446, Section 4). The fake's are the same.
const (
	typeClientHello         = 1
	typeServerHello         = 2
	typeNewSessionTicket    = 4
	typeEncryptedExtensions = 8
	typeCertificate         = 11
	typeCertificateRequest  = 13
	typeFinished            = 20
)

// A framer finds the messages in a stream of handshake messages: a type of 1 byte, a length of 3, and so many bytes (RFC 8446, Section 4).
type framer struct {
	head [headLen]byte
	n    int // bytes of head that are there
	left int // bytes of the message's body that are to come
}

const headLen = 4

// header takes bytes of a header. It reports how many it took, and whether the header is complete.
func (f *framer) header(b []byte) (n int, ok bool) {
	n = copy(f.head[f.n:], b)
	f.n += n
	if n > 0 && f.n == headLen {
		f.left = int(f.head[1])<<16 | int(f.head[2])<<8 | int(f.head[3])
	}
	return n, f.n == headLen
}

// body takes bytes of a body, after the header. It reports how many are the message's, and whether it ends with them.
func (f *framer) body(b []byte) (n int, end bool) {
	n = min(f.left, len(b))
	f.left -= n
	if f.left == 0 {
		f.n = 0
		return n, true
	}
	return n, false
}
