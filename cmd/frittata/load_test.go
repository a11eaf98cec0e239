package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// roundTripFunc is an http.RoundTripper.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestLoad(t *testing.T) {
	var n atomic.Int64
	var mu sync.Mutex
	paths := make(map[string]int)
	here := make(chan struct{}) // all ten are under way
	rt := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		switch i := n.Add(1); {
		case i == 10:
			close(here)
		case i < 10:
			<-here
		}
		mu.Lock()
		paths[req.URL.Path]++
		mu.Unlock()
		return (&handlerRT{h: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 100)) })}).RoundTrip(req)
	})
	c, w := fakeClient(t, rt, "-n", "100", "-c", "10", "https://a.example/1", "https://a.example/2")
	if err := c.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if paths["/1"] != 50 || paths["/2"] != 50 {
		t.Errorf("not by turns: %v", paths)
	}
	for _, text := range []string{"100, 10 at a time, 0 failed", "50%", "99%", "status 200  100"} {
		if !strings.Contains(w.out.String(), text) {
			t.Errorf("no %q in:\n%s", text, w.out)
		}
	}
}

func TestLoadFailures(t *testing.T) {
	var n atomic.Int64
	rt := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		i := n.Add(1)
		if i%10 == 3 {
			return nil, errBroken
		}
		h := &handlerRT{h: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if i%10 == 4 {
				w.WriteHeader(500)
			}
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(make([]byte, 100))
		})}
		if i%10 == 5 {
			h.cut, h.err = 50, errBroken
		}
		return h.RoundTrip(req)
	})
	c, w := fakeClient(t, rt, "-n", "50", "--json", "https://a.example/")
	err := c.load(t.Context())
	if codeOf(c, err) != exitOther || !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "15 of 50") {
		t.Errorf("%v", err)
	}
	var r loadResult
	if err := json.Unmarshal([]byte(w.out.String()), &r); err != nil {
		t.Fatal(err)
	}
	if r.Requests != 50 || r.Failed != 15 || r.Statuses[200] != 40 || r.Statuses[500] != 5 || r.Concurrent != 1 || len(r.Errors) != 3 || r.Code != exitOther {
		t.Errorf("%+v", r)
	}
	if r.Bytes != 35*100+5*100+5*50 {
		t.Errorf("%d bytes", r.Bytes)
	}
}

// Many different errors do not fill the memory, or the screen.
func TestLoadManyErrors(t *testing.T) {
	var n atomic.Int64
	rt := roundTripFunc(func(*http.Request) (*http.Response, error) {
		return nil, errors.New(strings.Repeat("x", int(n.Add(1))))
	})
	c, w := fakeClient(t, rt, "-n", "1000", "-c", "4", "--json", "https://a.example/")
	_ = c.load(t.Context())
	var r loadResult
	if err := json.Unmarshal([]byte(w.out.String()), &r); err != nil || r.Failed != 1000 || len(r.Errors) > maxErrorTexts {
		t.Errorf("%d failed with %d texts, %v", r.Failed, len(r.Errors), err)
	}
}

func TestLoadInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	var n atomic.Int64
	rt := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		if n.Add(1) == 5 {
			cancel(errInterrupted)
			return nil, context.Cause(req.Context())
		}
		return (&handlerRT{h: http.NotFoundHandler()}).RoundTrip(req)
	})
	c, _ := fakeClient(t, rt, "-n", "1000", "https://a.example/")
	if err := c.load(ctx); codeOf(c, err) != exitStatus || n.Load() != 5 {
		t.Errorf("after %d: %v", n.Load(), err)
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	if err := c.load(ctx); codeOf(c, err) != exitInterrupted {
		t.Errorf("nothing else: %v", err)
	}
}

func TestQuantile(t *testing.T) {
	var ds []time.Duration
	if quantile(ds, 0.5) != 0 {
		t.Error("of nothing")
	}
	for i := range 100 {
		ds = append(ds, time.Duration(i+1))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.005: 1, 0.5: 50, 0.9: 90, 0.99: 99, 0.995: 100, 1: 100} {
		if got := quantile(ds, q); got != want {
			t.Errorf("%v: %d, want %d", q, got, want)
		}
	}
}
