package quic

// EventKind tells what happened.
type EventKind uint8

const (
	// EventConnected: the first keys for application data are there, and
	// streams can be opened. Once.
	EventConnected EventKind = iota + 1
	// EventConfirmed: the handshake is confirmed (RFC 9001, Section 4.1.2). Once.
	EventConfirmed
	// EventStreamsAvailable: the peer raised the limit on streams of
	// direction Dir after OpenStream had met it.
	EventStreamsAvailable
	// EventDatagramReadable: ReadDatagram has something. Again only when it
	// was read until empty.
	EventDatagramReadable
	// EventDatagramWritable: SendDatagram has room again after it was full.
	EventDatagramWritable
	// EventPathChanged: the peer's address, or ours, is another one now.
	EventPathChanged
	// EventResting: nothing has come and nothing was in flight for three seconds, so the
	// connection has let go of memory that it builds up again when it is needed. The
	// application may do likewise. Once for each time that it was busy.
	EventResting
	// EventClosed: the connection is closed, by either side or by a timeout;
	// Err tells why. Packets may still go out until the drain is over, and if
	// the peer closed it what came before that can still be read. Once, and the last.
	EventClosed
)

var eventNames = [...]string{
	EventConnected: "connected", EventConfirmed: "confirmed", EventStreamsAvailable: "streams available",
	EventDatagramReadable: "datagram readable", EventDatagramWritable: "datagram writable",
	EventPathChanged: "path changed", EventResting: "resting", EventClosed: "closed",
}

// String names the kind.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return "unknown"
}

// Event is something that the application may want to know. Events are state
// and not a queue: of each kind (and direction) at most one waits.
type Event struct {
	Kind EventKind
	Dir  Dir // of EventStreamsAvailable
}
