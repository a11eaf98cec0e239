package h3driver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

func TestMain(m *testing.M) { leak.Main(m) }

var testTLS = sync.OnceValue(func() *tls.Config {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h3"},
		InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519},
	}
})

// pair is a client's and a server's Driver on a connection.
type pair struct {
	client, server *Driver
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func connect(t testing.TB, client, server Config, qcfg quic.Config) *pair {
	t.Helper()
	qcfg.TLS = testTLS()
	cfg := &frittata.Config{QUIC: qcfg}
	l, err := frittata.Listen("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &pair{client: NewClient(&client), server: NewServer(&server)}
	started := make(chan error, 1)
	ctx := testContext(t)
	go func() {
		in, err := l.Accept(ctx)
		if err == nil {
			_, err = in.Start(p.server)
		}
		started <- err
	}()
	tr, err := frittata.Open("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	if _, err := tr.Dial(ctx, l.Addr(), "test", nil, p.client); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return p
}

// idle waits until no request is under way at either end.
func (p *pair) idle(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for p.client.Active() > 0 || p.server.Active() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are left at the client, %d at the server", p.client.Active(), p.server.Active())
		}
		time.Sleep(time.Millisecond)
	}
}

func requestHead(method, path string) []h3.Field {
	return []h3.Field{{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "test"}, {Name: ":path", Value: path}}
}

var okHead = []h3.Field{{Name: ":status", Value: "200"}}

// echo answers with the request's body.
func echo(s *Stream) {
	go func() {
		defer s.Release()
		s.SendHeaders(okHead, false)
		_, err := s.WriteTo(struct{ io.Writer }{s})
		if err != nil {
			s.Reset(h3.CodeInternalError)
		}
		s.SetTrailers([]h3.Field{{Name: "x-done", Value: "yes"}})
		s.Finish(nil)
	}()
}

func TestEcho(t *testing.T) {
	leak.Check(t)
	p := connect(t, Config{}, Config{Serve: echo}, quic.Config{})
	for _, n := range []int{0, 1, 1000, 100_000, 5 << 20} {
		s, err := p.client.Open(requestHead("POST", "/"), OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		body := bytes.Repeat([]byte("0123456789"), n/10+1)[:n]
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			s.Write(body)
			s.CloseWrite()
		}()
		head, err := s.Response(testContext(t))
		if err != nil || head.Status != 200 {
			t.Fatal(head, err)
		}
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d of %d bytes, %v", len(got), n, err)
		}
		if tr := s.Trailers(); len(tr) != 1 || tr[0].Value != "yes" {
			t.Errorf("trailers are %v", tr)
		}
		<-wrote
		s.Release()
	}
	p.idle(t)
}

// TestTrailersBehindAFullPipe has the end of a message come up when its reader has
// drained the pipe: no packet is on its way then that would make anybody look.
func TestTrailersBehindAFullPipe(t *testing.T) {
	leak.Check(t)
	const n = 100_000
	serve := func(s *Stream) {
		go func() {
			defer s.Release()
			s.SendHeaders(okHead, false)
			s.Write(make([]byte, n))
			s.SetTrailers([]h3.Field{{Name: "x-done", Value: "yes"}})
			s.Finish(nil)
		}()
	}
	p := connect(t, Config{BodyBuffer: 1000}, Config{Serve: serve}, quic.Config{})
	s, err := p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if _, err := s.Response(testContext(t)); err != nil {
		t.Fatal(err)
	}
	p.waitFor(t, func(st quic.Stats) bool { return st.StreamBytesReceived >= n })
	if got, err := io.ReadAll(s); len(got) != n || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if tr := s.Trailers(); len(tr) != 1 {
		t.Errorf("trailers are %v", tr)
	}
}

// waitFor waits until the client's statistics are as wanted.
func (p *pair) waitFor(t testing.TB, f func(quic.Stats) bool) {
	t.Helper()
	for {
		st, err := p.client.Conn().Stats(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if f(st) {
			return
		}
		runtime.Gosched()
	}
}

// TestRapidReset opens and cancels requests as fast as it goes: the handlers that run at
// the same time are no more than the streams that the server allows, and nothing is left of them.
func TestRapidReset(t *testing.T) {
	leak.Check(t)
	const limit, n = 10, 1000
	var now, most, served atomic.Int64
	serve := func(s *Stream) {
		served.Add(1)
		if m := now.Add(1); m > most.Load() {
			most.Store(m)
		}
		go func() {
			defer s.Release()
			io.Copy(io.Discard, s)
			s.SendHeaders(okHead, true)
			now.Add(-1)
			s.Finish(nil)
		}()
	}
	p := connect(t, Config{}, Config{Serve: serve}, quic.Config{MaxStreamsBidi: limit})
	// A client that is not made by this package: it knows no more of a request when it has cancelled it.
	ctx := testContext(t)
	for sent := 0; sent < n; {
		var ids []quic.StreamID
		if err := p.client.Conn().Call(ctx, func(*quic.Conn) {
			for {
				id, err := p.client.h3.OpenRequest(requestHead("POST", "/"), false)
				if err != nil {
					break
				}
				ids = append(ids, id)
			}
		}); err != nil {
			t.Fatal(err)
		}
		sent += len(ids)
		if err := p.client.Conn().Call(ctx, func(*quic.Conn) {
			for _, id := range ids {
				p.client.h3.Cancel(id, h3.CodeRequestCancelled)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	p.idle(t)
	if most.Load() > limit {
		t.Errorf("%d handlers at once", most.Load())
	}
	t.Logf("%d of %d requests came to a handler", served.Load(), n)
	// And it goes on.
	s, err := p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if _, err := s.Response(testContext(t)); err != nil {
		t.Error(err)
	}
}

// TestStorm has many requests at once, both ends of which do something else at random.
func TestStorm(t *testing.T) {
	leak.Check(t)
	var seed atomic.Uint64
	serve := func(s *Stream) {
		go func() {
			defer s.Release()
			r := mrand.New(mrand.NewPCG(seed.Add(1), 1))
			buf := make([]byte, 10_000)
			s.SendHeaders(okHead, false)
			for range r.IntN(20) {
				switch r.IntN(8) {
				case 0:
					s.Flush()
				case 1, 2:
					s.Read(buf[:1+r.IntN(len(buf)-1)])
				case 3, 4:
					s.Write(buf[:r.IntN(len(buf))])
				case 5:
					s.CloseRead()
				case 6:
					if r.IntN(10) == 0 {
						s.Cancel(h3.CodeInternalError, io.ErrUnexpectedEOF)
					}
				case 7:
					if r.IntN(10) == 0 {
						s.Reset(h3.CodeInternalError)
					}
				}
			}
			b := Buffers().Get(100)
			b.B = append(b.B, "the end"...)
			s.Finish(b)
		}()
	}
	p := connect(t, Config{BodyBuffer: 5000}, Config{Serve: serve, BodyBuffer: 5000}, quic.Config{MaxStreamsBidi: 20, StreamWindow: 20_000, MaxStreamWindow: 20_000})
	ctx := testContext(t)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			r := mrand.New(mrand.NewPCG(uint64(i), 2))
			buf := make([]byte, 10_000)
			for range 50 {
				s, err := p.client.Open(requestHead("POST", "/"), OpenOptions{Interim: r.IntN(2) == 0})
				if err != nil {
					t.Error(err)
					return
				}
				for range r.IntN(6) {
					if _, err := s.Write(buf[:r.IntN(len(buf))]); err != nil {
						break
					}
				}
				switch r.IntN(4) {
				case 0:
					s.Cancel(h3.CodeRequestCancelled, context.Canceled)
				case 1:
					s.Reset(h3.CodeRequestCancelled)
				default:
					s.CloseWrite()
				}
				if _, err := s.Response(ctx); err == nil {
					switch r.IntN(3) {
					case 0:
						s.CloseRead()
					default:
						for {
							if _, err := s.Read(buf); err != nil {
								break
							}
						}
					}
				} else if ctx.Err() != nil {
					t.Error("a request hangs")
				}
				s.Cancel(h3.CodeRequestCancelled, context.Canceled)
				s.Release()
			}
		})
	}
	wg.Wait()
	p.idle(t)
}

// TestInterimFlood has a server send interim responses without an end, nearly.
func TestInterimFlood(t *testing.T) {
	leak.Check(t)
	const n = 5000
	serve := func(s *Stream) {
		go func() {
			defer s.Release()
			for i := range n {
				s.SendHeaders([]h3.Field{{Name: ":status", Value: "103"}, {Name: "n", Value: strconv.Itoa(i)}}, false)
			}
			s.SendHeaders(okHead, true)
			s.Finish(nil)
		}()
	}
	p := connect(t, Config{}, Config{Serve: serve}, quic.Config{})
	s, err := p.client.Open(requestHead("GET", "/"), OpenOptions{End: true, Interim: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	p.waitFor(t, func(quic.Stats) bool { return p.client.Active() == 0 })
	got := 0
	for {
		head, err := s.Response(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if !head.Interim {
			break
		}
		got++
	}
	if got > maxInterims {
		t.Errorf("%d interim responses were kept", got)
	}
}

func TestGoAway(t *testing.T) {
	leak.Check(t)
	release := make(chan struct{})
	serving := make(chan struct{}, 10)
	serve := func(s *Stream) {
		go func() {
			defer s.Release()
			serving <- struct{}{}
			<-release
			s.SendHeaders(okHead, true)
			s.Finish(nil)
		}()
	}
	gone := make(chan struct{})
	p := connect(t, Config{OnGoAway: func() { close(gone) }}, Config{Serve: serve}, quic.Config{MaxStreamsBidi: 1})
	first, err := p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	<-serving
	// This one waits for the stream limit, and is told that it was not processed.
	second, err := p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	if err := p.server.Conn().Do(p.server.OnShutdown); err != nil {
		t.Fatal(err)
	}
	<-gone
	_, err = second.Response(testContext(t))
	if _, ok := errors.AsType[*NotSentError](err); !ok || !errors.Is(err, h3.ErrGoAway) {
		t.Errorf("a request that waits: %v", err)
	}
	_, err = p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
	if _, ok := errors.AsType[*NotSentError](err); !ok || !errors.Is(err, h3.ErrGoAway) || p.client.Usable() {
		t.Errorf("a new request: %v", err)
	}
	close(release)
	if _, err := first.Response(testContext(t)); err != nil {
		t.Errorf("a request under way: %v", err)
	}
	p.idle(t)
	if err := p.client.Conn().Do(p.client.OnShutdown); err != nil {
		t.Error(err)
	}
	<-p.server.Conn().Closed()
	if ae, ok := errors.AsType[*quic.ApplicationError](p.server.Conn().Err()); !ok || h3.ErrorCode(ae.Code) != h3.CodeNoError {
		t.Errorf("closed with %v", p.server.Conn().Err())
	}
}

func TestClosed(t *testing.T) {
	leak.Check(t)
	closed := make(chan error, 1)
	served := make(chan *Stream, 1)
	p := connect(t, Config{OnClose: func(err error) { closed <- err }}, Config{Serve: func(s *Stream) { served <- s }}, quic.Config{})
	if _, err := p.client.Settings(testContext(t)); err != nil {
		t.Error(err)
	}
	s, err := p.client.Open(requestHead("POST", "/"), OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	server := <-served
	done := make(notifierFunc, 1)
	server.SetNotifier(done)
	p.client.Conn().CloseWithError(quic.CloseError{Application: true, Code: 77})
	if _, err := s.Response(testContext(t)); err == nil {
		t.Error("a response")
	}
	if _, err := s.Write(make([]byte, 1<<20)); err == nil {
		t.Error("a write succeeds")
	}
	if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Error(err)
	}
	<-closed
	if err := <-done; err == nil {
		t.Error("the server's stream has ended well")
	}
	if _, err := io.ReadAll(server); err == nil {
		t.Error("the server reads to the end")
	}
	server.Finish(nil)
	server.Release()
	s.Release()
	_, err = p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
	if _, ok := errors.AsType[*NotSentError](err); !ok {
		t.Errorf("Open: %v", err)
	}
	p.idle(t) // each end counts a stream out after it has told of it
}

type notifierFunc chan error

func (n notifierFunc) StreamDone(err error) { n <- err }

// TestStreamsAreReused checks that what a stream was does not show the next time.
func TestStreamsAreReused(t *testing.T) {
	leak.Check(t)
	serve := func(s *Stream) {
		go func() {
			defer s.Release()
			h := s.Head()
			s.SendHeaders(append(okHead[:1:1], h3.Field{Name: "path", Value: h.Fields[3].Value}), false)
			b := Buffers().Get(100)
			b.B = fmt.Appendf(b.B, "%s", h.Fields[3].Value)
			s.Finish(b)
		}()
	}
	p := connect(t, Config{}, Config{Serve: serve}, quic.Config{})
	for i := range 500 {
		path := fmt.Sprintf("/%d", i)
		s, err := p.client.Open(requestHead("GET", path), OpenOptions{End: true})
		if err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			s.Cancel(h3.CodeRequestCancelled, context.Canceled)
			s.Release()
			continue
		}
		head, err := s.Response(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(s)
		if string(body) != path || err != nil || head.Fields[len(head.Fields)-1].Value != path {
			t.Fatalf("got %q, %v, %v", body, head, err)
		}
		s.Release()
	}
	p.idle(t)
}

// A handler that sends interim heads without an end, to a client that takes none, keeps few of them.
func TestInterimsWaiting(t *testing.T) {
	leak.Check(t)
	s := newStream(&Driver{})
	for range 10 * maxInterims {
		s.SendHeaders([]h3.Field{{Name: ":status", Value: "103"}}, false)
	}
	s.SendHeaders(okHead, true)
	if n := len(s.heads); n != maxInterims+1 || !s.heads[n-1].end {
		t.Errorf("%d heads wait", n)
	}
}
