package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestWorkersBlock has handlers that wait for each other: none is left in the queue.
func TestWorkersBlock(t *testing.T) {
	const n = 90
	ts := newTestServer(t, together(n))
	ts.getTogether(n)
}

// together is a handler that returns when n requests have come.
func together(n int64) http.HandlerFunc {
	var arrived atomic.Int64
	all := make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		if arrived.Add(1) == n {
			close(all)
		}
		<-all
		io.WriteString(w, "done")
	}
}

// getTogether makes n requests of it at the same time.
func (ts *testServer) getTogether(n int) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, body := ts.get("/"); body != "done" {
				ts.t.Errorf("got %q", body)
			}
		})
	}
	wg.Wait()
}

// TestGoexit has handlers end their goroutines.
func TestGoexit(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/exit" {
			io.WriteString(w, "lost")
			runtime.Goexit()
		}
	}))
	for range 10 {
		if _, err := ts.tr.RoundTrip(ts.request("GET", "/exit", nil)); err == nil {
			t.Error("no error")
		}
		ts.get("/")
	}
	if err := ts.srv.workers.wait(testContext(t)); err != nil {
		t.Error(err)
	}
}

func TestWorkersEnd(t *testing.T) {
	ts := newTestServer(t, http.NotFoundHandler())
	ts.get("/")
	p := &ts.srv.workers
	if err := p.wait(testContext(t)); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	for p.coming || len(p.idle) == 0 {
		p.mu.Unlock()
		runtime.Gosched()
		p.mu.Lock()
	}
	for _, w := range p.idle {
		w.since = w.since.Add(-2 * workerIdle)
	}
	p.mu.Unlock()
	p.expire()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) > 0 || p.ticks {
		t.Errorf("%d workers are left", len(p.idle))
	}
}

func TestWorkersWait(t *testing.T) {
	var p workers
	p.busy = 1
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if err := p.wait(ctx); err != why {
		t.Error(err)
	}
	go p.done(0, true)
	if err := p.wait(context.Background()); err != nil {
		t.Error(err)
	}
}
