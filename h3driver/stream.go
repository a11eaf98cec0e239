package h3driver

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/internal/chunk"
	"github.com/frittata-go/frittata/internal/pipe"
	"github.com/frittata-go/frittata/quic"
)

// Stream is a request and its response, as goroutines see them. Reading,
// writing and the rest may be done by different goroutines. Release ends the use.
type Stream struct {
	d    *Driver
	body pipe.Reader // of the peer's message
	out  pipe.Writer // of ours

	// Who knows of the stream: its user, the strand while it is live or to be
	// opened, and each list of the Driver that it is in besides.
	refs     atomic.Int32
	queued   atomic.Bool  // in Driver.dirty
	finished atomic.Bool  // Finish was called
	hasHeads atomic.Bool  // there is something in heads
	writeBy  atomic.Int64 // the deadline of writes, in nanoseconds after epoch; 0: none
	wake     chan struct{}

	// Of the strand; its user may read id and head once he was told of them.
	id       quic.StreamID
	head     Head
	live     bool // in Driver.streams
	waits    bool // in Driver.waiting
	telling  bool // in Driver.wakes
	gotBody  bool
	sentBody bool

	mu          sync.Mutex
	heads       []pendingHead // to send
	first       []h3.Field    // memory of the first of them
	usedFirst   bool
	trailers    []h3.Field // to send
	gotTrailers []h3.Field
	hasHead     bool // of a client: the response's head is there
	failure     error
	wantInterim bool
	interims    []*Head
	cancelled   bool
	cancelCode  h3.ErrorCode
	cancelCause error
	notifier    Notifier
	notified    bool
	outcome     error // what notifier was, or would have been, told
}

type pendingHead struct {
	fields []h3.Field
	end    bool
}

// Notifier is told how a stream ends.
type Notifier interface {
	// StreamDone is called once, when the stream has failed or is stopped by
	// the peer, or, with nil, when both messages are complete. It is called on
	// the strand, or by SetNotifier, and must not block.
	StreamDone(err error)
}

// buffers is where the bodies that are sent have their memory from.
var buffers chunk.Pool

// Buffers returns the pool of the Buffers that WriteBuf and Finish are given best.
func Buffers() *quic.BufferPool { return &buffers }

var streams = sync.Pool{New: func() any { return &Stream{wake: make(chan struct{}, 1)} }}

// newStream returns a stream that the strand and its user know.
func newStream(d *Driver) *Stream {
	s := streams.Get().(*Stream)
	s.d = d
	s.refs.Store(2)
	s.body.Init(s, d.cfg.BodyBuffer)
	s.out.Init(s, &buffers, d.cfg.BodyBuffer)
	return s
}

// keptFields is how many header fields a stream that is to be used again keeps memory for.
const keptFields = 64

// Release gives the stream back, whatever its state: its user does not touch it
// any more. A request that has not ended goes on, so call Finish, or read to the end, or Cancel, before.
func (s *Stream) Release() { s.release() }

// release drops one of refs. Whoever drops the last is the only one to know the stream.
func (s *Stream) release() {
	n := s.refs.Add(-1)
	if n > 0 {
		return
	}
	if n < 0 {
		panic("BUG: h3driver.Stream released too often")
	}
	if !s.body.Reset() || !s.out.Reset() {
		return
	}
	select {
	case <-s.wake:
	default:
	}
	s.queued.Store(false) // it stays set when the connection has closed
	s.finished.Store(false)
	s.hasHeads.Store(false)
	s.writeBy.Store(0)
	s.d, s.id = nil, 0
	s.head = Head{Fields: emptied(s.head.Fields)}
	s.gotBody, s.sentBody = false, false
	clear(s.heads)
	s.heads, s.first, s.usedFirst = s.heads[:0], emptied(s.first), false
	s.trailers, s.gotTrailers = nil, nil
	s.hasHead, s.failure = false, nil
	s.wantInterim, s.interims = false, nil
	s.cancelled, s.cancelCode, s.cancelCause = false, 0, nil
	s.notifier, s.notified, s.outcome = nil, false, nil
	streams.Put(s)
}

// emptied keeps the memory of fields but not what they refer to.
func emptied(fields []h3.Field) []h3.Field {
	if cap(fields) > keptFields {
		return nil
	}
	clear(fields)
	return fields[:0]
}

// Wake has the strand look at the stream. It is how the pipes wake it.
func (s *Stream) Wake() {
	if !s.queued.Swap(true) {
		s.enqueue()
	}
}

// enqueue is called by who set queued.
func (s *Stream) enqueue() {
	d := s.d
	d.mu.Lock()
	if d.closed != nil {
		d.mu.Unlock()
		return
	}
	s.refs.Add(1)
	d.dirty = append(d.dirty, s)
	d.mu.Unlock()
	d.conn.Wake()
}

// Yield tells the strand that goroutines of the stream have become runnable.
func (s *Stream) Yield() { s.d.conn.Yield() }

// Lend has e, which is to handle the request, run by the goroutine of the turn that
// is under way; see [frittata.Conn.Lend]. It is for Config.Serve.
func (s *Stream) Lend(e frittata.Errand) bool {
	if !s.d.conn.Lend(e) {
		return false
	}
	s.d.lent++
	return true
}

// ID returns the stream's ID; a client's is known once Response has returned a head.
func (s *Stream) ID() quic.StreamID { return s.id }

// Driver returns the Driver of the stream's connection.
func (s *Stream) Driver() *Driver { return s.d }

// Head returns the head of the request, at a server. It is valid until
// Release; its strings are for good.
func (s *Stream) Head() *Head { return &s.head }

// Read reads the peer's body. The end is io.EOF.
func (s *Stream) Read(p []byte) (int, error) { return s.body.Read(p) }

// WriteTo writes the peer's body to w without copying it in between.
func (s *Stream) WriteTo(w io.Writer) (int64, error) { return s.body.WriteTo(w) }

// ReadBuf passes on the next piece of the peer's body, by ownership.
func (s *Stream) ReadBuf() (*quic.Buffer, error) { return s.body.ReadBuf() }

// Complete tells whether the peer's message has come to its end, or failed:
// Read will not block any more.
func (s *Stream) Complete() bool { return s.body.Complete() }

// CloseRead tells that nobody reads the rest of the peer's body.
func (s *Stream) CloseRead() error { return s.body.Close() }

// Write sends body bytes. It copies p, and blocks while the buffer is full.
func (s *Stream) Write(p []byte) (int, error) { return s.out.Write(p) }

// WriteBuf sends b.B and takes ownership of b. It blocks while the buffer is full.
func (s *Stream) WriteBuf(b *quic.Buffer) error { return s.out.Put(b, false) }

// ReadFrom sends what r has, until its end.
func (s *Stream) ReadFrom(r io.Reader) (int64, error) { return s.out.ReadFrom(r) }

// CloseWrite ends our message.
func (s *Stream) CloseWrite() error { return s.out.Close() }

// resetError tells the strand with which code to reset.
type resetError struct{ code h3.ErrorCode }

func (e resetError) Error() string { return "h3driver: message aborted with " + e.code.String() }

// Reset aborts our message with code, unless it is complete.
func (s *Stream) Reset(code h3.ErrorCode) { s.out.CloseWithError(resetError{code}) }

// SetReadDeadline makes Read fail with os.ErrDeadlineExceeded from t on; the zero time means never.
func (s *Stream) SetReadDeadline(t time.Time) { s.body.SetReadDeadline(t) }

// SetWriteDeadline does so for Write. At a server it is also for the time after Finish: a
// response that has not arrived by then is reset with H3_REQUEST_CANCELLED.
func (s *Stream) SetWriteDeadline(t time.Time) {
	by := int64(0)
	if !t.IsZero() {
		by = max(int64(t.Sub(epoch)), 1)
	}
	s.writeBy.Store(by)
	s.out.SetWriteDeadline(t)
}

// SendHeaders sends the head of a response, at a server: any number of interim
// ones and a final one. With end there is no body. The strand is not woken before the
// first byte of the body, its end, Finish or Flush, so that head and body go
// together. It copies fields.
func (s *Stream) SendHeaders(fields []h3.Field, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putHead(fields, end)
}

// putHead is called with mu held.
func (s *Stream) putHead(fields []h3.Field, end bool) {
	if len(s.heads) >= maxInterims && isInterim(fields) {
		return // nothing says that a handler makes no more of them than the client takes
	}
	head := pendingHead{end: end}
	if s.usedFirst {
		head.fields = append(head.fields, fields...)
	} else {
		// The strand may have this memory until the stream is over, so it is used once.
		s.usedFirst = true
		s.first = append(s.first[:0], fields...)
		head.fields = s.first
	}
	s.heads = append(s.heads, head)
	s.hasHeads.Store(true)
}

// Flush has what SendHeaders was given sent now.
func (s *Stream) Flush() { s.Wake() }

// SetTrailers sets what goes out after the body. It has to be called before its end.
func (s *Stream) SetTrailers(fields []h3.Field) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trailers = fields
}

// Trailers returns the peer's trailers, once its body was read to the end.
func (s *Stream) Trailers() []h3.Field {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gotTrailers
}

// SetNotifier has n told when the stream ends. If it has ended, that is at once.
func (s *Stream) SetNotifier(n Notifier) {
	s.mu.Lock()
	s.notifier = n
	notified, outcome := s.notified, s.outcome
	s.mu.Unlock()
	if notified {
		n.StreamDone(outcome)
	}
}

// Cancel aborts both directions with code, as far as they are not complete;
// cause is what reads, writes and Response fail with. It may be called at any
// time, by any goroutine, and the first call counts.
func (s *Stream) Cancel(code h3.ErrorCode, cause error) {
	s.mu.Lock()
	if s.cancelled {
		s.mu.Unlock()
		return
	}
	s.cancelled, s.cancelCode, s.cancelCause = true, code, cause
	s.mu.Unlock()
	s.Wake()
}

// Finish ends the handling of a request, at a server, with the last of the body: b.B,
// of which it takes ownership, or nothing if b is nil. Nobody reads the rest of the
// request, which the peer is told. After Reset, and after a head that was the end, it only ends the handling. All
// of it, and a head that was given just before, costs one wake-up.
func (s *Stream) Finish(b *quic.Buffer) {
	first := !s.queued.Swap(true) // what follows wakes nobody
	s.finished.Store(true)
	_ = s.body.Close()     // it cannot fail
	_ = s.out.Put(b, true) // whatever ended the message before is what the peer is told
	if first {
		s.enqueue()
		return
	}
	// The strand may have looked at the stream before all of it was said.
	s.Wake()
}

// The strand's side.

// abort ends both pipes.
func (s *Stream) abort(err error) {
	s.gotBody, s.sentBody = true, true
	s.body.Abort(err)
	s.out.Stop(err)
}

func (s *Stream) isCancelled() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancelled, s.cancelCause
}

// takeCancel returns what Cancel was given, unless the strand has taken that before.
func (s *Stream) takeCancel() (h3.ErrorCode, error, bool) {
	if s.gotBody && s.sentBody {
		return 0, nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancelCode, s.cancelCause, s.cancelled
}

// firstHead returns the head of a request that is to be opened.
func (s *Stream) firstHead() pendingHead {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heads[0]
}

func (s *Stream) takeFirstHead() {
	_, _ = s.takeHead() // there is one
}

func (s *Stream) takeHead() (pendingHead, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads) == 0 {
		s.hasHeads.Store(false)
		return pendingHead{}, false
	}
	h := s.heads[0]
	n := copy(s.heads, s.heads[1:])
	s.heads[n] = pendingHead{}
	s.heads = s.heads[:n]
	if n == 0 {
		s.hasHeads.Store(false)
	}
	return h, true
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
	s.gotTrailers = slices.Clone(fields)
}

// setHead takes the head of a request, or of a final response.
func (s *Stream) setHead(ev *h3.Event) {
	s.head = Head{
		Fields: append(s.head.Fields[:0], ev.Fields...),
		Status: ev.Status, ContentLength: ev.ContentLength, End: ev.End,
	}
}

func (s *Stream) setFailure(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.failure = err
	}
}

// notify tells the notifier, once.
func (s *Stream) notify(err error) {
	s.mu.Lock()
	if s.notified {
		s.mu.Unlock()
		return
	}
	s.notified, s.outcome = true, err
	n := s.notifier
	s.mu.Unlock()
	if n != nil {
		n.StreamDone(err)
	}
}

// wakeUp ends a wait in Response.
func (s *Stream) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// await waits for wakeUp.
func (s *Stream) await(ctx context.Context) error {
	done := ctx.Done()
	if done == nil {
		<-s.wake
		return nil
	}
	select {
	case <-s.wake:
		return nil
	case <-done:
		return context.Cause(ctx)
	}
}
