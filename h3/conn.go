package h3

import (
	"errors"

	"github.com/frittata-go/frittata/h3/qpack"
	"github.com/frittata-go/frittata/quic"
)

// Field is a header field line; pseudo-header fields have names like ":method".
type Field = qpack.Field

// MaxStreamID is the greatest stream ID of a request.
const MaxStreamID quic.StreamID = 1<<62 - 4

// Conn is the HTTP/3 side of a QUIC connection, client or server. It is not
// safe for concurrent use. It pops the quic.Conn's NextReadable and
// NextWritable; nobody else may. The quic.Conn's events and datagrams are its
// owner's.
type Conn struct {
	qc     transport
	cfg    Config
	client bool
	err    error
	stats  Stats

	streams  map[quic.StreamID]*streamState
	requests int // of streams
	free     *streamState
	nfree    int
	ready    []quic.StreamID // to be looked at by Next before NextReadable
	readyAt  int

	control      *streamState // ours
	seenCritical uint8        // the peer's critical streams that have come: a bit each
	settings     Settings     // the peer's
	haveSettings bool
	maxPushID    uint64
	peerGoAway   bool
	peerGoAwayID uint64
	goingAway    bool
	goAwayID     quic.StreamID // what we sent
	nextRequest  quic.StreamID // the first that no request has come on (server)
	early        earlyPriorities
	lack         int // bytes that DATA frames lack, see onDataLength

	enc     qpack.Encoder
	dec     qpack.Decoder
	fields  []Field // of the last event
	msg     message
	out     []byte // scratch for frames that go out
	scratch []byte // for what comes in
}

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

// NewConn begins HTTP/3 on a connection that has had EventConnected: it opens
// the control stream and those of QPACK, and sends SETTINGS. It fails with
// quic.ErrStreamLimit if the peer allows not even the control stream.
func NewConn(qc *quic.Conn, cfg *Config) (*Conn, error) { return newConn(qc, cfg) }

func newConn(qc transport, cfg *Config) (*Conn, error) {
	c := &Conn{
		qc:       qc,
		cfg:      cfg.withDefaults(),
		client:   qc.IsClient(),
		streams:  make(map[quic.StreamID]*streamState),
		settings: defaultSettings,
	}
	settings := make([]Setting, 0, 8)
	settings = append(settings, Setting{SettingMaxFieldSectionSize, c.cfg.MaxFieldSectionSize})
	if c.cfg.EnableConnectProtocol && !c.client {
		settings = append(settings, Setting{SettingEnableConnectProtocol, 1})
	}
	if c.cfg.EnableDatagrams {
		settings = append(settings, Setting{SettingH3Datagram, 1})
	}
	for _, s := range c.cfg.AdditionalSettings {
		if s.ID > MaxVarint || s.Value > MaxVarint {
			return nil, errors.New("h3: setting above 2^62-1")
		}
		settings = append(settings, s)
	}

	var err error
	c.out = AppendSettings(AppendVarint(c.out[:0], StreamControl), settings)
	if c.control, err = c.openCritical(c.out); err != nil {
		return nil, err
	}
	for _, t := range [...]uint64{StreamQPACKEncoder, StreamQPACKDecoder} {
		// With the static table alone nothing is said on these; a peer that
		// allows no more streams can do without (RFC 9204, Section 4.2).
		if _, err := c.openCritical(AppendVarint(c.out[:0], t)); err != nil && !errors.Is(err, quic.ErrStreamLimit) {
			return nil, err
		}
	}
	return c, nil
}

// openCritical opens a stream that lives as long as the connection.
func (c *Conn) openCritical(begin []byte) (*streamState, error) {
	id, err := c.qc.OpenStream(quic.Uni)
	if err != nil {
		return nil, err
	}
	c.qc.SetStreamPriority(id, 0, false)
	st := c.newStream(id, kindCritical)
	return st, c.writeAll(st, begin, false)
}

// Next returns the next event; false: there is none now. An error, an *Error
// or one of the quic.Conn, is final: close the connection with it.
func (c *Conn) Next() (Event, bool, error) {
	if c.err != nil {
		return Event{}, false, c.err
	}
	// The last event's fields are over; an idle connection keeps none of their strings.
	clear(c.fields)
	if c.fields = c.fields[:0]; cap(c.fields) > maxKeptFields {
		c.fields = nil
	}
	ev, ok, err := c.next()
	if err != nil {
		c.err = err
		return Event{}, false, err
	}
	return ev, ok, nil
}

// Rest lets go of memory that is kept for messages to come: some KiB, which the next ones have made
// anew. Call it when the connection is idle, after quic.EventResting, and not between an event and the use of its fields.
func (c *Conn) Rest() {
	c.fields, c.out, c.scratch = nil, nil, nil
	c.msg = message{}
	c.free, c.nfree = nil, 0
	if c.readyAt == len(c.ready) {
		c.ready, c.readyAt = nil, 0
	}
	c.enc.Rest()
	c.dec.Rest()
	for _, st := range c.streams {
		if len(st.pending) == 0 {
			st.pending = nil
		}
		if len(st.payload) == 0 {
			st.payload = nil
		}
	}
}

// maxKeptFields bounds the fields whose memory is kept for the next event.
const maxKeptFields = 64

func (c *Conn) next() (Event, bool, error) {
	for {
		st := c.popReady()
		if st == nil {
			id, ok := c.qc.NextReadable()
			if !ok {
				break
			}
			var err error
			if st, err = c.streamFor(id); err != nil {
				return Event{}, false, err
			}
			if st == nil {
				continue
			}
		}
		ev, ok, err := c.read(st)
		if err != nil {
			return Event{}, false, err
		}
		if ok {
			return ev, true, nil
		}
	}
	for {
		id, ok := c.qc.NextWritable()
		if !ok {
			return Event{}, false, nil
		}
		if st := c.streams[id]; st != nil {
			if ev, ok, err := c.write(st); ok || err != nil {
				return ev, ok, err
			}
		}
	}
}

// streamFor returns the state of a stream that can be read, new if the peer has
// just opened it. It is nil for a stream that is refused, or of no interest any more.
func (c *Conn) streamFor(id quic.StreamID) (*streamState, error) {
	if st := c.streams[id]; st != nil {
		return st, nil
	}
	switch {
	case id.ServerInitiated() != c.client:
		return nil, nil // ours, and done with
	case id.Dir() == quic.Uni:
		return c.newStream(id, kindUniNew), nil
	case len(c.cfg.RawBidiTypes) > 0:
		return c.newRequest(id, kindBidiNew)
	case c.client:
		return nil, errServerBidi()
	}
	return c.newRequest(id, kindRequest)
}

// newRequest makes the state of a bidirectional stream of the peer, unless it comes too late.
func (c *Conn) newRequest(id quic.StreamID, kind streamKind) (*streamState, error) {
	if c.client {
		return c.newStream(id, kind), nil
	}
	if c.goingAway && id >= c.goAwayID { // RFC 9114, Section 5.2
		c.stats.Rejected++
		c.qc.StopSending(id, uint64(CodeRequestRejected))
		c.qc.ResetStream(id, uint64(CodeRequestRejected))
		return nil, c.glitch(glitchMessage)
	}
	c.nextRequest = max(c.nextRequest, id+4)
	return c.newStream(id, kind), nil
}

// read goes on with what a stream has to read.
func (c *Conn) read(st *streamState) (ev Event, ok bool, err error) {
	switch st.kind {
	case kindRequest, kindBidiNew:
		ev, ok, err = c.readRequest(st)
	case kindUniNew:
		ev, ok, err = c.readUniType(st)
	case kindControl:
		ev, ok, err = c.readControl(st)
	case kindEncoder, kindDecoder:
		err = c.readQPACK(st)
	case kindRaw:
		return Event{Kind: EventRawReadable, Stream: st.id}, true, nil
	}
	if ok && ev.Kind != EventData && c.streams[st.id] == st {
		// There may be more where this came from, and QUIC will not tell again.
		c.queue(st)
	}
	return ev, ok, err
}

// write goes on with a stream that has room again, or was stopped.
func (c *Conn) write(st *streamState) (Event, bool, error) {
	if st.kind == kindRaw {
		return Event{Kind: EventRawWritable, Stream: st.id}, true, nil
	}
	id := st.id
	room, err := c.flush(st)
	if err == nil && room && st.send != sendDone {
		_, err = c.qc.StreamWrite(id, nil, false) // tells whether it was stopped
	}
	if err != nil {
		code, stopped := stopCode(err)
		switch {
		case !stopped && (err == quic.ErrNoStream || err == quic.ErrStreamFinished):
			c.endSending(st)
			return Event{}, false, nil
		case !stopped:
			return Event{}, false, err
		case st.kind != kindRequest && st.kind != kindBidiNew:
			return Event{}, false, errClosedCritical()
		}
		known := c.client || st.known
		c.endSending(st)
		return Event{Kind: EventStopped, Stream: id, Err: &StreamError{Stream: id, Code: code, Remote: true}}, known, nil
	}
	if !room {
		return Event{}, false, nil
	}
	if st.send == sendDone {
		c.maybeForget(st)
		return Event{}, false, nil
	}
	if st.short {
		st.short = false
		return Event{Kind: EventWritable, Stream: id}, true, nil
	}
	return Event{}, false, nil
}

// GoAway sends GOAWAY (RFC 9114, Section 5.2). At a server, requests on streams
// of id and above are refused with H3_REQUEST_REJECTED from now on; id may not
// grow from call to call, and is raised to the first stream that no request has
// come on yet. MaxStreamID tells that the end is near without refusing anything
// so far. A client's GOAWAY carries a push ID, which is 0 whatever id is.
func (c *Conn) GoAway(id quic.StreamID) error {
	if c.err != nil {
		return c.err
	}
	if c.client {
		id = 0
	}
	if id.Dir() != quic.Bidi || id.ServerInitiated() || id > MaxStreamID {
		return ErrNoStream
	}
	id = max(id, c.nextRequest)
	if c.goingAway && id >= c.goAwayID {
		return nil // told already
	}
	c.goingAway, c.goAwayID = true, id
	payload := AppendVarint(nil, uint64(id))
	frame := append(AppendFrameHeader(nil, FrameGoAway, uint64(len(payload))), payload...)
	return c.writeAll(c.control, frame, false)
}

// Shutdown is GoAway with the first stream that no request came on yet: those
// that have come will be answered. When ActiveRequests is 0 and the quic.Conn has
// no bidirectional stream any more, so that the peer has all responses, close
// the connection with H3_NO_ERROR.
func (c *Conn) Shutdown() error { return c.GoAway(c.nextRequest) }

// ActiveRequests returns the number of requests whose streams are not done in
// both directions. A direction is done when all of it was read or given to QUIC.
func (c *Conn) ActiveRequests() int { return c.requests }

// PeerSettings returns the peer's settings; ok is false as long as they have not
// come, and then they are the defaults.
func (c *Conn) PeerSettings() (s *Settings, ok bool) { return &c.settings, c.haveSettings }

// OpenRawStream opens a stream that the Conn passes over: of a type of one's
// own, which the caller writes first.
func (c *Conn) OpenRawStream(dir quic.Dir) (quic.StreamID, error) {
	if c.err != nil {
		return 0, c.err
	}
	id, err := c.qc.OpenStream(dir)
	if err == nil {
		c.newStream(id, kindRaw)
	}
	return id, err
}

// ForgetRawStream drops what the Conn knows of a raw stream. Call it when both
// of its halves are done.
func (c *Conn) ForgetRawStream(id quic.StreamID) {
	if st := c.streams[id]; st != nil && st.kind == kindRaw {
		c.forget(st)
	}
}

// Err returns the error that ended the Conn, nil while it works.
func (c *Conn) Err() error { return c.err }

// Stats returns the counters.
func (c *Conn) Stats() Stats { return c.stats }
