package http3

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
)

// TestNoLostWakeups has clients take bodies whose length is not known beforehand,
// from handlers that write pieces of all sizes, while other clients go away in
// the middle of theirs. A wake-up that got lost would leave a response waiting until the
// test's time is over. What is used again for the next request must have nothing
// left of the one before, be it an unfinished one on a connection that is closed.
func TestNoLostWakeups(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			testWakeups(t)
		})
	}
}

func testWakeups(t *testing.T) {
	rounds := 12
	if testing.Short() || raceEnabled {
		rounds = 4
	}
	const clients = 4
	const most = 1 << 20
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Path[1:])
		rng := rand.New(rand.NewPCG(uint64(n), 0))
		p := make([]byte, 48<<10)
		for n > 0 {
			m := min(n, 1+rng.IntN(1<<(3+rng.IntN(13))))
			if _, err := w.Write(p[:m]); err != nil {
				return
			}
			n -= m
			if rng.IntN(10) == 0 {
				w.(http.Flusher).Flush()
			}
			if rng.IntN(20) == 0 {
				runtime.Gosched()
			}
		}
	}))
	small := &frittata.Config{QUIC: quic.Config{StreamWindow: 64 << 10, MaxStreamWindow: 128 << 10}}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for range rounds {
				tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, Config: small}
				var requests sync.WaitGroup
				for range 3 {
					n := rng.IntN(most)
					requests.Go(func() {
						resp, err := tr.RoundTrip(ts.request("GET", "/"+strconv.Itoa(n), nil))
						if err != nil {
							t.Error(err)
							return
						}
						defer resp.Body.Close()
						if got, err := io.Copy(io.Discard, resp.Body); got != int64(n) || err != nil {
							t.Errorf("%d of %d bytes, %v", got, n, err)
						}
					})
				}
				requests.Wait()
				// This one is left in the middle.
				resp, err := tr.RoundTrip(ts.request("GET", "/"+strconv.Itoa(most), nil))
				if err != nil {
					t.Error(err)
				} else if _, err := io.ReadFull(resp.Body, make([]byte, rng.IntN(most/2))); err != nil {
					t.Error(err)
				}
				tr.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("a request does not end, although its context has")
	}
}
