package http3

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/frittata-go/frittata/internal/pipe"
)

// errBodyClosed is what reads of a closed body fail with.
var errBodyClosed = errors.New("http3: read on closed response body")

// responseBody is the Body of a response at a client.
type responseBody struct {
	x       *call
	ctx     context.Context
	unwatch func() bool // nil if there is nothing to watch
	closed  atomic.Bool
	ended   atomic.Bool // the end, or an error, was read; or closed

	mu  sync.Mutex
	err error // what was read at the end
}

// watch has the request end with the context, if any of it is still under way.
func (b *responseBody) watch(ctx context.Context) {
	x := b.x
	b.ctx = ctx
	if ctx.Done() == nil || x.s.Complete() && (x.body == nil || x.body.over.Load()) {
		return
	}
	b.unwatch = context.AfterFunc(ctx, func() { x.cancel(context.Cause(ctx)) })
}

// Read reads the body. At its end the trailers are in the response.
func (b *responseBody) Read(p []byte) (int, error) {
	if !b.begin() {
		return 0, b.endErr()
	}
	n, err := b.x.s.Read(p)
	if err != nil {
		err = b.end(err)
	}
	b.x.leave()
	return n, err
}

// WriteTo spares a copy.
func (b *responseBody) WriteTo(w io.Writer) (int64, error) {
	if !b.begin() {
		if err := b.endErr(); err != io.EOF {
			return 0, err
		}
		return 0, nil
	}
	defer b.x.leave()
	wrote := &writeErr{w: w}
	n, err := b.x.s.WriteTo(wrote)
	if wrote.err != nil {
		return n, wrote.err
	}
	if err == nil {
		err = io.EOF
	}
	if err = b.end(err); err == io.EOF {
		err = nil
	}
	return n, err
}

// writeErr keeps the error of a writer apart from those of a stream.
type writeErr struct {
	w   io.Writer
	err error
}

func (w *writeErr) Write(p []byte) (n int, err error) {
	n, err = w.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	w.err = err
	return n, err
}

func (b *responseBody) begin() bool {
	return !b.ended.Load() && b.x.enter()
}

func (b *responseBody) endErr() error {
	if b.closed.Load() {
		return errBodyClosed
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		return errBodyClosed
	}
	return b.err
}

// end takes the last word of the stream, and returns what Read does.
func (b *responseBody) end(err error) error {
	x := b.x
	if err == io.EOF {
		x.resp.Trailer = mergeTrailers(x.resp.Trailer, x.s.Trailers())
	} else {
		switch {
		case errors.Is(err, pipe.ErrClosed):
			return errBodyClosed
		case b.ctx.Err() != nil:
			err = context.Cause(b.ctx)
		}
	}
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
	b.finish()
	return err
}

// finish ends the use of the stream, once.
func (b *responseBody) finish() {
	if b.ended.Swap(true) {
		return
	}
	if b.unwatch != nil {
		b.unwatch()
	}
	b.x.finishSending(b.ctx)
}

// Close ends the request if it is still under way: what was not read is not
// wanted, and what was not sent not needed any more.
func (b *responseBody) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	if b.ended.Load() {
		if x := b.x; x.body != nil && !x.body.over.Load() {
			x.cancel(errBodyClosed)
		}
		return nil
	}
	if b.x.enter() {
		if x := b.x; !x.s.Complete() || x.body != nil && !x.body.over.Load() {
			x.cancel(errBodyClosed)
		}
		b.x.leave()
	}
	b.finish()
	return nil
}

// gzipBody undoes the compression of a body.
type gzipBody struct {
	body io.ReadCloser
	zr   *gzip.Reader
	err  error // of the beginning, which is read with the first Read
}

func (g *gzipBody) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.zr == nil {
		g.zr, g.err = gzip.NewReader(g.body)
		if g.err != nil {
			return 0, g.err
		}
	}
	return g.zr.Read(p)
}

func (g *gzipBody) Close() error { return g.body.Close() }
