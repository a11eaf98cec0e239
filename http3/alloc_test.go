package http3

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"testing"
)

// TestAllocations counts what a request costs on both sides together, all layers
// and the http.Request that the client makes included.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	body := bytes.Repeat([]byte("x"), 1024)
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	ts.tr.DisableCompression = true
	fetch := func() {
		req, err := http.NewRequest("GET", ts.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := ts.tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for range 200 {
		fetch()
	}
	const n = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		fetch()
	}
	runtime.ReadMemStats(&after)
	got := float64(after.Mallocs-before.Mallocs) / n
	t.Logf("%.1f allocations and %d bytes a request", got, (after.TotalAlloc-before.TotalAlloc)/n)
	if got > 36 {
		t.Errorf("%.1f allocations a request", got)
	}
}
