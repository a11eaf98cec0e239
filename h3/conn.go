package h3

import (
	"github.com/frittata-go/frittata/h3/qpack"
	"github.com/frittata-go/frittata/quic"
)

// Field is a header field line; pseudo-header fields have names like ":method".
type Field = qpack.Field

// Setting is one setting of a SETTINGS frame (RFC 9114, Section 7.2.4).
type Setting struct {
	ID, Value uint64
}

// Settings are a peer's settings as far as they are known here. What it did
// not send has its default.
type Settings struct {
	MaxFieldSectionSize   uint64 // math.MaxUint64: unlimited
	QPACKMaxTableCapacity uint64
	QPACKBlockedStreams   uint64
	EnableConnectProtocol bool // RFC 9220
	Datagrams             bool // RFC 9297
	// Other are settings of other identifiers, in order. Those that are
	// reserved to be ignored (RFC 9114, Section 7.2.4.1) are left out.
	Other []Setting
}

// Conn is the HTTP/3 side of a QUIC connection, client or server. It is not
// safe for concurrent use. It pops the quic.Conn's NextReadable and
// NextWritable; nobody else may. The quic.Conn's events and datagrams are its
// owner's.
type Conn struct{}

// NewConn begins HTTP/3 on a connection that has had EventConnected: it opens
// the control stream and those of QPACK, and sends SETTINGS. It fails with
// quic.ErrStreamLimit if the peer allows not even the control stream.
func NewConn(qc *quic.Conn, cfg *Config) (*Conn, error) { panic("skeleton") }

// Next returns the next event; false: there is none now. An error, an *Error
// or one of the quic.Conn, is final: close the connection with it.
func (c *Conn) Next() (Event, bool, error) { panic("skeleton") }

// OpenRequest sends a request's head on a new stream, at a client. fields begin
// with the pseudo-header fields; fin: there is no body. Nothing of fields is
// retained. quic.ErrStreamLimit: the peer allows no more now. ErrGoAway,
// ErrFieldSectionTooLarge, ErrExtendedConnect: nothing was sent.
func (c *Conn) OpenRequest(fields []Field, fin bool) (quic.StreamID, error) { panic("skeleton") }

// SendHeaders sends a response's head, at a server: any number of interim ones
// (status 1xx) and then the final one. fields begin with ":status". It always
// takes all (what QUIC does not take yet is kept).
func (c *Conn) SendHeaders(id quic.StreamID, fields []Field, fin bool) error { panic("skeleton") }

// SendTrailers sends trailers, which end the message.
func (c *Conn) SendTrailers(id quic.StreamID, fields []Field) error { panic("skeleton") }

// WriteBody sends p, or the first n bytes of it, in DATA frames. A short n with
// nil error: EventWritable tells when there is room. fin ends the message and
// counts only when n == len(p). After the peer stopped the stream the error is
// a *StreamError with Remote.
func (c *Conn) WriteBody(id quic.StreamID, p []byte, fin bool) (n int, err error) { panic("skeleton") }

// WriteBodyBuf sends b.B in a DATA frame and takes ownership of b. If ok is
// false the caller keeps b, of which the beginning may have been sent: b.B is
// resliced to the rest. EventWritable tells when there is room. fin counts only when ok.
func (c *Conn) WriteBodyBuf(id quic.StreamID, b *quic.Buffer, fin bool) (ok bool, err error) {
	panic("skeleton")
}

// BodyCapacity returns how many bytes WriteBody would take now, about.
func (c *Conn) BodyCapacity(id quic.StreamID) int { panic("skeleton") }

// ReadBody reads body bytes, across DATA frames. n == 0, not fin, nil: nothing
// there now (EventData tells of more), or trailers come next. fin: the message
// is complete. Call Next afterwards: the read may have come to the trailers. The
// error is a *StreamError, an *Error (close the connection), ErrNoStream, or
// one of the quic.Conn.
func (c *Conn) ReadBody(id quic.StreamID, p []byte) (n int, fin bool, err error) { panic("skeleton") }

// ReadBodyBuf is ReadBody passing ownership of the memory that the bytes are
// in: at most max bytes that came in one piece. b is nil if there is nothing now.
func (c *Conn) ReadBodyBuf(id quic.StreamID, max int) (b *quic.Buffer, fin bool, err error) {
	panic("skeleton")
}

// ResetStream aborts what we send on a request's stream.
func (c *Conn) ResetStream(id quic.StreamID, code ErrorCode) error { panic("skeleton") }

// StopSending tells the peer that we read no more of the stream; its rest is dropped.
func (c *Conn) StopSending(id quic.StreamID, code ErrorCode) error { panic("skeleton") }

// Cancel aborts both halves of a request's stream and forgets it. It may be
// called at any time.
func (c *Conn) Cancel(id quic.StreamID, code ErrorCode) { panic("skeleton") }

// SetPriority sets the urgency (0, most urgent, to 7) and incremental flag by
// which the stream's data is sent (RFC 9218). A server's Conn does that by
// itself from the priority field and PRIORITY_UPDATE unless Config.IgnorePriority.
func (c *Conn) SetPriority(id quic.StreamID, p Priority) error { panic("skeleton") }

// Priority is an RFC 9218 priority. The default is urgency 3, not incremental.
type Priority struct {
	Urgency     uint8
	Incremental bool
}

// GoAway sends GOAWAY (RFC 9114, Section 5.2). At a server, requests on streams
// of id and above are refused with H3_REQUEST_REJECTED from now on; id may not
// grow from call to call. MaxStreamID tells that the end is near without
// refusing anything yet. A client's id is a push ID, and always sent as 0.
func (c *Conn) GoAway(id quic.StreamID) error { panic("skeleton") }

// MaxStreamID is the greatest stream ID of a request.
const MaxStreamID quic.StreamID = 1<<62 - 4

// Shutdown is GoAway with the first stream that no request came on yet: those
// that have come will be answered. When ActiveRequests is 0, close the
// connection with H3_NO_ERROR.
func (c *Conn) Shutdown() error { panic("skeleton") }

// ActiveRequests returns the number of requests whose streams are not done in both directions.
func (c *Conn) ActiveRequests() int { panic("skeleton") }

// PeerSettings returns the peer's settings; false: they have not come yet.
func (c *Conn) PeerSettings() (*Settings, bool) { panic("skeleton") }

// OpenRawStream opens a stream that the Conn passes over: of a type of one's
// own, which the caller writes first.
func (c *Conn) OpenRawStream(dir quic.Dir) (quic.StreamID, error) { panic("skeleton") }

// ForgetRawStream ends the EventRawReadable and EventRawWritable of a raw stream, when both of its halves are done.
func (c *Conn) ForgetRawStream(id quic.StreamID) { panic("skeleton") }

// Err returns the error that ended the Conn, nil while it works.
func (c *Conn) Err() error { panic("skeleton") }

// Stats returns counters.
func (c *Conn) Stats() Stats { panic("skeleton") }

// Stats are a Conn's counters.
type Stats struct {
	Requests          uint64 // requests opened (client) or whose head came (server)
	Rejected          uint64 // requests refused after GOAWAY
	Malformed         uint64 // messages that ended in H3_MESSAGE_ERROR
	FieldsTooLarge    uint64 // field sections above Config.MaxFieldSectionSize
	Incomplete        uint64 // requests that ended before their head was complete
	FramesSkipped     uint64 // frames of unknown types
	StreamsRefused    uint64 // unidirectional streams of unknown types
	PrioritiesDropped uint64 // PRIORITY_UPDATEs for streams not yet open beyond the number that is kept
}
