package http3

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/h3driver"
	"github.com/frittata-go/frittata/quic"
)

const (
	// bufferSize is how many bytes of a response wait for more, or for the end
	// of the handler, before they go out: as many as with net/http.
	bufferSize = 4 << 10
	// maxBuffer bounds the buffer for a response whose length is known, in bytes.
	maxBuffer = 16 << 10
	// sniffLen is how many bytes http.DetectContentType looks at.
	sniffLen = 512
)

// errOver is what a ResponseWriter returns when its handler has returned.
var errOver = errors.New("http3: use of a ResponseWriter after its handler has returned")

// responseWriter is the http.ResponseWriter. As with net/http, one goroutine at a time uses it.
type responseWriter struct {
	x       *exchange
	header  http.Header
	fields  []h3.Field // the head, once it is written
	buf     *quic.Buffer
	trailer []string // names that were announced
	status  int
	length  int64 // content-length, or -1
	written int64
	peeked  bool // of HEAD: the beginning of the body is in buf
	isHead  bool
	connect bool // of CONNECT
	over    bool // the handler has returned

	// Of the head: what the handler has set, be it to nothing.
	hasType, hasDate, hasEncoding bool
	headSent                      bool
}

var (
	_ http.ResponseWriter = (*responseWriter)(nil)
	_ http.Flusher        = (*responseWriter)(nil)
	_ io.ReaderFrom       = (*responseWriter)(nil)
	_ io.StringWriter     = (*responseWriter)(nil)
)

func (w *responseWriter) init(x *exchange, method string, fields []h3.Field) {
	w.x, w.fields = x, fields
	w.isHead, w.connect = method == http.MethodHead, method == http.MethodConnect
	w.length = -1
}

// Header returns the header map. Changes after WriteHeader have no effect, but for trailers.
func (w *responseWriter) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

func (w *responseWriter) warn(msg string) {
	_, file, line, _ := runtime.Caller(2)
	w.x.conn.srv.logger().Warn("http3: "+msg, "path", w.x.url.Path, "caller", file+":"+strconv.Itoa(line))
}

// WriteHeader begins the response, or with a status of 1xx sends an interim one.
func (w *responseWriter) WriteHeader(status int) {
	switch {
	case w.over || w.status != 0:
		w.warn("superfluous WriteHeader")
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("http3: invalid status %d", status))
	case status == http.StatusSwitchingProtocols: // RFC 9114, Section 4.5
		panic("http3: status 101 does not exist in HTTP/3")
	case status < 200:
		w.interim(status)
		return
	}
	w.writeHeader(status)
}

func (w *responseWriter) interim(status int) {
	fields := append(w.fields[:0], h3.Field{Name: ":status", Value: strconv.Itoa(status)})
	for key, values := range w.header {
		name := keyName(key)
		if !connectionSpecific(name) && name != "Content-Length" && !strings.HasPrefix(name, http.TrailerPrefix) {
			fields = appendFields(fields, name, values)
		}
	}
	if status == http.StatusContinue {
		w.x.body.expects.Store(false)
	}
	w.x.sendHead(fields, false, true)
	w.fields = fields[:0]
	w.x.s.Flush()
}

// writeHeader takes the head as it is now.
func (w *responseWriter) writeHeader(status int) {
	w.status = status
	w.fields = append(w.fields[:0], h3.Field{Name: ":status", Value: statusValue(status)})
	for key, values := range w.header {
		name := keyName(key)
		switch name {
		case "Content-Length":
			w.setLength(values)
			continue
		case "Content-Type":
			w.hasType = true
		case "Date":
			w.hasDate = true
		case "Content-Encoding":
			w.hasEncoding = len(values) > 0 && values[0] != ""
		case "Trailer":
			w.announce(values)
		default:
			if connectionSpecific(name) || strings.HasPrefix(name, http.TrailerPrefix) {
				continue
			}
		}
		w.fields = appendFields(w.fields, name, values)
	}
}

// statusValue returns a status as it is sent.
func statusValue(status int) string {
	if status == http.StatusOK {
		return "200"
	}
	return strconv.Itoa(status)
}

func (w *responseWriter) setLength(values []string) {
	if len(values) == 0 || w.length >= 0 || !w.lengthAllowed() {
		return
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		w.warn("invalid Content-Length")
		return
	}
	w.length = int64(n)
	w.fields = append(w.fields, h3.Field{Name: "content-length", Value: values[0]})
}

func (w *responseWriter) announce(values []string) {
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name != "" && httpguts.ValidTrailerHeader(name) {
				w.trailer = append(w.trailer, name)
			}
		}
	}
}

// bodyAllowed: RFC 9110, Section 6.4.1.
func bodyAllowed(status int) bool { return status >= 200 && status != 204 && status != 304 }

// lengthAllowed: RFC 9110, Section 8.6. A tunnel has no length.
func (w *responseWriter) lengthAllowed() bool {
	return bodyAllowed(w.status) && !(w.connect && w.status/100 == 2)
}

// sendHead sends the head. peek is the beginning of the body, if there is any; end tells that the handler
// has returned, and last that there is neither a body nor a trailer.
func (w *responseWriter) sendHead(peek []byte, end, last bool) {
	w.headSent = true
	if end && w.length < 0 && w.lengthAllowed() && (!w.isHead || w.written > 0) {
		w.fields = append(w.fields, h3.Field{Name: "content-length", Value: strconv.FormatInt(w.written, 10)})
	}
	if len(peek) > 0 && !w.hasType && !w.hasEncoding {
		w.fields = append(w.fields, h3.Field{Name: "content-type", Value: http.DetectContentType(peek)})
	}
	if !w.hasDate {
		w.fields = append(w.fields, h3.Field{Name: "date", Value: date()})
	}
	w.x.sendHead(w.fields, last, false)
}

// Write sends a piece of the body, or keeps it to be sent with what follows.
func (w *responseWriter) Write(p []byte) (int, error) {
	if !w.x.enter() {
		return 0, errOver
	}
	defer w.x.leave()
	return w.write(p)
}

// write is Write while the stream may be used. A handler may, against the rules,
// leave a goroutine behind that still writes when it has returned: what that one writes
// must not come to the next request that the stream is used for.
func (w *responseWriter) write(p []byte) (int, error) {
	if err := w.account(len(p)); err != nil || len(p) == 0 {
		return 0, err
	}
	if w.isHead {
		w.peek(p)
		return len(p), nil
	}
	if b := w.buffer(len(p)); b != nil {
		b.B = append(b.B, p...)
		return len(p), nil
	}
	n := min(w.lacks(), len(p))
	if n > 0 {
		w.buf.B = append(w.buf.B, p[:n]...)
	}
	if err := w.flush(p); err != nil {
		return 0, err
	}
	if b := w.buffer(len(p) - n); b != nil {
		b.B = append(b.B, p[n:]...)
		return len(p), nil
	}
	m, err := w.x.s.Write(p[n:])
	return n + m, err
}

// lacks returns how many bytes should join those in the buffer, which has room for them, before it goes out
// with the head: the type is guessed by what is there then.
func (w *responseWriter) lacks() int {
	if w.buf == nil || w.headSent || w.hasType {
		return 0
	}
	return max(sniffLen-len(w.buf.B), 0)
}

// WriteString is Write without a copy.
func (w *responseWriter) WriteString(p string) (int, error) {
	if !w.x.enter() {
		return 0, errOver
	}
	defer w.x.leave()
	if w.isHead {
		return w.write([]byte(p))
	}
	n := 0
	if len(p) <= bufferSize {
		if err := w.account(len(p)); err != nil || len(p) == 0 {
			return 0, err
		}
		b := w.buffer(len(p))
		if b == nil {
			if n = min(w.lacks(), len(p)); n > 0 {
				w.buf.B = append(w.buf.B, p[:n]...)
			}
			if err := w.flush(nil); err != nil {
				return 0, err
			}
			b = w.buffer(len(p) - n)
		}
		b.B = append(b.B, p[n:]...)
		return len(p), nil
	}
	for n < len(p) {
		m, err := w.write([]byte(p[n:min(len(p), n+maxBuffer)]))
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// account begins the response if that was not done, and counts n bytes of the body.
func (w *responseWriter) account(n int) error {
	if w.over {
		return errOver
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if n == 0 {
		return nil
	}
	if !bodyAllowed(w.status) {
		return http.ErrBodyNotAllowed
	}
	if w.length >= 0 && int64(n) > w.length-w.written {
		return http.ErrContentLength
	}
	w.written += int64(n)
	return nil
}

// peek keeps the beginning of the body of a response to HEAD, to guess its type by.
func (w *responseWriter) peek(p []byte) {
	if w.headSent || w.peeked {
		return
	}
	if w.buf == nil {
		w.buf = h3driver.Buffers().Get(sniffLen)
	}
	w.buf.B = append(w.buf.B, p[:min(len(p), sniffLen-len(w.buf.B))]...)
	w.peeked = len(w.buf.B) == sniffLen
}

// buffer returns a buffer with room for n bytes, nil if there is none without sending something.
func (w *responseWriter) buffer(n int) *quic.Buffer {
	if w.buf == nil {
		size := bufferSize
		if w.length >= 0 && !w.headSent {
			// It may be that one buffer has all of it, with room for finding that out.
			size = int(min(max(w.length, sniffLen), maxBuffer-1)) + 1
		}
		if n > size {
			return nil
		}
		w.buf = h3driver.Buffers().Get(size)
	}
	if n > cap(w.buf.B)-len(w.buf.B) {
		return nil
	}
	return w.buf
}

// flush gives what there is to the stream. next is the piece of the body that comes then.
func (w *responseWriter) flush(next []byte) error {
	w.x.mayBlock()
	b := w.buf
	w.buf = nil
	if !w.headSent {
		peek := next
		if b != nil {
			peek = b.B
		}
		w.sendHead(peek, false, false)
	}
	if b == nil {
		return nil
	}
	if w.isHead {
		b.Release()
		return nil
	}
	return w.x.s.WriteBuf(b)
}

// ReadFrom sends what r has, read straight into the memory that it is sent from.
func (w *responseWriter) ReadFrom(r io.Reader) (n int64, err error) {
	if w.over || !w.x.enter() {
		return 0, errOver
	}
	defer w.x.leave()
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if w.isHead || !bodyAllowed(w.status) {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	// What is small stays in the buffer, as with Write.
	for {
		b := w.buffer(1)
		if b == nil {
			break
		}
		m, err := r.Read(b.B[len(b.B):cap(b.B)])
		if aerr := w.account(m); aerr != nil {
			return n, aerr
		}
		b.B = b.B[:len(b.B)+m]
		n += int64(m)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	if err := w.flush(nil); err != nil {
		return n, err
	}
	m, err := w.x.s.ReadFrom(&countingReader{w: w, r: r})
	return n + m, err
}

// countingReader holds a body against its content-length.
type countingReader struct {
	w *responseWriter
	r io.Reader
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if aerr := c.w.account(n); aerr != nil {
		return 0, aerr
	}
	return n, err
}

// Flush sends what was written so far.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *responseWriter) FlushError() error {
	if w.over || !w.x.enter() {
		return errOver
	}
	defer w.x.leave()
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if err := w.flush(nil); err != nil {
		return err
	}
	w.x.s.Flush()
	return nil
}

// SetReadDeadline is for http.ResponseController.
func (w *responseWriter) SetReadDeadline(t time.Time) error {
	if w.over || !w.x.enter() {
		return errOver
	}
	defer w.x.leave()
	w.x.s.SetReadDeadline(t)
	return nil
}

// SetWriteDeadline is for http.ResponseController.
func (w *responseWriter) SetWriteDeadline(t time.Time) error {
	if w.over || !w.x.enter() {
		return errOver
	}
	defer w.x.leave()
	w.x.s.SetWriteDeadline(t)
	return nil
}

// EnableFullDuplex is for http.ResponseController: it is always on.
func (w *responseWriter) EnableFullDuplex() error { return nil }

// finish ends the response when the handler has returned.
func (w *responseWriter) finish() {
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	var trailers []h3.Field
	if !w.isHead { // which ends with its head
		trailers = w.trailers()
	}
	short := w.length >= 0 && w.written < w.length && !w.isHead
	b := w.buf
	w.buf = nil
	if !w.headSent {
		var peek []byte
		if b != nil {
			peek = b.B
		}
		w.sendHead(peek, true, trailers == nil && (w.isHead || b == nil && !short))
	}
	if w.isHead && b != nil {
		b.Release()
		b = nil
	}
	if short {
		// The client must not take what is there for the whole (RFC 9114, Section 4.1.2).
		if w.x.ctx.Err() == nil { // else the client has gone
			w.warn("handler wrote less than its Content-Length")
		}
		if b != nil {
			b.Release()
		}
		w.x.s.Reset(h3.CodeInternalError)
		w.x.s.Finish(nil)
		return
	}
	if trailers != nil {
		w.x.s.SetTrailers(trailers)
	}
	w.x.s.Finish(b)
}

// trailers returns what is in the header map for the trailer section.
func (w *responseWriter) trailers() (fields []h3.Field) {
	for _, name := range w.trailer {
		fields = appendFields(fields, name, w.header[name])
	}
	for name, values := range w.header {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			if rest = http.CanonicalHeaderKey(rest); httpguts.ValidTrailerHeader(rest) {
				fields = appendFields(fields, rest, values)
			}
		}
	}
	return fields
}

// drop releases what was written and not sent.
func (w *responseWriter) drop() {
	if w.buf != nil {
		w.buf.Release()
		w.buf = nil
	}
}
