package http3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/h3"
)

// bodySender sends the body of a request, on a goroutine of its own.
type bodySender struct {
	x      *call
	body   io.ReadCloser // that of the request, whose field is the caller's again when RoundTrip has failed
	length int64         // -1 if unknown
	state  atomic.Int32
	over   atomic.Bool
	closed atomic.Bool // the body
	gone   atomic.Bool // the stream has ended

	// What the goroutine waits for before it begins, nil if for nothing: true to send.
	ready chan bool
	once  sync.Once

	mu      sync.Mutex
	failed  error       // why the body could not be read
	unwatch func() bool // of the context, once the response has come
	sent    func()      // called when the sending is over; may be nil
}

// The states of a body: untouched until it is either begun or, so that it can be
// sent with another try of the request, withheld.
const (
	bodyUntouched int32 = iota
	bodyBegun
	bodyWithheld
)

// close closes the body, once: there are bodies that do not take it a second time.
func (b *bodySender) close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.body.Close()
}

// discard closes a body that is not sent any more. It does not wait for a Read that is under way: there are
// bodies whose Close does, such as that of a request at a server of HTTP/1.1.
func (b *bodySender) discard() {
	switch {
	case b.closed.Load():
	case b.withhold():
		_ = b.close() // as closeBody
	default:
		go func() { _ = b.close() }()
	}
}

// withhold tells whether the body is as it was, and will stay so.
func (b *bodySender) withhold() bool {
	return b.state.CompareAndSwap(bodyUntouched, bodyWithheld) || b.state.Load() == bodyWithheld
}

// abandon is called when the stream has ended: whoever makes the body may have nothing for a long time,
// and its Read would not return. It does not block.
func (b *bodySender) abandon() {
	b.gone.Store(true)
	if b.state.Load() == bodyBegun { // else it may be sent with another try
		b.discard()
	}
}

func newBodySender(x *call, length int64, expects bool) *bodySender {
	b := &bodySender{x: x, body: x.req.Body, length: length}
	if expects {
		b.ready = make(chan bool, 1)
	}
	return b
}

// whenSent has f called when the sending is over. A nil f takes that back.
func (b *bodySender) whenSent(f func()) {
	b.mu.Lock()
	b.sent = f
	over := b.over.Load()
	b.mu.Unlock()
	if over && f != nil {
		f()
	}
}

// proceed has the body sent.
func (b *bodySender) proceed() { b.decide(true) }

// decide ends the wait for 100 Continue.
func (b *bodySender) decide(send bool) {
	if b.ready != nil {
		b.once.Do(func() { b.ready <- send })
	}
}

// answered is told of the final response: a client that still waits for leave to
// send its body does not send it if the response is an error (RFC 9110, Section
// 10.1.1). Then nobody has begun with the body, and it is closed here.
func (b *bodySender) answered(status int) {
	if b.ready != nil && status >= 300 && b.withhold() {
		_ = b.close() // nobody is interested in a body that is not sent
	}
	b.decide(status < 300)
}

// send is the goroutine.
func (b *bodySender) send(ctx context.Context) {
	x := b.x
	err := b.run(ctx)
	b.mu.Lock()
	b.over.Store(true)
	unwatch, sent := b.unwatch, b.sent
	b.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
	if sent != nil {
		sent()
	}
	x.trace.wroteRequest(err)
	x.leave()
}

func (b *bodySender) run(ctx context.Context) error {
	x := b.x
	if b.ready != nil && !b.await(ctx) {
		b.withhold()
	}
	if !b.state.CompareAndSwap(bodyUntouched, bodyBegun) {
		x.s.Reset(h3.CodeNoError)
		return nil
	}
	r := &bodyReader{r: b.body, left: b.length}
	if b.gone.Load() {
		_ = b.close() // so that Read returns at once
	}
	_, err := x.s.ReadFrom(r)
	cerr := b.close()
	if r.err == nil && err == nil {
		r.err = cerr
	}
	if r.err != nil {
		if !b.gone.Load() { // else it was closed for what else has failed
			b.mu.Lock()
			b.failed = r.err
			b.mu.Unlock()
		}
		x.s.Cancel(h3.CodeRequestCancelled, r.err)
		return r.err
	}
	if err != nil {
		return err // the server wants no more of it, or the stream has ended: the response tells
	}
	if fields := trailersOf(nil, x.req.Trailer); fields != nil {
		x.s.SetTrailers(fields)
	}
	return x.s.CloseWrite()
}

// await waits for leave to send.
func (b *bodySender) await(ctx context.Context) bool {
	b.x.trace.wait100()
	d := b.x.t.ExpectContinueTimeout
	if d == 0 {
		d = defaultExpectContinueTimeout
	}
	var timeout <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case send := <-b.ready:
		return send
	case <-timeout:
		return true
	case <-ctx.Done():
		return false
	}
}

// stop ends the sending because of err. It returns the cause: the error of reading the body, if there was one.
func (b *bodySender) stop(err error) error {
	b.decide(false)
	b.mu.Lock()
	failed := b.failed
	b.mu.Unlock()
	if failed != nil {
		return failed
	}
	return err
}

// watch has the sending end with the context, when nobody waits for the response any more.
func (b *bodySender) watch(ctx context.Context) {
	if b.over.Load() || ctx.Done() == nil || !b.x.enter() {
		return
	}
	defer b.x.leave()
	stop := context.AfterFunc(ctx, func() { b.x.cancel(context.Cause(ctx)) })
	b.mu.Lock()
	b.unwatch = stop
	b.mu.Unlock()
	if b.over.Load() {
		stop()
	}
}

// cancel aborts the request, if it is still under way.
func (x *call) cancel(cause error) {
	if !x.enter() {
		return
	}
	defer x.leave()
	x.s.Cancel(h3.CodeRequestCancelled, cause)
	if x.body != nil {
		x.body.decide(false)
		x.body.discard() // it may be what the sender waits for
	}
}

// bodyReader holds a request's body against its length, and keeps its error apart from those of the stream.
type bodyReader struct {
	r    io.Reader
	left int64 // -1 if unknown
	err  error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		// There must be no more.
		var one [1]byte
		n, err := b.r.Read(one[:])
		switch {
		case n > 0:
			b.err = errors.New("request body is longer than its ContentLength")
			return 0, b.err
		case err != nil && err != io.EOF:
			b.err = err
			return 0, err
		case err == nil:
			return 0, nil
		}
		return 0, io.EOF
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case err == io.EOF && b.left > 0:
		b.err = fmt.Errorf("request body is %d bytes shorter than its ContentLength", b.left)
		return n, b.err
	case err != nil && err != io.EOF:
		b.err = err
	}
	return n, err
}
