package h3

import "github.com/frittata-go/frittata/quic"

// EventKind tells what happened.
type EventKind uint8

const (
	// EventHeaders: the head of a request (server) or response (client) is in
	// Event.Fields. With Event.Interim it is a 1xx response and another one follows.
	EventHeaders EventKind = iota + 1
	// EventData: there is (more) body to read with ReadBody or ReadBodyBuf. It
	// comes again only after they returned nothing and more came, but may come
	// more often than that.
	EventData
	// EventTrailers: the trailers are in Event.Fields, and all of the body has been read.
	EventTrailers
	// EventEnd: the message is complete. It does not come where Event.End or
	// the fin of a read told so already.
	EventEnd
	// EventReset: the message will not be completed; Event.Err tells whether
	// the peer reset it (Remote: the sending half is as it was) or it was at
	// fault (not Remote: both halves are aborted and the stream forgotten).
	EventReset
	// EventStopped: the peer wants no more of what we send on the stream;
	// Event.Err tells its code. The sending half is over.
	EventStopped
	// EventWritable: there is room again after WriteBody or WriteBodyBuf came
	// up short.
	EventWritable
	// EventSettings: the peer's SETTINGS came; PeerSettings has them. Once.
	EventSettings
	// EventGoAway: the peer is shutting down. At a client, requests whose
	// stream is at or above Event.ID were not processed and may be retried on
	// another connection. It may come again with a lower ID.
	EventGoAway
	// EventRawStream: the peer opened a stream of a type that Config hands over
	// raw. Event.ID is the type, which has been read; what follows is the
	// caller's to read, with quic.Conn.StreamRead.
	EventRawStream
	// EventRawReadable: a raw stream has something to read, or its end.
	EventRawReadable
	// EventRawWritable: a raw stream has room again, or was stopped.
	EventRawWritable
)

var eventNames = [...]string{
	EventHeaders: "headers", EventData: "data", EventTrailers: "trailers", EventEnd: "end",
	EventReset: "reset", EventStopped: "stopped", EventWritable: "writable", EventSettings: "settings",
	EventGoAway: "goaway", EventRawStream: "raw stream", EventRawReadable: "raw readable", EventRawWritable: "raw writable",
}

// String names the kind.
func (k EventKind) String() string {
	if int(k) < len(eventNames) && k > 0 {
		return eventNames[k]
	}
	return "unknown"
}

// Event is what Conn.Next returns.
type Event struct {
	Kind    EventKind
	Interim bool // of EventHeaders: a 1xx response
	End     bool // of EventHeaders and EventTrailers: the message ends with it
	Status  int  // of EventHeaders at a client
	Stream  quic.StreamID
	// Fields, of EventHeaders and EventTrailers, begin with the pseudo-header
	// fields and have been validated as RFC 9114, Sections 4.2 and 4.3 want it.
	// The slice is valid until the next call of Next; the strings for good,
	// those of one section sharing one allocation.
	Fields []Field
	// ContentLength, of EventHeaders, is what the content-length field says, or
	// -1 without. A body that differs from it ends in a StreamError.
	ContentLength int64
	ID            uint64       // of EventGoAway and EventRawStream
	Err           *StreamError // of EventReset and EventStopped
}
