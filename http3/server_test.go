package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/h3driver"
	"github.com/frittata-go/frittata/quic"
)

// want is what a response has to be.
type want struct {
	status int
	header http.Header // a nil value: must not be there
	body   string
	length int64
	err    bool // the body, or the response, fails
}

// TestResponses has handlers and what comes out of them.
func TestResponses(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 10_000)
	for _, test := range []struct {
		name    string
		method  string
		handler http.HandlerFunc
		want    want
	}{
		{name: "nothing", handler: func(w http.ResponseWriter, r *http.Request) {},
			want: want{status: 200, header: http.Header{"Content-Length": {"0"}, "Content-Type": nil}}},
		{name: "small", handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>hi") },
			want: want{status: 200, header: http.Header{"Content-Length": {"8"}, "Content-Type": {"text/html; charset=utf-8"}}, body: "<html>hi", length: 8}},
		{name: "in pieces", handler: func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				w.Write([]byte("ten bytes."))
			}
		}, want: want{status: 200, header: http.Header{"Content-Length": {"1000"}}, body: strings.Repeat("ten bytes.", 100), length: 1000}},
		{name: "long", handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, long) },
			want: want{status: 200, header: http.Header{"Content-Length": nil}, body: long, length: -1}},
		{name: "long by Write", handler: func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(long)) },
			want: want{status: 200, header: http.Header{"Content-Length": nil, "Content-Type": {"text/plain; charset=utf-8"}}, body: long, length: -1}},
		{name: "long with length", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(long)))
			w.Write([]byte(long))
		}, want: want{status: 200, header: http.Header{"Content-Length": {strconv.Itoa(len(long))}}, body: long, length: int64(len(long))}},
		{name: "short then long", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("a"))
			w.Write([]byte(long))
			w.Write([]byte("b"))
		}, want: want{status: 200, body: "a" + long + "b", length: -1}},
		{name: "ReadFrom", handler: func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(w, struct{ io.Reader }{strings.NewReader(long)})
			if n != int64(len(long)) || err != nil {
				panic(fmt.Sprint(n, err))
			}
		}, want: want{status: 200, body: long, length: -1}},
		{name: "small ReadFrom", handler: func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, struct{ io.Reader }{strings.NewReader("small")})
		}, want: want{status: 200, header: http.Header{"Content-Length": {"5"}}, body: "small", length: 5}},
		{name: "flush", handler: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "one")
			w.(http.Flusher).Flush()
			io.WriteString(w, "two")
		}, want: want{status: 200, header: http.Header{"Content-Length": nil}, body: "onetwo", length: -1}},
		{name: "status", handler: func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
			want: want{status: 404, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body: "404 page not found\n", length: 19}},
		{name: "no content", handler: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(204)
			if _, err := w.Write([]byte("x")); err != http.ErrBodyNotAllowed {
				panic(err)
			}
		}, want: want{status: 204, header: http.Header{"Content-Length": nil}}},
		{name: "not modified", handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) },
			want: want{status: 304, header: http.Header{"Content-Length": nil}}},
		{name: "HEAD", method: "HEAD", handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>not sent") },
			want: want{status: 200, header: http.Header{"Content-Length": {"14"}, "Content-Type": {"text/html; charset=utf-8"}}, length: 14}},
		{name: "HEAD of nothing", method: "HEAD", handler: func(w http.ResponseWriter, r *http.Request) {},
			want: want{status: 200, header: http.Header{"Content-Length": nil}, length: -1}},
		{name: "HEAD long", method: "HEAD", handler: func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(long)) },
			want: want{status: 200, header: http.Header{"Content-Length": {"160000"}}, length: 160000}},
		{name: "HEAD with length", method: "HEAD", handler: func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "77") },
			want: want{status: 200, header: http.Header{"Content-Length": {"77"}}, length: 77}},
		{name: "fields", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header()["X-Many"] = []string{"one", "two"}
			w.Header().Set("Connection", "close")
			w.Header().Set("Transfer-Encoding", "chunked")
			w.Header()["bad name"] = []string{"x"}
			w.Header().Set("X-Bad", "a\r\nb")
			w.Header().Set("Content-Type", "x/y")
		}, want: want{status: 200, header: http.Header{"X-Many": {"one", "two"}, "Connection": nil, "Transfer-Encoding": nil, "Bad Name": nil, "X-Bad": nil, "Content-Type": {"x/y"}}}},
		{name: "no type, no date", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			w.Header()["Date"] = nil
			io.WriteString(w, "x")
		}, want: want{status: 200, header: http.Header{"Content-Type": nil, "Date": nil}, body: "x", length: 1}},
		{name: "encoded", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			io.WriteString(w, "x")
		}, want: want{status: 200, header: http.Header{"Content-Type": nil, "Content-Encoding": {"br"}}, body: "x", length: 1}},
		{name: "late header", handler: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(201)
			w.Header().Set("X-Late", "1")
			w.WriteHeader(500)
		}, want: want{status: 201, header: http.Header{"X-Late": nil}}},
		{name: "too much", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "3")
			if _, err := w.Write([]byte("four")); err != http.ErrContentLength {
				panic(err)
			}
			w.Write([]byte("two"))
		}, want: want{status: 200, body: "two", length: 3}},
		{name: "too little", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "3")
			w.Write([]byte("o"))
		}, want: want{err: true}},
		{name: "panic", handler: func(w http.ResponseWriter, r *http.Request) { panic("oh") }, want: want{err: true}},
		{name: "panic after a piece", handler: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "piece")
			w.(http.Flusher).Flush()
			panic("oh")
		}, want: want{err: true}},
		{name: "abort", handler: func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, want: want{err: true}},
		{name: "switching protocols", handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(101) }, want: want{err: true}},
		{name: "status out of range", handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(99) }, want: want{err: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ts := newTestServer(t, test.handler)
			ts.tr.DisableCompression = true
			method := test.method
			if method == "" {
				method = "GET"
			}
			resp, err := ts.tr.RoundTrip(ts.request(method, "/", nil))
			var body []byte
			if err == nil {
				body, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			w := &test.want
			if w.err {
				se, ok := errors.AsType[*h3.StreamError](err)
				if !ok || !se.Remote || se.Code != h3.CodeInternalError {
					t.Fatalf("error is %v, want a reset with H3_INTERNAL_ERROR", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != w.status || string(body) != w.body || resp.ContentLength != w.length {
				t.Errorf("got %v, length %d, %d bytes %.40q, want %v, length %d, %d bytes %.40q",
					resp.Status, resp.ContentLength, len(body), body, w.status, w.length, len(w.body), w.body)
			}
			for name, values := range w.header {
				if got := resp.Header[name]; fmt.Sprint(got) != fmt.Sprint(values) {
					t.Errorf("%s is %q, want %q", name, got, values)
				}
			}
			if _, ok := w.header["Date"]; !ok {
				if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestPanicLogged(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/silent" {
			panic(http.ErrAbortHandler)
		}
		panic("loud")
	}))
	for _, path := range []string{"/silent", "/"} {
		if _, err := ts.tr.RoundTrip(ts.request("GET", path, nil)); err == nil {
			t.Fatal("no error")
		}
	}
	if log := ts.log.String(); !strings.Contains(log, "panic=loud") || strings.Contains(log, "abort") {
		t.Errorf("log is %s", log)
	}
}

// connKey is the key of what TestRequest has ConnContext add.
type connKey struct{}

func TestRequest(t *testing.T) {
	var body []byte
	h, request := handlerOf(func(w http.ResponseWriter, r *http.Request) *http.Request {
		body, _ = io.ReadAll(r.Body)
		return r
	})
	ts := newTestServer(t, h, func(ts *testServer) {
		ts.srv.ConnContext = func(ctx context.Context, c *frittata.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		}
	})
	req := ts.request("POST", "/a%2fb/c?q=%20&r", strings.NewReader("the body"))
	req.Host = "example.test"
	req.Header["X-Many"] = []string{"one", "two"}
	req.Header["Cookie"] = []string{"a=b", "c=d"}
	req.Header.Set("Authorization", "secret")
	req.Header.Set("Te", "gzip, trailers")
	req.Header.Set("Connection", "close")
	ts.do(req)
	got := await(t, request)
	for _, c := range []struct{ what, got, want string }{
		{"method", got.Method, "POST"},
		{"URL", got.URL.String(), "/a%2fb/c?q=%20&r"},
		{"path", got.URL.Path, "/a/b/c"},
		{"RequestURI", got.RequestURI, "/a%2fb/c?q=%20&r"},
		{"proto", got.Proto, "HTTP/3.0"},
		{"host", got.Host, "example.test"},
		{"body", string(body), "the body"},
		{"length", fmt.Sprint(got.ContentLength), "8"},
		{"X-Many", fmt.Sprint(got.Header["X-Many"]), "[one two]"},
		{"cookies", fmt.Sprint(got.Header["Cookie"]), "[a=b; c=d]"},
		{"Authorization", got.Header.Get("Authorization"), "secret"},
		{"TE", fmt.Sprint(got.Header["Te"]), "[trailers]"},
		{"Connection", fmt.Sprint(got.Header["Connection"]), "[]"},
		{"Host field", fmt.Sprint(got.Header["Host"]), "[]"},
		{"agent", got.UserAgent(), defaultUserAgent},
		{"encoding", got.Header.Get("Accept-Encoding"), "gzip"},
		{"ALPN", got.TLS.NegotiatedProtocol, "h3"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %q, want %q", c.what, c.got, c.want)
		}
	}
	if host, _, err := net.SplitHostPort(got.RemoteAddr); err != nil || host != "127.0.0.1" {
		t.Errorf("RemoteAddr is %q", got.RemoteAddr)
	}
	ctx := got.Context()
	if s, ok := ctx.Value(http.ServerContextKey).(*http.Server); !ok || s.Handler == nil {
		t.Error("no http.ServerContextKey")
	}
	if ServerFromContext(ctx) != ts.srv {
		t.Error("no Server in the context")
	}
	if a, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr); !ok || a.String() != ts.addr.String() {
		t.Errorf("http.LocalAddrContextKey is %v", a)
	}
	if c, ok := ctx.Value(connKey{}).(*frittata.Conn); !ok || c == nil {
		t.Error("no value of ConnContext")
	}
	<-ctx.Done() // as soon as the handler has returned
	if ctx.Err() != context.Canceled {
		t.Error(ctx.Err())
	}
}

// hello is a handler that tells what it finds out by f on a channel.
func handlerOf[T any](f func(w http.ResponseWriter, r *http.Request) T) (http.HandlerFunc, <-chan T) {
	c := make(chan T, 1)
	return func(w http.ResponseWriter, r *http.Request) { c <- f(w, r) }, c
}

// await takes what a handler tells, or fails.
func await[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-testContext(t).Done():
		t.Fatal("the handler tells nothing")
		panic("unreachable")
	}
}

func TestTrailers(t *testing.T) {
	h, got := handlerOf(func(w http.ResponseWriter, r *http.Request) http.Header {
		if _, ok := r.Trailer["X-Sum"]; !ok {
			t.Error("the trailer was not announced")
		}
		w.Header().Set("Trailer", "X-Announced, Content-Length")
		io.Copy(w, r.Body)
		w.Header().Set("X-Announced", "a")
		w.Header().Set(http.TrailerPrefix+"x-spontaneous", "b")
		return r.Trailer
	})
	ts := newTestServer(t, h)
	pr, pw := io.Pipe()
	req := ts.request("POST", "/", pr)
	req.Trailer = http.Header{"X-Sum": nil}
	go func() {
		pw.Write([]byte("content"))
		req.Trailer.Set("X-Sum", "42")
		pw.Close()
	}()
	resp, body := ts.do(req)
	if body != "content" {
		t.Errorf("body is %q", body)
	}
	if trailer := await(t, got); trailer.Get("X-Sum") != "42" {
		t.Errorf("trailers of the request are %v", trailer)
	}
	if resp.Trailer.Get("X-Announced") != "a" || resp.Trailer.Get("X-Spontaneous") != "b" || len(resp.Trailer) != 2 {
		t.Errorf("trailers of the response are %v", resp.Trailer)
	}
}

func TestTrailersWithoutBody(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}))
	resp, _ := ts.get("/")
	if resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("trailers are %v", resp.Trailer)
	}
}

func TestInterim(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(103)
		w.Header().Set("Link", "</other.css>")
		w.WriteHeader(103)
		w.Header().Del("Link")
		io.WriteString(w, "final")
	}))
	var got []string
	req := ts.request("GET", "/", nil)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			got = append(got, fmt.Sprint(code, h.Get("Link")))
			return nil
		},
	}))
	resp, body := ts.do(req)
	if fmt.Sprint(got) != "[103</style.css> 103</other.css>]" || body != "final" || resp.Header.Get("Link") != "" {
		t.Errorf("got %v, %v %q", got, resp.Header, body)
	}
	// And without anybody who asks for them.
	if _, body := ts.get("/"); body != "final" {
		t.Errorf("got %q", body)
	}
}

func TestExpectContinue(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/refuse":
			w.WriteHeader(417)
		default:
			if r.Header.Get("Expect") != "" {
				t.Error("Expect is there")
			}
			io.Copy(w, r.Body)
		}
	}), func(ts *testServer) { ts.tr.ExpectContinueTimeout = -1 })
	for _, test := range []struct {
		path string
		got  string
		read bool
	}{{"/", "the body", true}, {"/refuse", "", false}} {
		var events []string
		body := &readRecorder{r: strings.NewReader("the body")}
		req := ts.request("POST", test.path, body)
		req.Header.Set("Expect", "100-continue")
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got100Continue: func() { events = append(events, "100") },
		}))
		_, got := ts.do(req)
		if got != test.got || body.was() != test.read || test.read != (len(events) == 1) {
			t.Errorf("%s: got %q, body read: %v, %v", test.path, got, body.was(), events)
		}
	}
}

func TestUnreadBody(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "enough")
	}))
	body := &endless{stopped: make(chan struct{})}
	req := ts.request("POST", "/", body)
	_, got := ts.do(req)
	if got != "enough" {
		t.Errorf("got %q", got)
	}
	await(t, body.stopped) // by STOP_SENDING, or the end of the response
}

// endless is a body without an end, closed when nobody wants it.
type endless struct{ stopped chan struct{} }

func (e *endless) Read(p []byte) (int, error) { return len(p), nil }
func (e *endless) Close() error {
	close(e.stopped)
	return nil
}

// readRecorder tells whether it was read.
type readRecorder struct {
	r   io.Reader
	yes bool
}

func (r *readRecorder) Read(p []byte) (int, error) {
	r.yes = true
	return r.r.Read(p)
}

func (r *readRecorder) was() bool { return r.yes }

func TestFileServer(t *testing.T) {
	dir := t.TempDir()
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	if err := os.WriteFile(filepath.Join(dir, "file.bin"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	ts := newTestServer(t, http.FileServer(http.Dir(dir)))
	resp, body := ts.get("/file.bin")
	if body != string(content) || resp.ContentLength != int64(len(content)) {
		t.Fatalf("got %d bytes, length %d", len(body), resp.ContentLength)
	}
	req := ts.request("GET", "/file.bin", nil)
	req.Header.Set("Range", "bytes=100-199")
	resp, body = ts.do(req)
	if resp.StatusCode != 206 || body != string(content[100:200]) || resp.Header.Get("Content-Range") != "bytes 100-199/500000" {
		t.Errorf("range: %v %v %q", resp.Status, resp.Header, body)
	}
	req = ts.request("GET", "/file.bin", nil)
	req.Header.Set("If-Modified-Since", resp.Header.Get("Last-Modified"))
	if resp, _ = ts.do(req); resp.StatusCode != 304 {
		t.Errorf("if-modified-since: %v", resp.Status)
	}
	if resp, body = ts.get("/"); resp.StatusCode != 200 || !strings.Contains(body, "file.bin") {
		t.Errorf("listing: %v %q", resp.Status, body)
	}
	if resp, _ = ts.get("/none"); resp.StatusCode != 404 {
		t.Errorf("missing file: %v", resp.Status)
	}
	resp, body = ts.do(ts.request("HEAD", "/file.bin", nil))
	if resp.ContentLength != int64(len(content)) || body != "" {
		t.Errorf("HEAD: %d, %q", resp.ContentLength, body)
	}
}

func TestResponseController(t *testing.T) {
	h, got := handlerOf(func(w http.ResponseWriter, r *http.Request) error {
		rc := http.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			return err
		}
		if err := rc.Flush(); err != nil {
			return err
		}
		if _, _, err := rc.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("Hijack: %v", err)
		}
		if err := rc.SetReadDeadline(time.Now()); err != nil {
			return err
		}
		if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("read after the deadline: %v", err)
		}
		if err := rc.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if err := rc.SetWriteDeadline(time.Now()); err != nil {
			return err
		}
		if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("write after the deadline: %v", err)
		}
		return nil
	})
	ts := newTestServer(t, h)
	pr, pw := io.Pipe()
	defer pw.Close()
	resp, err := ts.tr.RoundTrip(ts.request("POST", "/", pr))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if e := await(t, got); e != nil {
		t.Error(e)
	}
	// The client must not take what is there for the whole.
	if se, ok := errors.AsType[*h3.StreamError](err); !ok || se.Code != h3.CodeRequestCancelled {
		t.Errorf("the response ended with %v", err)
	}
}

func TestFullDuplex(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if err != nil {
				return
			}
			w.Write(bytes.ToUpper(buf[:n]))
			w.(http.Flusher).Flush()
		}
	}))
	pr, pw := io.Pipe()
	resp, err := ts.tr.RoundTrip(ts.request("POST", "/", pr))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, s := range []string{"ping", "pong", "bye"} {
		io.WriteString(pw, s)
		buf := make([]byte, len(s))
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != strings.ToUpper(s) {
			t.Fatalf("got %q, %v", buf, err)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("rest is %q, %v", rest, err)
	}
}

func TestConnect(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "CONNECT" || r.Host != "target.test:99" || r.RequestURI != r.Host {
			t.Errorf("got %s %s %s", r.Method, r.Host, r.RequestURI)
		}
		w.(http.Flusher).Flush()
		io.Copy(struct{ io.Writer }{flushing{w}}, r.Body)
	}))
	pr, pw := io.Pipe()
	req := ts.request("CONNECT", "", pr)
	req.Host = "target.test:99"
	resp, err := ts.tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(pw, "tunnelled")
	buf := make([]byte, 9)
	if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "tunnelled" {
		t.Errorf("got %q, %v", buf, err)
	}
	pw.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Error(err)
	}
	resp.Body.Close()
}

// TestConnectLength: only a response to CONNECT that opens no tunnel has a Content-Length (RFC 9110, Section 8.6).
func TestConnectLength(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Host {
		case "sets.test:1":
			w.Header().Set("Content-Length", "2")
			io.WriteString(w, "hi")
		case "writes.test:1":
			io.WriteString(w, "hi")
		case "refuses.test:1":
			w.WriteHeader(502)
		}
	}))
	for host, want := range map[string]string{"empty.test:1": "", "writes.test:1": "", "sets.test:1": "", "refuses.test:1": "0"} {
		req := ts.request("CONNECT", "", nil)
		req.Host = host
		resp, body := ts.do(req)
		if got := resp.Header.Get("Content-Length"); got != want || (body == "hi") != (host == "writes.test:1" || host == "sets.test:1") {
			t.Errorf("%s: Content-Length %q, body %q", host, got, body)
		}
	}
}

type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.w.(http.Flusher).Flush()
	return n, err
}

func TestExtendedConnect(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get(":protocol")+" "+r.URL.Path)
	})
	for _, enabled := range []bool{true, false} {
		t.Run(fmt.Sprint(enabled), func(t *testing.T) {
			ts := newTestServer(t, h, func(ts *testServer) { ts.srv.EnableConnectProtocol = enabled })
			req := ts.request("CONNECT", "/path", nil)
			req.Header[":protocol"] = []string{"websocket"}
			if enabled {
				if _, got := ts.do(req); got != "websocket /path" {
					t.Errorf("got %q", got)
				}
			} else if _, err := ts.tr.RoundTrip(req); !errors.Is(err, h3.ErrExtendedConnect) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestHeaderLimits(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			w.Header().Set("X-Large", strings.Repeat("x", 5000))
		}
	}), func(ts *testServer) {
		ts.srv.MaxHeaderBytes = 4000
		ts.tr.MaxResponseHeaderBytes = 3000
	})
	ts.get("/") // and the settings of both are known
	req := ts.request("GET", "/", nil)
	req.Header.Set("X-Large", strings.Repeat("x", 5000))
	if _, err := ts.tr.RoundTrip(req); !errors.Is(err, h3.ErrFieldSectionTooLarge) {
		t.Errorf("request: %v", err)
	}
	_, err := ts.tr.RoundTrip(ts.request("GET", "/large", nil))
	if se, ok := errors.AsType[*h3.StreamError](err); !ok || !se.Remote || se.Code != h3.CodeRequestCancelled {
		t.Errorf("response: %v", err)
	}
	if log := ts.log.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "path=/large size=5") || !strings.Contains(log, "limit=3000") {
		t.Errorf("the server has logged %q", log)
	}
	if resp, _ := ts.get("/"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

func TestServerTimeouts(t *testing.T) {
	for name, test := range map[string]struct {
		read, write time.Duration
		use         func(w http.ResponseWriter, r *http.Request) error
	}{
		"read": {read: time.Millisecond, use: func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.ReadAll(r.Body)
			return err
		}},
		"write": {write: 20 * time.Millisecond, use: func(w http.ResponseWriter, r *http.Request) error {
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h, got := handlerOf(test.use)
			ts := newTestServer(t, h, func(ts *testServer) {
				ts.srv.ReadTimeout, ts.srv.WriteTimeout = test.read, test.write
			})
			var body io.Reader
			if test.read > 0 {
				pr, pw := io.Pipe()
				defer pw.Close()
				body = pr
			}
			resp, err := ts.tr.RoundTrip(ts.request("POST", "/", body))
			if err == nil {
				defer resp.Body.Close() // what is not read has no room, and the handler waits
			}
			if err := await(t, got); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// TestWriteTimeoutAfterHandler: what a client does not read of a response is not kept longer than
// WriteTimeout, though its handler has returned.
func TestWriteTimeoutAfterHandler(t *testing.T) {
	const window, size = 16 << 10, 100 << 10 // so much of it waits in QUIC's buffers and in the pipe
	conns := make(chan *frittata.Conn, 1)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, size))
	}), func(ts *testServer) {
		ts.srv.WriteTimeout = 100 * time.Millisecond
		ts.srv.ConnContext = func(ctx context.Context, c *frittata.Conn) context.Context {
			conns <- c
			return ctx
		}
	})
	// A client that never reads, not even into a buffer: its pipe is full with the first bytes.
	qcfg := quic.Config{StreamWindow: window, MaxStreamWindow: window, TLS: &tls.Config{RootCAs: testRoots, NextProtos: []string{ALPN}}}
	tr, err := frittata.Open("udp", "127.0.0.1:0", &frittata.Config{QUIC: qcfg})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	d := h3driver.NewClient(&h3driver.Config{BodyBuffer: 1})
	if _, err := tr.Dial(testContext(t), ts.addr, "localhost", nil, d); err != nil {
		t.Fatal(err)
	}
	const n = 20
	head := []h3.Field{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "localhost"}, {Name: ":path", Value: "/"}}
	for range n {
		s, err := d.Open(head, h3driver.OpenOptions{End: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Release()
		if _, err := s.Response(testContext(t)); err != nil {
			if _, ok := errors.AsType[*h3.StreamError](err); !ok { // else it was late already
				t.Fatal(err)
			}
		}
	}
	c := <-conns
	for left := n; left > 0; {
		if err := c.Call(testContext(t), func(qc *quic.Conn) { left = qc.OpenStreamsOf(quic.Bidi) }); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBodyAfterHandler has a handler leave a goroutine behind that reads the body
// while streams are used again.
func TestBodyAfterHandler(t *testing.T) {
	left := make(chan error, 100)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reading := make(chan struct{})
		go func() {
			close(reading)
			_, err := io.Copy(io.Discard, r.Body)
			left <- err
		}()
		<-reading
	}))
	for range 50 {
		pr, pw := io.Pipe()
		req := ts.request("POST", "/", pr)
		ts.do(req)
		pw.Close()
		if err := await(t, left); err != http.ErrBodyReadAfterClose {
			t.Errorf("the goroutine that was left got %v", err)
		}
	}
}
