package http3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/h3driver"
	"github.com/frittata-go/frittata/quic"
)

// maxAttempts bounds how often a request is sent: each time the server said, or it was
// plain, that the one before was not processed.
const maxAttempts = 4

// RoundTrip sends a request and returns the response, whose body may still be on its way.
//
// A request that was not processed for sure is sent again on another connection,
// if its body allows that. The error of one that was sent wraps a *quic.TransportError,
// *quic.ApplicationError or other error of a connection, an *h3.StreamError, or that of the context.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	key, err := checkRequest(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	ctx := req.Context()
	if ctx.Err() != nil { // or it would be on its way before that is seen
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	trace := tracerOf(ctx)
	orig := req // which replay may replace
	for attempt := 1; ; attempt++ {
		trace.getConn(key)
		c, info, err := t.getConn(ctx, key, trace)
		if err != nil {
			closeBody(req)
			return nil, err
		}
		trace.gotConn(info)
		x := &call{t: t, conn: c, req: req, trace: trace}
		resp, err := x.roundTrip(ctx)
		if err == nil {
			resp.Request = orig
			return resp, nil
		}
		if ctx.Err() != nil || attempt == maxAttempts || !x.mayRetry(err, info.Reused) {
			if x.body != nil {
				x.body.discard()
			} else {
				closeBody(req)
			}
			if e := context.Cause(ctx); e != nil && errors.Is(err, e) {
				return nil, err
			}
			return nil, &requestError{"request failed", err}
		}
		c.retire()
		if req, err = replay(req, x); err != nil {
			return nil, err
		}
	}
}

// requestError says of an error what failed. It is a net.Error if the cause is one.
type requestError struct {
	what string
	err  error
}

func (e *requestError) Error() string { return "http3: " + e.what + ": " + e.err.Error() }
func (e *requestError) Unwrap() error { return e.err }

func (e *requestError) Timeout() bool {
	ne, ok := errors.AsType[net.Error](e.err)
	return ok && ne.Timeout()
}

func (e *requestError) Temporary() bool { return false }

// checkRequest tells whom a request is for, or what is wrong with it.
func checkRequest(req *http.Request) (authority, error) {
	switch {
	case req.URL == nil:
		return authority{}, errors.New("http3: request without a URL")
	case req.URL.Scheme != "https":
		return authority{}, fmt.Errorf("http3: unsupported scheme %q: HTTP/3 is for https", req.URL.Scheme)
	case req.URL.Host == "":
		return authority{}, errors.New("http3: URL without a host")
	case req.Method != "" && !httpguts.ValidHeaderFieldName(req.Method):
		return authority{}, fmt.Errorf("http3: invalid method %q", req.Method)
	}
	if err := checkHeader(req.Header, "header"); err != nil {
		return authority{}, err
	}
	if err := checkHeader(req.Trailer, "trailer"); err != nil {
		return authority{}, err
	}
	return authorityOf(req.URL.Host)
}

func checkHeader(h http.Header, what string) error {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) && name != ":protocol" {
			return fmt.Errorf("http3: invalid %s field name %q", what, name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				// The value may be a secret.
				return fmt.Errorf("http3: invalid value of %s field %q", what, name)
			}
		}
	}
	return nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nobody is interested in a body that is not sent
	}
}

// mayRetry tells whether a request may be sent once more after err.
func (x *call) mayRetry(err error, reused bool) bool {
	if x.body != nil && !x.body.withhold() && x.req.GetBody == nil {
		return false
	}
	if _, ok := errors.AsType[*h3driver.NotSentError](err); ok {
		// A new connection that is closed at once would be so the next time.
		return reused || errors.Is(err, h3.ErrGoAway)
	}
	if se, ok := errors.AsType[*h3.StreamError](err); ok {
		return se.Remote && se.Code == h3.CodeRequestRejected // RFC 9114, Section 4.1.1
	}
	if !reused || !idempotent(x.req) {
		return false
	}
	// A connection that had lain idle, and turns out to be dead or about to be closed.
	if _, ok := errors.AsType[*quic.StatelessResetError](err); ok {
		return true
	}
	if ae, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return ae.Remote && h3.ErrorCode(ae.Code) == h3.CodeNoError
	}
	if te, ok := errors.AsType[*quic.TransportError](err); ok {
		return te.Remote && te.Code == quic.NoError
	}
	_, ok := errors.AsType[*quic.IdleTimeoutError](err)
	return ok
}

// idempotent: as net/http has it.
func idempotent(req *http.Request) bool {
	switch req.Method {
	case "", "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if _, ok := req.Header[name]; ok {
			return true
		}
	}
	return false
}

// replay returns a request to send instead of that of x, with its body from the beginning.
func replay(req *http.Request, x *call) (*http.Request, error) {
	if x.body == nil || x.body.withhold() {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := *req
	again.Body = body
	return &again, nil
}

// call is a request on its way, and then its response. It is not used again.
type call struct {
	users
	t     *Transport
	conn  *clientConn
	req   *http.Request
	trace *tracer
	body  *bodySender // nil if there is no body

	resp    http.Response
	in      responseBody
	gzipped bool
}

// roundTrip sends the request and waits for the head of the response.
func (x *call) roundTrip(ctx context.Context) (*http.Response, error) {
	req := x.req
	length := requestLength(req)
	var room [24]h3.Field
	fields, err := x.appendHead(room[:0], length)
	if err != nil {
		x.conn.release()
		return nil, err
	}
	if req.Method == http.MethodConnect && req.Header[":protocol"] != nil {
		// RFC 9220, Section 3: the server has to have offered it.
		if _, err := x.conn.driver.Settings(ctx); err != nil {
			x.conn.release()
			return nil, err
		}
	}
	expects := length != 0 && httpguts.HeaderValuesContainsToken(req.Header["Expect"], "100-continue")
	s, err := x.conn.driver.Open(fields, h3driver.OpenOptions{
		End:     length == 0,
		Interim: expects || x.trace.wantsInterim(),
	})
	x.conn.release()
	if err != nil {
		return nil, err
	}
	x.users.s = s
	x.users.n.Store(1)
	x.trace.wroteHeaders()
	if length == 0 {
		x.trace.wroteRequest(nil)
	} else {
		x.body = newBodySender(x, length, expects)
		x.users.n.Add(1)
		go x.body.send(ctx)
		s.SetNotifier(x)
	}
	resp, err := x.await(ctx)
	if err != nil {
		if x.body != nil {
			err = x.body.stop(err)
		}
		s.Cancel(h3.CodeRequestCancelled, err)
		x.leave()
		return nil, err
	}
	return resp, nil
}

// StreamDone is called when the server wants no more, or nothing can come of the request any more.
func (x *call) StreamDone(error) { x.body.abandon() }

// timeoutError is a net.Error.
type timeoutError string

func (e timeoutError) Error() string { return string(e) }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

const errHeaderTimeout timeoutError = "timeout awaiting response headers"

// await waits for the final head.
func (x *call) await(ctx context.Context) (*http.Response, error) {
	wait := ctx
	if d := x.t.ResponseHeaderTimeout; d > 0 {
		var cancel context.CancelCauseFunc
		wait, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
		timer := time.AfterFunc(d, func() { cancel(errHeaderTimeout) })
		defer timer.Stop()
		if x.body != nil {
			timer.Stop() // it is the server's turn when the body has been sent
			x.body.whenSent(func() { timer.Reset(d) })
			defer x.body.whenSent(nil)
		}
	}
	first := true
	for {
		head, err := x.s.Response(wait)
		if err != nil {
			return nil, err
		}
		if first {
			first = false
			x.trace.gotFirstResponseByte()
		}
		if !head.Interim {
			return x.response(ctx, head), nil
		}
		if head.Status == http.StatusContinue && x.body != nil {
			x.body.proceed()
		}
		if err := x.trace.interim(head.Status, makeHeader(head.Fields[pseudoFields(head.Fields):])); err != nil {
			return nil, err
		}
	}
}

// requestLength returns how long the body of a request is, -1 if that is not known.
func requestLength(req *http.Request) int64 {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return 0
	case req.ContentLength != 0:
		return req.ContentLength
	}
	return -1
}

const defaultUserAgent = "frittata"

// appendHead appends the fields of the request's head.
func (x *call) appendHead(fields []h3.Field, length int64) ([]h3.Field, error) {
	req := x.req
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	host, err := requestHost(host)
	if err != nil {
		return nil, err
	}
	fields = append(fields, h3.Field{Name: ":method", Value: method}, h3.Field{Name: ":authority", Value: host})
	protocol := req.Header[":protocol"]
	if method != http.MethodConnect || protocol != nil {
		path := req.URL.RequestURI()
		if path == "" || path[0] != '/' && path != "*" {
			if path = strings.TrimPrefix(path, req.URL.Scheme+"://"+host); path == "" || path[0] != '/' {
				return nil, fmt.Errorf("http3: invalid request path %q", req.URL.RequestURI())
			}
		}
		for i := range len(path) {
			if c := path[i]; c <= ' ' || c == 0x7f {
				return nil, fmt.Errorf("http3: invalid request path %q", path)
			}
		}
		fields = append(fields, h3.Field{Name: ":scheme", Value: "https"}, h3.Field{Name: ":path", Value: path})
	}
	if len(protocol) > 0 {
		fields = append(fields, h3.Field{Name: ":protocol", Value: protocol[0]})
	}
	agent := true
	for key, values := range req.Header {
		name := keyName(key)
		switch name {
		case ":protocol", "Host", "Content-Length", "Trailer":
			continue
		case "User-Agent":
			agent = false
			if len(values) == 0 || values[0] == "" {
				continue
			}
			values = values[:1]
		case "Te":
			if !httpguts.HeaderValuesContainsToken(values, "trailers") {
				continue
			}
			values = []string{"trailers"} // RFC 9114, Section 4.2
		default:
			if connectionSpecific(name) {
				continue
			}
		}
		for _, v := range values {
			fields = append(fields, h3.Field{Name: name, Value: v, Sensitive: name == "Authorization"})
		}
	}
	if agent {
		fields = append(fields, h3.Field{Name: "user-agent", Value: defaultUserAgent})
	}
	if length > 0 || length == 0 && (method == "POST" || method == "PUT" || method == "PATCH") {
		fields = append(fields, h3.Field{Name: "content-length", Value: strconv.FormatInt(length, 10)})
	}
	if len(req.Trailer) > 0 {
		names := make([]string, 0, len(req.Trailer))
		for name := range req.Trailer {
			if !httpguts.ValidTrailerHeader(name) {
				return nil, fmt.Errorf("http3: invalid trailer %q", name)
			}
			names = append(names, strings.ToLower(name))
		}
		fields = append(fields, h3.Field{Name: "trailer", Value: strings.Join(names, ", ")})
	}
	if !x.t.DisableCompression && method != http.MethodHead && method != http.MethodConnect &&
		req.Header["Accept-Encoding"] == nil && req.Header["Range"] == nil {
		x.gzipped = true
		fields = append(fields, h3.Field{Name: "accept-encoding", Value: "gzip"})
	}
	return fields, nil
}

// requestHost returns a host as it is sent: in ASCII, and without the zone of an address.
func requestHost(host string) (string, error) {
	plain := true
	for i := range len(host) {
		if c := host[i]; c >= 0x80 || c == '%' {
			plain = false
		}
	}
	name := host
	if !plain {
		a, err := authorityOf(host)
		if err != nil {
			return "", err
		}
		name, _, _ = strings.Cut(a.host, "%")
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		if strings.HasSuffix(host, ":"+a.port) {
			name += ":" + a.port
		}
	}
	if !httpguts.ValidHostHeader(name) {
		// Who passes it on by another version of HTTP would make more of it than a host.
		return "", fmt.Errorf("http3: invalid host %q", host)
	}
	return name, nil
}

// response makes the http.Response of a final head.
func (x *call) response(ctx context.Context, head *h3driver.Head) *http.Response {
	r := &x.resp
	r.StatusCode = head.Status
	r.Status = statusText(head.Status)
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/3.0", 3, 0
	r.Header = makeHeader(head.Fields[pseudoFields(head.Fields):])
	r.ContentLength = head.ContentLength
	r.Trailer = announcedTrailers(r.Header)
	r.TLS = x.conn.tls
	if x.body != nil {
		x.body.answered(head.Status)
	}
	if head.End || x.req.Method == http.MethodHead {
		if head.End && r.ContentLength < 0 && x.req.Method != http.MethodHead {
			r.ContentLength = 0
		}
		r.Body = http.NoBody
		if head.End {
			x.finishSending(ctx)
		} else {
			x.awaitEnd(ctx)
		}
		return r
	}
	x.in.x = x
	x.in.watch(ctx)
	r.Body = &x.in
	if x.gzipped && strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		delete(r.Header, "Content-Encoding")
		delete(r.Header, "Content-Length")
		r.ContentLength = -1
		r.Uncompressed = true
		r.Body = &gzipBody{body: r.Body}
	}
	return r
}

// finishSending ends the use of a stream that there is nothing to read from any more. The
// rest of the request goes on, until the context ends.
func (x *call) finishSending(ctx context.Context) {
	if x.body != nil {
		x.body.watch(ctx)
	}
	x.leave()
}

// awaitEnd leaves the end of a response to HEAD, whose handler may go on, to the server, until the context
// ends. It takes no memory: the h3.Conn aborts the request if a body comes, though it must not.
func (x *call) awaitEnd(ctx context.Context) {
	w := &endWatch{x: x}
	if ctx.Done() != nil {
		w.unwatch = context.AfterFunc(ctx, func() { x.cancel(context.Cause(ctx)) })
	}
	x.s.SetNotifier(w)
}

// endWatch ends the use of a stream when the stream has ended.
type endWatch struct {
	x       *call
	unwatch func() bool // nil if there is nothing to watch
}

// StreamDone is called when all has been said, or nothing can come of the request any more.
func (w *endWatch) StreamDone(error) {
	if w.unwatch != nil {
		w.unwatch()
	}
	if w.x.body != nil {
		w.x.body.abandon()
	}
	w.x.leave()
}

func statusText(status int) string {
	if status == http.StatusOK {
		return "200 OK"
	}
	return strings.TrimRight(strconv.Itoa(status)+" "+http.StatusText(status), " ")
}

var _ io.WriterTo = (*responseBody)(nil)
