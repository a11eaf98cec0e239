package http3

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"testing"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
)

// noise is n bytes that depend on the seed alone.
func noise(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
}

func sumOf(r io.Reader) (string, int64, error) {
	h := sha256.New()
	n, err := io.Copy(hashOnly{h}, r)
	return fmt.Sprintf("%x", h.Sum(nil)), n, err
}

type hashOnly struct{ hash.Hash }

func TestBulk(t *testing.T) {
	n := int64(100 << 20)
	if testing.Short() || raceEnabled {
		n = 8 << 20
	}
	want, _, _ := sumOf(noise(n))
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			io.Copy(w, noise(n))
		case "/up":
			sum, _, err := sumOf(r.Body)
			fmt.Fprint(w, sum, err)
		case "/echo":
			io.Copy(w, r.Body)
		}
	}))
	for _, path := range []string{"/down", "/up", "/echo"} {
		var body io.Reader
		method := "GET"
		if path != "/down" {
			method, body = "POST", noise(n)
		}
		resp, err := ts.tr.RoundTrip(ts.request(method, path, body))
		if err != nil {
			t.Fatal(err)
		}
		if path == "/up" {
			got, err := io.ReadAll(resp.Body)
			if string(got) != want+"<nil>" || err != nil {
				t.Errorf("%s: %s, %v", path, got, err)
			}
		} else if sum, m, err := sumOf(resp.Body); sum != want || err != nil {
			t.Errorf("%s: %d of %d bytes, %v", path, m, n, err)
		}
		resp.Body.Close()
	}
}

// TestBackPressure has readers that do not read: the writers stop, with little memory in use, and
// go on when the readers do.
func TestBackPressure(t *testing.T) {
	n := int64(64 << 20)
	if raceEnabled {
		n = 16 << 20
	}
	read := make(chan struct{})
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-read
		io.Copy(w, r.Body)
	}), func(ts *testServer) {
		small := &frittata.Config{QUIC: quic.Config{StreamWindow: 256 << 10, MaxStreamWindow: 256 << 10}}
		ts.srv.Config, ts.tr.Config = small, small
	})
	body := &counted{r: noise(n), stalled: make(chan int64, 1), at: 300 << 10}
	resp, err := ts.tr.RoundTrip(ts.request("POST", "/", body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	// The sender takes what fits the buffers on the way, and no more.
	at := await(t, body.stalled)
	var ms runtime.MemStats
	runtime.GC() // what other tests have left goes, and with
	runtime.GC() // the second one what pools have kept of it
	runtime.ReadMemStats(&ms)
	if most := int64(4 << 20); at > most || int64(ms.HeapAlloc) > 32<<20 {
		t.Errorf("%d bytes were taken of the body while nobody reads, %d of heap", at, ms.HeapAlloc)
	}
	close(read)
	want, _, _ := sumOf(noise(n))
	if sum, m, err := sumOf(resp.Body); sum != want || err != nil {
		t.Errorf("%d of %d bytes, %v", m, n, err)
	}
}

// counted tells how much was read of it once the first at bytes were.
type counted struct {
	r       io.Reader
	n, at   int64
	stalled chan int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.at > 0 && c.n >= c.at {
		c.at = 0
		c.stalled <- c.n
	}
	return n, err
}

// TestSlowResponse has a client that reads little at a time.
func TestSlowResponse(t *testing.T) {
	const n = 3 << 20
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, noise(n)) }))
	resp, err := ts.tr.RoundTrip(ts.request("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	want, _, _ := sumOf(noise(n))
	sum, m, err := sumOf(struct{ io.Reader }{slow{resp.Body}})
	if sum != want || err != nil {
		t.Errorf("%d of %d bytes, %v", m, n, err)
	}
}

// slow reads odd little pieces, and lets others run in between.
type slow struct{ r io.Reader }

func (s slow) Read(p []byte) (int, error) {
	runtime.Gosched()
	return s.r.Read(p[:min(len(p), 1777)])
}

func TestShutdown(t *testing.T) {
	const n = 20 << 20
	begun := make(chan struct{}, 3)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		io.Copy(w, noise(n))
	}))
	resp, err := ts.tr.RoundTrip(ts.request("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	await(t, begun)
	done := make(chan error, 1)
	go func() { done <- ts.srv.Shutdown(testContext(t)) }()
	want, _, _ := sumOf(noise(n))
	if sum, m, err := sumOf(resp.Body); sum != want || err != nil {
		t.Errorf("%d of %d bytes, %v", m, n, err)
	}
	if err := await(t, done); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := ts.srv.Listen(); err != http.ErrServerClosed {
		t.Errorf("Listen after Shutdown: %v", err)
	}
}

func TestShutdownOfIdleConnections(t *testing.T) {
	ts := newTestServer(t, http.NotFoundHandler())
	ts.get("/")
	if err := ts.srv.Shutdown(testContext(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownTimeout(t *testing.T) {
	h, got := handlerOf(func(w http.ResponseWriter, r *http.Request) error {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return r.Context().Err()
	})
	ts := newTestServer(t, h)
	resp, err := ts.tr.RoundTrip(ts.request("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if err := ts.srv.Shutdown(ctx); !errors.Is(err, why) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := await(t, got); err != context.Canceled {
		t.Errorf("the handler's context: %v", err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the body came to its end")
	}
}

func TestClose(t *testing.T) {
	h, got := handlerOf(func(w http.ResponseWriter, r *http.Request) error {
		w.(http.Flusher).Flush()
		_, err := io.ReadAll(r.Body)
		return err
	})
	ts := newTestServer(t, h)
	pr, pw := io.Pipe()
	defer pw.Close()
	resp, err := ts.tr.RoundTrip(ts.request("POST", "/", pr))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := ts.srv.Close(); err != nil {
		t.Error(err)
	}
	if err := await(t, got); err == nil {
		t.Error("the handler has read a body that has no end")
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the body came to its end")
	}
}

// TestCloseWhileWaiting closes the server while a client waits for a response.
func TestCloseWhileWaiting(t *testing.T) {
	var ts *testServer
	ts = newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ts.srv.Close()
	}))
	_, err := ts.tr.RoundTrip(ts.request("GET", "/", nil))
	if ae, ok := errors.AsType[*quic.ApplicationError](err); !ok || !ae.Remote || ae.Code != 0x100 {
		t.Errorf("error is %v", err)
	}
}

// TestTransportClose closes a Transport with a request under way.
func TestTransportClose(t *testing.T) {
	h, got := handlerOf(func(w http.ResponseWriter, r *http.Request) error {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return r.Context().Err()
	})
	ts := newTestServer(t, h)
	resp, err := ts.tr.RoundTrip(ts.request("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ts.tr.Close()
	await(t, got)
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the body came to its end")
	}
}
