package http3

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"runtime"
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

func TestReuse(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }))
	_, first := ts.get("/")
	for i := range 5 {
		var info ConnInfo
		req := ts.request("GET", "/", nil)
		req = req.WithContext(WithTrace(req.Context(), &Trace{GotConn: func(i ConnInfo) { info = i }}))
		if _, addr := ts.do(req); addr != first || !info.Reused || info.Conn == nil {
			t.Errorf("request %d came from %s, the first from %s; info %+v", i, addr, first, info)
		}
	}
	ts.tr.CloseIdleConnections()
	var info ConnInfo
	req := ts.request("GET", "/", nil)
	req = req.WithContext(WithTrace(req.Context(), &Trace{GotConn: func(i ConnInfo) { info = i }}))
	ts.do(req)
	if info.Reused || info.DialStart.IsZero() || len(info.Addrs) != 1 {
		t.Errorf("after CloseIdleConnections: %+v", info)
	}
	if _, err := info.Conn.Stats(req.Context()); err != nil {
		t.Error(err)
	}
}

// TestConcurrent has many requests at once, more than the server allows streams.
func TestConcurrent(t *testing.T) {
	var now, most, conns atomic.Int64
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		b, _ := io.ReadAll(r.Body)
		w.Write(append(b, r.URL.RawQuery...))
	}), func(ts *testServer) {
		ts.srv.ConnContext = func(ctx context.Context, c *frittata.Conn) context.Context {
			conns.Add(1)
			return ctx
		}
	})
	const n, at = 1000, 150
	var wg sync.WaitGroup
	next := make(chan int)
	for range at {
		wg.Go(func() {
			for i := range next {
				body := strings.Repeat("x", i)
				resp, err := ts.tr.RoundTrip(ts.request("POST", fmt.Sprintf("/?%d", i), strings.NewReader(body)))
				if err != nil {
					t.Error(err)
					continue
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != fmt.Sprint(body, i) {
					t.Errorf("request %d: %d bytes, %v", i, len(got), err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	if conns.Load() != 1 {
		t.Errorf("%d connections", conns.Load())
	}
	if most.Load() > 100 {
		t.Errorf("%d handlers at once, the stream limit is 100", most.Load())
	}
}

func TestGzip(t *testing.T) {
	content := strings.Repeat("compressible ", 10000)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			io.WriteString(w, "plain")
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		io.WriteString(zw, content)
		zw.Close()
	}))
	resp, body := ts.get("/")
	if body != content || !resp.Uncompressed || resp.ContentLength != -1 || resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %d bytes, %v", len(body), resp)
	}
	req := ts.request("GET", "/", nil)
	req.Header.Set("Accept-Encoding", "gzip")
	if resp, body := ts.do(req); body == content || resp.Uncompressed || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("asked for by the caller: %v", resp)
	}
	req = ts.request("GET", "/", nil)
	req.Header.Set("Range", "bytes=0-1")
	if _, body := ts.do(req); body != "plain" {
		t.Errorf("with a range: %q", body)
	}
}

func TestRequestErrors(t *testing.T) {
	tr := &Transport{}
	defer tr.Close()
	for _, test := range []struct {
		name, want string
		change     func(*http.Request)
	}{
		{"scheme", "unsupported scheme", func(r *http.Request) { r.URL.Scheme = "http" }},
		{"no host", "without a host", func(r *http.Request) { r.URL.Host = "" }},
		{"no URL", "without a URL", func(r *http.Request) { r.URL = nil }},
		{"method", "invalid method", func(r *http.Request) { r.Method = "A B" }},
		{"name", "invalid header field name", func(r *http.Request) { r.Header["a b"] = []string{""} }},
		{"value", "invalid value", func(r *http.Request) { r.Header["A"] = []string{"secret\n"} }},
		{"trailer", "invalid trailer field", func(r *http.Request) { r.Trailer = http.Header{"a b": nil} }},
	} {
		body := &endless{stopped: make(chan struct{})}
		req, _ := http.NewRequest("POST", "https://example.test/", body)
		test.change(req)
		_, err := tr.RoundTrip(req)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error is %v", test.name, err)
		}
		await(t, body.stopped)
	}
}

func TestBodyErrors(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			io.WriteString(w, "complete")
		}
	}))
	boom := errors.New("boom")
	for _, test := range []struct {
		name, want string
		body       io.Reader
		length     int64
	}{
		{"error", "boom", io.MultiReader(strings.NewReader("some"), errReader{boom}), -1},
		{"short", "shorter", strings.NewReader("some"), 10},
		{"long", "longer", strings.NewReader("some"), 2},
	} {
		req := ts.request("POST", "/", struct{ io.Reader }{test.body})
		req.ContentLength = test.length
		if _, err := ts.tr.RoundTrip(req); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v", test.name, err)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// TestCancelByClient cancels requests in each of their stages: the handler's context and its streams end.
func TestCancelByClient(t *testing.T) {
	type outcome struct{ read, write, ctx error }
	started := make(chan struct{}, 1)
	handler, got := handlerOf(func(w http.ResponseWriter, r *http.Request) outcome {
		var o outcome
		started <- struct{}{}
		if strings.Contains(r.URL.Path, "respond") {
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		o.ctx = r.Context().Err()
		_, o.read = io.Copy(io.Discard, r.Body)
		for o.write == nil {
			_, o.write = w.Write(make([]byte, 100_000))
		}
		return o
	})
	ts := newTestServer(t, handler)
	for _, path := range []string{"/wait", "/respond", "/respond/close"} {
		t.Run(path, func(t *testing.T) {
			pr, pw := io.Pipe()
			defer pw.Close()
			ctx, cancel := context.WithCancelCause(testContext(t))
			defer cancel(nil)
			req := ts.request("POST", path, pr).WithContext(ctx)
			why := errors.New("why")
			if path == "/wait" {
				go func() {
					<-started
					cancel(why)
				}()
			}
			resp, err := ts.tr.RoundTrip(req)
			if path != "/wait" {
				await(t, started)
			}
			if path == "/wait" {
				if !errors.Is(err, why) {
					t.Errorf("RoundTrip: %v", err)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				if path == "/respond" {
					cancel(why)
					if _, err := io.ReadAll(resp.Body); !errors.Is(err, why) {
						t.Errorf("reading the body: %v", err)
					}
				}
				resp.Body.Close()
				if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
					t.Errorf("after Close: %v", err)
				}
			}
			o := await(t, got)
			for _, err := range []error{o.read, o.write} {
				se, ok := errors.AsType[*h3.StreamError](err)
				if !ok || se.Code != h3.CodeRequestCancelled || !se.Remote {
					t.Errorf("the handler's error is %v", err)
				}
			}
			if o.ctx != context.Canceled {
				t.Errorf("the handler's context: %v", o.ctx)
			}
			// A Read that is under way may take one.
			for err = nil; err == nil; {
				_, err = pw.Write([]byte("x"))
			}
			if err != io.ErrClosedPipe {
				t.Errorf("the request's body is not closed: %v", err)
			}
		})
	}
	// The connection lives on.
	var info ConnInfo
	ctx, cancel := context.WithCancel(testContext(t))
	ctx = WithTrace(ctx, &Trace{GotConn: func(i ConnInfo) {
		info = i
		cancel()
	}})
	ts.tr.RoundTrip(ts.request("GET", "/", nil).WithContext(ctx))
	if !info.Reused {
		t.Error("the connection was closed")
	}
}

// TestCancelWhileWaiting cancels a request that waits for the server's stream limit.
func TestCancelWhileWaiting(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{}, 10)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		<-release
	}), func(ts *testServer) {
		ts.srv.Config = &frittata.Config{QUIC: quic.Config{MaxStreamsBidi: 1}}
	})
	var wg sync.WaitGroup
	wg.Go(func() { ts.get("/") })
	await(t, started)
	ctx, cancel := context.WithCancel(testContext(t))
	req := ts.request("GET", "/", nil).WithContext(ctx)
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { cancel() }}))
	if _, err := ts.tr.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	wg.Go(func() { ts.get("/") })
	close(release)
	wg.Wait()
	select {
	case <-started: // of the third
	default:
		t.Error("the third request was not handled")
	}
	if len(started) > 0 {
		t.Error("the cancelled request was handled")
	}
}

func TestTimeouts(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), func(ts *testServer) {
		ts.tr.ResponseHeaderTimeout = time.Millisecond
	})
	_, err := ts.client().Do(ts.request("GET", "/", nil))
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		t.Errorf("response header timeout: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = ts.client().Do(ts.request("GET", "/", nil).WithContext(ctx))
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		t.Errorf("context: %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	leak.Check(t)
	// Nobody answers at this socket.
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	silent := "https://" + pc.LocalAddr().String() + "/"

	t.Run("silence", func(t *testing.T) {
		tr := &Transport{Config: &frittata.Config{QUIC: quic.Config{HandshakeTimeout: 10 * time.Millisecond}}}
		defer tr.Close()
		req, _ := http.NewRequest("GET", silent, nil)
		_, err := tr.RoundTrip(req)
		he, ok := errors.AsType[*quic.HandshakeTimeoutError](err)
		if ne, is := errors.AsType[net.Error](err); !ok || he.Heard || !is || !ne.Timeout() {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("context", func(t *testing.T) {
		tr := &Transport{}
		defer tr.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", silent, nil)
		if _, err := tr.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("no such host", func(t *testing.T) {
		tr := &Transport{Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, nil }}
		defer tr.Close()
		req, _ := http.NewRequest("GET", "https://example.test/", nil)
		_, err := tr.RoundTrip(req)
		if de, ok := errors.AsType[*net.DNSError](err); !ok || !de.IsNotFound {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		tr := &Transport{}
		tr.Close()
		req, _ := http.NewRequest("GET", silent, nil)
		if _, err := tr.RoundTrip(req); !errors.Is(err, ErrTransportClosed) {
			t.Errorf("error is %v", err)
		}
	})
	ts := newTestServer(t, http.NotFoundHandler())
	t.Run("certificate", func(t *testing.T) {
		tr := &Transport{}
		defer tr.Close()
		req, _ := http.NewRequest("GET", ts.url, nil)
		_, err := tr.RoundTrip(req)
		te, ok := errors.AsType[*quic.TransportError](err)
		ce, is := errors.AsType[*tls.CertificateVerificationError](err)
		if !ok || te.Remote || !is {
			t.Errorf("error is %v (%v, %v)", err, te, ce)
		}
	})
}

func TestClientCertificateMissing(t *testing.T) {
	ts := newTestServer(t, http.NotFoundHandler(), func(ts *testServer) { ts.srv.TLSConfig.ClientAuth = tls.RequireAnyClientCert })
	_, err := ts.tr.RoundTrip(ts.request("GET", "/", nil))
	te, ok := errors.AsType[*quic.TransportError](err)
	if !ok || !te.Remote {
		t.Fatalf("error is %v", err)
	}
	if alert, ok := te.Code.Alert(); !ok || alert != 116 {
		t.Errorf("error is %v", err)
	}
}

// TestRace tries several addresses, of which the first ones do not answer.
func TestRace(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	silent, err := net.ListenPacket("udp", "127.0.0.2:"+fmt.Sprint(ts.addr.Port()))
	if err != nil {
		t.Skip("no second loopback address here: ", err)
	}
	defer silent.Close()
	var mu sync.Mutex
	var tried []string
	ts.tr.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		if host != "example.test" {
			return nil, errors.New("wrong host")
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}, nil
	}
	req := ts.request("GET", "/", nil)
	req.URL.Host = fmt.Sprintf("EXAMPLE.test:%d", ts.addr.Port())
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		ConnectStart: func(_, addr string) {
			mu.Lock()
			defer mu.Unlock()
			tried = append(tried, addr)
		},
	}))
	if _, body := ts.do(req); body != req.Host {
		t.Errorf("got %q", body)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"127.0.0.2:", "127.0.0.1:"}; len(tried) != 2 || !strings.HasPrefix(tried[0], want[0]) || !strings.HasPrefix(tried[1], want[1]) {
		t.Errorf("tried %v", tried)
	}
}

func TestRaceOfTries(t *testing.T) {
	addrs := make([]netip.Addr, 4)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
	}
	boom := errors.New("boom")
	var dropped []int
	drop := func(i int) { dropped = append(dropped, i) }
	index := func(a netip.Addr) int { return int(a.As4()[3]) }
	// All fail: each failure has the next one tried at once.
	var order []int
	_, err := race(context.Background(), addrs, time.Hour, func(_ context.Context, a netip.Addr) (int, error) {
		order = append(order, index(a))
		return 0, boom
	}, drop)
	if !errors.Is(err, boom) || !slices.Equal(order, []int{0, 1, 2, 3}) {
		t.Errorf("got %v, %v", err, order)
	}
	// The first one never answers.
	got, err := race(context.Background(), addrs, time.Nanosecond, func(ctx context.Context, a netip.Addr) (int, error) {
		if index(a) == 0 {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		if index(a) == 1 {
			return 1, nil
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}, drop)
	if got != 1 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	// The context ends.
	ctx, cancel := context.WithCancelCause(context.Background())
	if _, err = race(ctx, addrs, time.Hour, func(ctx context.Context, a netip.Addr) (int, error) {
		cancel(boom)
		<-ctx.Done()
		return 0, ctx.Err()
	}, drop); !errors.Is(err, boom) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if len(dropped) > 0 {
		t.Errorf("dropped %v", dropped)
	}
}

func TestByTurns(t *testing.T) {
	var in []netip.Addr
	for _, s := range []string{"::1", "::2", "::3", "1.1.1.1", "::ffff:2.2.2.2"} {
		in = append(in, netip.MustParseAddr(s))
	}
	if got := fmt.Sprint(byTurns(in)); got != "[::1 1.1.1.1 ::2 2.2.2.2 ::3]" {
		t.Error(got)
	}
}

func TestAuthority(t *testing.T) {
	for _, test := range []struct{ in, want, sent string }{
		{"example.com", "example.com:443", "example.com"},
		{"EXAMPLE.com:8443", "example.com:8443", "EXAMPLE.com:8443"},
		{"[::1]", "[::1]:443", "[::1]"},
		{"[::1]:99", "[::1]:99", "[::1]:99"},
		{"[fe80::1%eth0]:99", "[fe80::1%eth0]:99", "[fe80::1]:99"},
		{"bücher.example", "xn--bcher-kva.example:443", "xn--bcher-kva.example"},
		{"bücher.example:1", "xn--bcher-kva.example:1", "xn--bcher-kva.example:1"},
		{"host:", "host:443", "host:"},
	} {
		got, err := authorityOf(test.in)
		if err != nil || got.String() != test.want {
			t.Errorf("authorityOf(%q) = %v, %v", test.in, got, err)
		}
		if sent, err := requestHost(test.in); err != nil || sent != test.sent {
			t.Errorf("requestHost(%q) = %v, %v", test.in, sent, err)
		}
	}
}

// TestGoAway has a server go away while a request is under way: it is answered,
// and the next one goes by another connection.
func TestGoAway(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{}, 1)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			started <- struct{}{}
			<-release
		}
		io.WriteString(w, r.RemoteAddr)
	}))
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, body := ts.get("/slow"); body == "" {
			t.Error("no answer")
		}
	})
	await(t, started)
	ts.srv.mu.Lock()
	for c := range ts.srv.conns {
		c.conn.Do(func(qc *quic.Conn) { c.driver.OnShutdown(qc) })
	}
	ts.srv.mu.Unlock()
	// Wait until the client has heard.
	key := authority{ts.addr.Addr().String(), fmt.Sprint(ts.addr.Port())}
	for heard := false; !heard; time.Sleep(time.Millisecond) {
		ts.tr.mu.Lock()
		heard = ts.tr.conns[key] == nil
		ts.tr.mu.Unlock()
	}
	var info ConnInfo
	req := ts.request("GET", "/", nil)
	ts.do(req.WithContext(WithTrace(req.Context(), &Trace{GotConn: func(i ConnInfo) { info = i }})))
	if info.Reused {
		t.Error("the connection that goes away is used again")
	}
	close(release)
	wg.Wait()
}

// TestDeadConnection has a server lose its connections, and come again at the same address.
func TestDeadConnection(t *testing.T) {
	cfg := func(ts *testServer) {
		ts.srv.Config = &frittata.Config{QUIC: quic.Config{StatelessResetKey: &[32]byte{1}}}
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "hello %s", b)
	})
	ts := newTestServer(t, h, cfg)
	ts.get("/")
	ts.srv.Close()
	ts.srv = &Server{Addr: ts.addr.String(), Handler: h, TLSConfig: ts.srv.TLSConfig, Config: ts.srv.Config}
	l, err := ts.srv.Listen()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- ts.srv.Serve(l) }()
	if _, body := ts.do(ts.request("GET", "/", nil)); body != "hello " {
		t.Errorf("got %q", body)
	}
	ts.srv.Close()
	<-served
}

// TestHTTPClient has redirects, cookies and the like work.
func TestHTTPClient(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/from", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/to", http.StatusTemporaryRedirect) })
	mux.HandleFunc("POST /to", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	ts := newTestServer(t, mux)
	resp, err := ts.client().Post(ts.url+"/from", "text/plain", bytes.NewReader([]byte("again")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "again" {
		t.Errorf("got %q", body)
	}
}

func TestSharedTransport(t *testing.T) {
	tr, err := frittata.Open("udp", ":0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }), func(ts *testServer) {
		ts.tr.Transport = tr
	})
	if _, addr := ts.get("/"); !strings.HasSuffix(addr, fmt.Sprintf(":%d", tr.LocalAddr().Port())) {
		t.Errorf("came from %s, the socket is %v", addr, tr.LocalAddr())
	}
}

// TestRejected has a server reject requests, which are sent again if that can be done.
func TestRejected(t *testing.T) {
	leak.Check(t)
	var rejects atomic.Int64
	url := rawServer(t, func(s *h3driver.Stream) {
		if rejects.Add(-1) >= 0 {
			// Some of the body is there, so it was begun.
			s.Read(make([]byte, 1))
			s.Cancel(h3.CodeRequestRejected, io.ErrUnexpectedEOF)
			s.Finish(nil)
			return
		}
		s.SendHeaders([]h3.Field{{Name: ":status", Value: "200"}}, false)
		io.Copy(s, s)
		s.Finish(nil)
	})
	tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}
	defer tr.Close()
	for _, test := range []struct {
		name    string
		body    func() io.Reader
		rejects int64
		fails   bool
	}{
		{"no body", func() io.Reader { return nil }, 1, false},
		{"replayable", func() io.Reader { return strings.NewReader("body") }, 2, false},
		{"not replayable", func() io.Reader { return struct{ io.Reader }{strings.NewReader("body")} }, 1, true},
		{"too often", func() io.Reader { return strings.NewReader("body") }, 100, true},
	} {
		rejects.Store(test.rejects)
		req, _ := http.NewRequestWithContext(testContext(t), "POST", url, test.body())
		resp, err := tr.RoundTrip(req)
		if se, ok := errors.AsType[*h3.StreamError](err); ok != test.fails || ok && se.Code != h3.CodeRequestRejected {
			t.Errorf("%s: error is %v", test.name, err)
		}
		if err != nil {
			continue
		}
		if resp.Request != req {
			t.Errorf("%s: Response.Request is not the request", test.name)
		}
		got, err := io.ReadAll(resp.Body)
		if want := "body"; test.name != "no body" && string(got) != want || err != nil {
			t.Errorf("%s: got %q, %v", test.name, got, err)
		}
		resp.Body.Close()
	}
}

// TestDualStack has one socket for servers of both families.
func TestDualStack(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
	ts := newTestServer(t, h)
	six := &Server{Addr: "[::1]:0", Handler: h, TLSConfig: ts.srv.TLSConfig}
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here: ", err)
	} else {
		c.Close()
	}
	l, err := six.Listen()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- six.Serve(l) }()
	_, from4 := ts.get("/")
	req := ts.request("GET", "/", nil)
	req.URL.Host = l.Addr().String()
	_, from6 := ts.do(req)
	a4, err4 := netip.ParseAddrPort(from4)
	a6, err6 := netip.ParseAddrPort(from6)
	if err4 != nil || err6 != nil || !a4.Addr().Is4() || !a6.Addr().Is6() || a4.Port() != a6.Port() {
		t.Errorf("requests came from %s and %s", from4, from6)
	}
	if err := six.Close(); err != nil {
		t.Error(err)
	}
	<-served
}

// TestIdleConnTimeout has an idle connection closed.
func TestIdleConnTimeout(t *testing.T) {
	ts := newTestServer(t, http.NotFoundHandler(), func(ts *testServer) { ts.tr.IdleConnTimeout = time.Millisecond })
	var info ConnInfo
	req := ts.request("GET", "/", nil)
	ts.do(req.WithContext(WithTrace(req.Context(), &Trace{GotConn: func(i ConnInfo) { info = i }})))
	select {
	case <-info.Conn.Closed():
	case <-req.Context().Done():
		t.Error("the connection stays open")
	}
}

// TestTrace has all hooks called, in order.
func TestTrace(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	ts.tr.Resolve = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{ts.addr.Addr()}, nil }
	var mu sync.Mutex
	var got []string
	saw := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, what)
	}
	wrote := make(chan struct{})
	req := ts.request("POST", "/", strings.NewReader("x"))
	req.URL.Host = fmt.Sprintf("example.test:%d", ts.addr.Port())
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn:              func(string) { saw("GetConn") },
		DNSStart:             func(httptrace.DNSStartInfo) { saw("DNSStart") },
		DNSDone:              func(httptrace.DNSDoneInfo) { saw("DNSDone") },
		ConnectStart:         func(string, string) { saw("ConnectStart") },
		TLSHandshakeStart:    func() { saw("TLSHandshakeStart") },
		TLSHandshakeDone:     func(s tls.ConnectionState, err error) { saw("TLSHandshakeDone " + s.NegotiatedProtocol) },
		ConnectDone:          func(string, string, error) { saw("ConnectDone") },
		GotConn:              func(i httptrace.GotConnInfo) { saw("GotConn " + i.Conn.RemoteAddr().String()) },
		WroteHeaders:         func() { saw("WroteHeaders") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { close(wrote) },
		GotFirstResponseByte: func() { saw("GotFirstResponseByte") },
	}))
	ts.do(req)
	await(t, wrote)
	want := []string{"GetConn", "DNSStart", "DNSDone", "ConnectStart", "TLSHandshakeStart", "TLSHandshakeDone h3", "ConnectDone",
		"GotConn " + ts.addr.String(), "WroteHeaders", "GotFirstResponseByte"}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTraceOfResolvers: the hooks of a look-up are called once, whoever does it.
func TestTraceOfResolvers(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	own := func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{ts.addr.Addr()}, nil }
	for _, resolve := range []func(context.Context, string) ([]netip.Addr, error){nil, own} {
		tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, Resolve: resolve}
		var starts, dones atomic.Int64
		req := ts.request("GET", "/", nil)
		req.URL.Host = fmt.Sprintf("localhost:%d", ts.addr.Port())
		resp, err := tr.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			DNSStart: func(httptrace.DNSStartInfo) { starts.Add(1) },
			DNSDone:  func(httptrace.DNSDoneInfo) { dones.Add(1) },
		})))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
		if starts.Load() != 1 || dones.Load() != 1 {
			t.Errorf("Resolve set: %v: DNSStart %d times, DNSDone %d times", resolve != nil, starts.Load(), dones.Load())
		}
	}
}

// TestCloseIdleAfterDial: a connection is not idle while those who wait for it have not taken it yet.
func TestCloseIdleAfterDial(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	tr := ts.tr
	tr.mu.Lock()
	ft, qcfg, err := tr.setUp()
	tr.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(testContext(t))
	key, err := authorityOf(ts.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	call := &dialCall{key: key, cancel: cancel, waiters: 2, done: make(chan struct{})}
	tr.runDial(ctx, call, ft, qcfg, nil)
	if call.err != nil {
		t.Fatal(call.err)
	}
	c := call.conn
	for waiting := 2; waiting > 0; waiting-- {
		tr.CloseIdleConnections()
		tr.mu.Lock()
		there := tr.conns[key] == c
		tr.mu.Unlock()
		if !there {
			t.Fatalf("closed while %d requests wait for it", waiting)
		}
		c.release()
	}
	tr.CloseIdleConnections()
	<-c.conn.Closed()
}

// TestCloseIdleWhileDialing: nor does it matter when that comes.
func TestCloseIdleWhileDialing(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				ts.tr.CloseIdleConnections()
				runtime.Gosched()
			}
		}
	})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 25 {
				resp, err := ts.tr.RoundTrip(ts.request("GET", "/", nil))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	clients.Wait()
	close(stop)
	wg.Wait()
}
