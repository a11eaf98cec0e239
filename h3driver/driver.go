package h3driver

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/quic"
)

// Config is how a Driver behaves. The zero value works for a client.
type Config struct {
	// H3 configures the h3.Conn.
	H3 h3.Config

	// Serve is called on the strand when the head of a request has come, and
	// must not block: it starts a goroutine, or answers at once. A server needs it.
	// The head is valid during the call; its strings are for good.
	// Whoever handles the request calls Stream.Finish at the end.
	Serve func(s *Stream, head *Head)

	// OnSettings is called on the strand when the peer's settings have come.
	OnSettings func(*h3.Settings)

	// OnDatagrams is called on the strand when the quic.Conn has datagrams to read.
	OnDatagrams func(*quic.Conn)

	// OnClose is called on the strand when the connection has closed.
	OnClose func(err error)

	// BodyBuffer is how many bytes of a body wait in memory for their reader,
	// and of another for the strand. Default 256 KiB each.
	BodyBuffer int
}

// Head is what a message begins with.
type Head struct {
	Fields        []h3.Field // pseudo-header fields first
	Status        int        // of a response
	ContentLength int64      // -1 if not told
	End           bool       // there is no body
}

// Driver is the HTTP/3 Application of one connection.
type Driver struct {
	cfg    *Config
	client bool

	// On the strand alone.
	qc       *quic.Conn
	h3       *h3.Conn
	streams  map[quic.StreamID]*Stream
	waiting  []*Stream // requests that wait for the peer's stream limit
	stopping bool      // OnShutdown has come
	spare    []*Stream

	conn *frittata.Conn // set before any other goroutine knows the Driver

	active atomic.Int64 // requests that were opened and have not ended

	mu     sync.Mutex
	dirty  []*Stream // have something for the strand to do
	opens  []*Stream // requests to begin
	closed error     // why no request can begin any more
	goAway bool      // the peer takes no new requests
}

var (
	_ frittata.Application = (*Driver)(nil)
	_ frittata.Shutdowner  = (*Driver)(nil)
)

// NewServer returns the Application of a server's connection.
func NewServer(cfg *Config) *Driver {
	return &Driver{cfg: cfg}
}

// NewClient returns the Application of a client's connection. cfg may be nil.
func NewClient(cfg *Config) *Driver {
	if cfg == nil {
		cfg = &Config{}
	}
	return &Driver{cfg: cfg, client: true}
}

// Conn returns the connection's handle, nil before it is established.
func (d *Driver) Conn() *frittata.Conn { return d.conn }

// OnEstablished begins HTTP/3.
func (d *Driver) OnEstablished(c *quic.Conn, info frittata.HandshakeInfo) error {
	d.qc = c
	d.streams = make(map[quic.StreamID]*Stream)
	hc, err := h3.NewConn(c, &d.cfg.H3)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.conn, d.h3 = info.Conn, hc
	d.mu.Unlock()
	return nil
}

// ProcessReads takes in what the peer sent.
func (d *Driver) ProcessReads(c *quic.Conn) error {
	for {
		ev, ok := c.NextEvent()
		if !ok {
			break
		}
		switch ev.Kind {
		case quic.EventStreamsAvailable:
			if ev.Dir == quic.Bidi && len(d.waiting) > 0 {
				d.mu.Lock()
				d.opens = append(d.waiting, d.opens...)
				d.mu.Unlock()
				d.waiting = nil
			}
		case quic.EventDatagramReadable:
			if d.cfg.OnDatagrams != nil {
				d.cfg.OnDatagrams(c)
			}
		}
	}
	for {
		ev, ok, err := d.h3.Next()
		if err != nil {
			return d.connError(err)
		}
		if !ok {
			return nil
		}
		if err := d.handle(&ev); err != nil {
			return d.connError(err)
		}
	}
}

// connError makes an error of the h3.Conn one that the runtime closes the connection with.
func (d *Driver) connError(err error) error {
	var he *h3.Error
	if errors.As(err, &he) {
		return &quic.ApplicationError{Code: uint64(he.Code), Reason: he.Reason}
	}
	return err
}

// ProcessWrites carries out what goroutines want.
func (d *Driver) ProcessWrites(c *quic.Conn) error {
	d.mu.Lock()
	opens, dirty := d.opens, d.dirty
	d.opens, d.dirty = nil, d.spare[:0]
	d.mu.Unlock()
	for _, s := range opens {
		if err := d.open(s); err != nil {
			return d.connError(err)
		}
	}
	for i, s := range dirty {
		dirty[i] = nil
		s.queued.Store(false)
		if err := d.service(s); err != nil {
			return d.connError(err)
		}
	}
	d.spare = dirty[:0]
	d.maybeClose()
	return nil
}

// OnShutdown sends GOAWAY (RFC 9114, Section 5.2). When the requests under way have
// ended the connection closes.
func (d *Driver) OnShutdown(c *quic.Conn) {
	if d.h3 == nil || d.stopping {
		return
	}
	d.stopping = true
	d.mu.Lock()
	d.goAway = true
	d.mu.Unlock()
	if err := d.h3.Shutdown(); err != nil {
		c.Close(quic.CloseError{Application: true, Code: uint64(h3.CodeNoError)})
		return
	}
	d.maybeClose()
}

// maybeClose closes a connection that is shutting down and has nothing left to do.
func (d *Driver) maybeClose() {
	if d.stopping && len(d.streams) == 0 && d.h3.ActiveRequests() == 0 {
		d.qc.Close(quic.CloseError{Application: true, Code: uint64(h3.CodeNoError)})
	}
}

// OnClose tells all who wait.
func (d *Driver) OnClose(c *quic.Conn, err error) {
	if err == nil {
		err = frittata.ErrConnGone
	}
	d.mu.Lock()
	d.closed = err
	opens := append(d.opens, d.waiting...)
	d.opens, d.dirty = nil, nil
	d.mu.Unlock()
	d.waiting = nil
	for _, s := range opens {
		s.fail(err)
	}
	for id, s := range d.streams {
		delete(d.streams, id)
		s.fail(err)
	}
	if d.cfg.OnClose != nil {
		d.cfg.OnClose(err)
	}
}

// handle takes an event of the h3.Conn.
func (d *Driver) handle(ev *h3.Event) error {
	switch ev.Kind {
	case h3.EventSettings:
		if d.cfg.OnSettings != nil {
			if s, ok := d.h3.PeerSettings(); ok {
				d.cfg.OnSettings(s)
			}
		}
		return nil
	case h3.EventGoAway:
		d.onGoAway(quic.StreamID(ev.ID))
		return nil
	}
	s := d.streams[ev.Stream]
	if s == nil {
		if ev.Kind == h3.EventHeaders && !d.client {
			d.onRequest(ev)
		}
		return nil
	}
	switch ev.Kind {
	case h3.EventHeaders:
		s.onResponse(ev)
		if ev.End && !ev.Interim {
			d.endBody(s)
		}
	case h3.EventData:
		return d.pump(s)
	case h3.EventTrailers:
		s.setTrailers(ev.Fields)
		d.endBody(s)
	case h3.EventEnd:
		d.endBody(s)
	case h3.EventReset:
		s.body.Abort(ev.Err)
		s.gotBody = true
		s.onFailure(ev.Err)
		if !ev.Err.Remote {
			s.out.Stop(ev.Err)
			s.sentBody = true
		}
		d.maybeForget(s)
	case h3.EventStopped:
		s.out.Stop(ev.Err)
		s.sentBody = true
		d.maybeForget(s)
	case h3.EventWritable:
		return d.service(s)
	}
	return nil
}

func (d *Driver) onRequest(ev *h3.Event) {
	s := newStream(d)
	s.id = ev.Stream
	d.streams[s.id] = s
	d.active.Add(1)
	// The peer may open no other stream in this one's place while its handler runs.
	d.qc.HoldStream(s.id)
	head := Head{Fields: ev.Fields, ContentLength: ev.ContentLength, End: ev.End}
	if ev.End {
		s.body.CloseWithError(nil)
		s.gotBody = true
	}
	d.cfg.Serve(s, &head)
	d.conn.Yield()
}

// onGoAway fails the requests that the server did not process (RFC 9114, Section 5.2).
func (d *Driver) onGoAway(id quic.StreamID) {
	d.mu.Lock()
	d.goAway = true
	opens := append(d.opens, d.waiting...)
	d.opens = nil
	d.mu.Unlock()
	d.waiting = nil
	for _, s := range opens {
		s.fail(h3.ErrGoAway)
	}
	if !d.client {
		return
	}
	for sid, s := range d.streams {
		if sid >= id {
			d.h3.Cancel(sid, h3.CodeRequestCancelled)
			delete(d.streams, sid)
			s.fail(h3.ErrGoAway)
		}
	}
}

// open begins a request, at a client.
func (d *Driver) open(s *Stream) error {
	if s.isCancelled() {
		s.fail(errCancelled)
		return nil
	}
	fields, end := s.takeHead()
	id, err := d.h3.OpenRequest(fields, end)
	switch {
	case errors.Is(err, quic.ErrStreamLimit):
		s.putHead(fields, end)
		d.waiting = append(d.waiting, s)
		return nil
	case err != nil:
		s.fail(err)
		return nil
	}
	s.id = id
	d.streams[id] = s
	s.sentBody = end
	return d.service(s)
}

// service carries out what the stream's goroutines want.
func (d *Driver) service(s *Stream) error {
	if d.streams[s.id] != s {
		return nil
	}
	if code, ok := s.takeCancel(); ok {
		d.h3.Cancel(s.id, code)
		s.body.Abort(errCancelled)
		s.out.Stop(errCancelled)
		s.gotBody, s.sentBody = true, true
		d.maybeForget(s)
		return nil
	}
	if err := d.send(s); err != nil {
		return err
	}
	if !s.gotBody {
		if err := d.pump(s); err != nil {
			return err
		}
	}
	d.maybeForget(s)
	return nil
}

// send passes on header fields and body bytes until there are no more or QUIC takes no more.
func (d *Driver) send(s *Stream) error {
	for {
		fields, end := s.takeHead()
		if fields == nil {
			break
		}
		if s.sentBody {
			continue
		}
		if err := d.h3.SendHeaders(s.id, fields, end); err != nil {
			return d.sendFailed(s, err)
		}
		s.sentBody = s.sentBody || end
	}
	if s.sentBody {
		return nil
	}
	if err := s.out.Err(); err != nil {
		code := h3.CodeRequestCancelled
		if !d.client {
			code = h3.CodeInternalError
		}
		var se *h3.StreamError
		if errors.As(err, &se) {
			code = se.Code
		}
		s.sentBody = true
		return ignoreGone(d.h3.ResetStream(s.id, code))
	}
	for {
		b, fin := s.out.Pop()
		var trailers []h3.Field
		if fin {
			trailers = s.takeTrailers()
		}
		end := fin && trailers == nil
		switch {
		case b != nil:
			ok, err := d.h3.WriteBodyBuf(s.id, b, end)
			if err != nil {
				b.Release()
				return d.sendFailed(s, err)
			}
			if !ok {
				s.out.Unpop(b)
				if fin && trailers != nil {
					s.putTrailers(trailers)
				}
				return nil
			}
		case end:
			if _, err := d.h3.WriteBody(s.id, nil, true); err != nil {
				return d.sendFailed(s, err)
			}
		case !fin:
			return nil
		}
		if trailers != nil {
			if err := d.h3.SendTrailers(s.id, trailers); err != nil {
				return d.sendFailed(s, err)
			}
		}
		if fin {
			s.sentBody = true
			return nil
		}
	}
}

// sendFailed ends the sending half of a stream. What is the connection's matter is returned.
func (d *Driver) sendFailed(s *Stream, err error) error {
	s.out.Stop(err)
	s.sentBody = true
	var se *h3.StreamError
	switch {
	case errors.As(err, &se), errors.Is(err, h3.ErrNoStream):
		return nil
	case errors.Is(err, h3.ErrFieldSectionTooLarge), errors.Is(err, h3.ErrOrder):
		s.onFailure(err)
		return ignoreGone(d.h3.ResetStream(s.id, h3.CodeInternalError))
	}
	return err
}

func ignoreGone(err error) error {
	if errors.Is(err, h3.ErrNoStream) {
		return nil
	}
	return err
}

// pump moves body bytes from the h3.Conn to the stream's reader, until there are no more or it is full.
func (d *Driver) pump(s *Stream) error {
	for !s.gotBody {
		if s.body.Closed() {
			// Nobody reads the rest.
			s.gotBody = true
			code := h3.CodeRequestCancelled
			if !d.client {
				code = h3.CodeNoError // RFC 9114, Section 4.1
			}
			if err := ignoreGone(d.h3.StopSending(s.id, code)); err != nil {
				return err
			}
			d.maybeForget(s)
			return nil
		}
		if s.body.Full() {
			return nil
		}
		b, fin, err := d.h3.ReadBodyBuf(s.id, maxPiece)
		if err != nil {
			var se *h3.StreamError
			if errors.As(err, &se) || errors.Is(err, h3.ErrNoStream) {
				s.body.Abort(err)
				s.gotBody = true
				d.maybeForget(s)
				return nil
			}
			return err
		}
		if b != nil {
			s.body.Push(b)
		}
		if fin {
			d.endBody(s)
			return nil
		}
		if b == nil {
			return nil
		}
	}
	return nil
}

// maxPiece bounds what one ReadBodyBuf returns, in bytes.
const maxPiece = 64 << 10

func (d *Driver) endBody(s *Stream) {
	if !s.gotBody {
		s.gotBody = true
		s.body.CloseWithError(nil)
	}
	d.maybeForget(s)
}

// maybeForget drops a stream that both sides are through with.
func (d *Driver) maybeForget(s *Stream) {
	if !s.gotBody || !s.sentBody || !d.client && !s.finished.Load() || d.streams[s.id] != s {
		return
	}
	delete(d.streams, s.id)
	if !d.client {
		d.qc.ReleaseStream(s.id)
	}
	s.end()
}
