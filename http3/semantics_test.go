package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/h3driver"
	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// closeRecorder is a body that tells when it is closed.
type closeRecorder struct {
	io.Reader
	closed chan struct{}
}

func (c *closeRecorder) Close() error {
	close(c.closed)
	return nil
}

// TestRefusedBodyIsClosed: RoundTrip closes a body also if the server does not want it.
func TestRefusedBodyIsClosed(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(417) }),
		func(ts *testServer) { ts.tr.ExpectContinueTimeout = -1 })
	body := &closeRecorder{strings.NewReader("body"), make(chan struct{})}
	req := ts.request("POST", "/", body)
	req.Header.Set("Expect", "100-continue")
	if resp, _ := ts.do(req); resp.StatusCode != 417 {
		t.Error(resp.Status)
	}
	await(t, body.closed)
}

// TestManyCookies: what a peer makes us do for its cookies grows with their length, not with its square.
func TestManyCookies(t *testing.T) {
	fields := make([]h3.Field, 1500)
	var want []string
	for i := range fields {
		fields[i] = h3.Field{Name: "cookie", Value: fmt.Sprintf("c%d=v", i)}
		want = append(want, fields[i].Value)
	}
	fields = append(fields, h3.Field{Name: "x", Value: "y"})
	if got := makeHeader(fields)["Cookie"]; len(got) != 1 || got[0] != strings.Join(want, "; ") {
		t.Errorf("got %q", got)
	}
	if n := testing.AllocsPerRun(10, func() { makeHeader(fields) }); n > 100 {
		t.Errorf("%v allocations for the header", n)
	}
}

// TestHeadEndsWithItsHead: a response to HEAD has no trailers.
func TestHeadEndsWithItsHead(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "1")
	}))
	s, err := rawClient(t, ts).Open([]h3.Field{{Name: ":method", Value: "HEAD"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "localhost"}, {Name: ":path", Value: "/"}}, h3driver.OpenOptions{End: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if head, err := s.Response(testContext(t)); err != nil || head.ContentLength != 4 {
		t.Errorf("%v, %v", head, err)
	}
	if b, err := io.ReadAll(s); len(b) > 0 || err != nil || s.Trailers() != nil {
		t.Errorf("%q, %v, trailers %v", b, err, s.Trailers())
	}
}

// TestHeadGoesOn: as with net/http's HTTP/2, a handler of HEAD that has sent the head may go on, until the client's context ends.
func TestHeadGoesOn(t *testing.T) {
	goOn, ended := make(chan struct{}, 1), make(chan error, 2)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "HEAD" {
			return
		}
		http.NewResponseController(w).Flush()
		select {
		case <-goOn:
		case <-r.Context().Done():
		}
		ended <- r.Context().Err()
	}))
	ts.do(ts.request("HEAD", "/", nil))
	ts.get("/") // what the client said of the first request is there then
	goOn <- struct{}{}
	if err := await(t, ended); err != nil {
		t.Errorf("the handler's context: %v", err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	ts.do(ts.request("HEAD", "/", nil).WithContext(ctx))
	cancel()
	if err := await(t, ended); err == nil {
		t.Error("the client's context has ended, and the handler's has not")
	}
	noneActive(t, ts.tr)
}

// noneActive waits until no request of the Transport is under way.
func noneActive(t *testing.T, tr *Transport) {
	t.Helper()
	tr.mu.Lock()
	conns := slices.Collect(maps.Keys(tr.open))
	tr.mu.Unlock()
	for ctx := testContext(t); slices.ContainsFunc(conns, func(c *clientConn) bool { return c.driver.Active() > 0 }); {
		if ctx.Err() != nil {
			t.Fatal("requests are left")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestHeadWithBody: a body that comes after a response to HEAD, against the rules, is not taken.
func TestHeadWithBody(t *testing.T) {
	failed := make(chan error, 1)
	url := rawServer(t, func(s *h3driver.Stream) {
		s.SendHeaders([]h3.Field{{Name: ":status", Value: "200"}}, false)
		_, err := s.ReadFrom(countless{new(atomic.Int64)})
		failed <- err
		s.Finish(nil)
	})
	tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}
	defer tr.Close()
	req, err := http.NewRequestWithContext(testContext(t), "HEAD", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := tr.RoundTrip(req); err == nil {
		resp.Body.Close() // else it came at the same time
	}
	await(t, failed)
	noneActive(t, tr)
}

// TestHeaderTimeoutAfterTheBody: as with net/http, a server has its time from when it has the request.
func TestHeaderTimeoutAfterTheBody(t *testing.T) {
	began := make(chan struct{}, 1)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/never" {
			<-r.Context().Done()
			return
		}
		began <- struct{}{}
		io.Copy(io.Discard, r.Body)
	}), func(ts *testServer) { ts.tr.ResponseHeaderTimeout = time.Second })
	body, end := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := ts.tr.RoundTrip(ts.request("POST", "/", body)); err != nil {
			t.Error(err)
		} else {
			resp.Body.Close()
		}
	}()
	await(t, began)
	// This one's time begins later, and is over while the other body has no end yet.
	_, err := ts.tr.RoundTrip(ts.request("POST", "/never", strings.NewReader("x")))
	if ne, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); !ok || !ne.Timeout() {
		t.Errorf("got %v", err)
	}
	end.Close()
	<-done
}

// TestRequestLine: nothing of a request can be taken for more than it is by whoever passes it on.
func TestRequestLine(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Host = "a\r\nX: y" },
		func(r *http.Request) { r.Host = "a b" },
		func(r *http.Request) { r.URL.RawQuery = "a\r\nX: y" },
		func(r *http.Request) { r.URL.RawQuery = "a b" },
	} {
		req := ts.request("GET", "/", nil)
		change(req)
		if resp, err := ts.tr.RoundTrip(req); err == nil {
			resp.Body.Close()
			t.Errorf("host %q, query %q: sent", req.Host, req.URL.RawQuery)
		} else if !strings.Contains(err.Error(), "invalid") {
			t.Errorf("host %q, query %q: %v", req.Host, req.URL.RawQuery, err)
		}
	}
	req := ts.request("GET", "/", nil)
	req.Host = "bücher.example:443"
	if _, got := ts.do(req); got != "xn--bcher-kva.example:443" {
		t.Errorf("host %q", got)
	}
}

// TestRetiredConnections: a connection that new requests do not use any more is
// closed when it has nothing left to do, and by Close.
func TestRetiredConnections(t *testing.T) {
	tr, err := frittata.Open("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	begun := make(chan struct{}, 1)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			begun <- struct{}{}
			<-r.Context().Done()
		}
	}), func(ts *testServer) { ts.tr.Transport = tr })
	only := func() *clientConn {
		ts.tr.mu.Lock()
		defer ts.tr.mu.Unlock()
		for _, c := range ts.tr.conns {
			return c
		}
		return nil
	}
	ts.get("/")
	c := only()
	c.retire()
	await(t, c.conn.Done())
	if ts.get("/"); only() == c {
		t.Error("a retired connection was used")
	}
	failed := make(chan error, 1)
	go func() {
		_, err := ts.tr.RoundTrip(ts.request("GET", "/wait", nil))
		failed <- err
	}()
	await(t, begun)
	c = only()
	c.retire()
	ts.tr.Close()
	if err := await(t, failed); err == nil {
		t.Error("a request has survived Close")
	}
	await(t, c.conn.Done())
}

// TestCloseDuringHandshake: a connection whose handshake is under way when the Server
// is closed is not served, though its Transport stays.
func TestCloseDuringHandshake(t *testing.T) {
	leak.Check(t)
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	srv := &Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("a request was served") }),
		TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			select {
			case entered <- struct{}{}:
			default:
			}
			<-leave
			return &testCert, nil
		}},
	}
	cfg, err := srv.ListenerConfig()
	if err != nil {
		t.Fatal(err)
	}
	qt, err := frittata.Open("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer qt.Close()
	l, err := qt.Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}
	defer tr.Close()
	failed := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(testContext(t), "GET", fmt.Sprintf("https://%v/", l.Addr()), nil)
		_, err := tr.RoundTrip(req)
		failed <- err
	}()
	await(t, entered)
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := await(t, served); err != http.ErrServerClosed {
		t.Error(err)
	}
	close(leave)
	if err := await(t, failed); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestTypeOfPieces: the type is guessed by as much of the body as net/http looks at, in however many pieces it comes.
func TestTypeOfPieces(t *testing.T) {
	page := "<!DOCTYPE html><title>long</title>" + strings.Repeat("text ", 1000)
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/write":
			w.Write([]byte("\n"))
			w.Write([]byte(page))
		case "/string":
			io.WriteString(w, "\n")
			io.WriteString(w, page[:bufferSize])
			io.WriteString(w, page[bufferSize:])
		case "/long":
			io.WriteString(w, "\n")
			io.WriteString(w, page)
		case "/length":
			w.Header().Set("Content-Length", "5035")
			w.Write([]byte("\n"))
			w.Write([]byte(page))
		}
	}
	ts := newTestServer(t, http.HandlerFunc(handler))
	for _, path := range []string{"/write", "/string", "/long", "/length"} {
		resp, body := ts.get(path)
		if body != "\n"+page {
			t.Errorf("%s: body is %d bytes long", path, len(body))
		}
		if got := resp.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("%s: Content-Type is %q", path, got)
		}
	}
}

// TestCanceledBeforehand: nothing is sent for a request whose context has ended.
func TestCanceledBeforehand(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	ts.get("/") // there is a connection
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	sent := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent = true }})
	body := &closeRecorder{strings.NewReader("body"), make(chan struct{})}
	_, err := ts.tr.RoundTrip(ts.request("POST", "/", body).WithContext(ctx))
	if err != context.Canceled {
		t.Errorf("error is %v", err)
	}
	if sent {
		t.Error("the request was sent")
	}
	await(t, body.closed)
}

// stuckBody is a body whose Read waits until Close.
type stuckBody struct{ closed chan struct{} }

func (b *stuckBody) Read([]byte) (int, error) {
	<-b.closed
	return 0, io.ErrClosedPipe
}

func (b *stuckBody) Close() error {
	close(b.closed)
	return nil
}

// TestStuckBodyIsClosed: a body that has nothing to read is closed when the request is over.
func TestStuckBodyIsClosed(t *testing.T) {
	responded := make(chan struct{})
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			http.NewResponseController(w).Flush()
			<-responded
			panic(http.ErrAbortHandler)
		}
	}))
	for _, path := range []string{"/done", "/abort"} {
		body := &stuckBody{make(chan struct{})}
		req, err := http.NewRequest("POST", ts.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := ts.tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if path == "/abort" {
			close(responded)
		}
		_, err = io.ReadAll(resp.Body)
		if _, reset := errors.AsType[*h3.StreamError](err); reset != (path == "/abort") {
			t.Errorf("%s: reading the response: %v", path, err)
		}
		resp.Body.Close()
		await(t, body.closed)
	}
}

// TestNothingOfContentLength: a response without the body that its head tells of is not complete.
func TestNothingOfContentLength(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		if _, err := io.WriteString(w, "more"); err != http.ErrContentLength {
			t.Errorf("writing more: %v", err)
		}
	}))
	_, err := ts.tr.RoundTrip(ts.request("GET", "/", nil))
	if se, ok := errors.AsType[*h3.StreamError](err); !ok || !se.Remote || se.Code != h3.CodeInternalError {
		t.Errorf("error is %v", err)
	}
	if resp, _ := ts.do(ts.request("HEAD", "/", nil)); resp.ContentLength != 3 {
		t.Errorf("HEAD: %d", resp.ContentLength)
	}
}

// rawServer serves HTTP/3 below the semantics of HTTP, and returns its URL.
func rawServer(t *testing.T, serve func(*h3driver.Stream)) string {
	t.Helper()
	l, err := frittata.Listen("udp", "127.0.0.1:0", &frittata.Config{QUIC: quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{testCert}, NextProtos: []string{ALPN}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			in, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			in.Start(h3driver.NewServer(&h3driver.Config{Serve: func(s *h3driver.Stream) {
				go func() {
					defer s.Release()
					serve(s)
				}()
			}}))
		}
	})
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
	})
	return "https://" + l.Addr().String()
}

// rawClient connects to a server below the semantics of HTTP.
func rawClient(t *testing.T, ts *testServer) *h3driver.Driver {
	t.Helper()
	d := h3driver.NewClient(nil)
	cfg := &frittata.Config{QUIC: quic.Config{TLS: &tls.Config{RootCAs: testRoots, NextProtos: []string{ALPN}}}}
	c, err := frittata.Dial(testContext(t), ts.addr.String(), cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return d
}

// TestShortBodies: as with net/http, a body that ends before its Content-Length is io.ErrUnexpectedEOF.
func TestShortBodies(t *testing.T) {
	check := func(what string, body io.Reader) {
		b, err := io.ReadAll(body)
		se, ok := errors.AsType[*h3.StreamError](err)
		if string(b) != "four" || !ok || se.Code != h3.CodeMessageError || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: read %q, %v", what, b, err)
		}
	}
	begun, done := make(chan struct{}), make(chan struct{})
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		close(begun)
		check("request", r.Body)
	}))
	s, err := rawClient(t, ts).Open([]h3.Field{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "localhost"},
		{Name: ":path", Value: "/"}, {Name: "content-length", Value: "5"}}, h3driver.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	await(t, begun)
	io.WriteString(s, "four")
	s.CloseWrite()
	await(t, done)

	url := rawServer(t, func(s *h3driver.Stream) {
		s.SendHeaders([]h3.Field{{Name: ":status", Value: "200"}, {Name: "content-length", Value: "5"}}, false)
		io.WriteString(s, "four")
		s.Finish(nil)
	})
	req, err := http.NewRequestWithContext(testContext(t), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := ts.tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	check("response", resp.Body)
}

// TestCloseEndsTheRequest: a request may go on when its response has ended, until the body of the response is closed.
func TestCloseEndsTheRequest(t *testing.T) {
	got, failed := make(chan string, 1), make(chan error, 1)
	url := rawServer(t, func(s *h3driver.Stream) {
		s.SendHeaders([]h3.Field{{Name: ":status", Value: "200"}}, false)
		io.WriteString(s, "all")
		s.CloseWrite()
		b := make([]byte, 4)
		n, _ := io.ReadFull(s, b)
		got <- string(b[:n])
		_, err := s.Read(b)
		failed <- err
		s.Finish(nil)
	})
	tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}
	defer tr.Close()
	body, w := io.Pipe()
	req, err := http.NewRequest("POST", url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "all" || err != nil {
		t.Errorf("the response is %q, %v", b, err)
	}
	io.WriteString(w, "more")
	if s := await(t, got); s != "more" {
		t.Errorf("the server got %q", s)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	err = await(t, failed)
	if se, ok := errors.AsType[*h3.StreamError](err); !ok || !se.Remote || se.Code != h3.CodeRequestCancelled {
		t.Errorf("the server's error is %v", err)
	}
	for err = nil; err == nil; { // a Read that is under way may take one
		_, err = io.WriteString(w, "x")
	}
	noneActive(t, tr)
}

// TestGeneralOptions: as with net/http, "OPTIONS *" comes to the handler only if that is wanted.
func TestGeneralOptions(t *testing.T) {
	for _, disable := range []bool{false, true} {
		ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }),
			func(ts *testServer) { ts.srv.DisableGeneralOptionsHandler = disable })
		for _, path := range []string{"*", "/", "/*"} {
			req := ts.request("OPTIONS", "", nil)
			req.URL.Path = path
			resp, body := ts.do(req)
			want, length := 204, ""
			if path == "*" && !disable {
				want, length = 200, "0"
			}
			if resp.StatusCode != want || resp.Header.Get("Content-Length") != length || body != "" {
				t.Errorf("%q, disabled %v: %s, %v", path, disable, resp.Status, resp.Header)
			}
		}
	}
}

// TestSmallKeys: what HTTP/3 does not have is not sent under keys in small letters either.
func TestSmallKeys(t *testing.T) {
	header := func() http.Header {
		return http.Header{
			"connection": {"close"}, "keep-alive": {"5"}, "proxy-connection": {"x"}, "transfer-encoding": {"chunked"},
			"upgrade": {"x"}, "te": {"gzip"}, "content-length": {"2"}, "x-other": {"y"}, "content-type": {"a/b"},
		}
	}
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := http.Header{"Accept-Encoding": {"gzip"}, "Content-Type": {"a/b"}, "X-Other": {"y"}, "User-Agent": {"me"}}
		if !maps.EqualFunc(r.Header, want, slices.Equal) || r.Host != r.URL.Query().Get("host") {
			t.Errorf("the request is for %s and has %v", r.Host, r.Header)
		}
		maps.Copy(w.Header(), header())
		io.WriteString(w, "hi")
	}))
	req := ts.request("GET", "/?host="+ts.addr.String(), nil)
	req.Header = header()
	req.Header["host"], req.Header["user-agent"] = []string{"other"}, []string{"me"}
	resp, body := ts.do(req)
	delete(resp.Header, "Date")
	want := http.Header{"Content-Length": {"2"}, "Content-Type": {"a/b"}, "X-Other": {"y"}}
	if !maps.EqualFunc(resp.Header, want, slices.Equal) || body != "hi" {
		t.Errorf("the response has %v and %q", resp.Header, body)
	}
}

// lockedBody is a body whose Close waits for its Read, as that of a request has it at net/http's servers.
type lockedBody struct {
	mu      sync.Mutex
	reading chan struct{}
	release chan struct{}
	closed  chan struct{}
}

func (b *lockedBody) Read([]byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.reading)
	<-b.release
	return 0, io.EOF
}

func (b *lockedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.closed)
	return nil
}

// TestCloseWaitsForNoRead: neither RoundTrip nor the body of the response waits for a request's body that has nothing to read.
func TestCloseWaitsForNoRead(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/respond" {
			http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}))
	for _, path := range []string{"/wait", "/respond"} {
		body := &lockedBody{reading: make(chan struct{}), release: make(chan struct{}), closed: make(chan struct{})}
		ctx, cancel := context.WithCancel(testContext(t))
		req := ts.request("POST", path, body).WithContext(ctx)
		done := make(chan error, 1)
		go func() {
			resp, err := ts.tr.RoundTrip(req)
			if err == nil {
				err = resp.Body.Close()
			}
			done <- err
		}()
		await(t, body.reading)
		if path == "/wait" {
			cancel()
		}
		if err := await(t, done); (err != nil) != (path == "/wait") {
			t.Errorf("%s: %v", path, err)
		}
		req.Body = nil // as it may be for another try
		close(body.release)
		await(t, body.closed)
		cancel()
	}
}
