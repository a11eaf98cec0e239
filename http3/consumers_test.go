package http3

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// countless is a body without an end. It counts what is taken of it.
type countless struct{ taken *atomic.Int64 }

func (e countless) Read(p []byte) (int, error) {
	e.taken.Add(int64(len(p)))
	return len(p), nil
}

// settled waits until the counter has not moved for many looks.
func settled(t *testing.T, n *atomic.Int64) {
	t.Helper()
	same, last := 0, int64(-1)
	for deadline := time.Now().Add(20 * time.Second); same < 50; time.Sleep(time.Millisecond) {
		now := n.Load()
		if now == last && now > 0 {
			same++
		} else {
			same, last = 0, now
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never stops: %d", now)
		}
	}
}

// TestDeadConsumers has handlers and clients that do not take what there is for them, while the other side sends as much as
// it can: what both hold is bounded, other requests go on, on the same connection, and closing needs nobody.
func TestDeadConsumers(t *testing.T) {
	const (
		window = 64 << 10
		conn   = 1 << 20
		n      = 8 // of them at once
	)
	// A stream's window, twice BodyBuffer and SendBuffer at most, for each, at both ends.
	const most = n*(window+4*256<<10) + 4<<20
	for _, test := range []struct {
		name string
		run  func(t *testing.T, ts *testServer, moved *atomic.Int64)
	}{
		{"request bodies", func(t *testing.T, ts *testServer, moved *atomic.Int64) {
			for range n {
				resp, err := ts.tr.RoundTrip(ts.request("POST", "/dead", countless{moved}))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { resp.Body.Close() })
			}
		}},
		{"slowly read request bodies", func(t *testing.T, ts *testServer, moved *atomic.Int64) {
			for range n {
				resp, err := ts.tr.RoundTrip(ts.request("POST", "/slow", countless{moved}))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { resp.Body.Close() })
			}
		}},
		{"response bodies", func(t *testing.T, ts *testServer, moved *atomic.Int64) {
			for range n {
				resp, err := ts.tr.RoundTrip(ts.request("GET", "/endless", nil))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { resp.Body.Close() })
			}
		}},
		{"slowly read response bodies", func(t *testing.T, ts *testServer, moved *atomic.Int64) {
			for range n {
				resp, err := ts.tr.RoundTrip(ts.request("GET", "/endless", nil))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { resp.Body.Close() })
				for range 5 {
					if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}},
		{"interim responses", func(t *testing.T, ts *testServer, moved *atomic.Int64) {
			block := make(chan struct{})
			var once sync.Once
			for range n {
				req := ts.request("GET", "/interims", nil)
				ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(int, textproto.MIMEHeader) error { <-block; return nil },
				})
				go func() {
					if resp, err := ts.tr.RoundTrip(req.WithContext(ctx)); err == nil {
						resp.Body.Close()
					}
				}()
			}
			t.Cleanup(func() { once.Do(func() { close(block) }) })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dead := make(chan struct{})
			var moved atomic.Int64
			mux := http.NewServeMux()
			mux.HandleFunc("/dead", func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				<-dead
			})
			mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
				io.ReadFull(r.Body, make([]byte, 1000))
				w.(http.Flusher).Flush()
				<-dead
			})
			mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, countless{&moved}) })
			mux.HandleFunc("/interims", func(w http.ResponseWriter, r *http.Request) {
				for i := range 20_000 {
					w.Header().Set("N", strconv.Itoa(i)+strings.Repeat("x", 100))
					w.WriteHeader(http.StatusEarlyHints)
					moved.Add(1)
				}
				<-dead
			})
			mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
			ts := newTestServer(t, mux, func(ts *testServer) {
				cfg := &frittata.Config{QUIC: quic.Config{StreamWindow: window, MaxStreamWindow: window, ConnWindow: conn, MaxConnWindow: conn}}
				ts.srv.Config, ts.tr.Config = cfg, cfg
			})
			t.Cleanup(func() { close(dead) }) // before the server's Close, which waits for handlers
			ts.get("/")
			before := leak.Heap()
			test.run(t, ts, &moved)
			settled(t, &moved)
			leak.CheckHeap(t, before, most)
			body := bytes.Repeat([]byte("0123456789"), 20_000)
			if _, got := ts.do(ts.request("POST", "/", bytes.NewReader(body))); got != string(body) {
				t.Errorf("another request on the connection gave %d bytes", len(got))
			}
		})
	}
}

// TestUnreadResponses: with the default settings, responses that nobody reads keep no others waiting.
func TestUnreadResponses(t *testing.T) {
	const n = 16
	mux := http.NewServeMux()
	var moved atomic.Int64
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, countless{&moved}) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	ts := newTestServer(t, mux)
	ts.get("/")
	before := leak.Heap()
	for range n {
		resp, err := ts.tr.RoundTrip(ts.request("GET", "/endless", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	settled(t, &moved)
	leak.CheckHeap(t, before, n*(512<<10+4*256<<10)+4<<20)
	body := bytes.Repeat([]byte("0123456789"), 200_000)
	if _, got := ts.do(ts.request("POST", "/", bytes.NewReader(body))); got != string(body) {
		t.Errorf("another request on the connection gave %d bytes", len(got))
	}
}

// TestConnWindow: what is set counts.
func TestConnWindow(t *testing.T) {
	for _, test := range []struct{ window, most, want uint64 }{
		{0, 0, defaultConnWindow}, {0, 3 << 20, 3 << 20}, {2 << 20, 0, 2 << 20}, {2 << 20, 3 << 20, 2 << 20},
	} {
		tr := &Transport{Config: &frittata.Config{QUIC: quic.Config{ConnWindow: test.window, MaxConnWindow: test.most}}}
		tr.mu.Lock()
		_, cfg, err := tr.setUp()
		tr.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if cfg.ConnWindow != test.want {
			t.Errorf("%d, %d: the window is %d", test.window, test.most, cfg.ConnWindow)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
}
