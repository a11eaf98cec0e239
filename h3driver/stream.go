package h3driver

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/internal/pipe"
	"github.com/frittata-go/frittata/quic"
)

// errCancelled is what a stream's goroutines get after Cancel.
var errCancelled = errors.New("h3driver: stream cancelled")

// Stream is a request and its response, as a goroutine sees them. Reading,
// writing and the rest may be done by different goroutines.
type Stream struct {
	d    *Driver
	body pipe.Reader // of the peer's message
	out  pipe.Writer // of ours

	queued   atomic.Bool // in Driver.dirty
	finished atomic.Bool // Finish was called
	ended    atomic.Bool

	// On the strand alone, but for id, which Open and Serve publish.
	id                quic.StreamID
	gotBody, sentBody bool

	mu          sync.Mutex
	heads       []pendingHead
	trailers    []h3.Field // to send
	gotTrailers []h3.Field
	response    *Head
	failure     error
	cancel      h3.ErrorCode
	cancelled   bool
	interim     func(*Head)
	ready       chan struct{} // closed when response or failure is there; clients only
	isReady     bool
	done        func(error) // see OnDone
}

type pendingHead struct {
	fields []h3.Field
	end    bool
}

func newStream(d *Driver) *Stream {
	s := &Stream{d: d}
	s.body.Init(s, d.cfg.BodyBuffer)
	s.out.Init(s, nil, d.cfg.BodyBuffer)
	return s
}

// Open begins a request, at a client; any goroutine may. fields begin with the
// pseudo-header fields and are not to be changed any more. With end there is no body; else
// Write and CloseWrite follow. It does not wait: Response does. The error is
// h3.ErrGoAway, or why the connection is closed.
func (d *Driver) Open(fields []h3.Field, end bool) (*Stream, error) {
	s := newStream(d)
	s.ready = make(chan struct{})
	s.heads = append(s.heads, pendingHead{fields, end})
	d.mu.Lock()
	switch {
	case d.closed != nil:
		d.mu.Unlock()
		return nil, d.closed
	case d.goAway || d.conn == nil:
		d.mu.Unlock()
		return nil, h3.ErrGoAway
	}
	d.opens = append(d.opens, s)
	d.mu.Unlock()
	d.active.Add(1)
	d.conn.Wake()
	return s, nil
}

// Active returns the number of requests that were opened and have not ended.
func (d *Driver) Active() int { return int(d.active.Load()) }

// Usable tells whether Open would begin another request.
func (d *Driver) Usable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed == nil && !d.goAway && d.conn != nil
}

// Wake has the strand look at the stream. It is how the pipes wake it.
func (s *Stream) Wake() {
	if s.queued.Swap(true) {
		return
	}
	d := s.d
	d.mu.Lock()
	d.dirty = append(d.dirty, s)
	d.mu.Unlock()
	d.conn.Wake()
}

// Yield tells the strand that goroutines of the stream have become runnable.
func (s *Stream) Yield() { s.d.conn.Yield() }

// ID returns the stream's ID; a client's is not known before the response.
func (s *Stream) ID() quic.StreamID { return s.id }

// Driver returns the Driver of the stream's connection.
func (s *Stream) Driver() *Driver { return s.d }

// Read reads the peer's body. The end is io.EOF.
func (s *Stream) Read(p []byte) (int, error) { return s.body.Read(p) }

// WriteTo writes the peer's body to w without copying it in between.
func (s *Stream) WriteTo(w io.Writer) (int64, error) { return s.body.WriteTo(w) }

// CloseRead tells that nobody reads the rest of the peer's body.
func (s *Stream) CloseRead() error { return s.body.Close() }

// Write sends body bytes. It copies p, and blocks while the buffer is full.
func (s *Stream) Write(p []byte) (int, error) { return s.out.Write(p) }

// ReadFrom sends what r has, until its end.
func (s *Stream) ReadFrom(r io.Reader) (int64, error) { return s.out.ReadFrom(r) }

// CloseWrite ends our message.
func (s *Stream) CloseWrite() error { return s.out.Close() }

// Reset aborts our message with code.
func (s *Stream) Reset(code h3.ErrorCode) {
	s.out.CloseWithError(&h3.StreamError{Stream: s.id, Code: code})
}

// SetReadDeadline makes Read fail with os.ErrDeadlineExceeded from t on; the zero time means never.
func (s *Stream) SetReadDeadline(t time.Time) { s.body.SetReadDeadline(t) }

// SetWriteDeadline does so for Write.
func (s *Stream) SetWriteDeadline(t time.Time) { s.out.SetWriteDeadline(t) }

// SendHeaders sends the head of a response, at a server: any number of interim
// ones and a final one. With end there is no body. The strand is not woken before the
// first byte of the body, its end, or Flush, so that head and body go together.
// fields are not to be changed any more.
func (s *Stream) SendHeaders(fields []h3.Field, end bool) {
	s.putHead(fields, end)
}

// Flush has what SendHeaders was given sent now.
func (s *Stream) Flush() { s.Wake() }

// SetTrailers are the trailers that CloseWrite sends after the body.
func (s *Stream) SetTrailers(fields []h3.Field) { s.putTrailers(fields) }

// Trailers returns the peer's trailers, once its body was read to the end.
func (s *Stream) Trailers() []h3.Field {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gotTrailers
}

// OnInterim has f called, on the strand, with each interim response (1xx).
func (s *Stream) OnInterim(f func(*Head)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interim = f
}

// OnDone has f called once when the stream has ended, or failed: with nil when
// both messages are complete, on whatever goroutine comes to know.
func (s *Stream) OnDone(f func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = f
}

// Response waits for the head of the response, at a client.
func (s *Stream) Response(ctx context.Context) (*Head, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.response == nil {
		return nil, s.failure
	}
	return s.response, nil
}

// Cancel aborts both directions with code. It may be called at any time, by any goroutine.
func (s *Stream) Cancel(code h3.ErrorCode) {
	s.mu.Lock()
	s.cancelled, s.cancel = true, code
	s.mu.Unlock()
	s.Wake()
}

// Finish tells that the request's handler is through, at a server. What of the
// response was written goes out; CloseWrite or Reset has to come before.
func (s *Stream) Finish() {
	s.finished.Store(true)
	s.body.Close()
	s.Wake()
}

func (s *Stream) isCancelled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancelled
}

func (s *Stream) takeCancel() (h3.ErrorCode, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.cancelled
	s.cancelled = false
	return s.cancel, is
}

func (s *Stream) putHead(fields []h3.Field, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads = append(s.heads, pendingHead{fields, end})
}

func (s *Stream) takeHead() (fields []h3.Field, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads) == 0 {
		return nil, false
	}
	h := s.heads[0]
	s.heads = s.heads[1:]
	return h.fields, h.end
}

func (s *Stream) putTrailers(fields []h3.Field) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trailers = fields
}

func (s *Stream) takeTrailers() []h3.Field {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trailers
	s.trailers = nil
	return t
}

func (s *Stream) setTrailers(fields []h3.Field) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gotTrailers = append([]h3.Field(nil), fields...)
}

// onResponse takes the head of a response.
func (s *Stream) onResponse(ev *h3.Event) {
	head := &Head{Fields: ev.Fields, Status: ev.Status, ContentLength: ev.ContentLength, End: ev.End}
	s.mu.Lock()
	if ev.Interim {
		f := s.interim
		s.mu.Unlock()
		if f != nil {
			f(head)
		}
		return
	}
	head.Fields = append([]h3.Field(nil), ev.Fields...)
	s.response = head
	s.makeReady()
	s.mu.Unlock()
	s.Yield()
}

// makeReady is called with mu held.
func (s *Stream) makeReady() {
	if s.ready != nil && !s.isReady {
		s.isReady = true
		close(s.ready)
	}
}

// onFailure tells who waits for the response that none will come.
func (s *Stream) onFailure(err error) {
	s.mu.Lock()
	if s.failure == nil {
		s.failure = err
	}
	done := s.done
	s.done = nil
	s.makeReady()
	s.mu.Unlock()
	if done != nil {
		done(err)
	}
}

// fail ends the stream with the connection, or before it began.
func (s *Stream) fail(err error) {
	s.gotBody, s.sentBody = true, true
	s.body.Abort(err)
	s.out.Stop(err)
	s.onFailure(err)
	s.countEnd()
}

// end is called when both directions are over.
func (s *Stream) end() {
	s.mu.Lock()
	done := s.done
	s.done = nil
	s.makeReady()
	s.mu.Unlock()
	if done != nil {
		done(nil)
	}
	s.countEnd()
}

func (s *Stream) countEnd() {
	if !s.ended.Swap(true) {
		s.d.active.Add(-1)
	}
}
