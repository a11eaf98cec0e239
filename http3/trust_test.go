package http3

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

func TestTrust(t *testing.T) {
	var tr trust
	win := func() (n int) {
		for !tr.given.Load() {
			tr.note(quickTime)
			n++
		}
		return n
	}
	if n := win(); n != trustNeed {
		t.Errorf("it is given after %d", n)
	}
	tr.note(2 * quickTime) // of one that had begun before
	if !tr.given.Load() {
		t.Error("lost by one that was not trusted")
	}
	tr.lose()
	tr.lose()
	if n := win(); n != trustNeed*trustGrowth {
		t.Errorf("it is given again after %d", n)
	}
	for range 10 {
		tr.lose()
		tr.given.Store(true)
	}
	tr.lose()
	if tr.need != trustMost {
		t.Errorf("it takes %d", tr.need)
	}
	tr.given.Store(true)
	for range trustLasts {
		tr.kept()
	}
	tr.lose()
	if n := win(); n != trustNeed*trustGrowth {
		t.Errorf("it is given after %d, though there was a long time without a loss", n)
	}
	tr.need = 0
	for range 1000 {
		tr.slow(lentCheck) // now and then
		for range lentCheck * slowCost {
			tr.kept()
		}
	}
	if !tr.given.Load() {
		t.Error("lost by what happens to each")
	}
	for range 1 + trustCredit/(lentCheck*slowCost) {
		tr.slow(lentCheck)
	}
	if tr.given.Load() {
		t.Error("kept although they are slow")
	}
	for range 1000 {
		for range slowCost - 1 {
			tr.note(quickTime)
		}
		tr.note(2 * quickTime)
	}
	if tr.given.Load() {
		t.Error("given although one of 32 is slow")
	}
}

// newTrustedServer returns a server that trusts its handler, rightly or not.
func newTrustedServer(t *testing.T, h http.HandlerFunc) *testServer {
	ts := newTestServer(t, h)
	ts.srv.workers.trust.given.Store(true)
	return ts
}

// Handlers that wait for each other are answered all the same, and are not trusted any more.
func TestTrustedBlock(t *testing.T) {
	leak.Check(t)
	const n = 90
	// On a busy machine the callback may take so long that nothing is lent: not each time.
	for range 20 {
		wait := together(n)
		ts := newTrustedServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/at-once" {
				wait(w, r)
			}
		})
		ts.get("/at-once") // what comes along with a handshake is not lent
		ts.getTogether(n)
		if !ts.srv.workers.trust.given.Load() {
			return
		}
	}
	t.Error("they are trusted still")
}

// What a handler does with its response, or to its goroutine, works where that is the turn's.
func TestTrustedHandlers(t *testing.T) {
	leak.Check(t)
	large := strings.Repeat("frittata ", 100_000)
	release := make(chan struct{})
	ts := newTrustedServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			io.WriteString(w, large)
		case "/flush":
			io.WriteString(w, "first")
			w.(http.Flusher).Flush()
			<-release
			io.WriteString(w, " second")
		case "/exit":
			runtime.Goexit()
		case "/panic":
			panic(http.ErrAbortHandler)
		default:
			io.WriteString(w, "small")
		}
	})
	get := func(path, want string) {
		t.Helper()
		if _, body := ts.get(path); body != want {
			t.Errorf("%s: got %d bytes, not %d", path, len(body), len(want))
		}
	}
	get("/small", "small")
	for _, path := range []string{"/panic", "/exit"} {
		// On a machine that is busy a handler may be without a processor for so long that it is
		// trusted no more: not each time.
		kept := false
		for range 20 {
			ts.srv.workers.trust.given.Store(true)
			if _, err := ts.tr.RoundTrip(ts.request("GET", path, nil)); err == nil {
				t.Errorf("%s: no error", path)
			}
			if kept = ts.srv.workers.trust.given.Load(); kept {
				break
			}
		}
		if !kept {
			t.Errorf("after %s handlers are not trusted any more", path)
		}
		get("/small", "small")
	}
	get("/large", large)
	ts.srv.workers.trust.given.Store(true)
	resp, err := ts.tr.RoundTrip(ts.request("GET", "/flush", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var first [5]byte
	if _, err := io.ReadFull(resp.Body, first[:]); err != nil || string(first[:]) != "first" {
		t.Errorf("%q, %v", first, err)
	}
	get("/small", "small") // while the other handler waits
	close(release)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != " second" {
		t.Errorf("%q, %v", rest, err)
	}
}

// Of many requests that have come at the same time the first are answered before the last are handled.
func TestTrustedInParts(t *testing.T) {
	leak.Check(t)
	const n = 2 * lentAtOnce
	var mu sync.Mutex
	var sent, last []uint64 // bytes that had left the server when each handler began
	var conn atomic.Pointer[frittata.Conn]
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, conn.Load().Transport().Stats().BytesSent)
	}), func(ts *testServer) {
		ts.srv.ConnContext = func(ctx context.Context, c *frittata.Conn) context.Context {
			conn.Store(c)
			return ctx
		}
	})
	ts.get("/")
	var client *clientConn
	ts.tr.mu.Lock()
	for _, client = range ts.tr.conns {
	}
	ts.tr.mu.Unlock()
	// On a busy machine they may come in several turns, or not be trusted for long: not each time.
	for range 50 {
		ts.srv.workers.trust.given.Store(true)
		mu.Lock()
		sent = nil
		mu.Unlock()
		begun, all := make(chan struct{}), make(chan struct{})
		if err := client.conn.Do(func(*quic.Conn) { close(begun); <-all }); err != nil {
			t.Fatal(err)
		}
		<-begun
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { ts.get("/") })
		}
		for client.driver.Active() < n {
			runtime.Gosched()
		}
		close(all)
		wg.Wait()
		mu.Lock()
		last = sent
		mu.Unlock()
		if len(last) != n {
			t.Fatalf("%d handlers were called", len(last))
		}
		if last[lentAtOnce-1] == last[0] && last[lentAtOnce] > last[0] {
			return
		}
	}
	t.Errorf("bytes that had left the server as each handler began: %d", last)
}
