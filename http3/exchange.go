package http3

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/h3driver"
)

// scratch is memory of a worker, for one request after the other.
type scratch struct {
	fields []h3.Field
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxKeptFields is how many fields a worker keeps memory for.
const maxKeptFields = 64

// users counts who uses a stream, so that the last one gives it back: handlers
// leave goroutines behind that still read a request's body.
type users struct {
	s *h3driver.Stream
	n atomic.Int32
}

// enter is true if the stream may be used until leave.
func (u *users) enter() bool {
	for {
		n := u.n.Load()
		if n == 0 {
			return false
		}
		if u.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (u *users) leave() {
	if u.n.Add(-1) == 0 {
		u.s.Release()
	}
}

// exchange is a request and its response at a server. It is memory of its own,
// never used again, for handlers may keep the request.
type exchange struct {
	users
	conn  *serverConn
	req   *http.Request
	url   url.URL
	ctx   requestContext
	body  requestBody
	w     responseWriter
	fault int            // the status to answer with instead of calling the handler
	duty  *frittata.Duty // what the goroutine has to do besides, nil if that is nothing

	// headMu orders a 100 Continue, which a reader of the body sends, and the final head.
	headMu   sync.Mutex
	headSent bool
}

// StreamDone is called when the client has gone, or wants no more.
func (x *exchange) StreamDone(err error) {
	x.ctx.cancel(errCanceled)
	if e, ok := errors.AsType[*h3.FieldSectionError](err); ok {
		// The client is told no reason. The handler may change the request, or have returned.
		path := ""
		for _, f := range x.s.Head().Fields {
			if f.Name == ":path" {
				path, _, _ = strings.Cut(f.Value, "?")
			}
		}
		x.conn.srv.logger().Warn("http3: header or trailers of a response are larger than the client accepts",
			"path", path, "size", e.Size, "limit", e.Limit)
	}
}

// newExchange makes a request of what has come.
func newExchange(c *serverConn, s *h3driver.Stream, m *scratch) *exchange {
	x := &exchange{conn: c}
	x.users.s = s
	x.users.n.Store(1)
	x.ctx.parent = c.ctx
	x.body.x = x
	head := s.Head()
	var req http.Request
	x.fillRequest(&req, head)
	x.req = req.WithContext(&x.ctx)
	x.w.init(x, req.Method, m.fields)
	m.fields = nil
	s.SetNotifier(x)
	return x
}

// fillRequest makes the parts of the request. What it cannot make is in x.fault.
func (x *exchange) fillRequest(req *http.Request, head *h3driver.Head) {
	var scheme, authority, path, protocol string
	n := pseudoFields(head.Fields)
	for i := range n {
		f := &head.Fields[i]
		switch f.Name {
		case ":method":
			req.Method = f.Value
		case ":scheme":
			scheme = f.Value
		case ":authority":
			authority = f.Value
		case ":path":
			path = f.Value
		case ":protocol":
			protocol = f.Value
		}
	}
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/3.0", 3, 0
	req.Header = makeHeader(head.Fields[n:])
	req.RemoteAddr = x.conn.remote
	req.TLS = x.conn.tls
	req.Host = authority
	if host, ok := req.Header["Host"]; ok {
		if authority == "" {
			req.Host = host[0]
		}
		delete(req.Header, "Host")
	}
	req.URL = &x.url
	if req.Method == http.MethodConnect && protocol == "" {
		req.RequestURI = authority
		x.url.Host = authority
	} else {
		req.RequestURI = path
		if !parsePath(&x.url, path) {
			x.fault = http.StatusBadRequest
		}
		if scheme != "https" && scheme != "http" {
			x.url.Scheme = scheme
		}
	}
	if protocol != "" {
		req.Header[":protocol"] = []string{protocol}
	}
	req.ContentLength = head.ContentLength
	req.Body = http.NoBody
	if head.End {
		req.ContentLength = 0
	} else {
		req.Body = &x.body
		req.Trailer = announcedTrailers(req.Header)
		if expect, ok := req.Header["Expect"]; ok && httpguts.HeaderValuesContainsToken(expect, "100-continue") {
			x.body.expects.Store(true)
			delete(req.Header, "Expect")
		}
	}
}

// plainChars are the characters of a path that mean themselves wherever they are.
var plainChars = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/") {
		t[c] = true
	}
	return t
}()

// parsePath is url.ParseRequestURI, which it leaves what is not simple to.
func parsePath(u *url.URL, s string) bool {
	path, query, hasQuery := strings.Cut(s, "?")
	plain := path != "" && path[0] == '/' && (!hasQuery || query != "")
	for i := 0; plain && i < len(path); i++ {
		plain = plainChars[path[i]]
	}
	for i := 0; plain && i < len(query); i++ {
		plain = ' ' < query[i] && query[i] < 0x7f
	}
	if plain {
		u.Path, u.RawQuery = path, query
		return true
	}
	p, err := url.ParseRequestURI(s)
	if err != nil {
		return false
	}
	*u = *p
	return true
}

// sendHead sends the final head, or an interim one unless the final one has gone.
func (x *exchange) sendHead(fields []h3.Field, end, interim bool) {
	x.headMu.Lock()
	defer x.headMu.Unlock()
	if x.headSent {
		return
	}
	x.headSent = !interim
	x.s.SendHeaders(fields, end)
}

// mayBlock is called before the handler does what may take long: another goroutine
// does then what this one has to do besides.
func (x *exchange) mayBlock() {
	if x.duty != nil && !x.duty.Lost() {
		x.duty.HandOver()
		x.conn.srv.workers.distrust()
	}
}

// abort resets the response of a handler that did not return.
func (x *exchange) abort() {
	x.w.drop()
	x.s.Reset(h3.CodeInternalError)
	x.s.Finish(nil)
}

// end is called when the handler has returned and the stream is finished.
func (x *exchange) end(m *scratch) {
	x.ctx.cancel(errCanceled)
	if f := x.w.fields; cap(f) <= maxKeptFields {
		clear(f)
		m.fields = f[:0]
	}
	x.w.fields = nil
	x.w.over = true
	x.leave()
}
