package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/internal/pipe"
)

var errCanceled = context.Canceled

// requestBody is the Body of a request at a server.
type requestBody struct {
	x       *exchange
	expects atomic.Bool // the client waits for 100 Continue
	closed  atomic.Bool
}

var _ io.WriterTo = (*requestBody)(nil)

var continueHead = []h3.Field{{Name: ":status", Value: "100"}}

// Read reads the body. At its end the trailers are in the request.
func (b *requestBody) Read(p []byte) (int, error) {
	x := b.x
	if b.closed.Load() || !x.enter() {
		return 0, http.ErrBodyReadAfterClose
	}
	defer x.leave()
	b.begin()
	n, err := x.s.Read(p)
	if err != nil {
		err = b.failed(err)
	}
	return n, err
}

// WriteTo spares a copy.
func (b *requestBody) WriteTo(w io.Writer) (int64, error) {
	x := b.x
	if b.closed.Load() || !x.enter() {
		return 0, http.ErrBodyReadAfterClose
	}
	defer x.leave()
	b.begin()
	n, err := x.s.WriteTo(w)
	if err == nil {
		b.failed(io.EOF)
	} else {
		err = b.failed(err)
	}
	return n, err
}

// begin sends 100 Continue, if the client waits for it.
func (b *requestBody) begin() {
	if b.expects.Load() && b.expects.Swap(false) {
		b.x.sendHead(continueHead, false, true)
		b.x.s.Flush()
	}
}

// failed makes of an error of the stream what Read returns.
func (b *requestBody) failed(err error) error {
	if err == io.EOF {
		b.x.req.Trailer = mergeTrailers(b.x.req.Trailer, b.x.s.Trailers())
		return io.EOF
	}
	if errors.Is(err, pipe.ErrClosed) {
		return http.ErrBodyReadAfterClose
	}
	return err
}

// Close tells the client that the rest of the body is not wanted.
func (b *requestBody) Close() error {
	if b.closed.Swap(true) || !b.x.enter() {
		return nil
	}
	defer b.x.leave()
	return b.x.s.CloseRead()
}
