package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// loadResult sums up the requests of -n: --json prints it.
type loadResult struct {
	Requests   int     `json:"requests"`
	Failed     int     `json:"failed"`
	Concurrent int     `json:"concurrent"`
	Bytes      int64   `json:"bytes"` // of the bodies
	Total      float64 `json:"total"` // in seconds
	RPS        float64 `json:"rps"`   // of those that did not fail
	Rate       float64 `json:"rate"`  // bytes a second

	// Of those that did not fail, in seconds, from a request's beginning to the
	// end of its response.
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`

	Handshake float64        `json:"handshake,omitempty"` // in seconds, of the first connection
	Statuses  map[int]int    `json:"statuses"`
	Errors    map[string]int `json:"errors,omitempty"`
	Code      exitCode       `json:"exit_code"`
}

// loadRun is a run of -n.
type loadRun struct {
	c    *client
	next atomic.Int64

	mu        sync.Mutex
	r         loadResult
	durations []time.Duration
	first     error // that there was, and where
	firstURL  *url.URL
	bar       *progress
}

// load sends -n requests, -c at a time, by turns to the URLs.
func (c *client) load(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &loadRun{c: c, durations: make([]time.Duration, 0, min(c.o.requests, 1<<20))}
	l.r.Concurrent = min(c.o.concurrent, c.o.requests)
	l.r.Statuses = make(map[int]int)
	l.bar = c.progress(int64(c.o.requests), 0, "")
	if l.bar != nil {
		l.bar.count = func(n int64) string { return strconv.FormatInt(n, 10) }
	}
	begin := time.Now()
	var workers sync.WaitGroup
	for range l.r.Concurrent {
		workers.Go(func() { l.work(ctx, cancel) })
	}
	workers.Wait()
	l.bar.finish()
	l.sumUp(time.Since(begin))
	var f *failure
	switch {
	case l.first != nil:
		f = c.explain(ctx, l.firstURL, l.first)
		f = &failure{code: f.code, what: fmt.Sprintf("%d of %d requests failed; the first: %s", l.r.Failed, l.r.Requests, f.what), try: f.try, err: f}
	case errors.Is(context.Cause(ctx), errInterrupted):
		f = &failure{code: exitInterrupted, what: fmt.Sprintf("interrupted after %d of %d requests", l.r.Requests, c.o.requests), err: errInterrupted}
	}
	if f != nil {
		l.r.Code = f.code
	}
	if c.o.json {
		printJSON(c.e.stdout, &l.r)
	} else {
		l.print(c.e.stdout)
	}
	if f == nil {
		return nil // and not a *failure that is nil
	}
	return f
}

func (l *loadRun) work(ctx context.Context, cancel context.CancelCauseFunc) {
	c := l.c
	buf := make([]byte, 32<<10)
	for ctx.Err() == nil {
		i := l.next.Add(1) - 1
		if i >= int64(c.o.requests) {
			return
		}
		u := c.o.urls[int(i%int64(len(c.o.urls)))]
		r := newResult(c.o, u)
		err := c.loadOne(ctx, cancel, u, r, buf)
		took := time.Since(r.begin)
		l.add(u, r, took, err)
	}
}

// loadOne sends one request and drops the body of the response. cancel ends
// the whole run, for when there is no server.
func (c *client) loadOne(ctx context.Context, cancel context.CancelCauseFunc, u *url.URL, r *result, buf []byte) error {
	ctx, dog, done := watch(ctx, c.o.timeout)
	defer done(nil)
	defer dog.stop()
	req, err := c.newRequest(ctx, u, dog, nil)
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, cancel, req, dog, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for {
		n, err := resp.Body.Read(buf)
		r.Bytes += int64(n)
		dog.feed()
		if err == io.EOF {
			break
		}
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return (&incompleteError{have: r.Bytes, want: resp.ContentLength, cause: err}).explain()
		}
	}
	if resp.StatusCode >= 400 {
		return statusError(resp, "")
	}
	return nil
}

func (l *loadRun) add(u *url.URL, r *result, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(err, errInterrupted) {
		return // it did not fail, it was given up
	}
	l.r.Requests++
	l.r.Bytes += r.Bytes
	if r.Status != 0 {
		l.r.Statuses[r.Status]++
	}
	if r.Handshake > 0 && l.r.Handshake == 0 {
		l.r.Handshake = r.Handshake
	}
	l.bar.add(1)
	if err == nil {
		l.durations = append(l.durations, took)
		return
	}
	l.r.Failed++
	if l.first == nil {
		l.first, l.firstURL = err, u
	}
	var f *failure
	if !errors.As(err, &f) {
		f = classify(hostPort(u), err)
	}
	if l.r.Errors == nil {
		l.r.Errors = make(map[string]int)
	}
	if len(l.r.Errors) < maxErrorTexts || l.r.Errors[f.what] > 0 {
		l.r.Errors[f.what]++
	}
}

// maxErrorTexts is how many different errors are remembered.
const maxErrorTexts = 10

func (l *loadRun) sumUp(total time.Duration) {
	slices.Sort(l.durations)
	l.r.Total = total.Seconds()
	if s := total.Seconds(); s > 0 {
		l.r.RPS = float64(len(l.durations)) / s
		l.r.Rate = float64(l.r.Bytes) / s
	}
	l.r.P50 = quantile(l.durations, 0.50).Seconds()
	l.r.P90 = quantile(l.durations, 0.90).Seconds()
	l.r.P99 = quantile(l.durations, 0.99).Seconds()
	l.r.Max = quantile(l.durations, 1).Seconds()
}

// quantile returns the least of the sorted values that is not below a share q of them.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(i, 1), len(sorted))-1]
}

func (l *loadRun) print(w io.Writer) {
	r := &l.r
	fmt.Fprintf(w, "requests    %d, %d at a time, %d failed\n", r.Requests, r.Concurrent, r.Failed)
	fmt.Fprintf(w, "time        %.3f s\n", r.Total)
	fmt.Fprintf(w, "rate        %.1f requests/s, %s/s\n", r.RPS, size(int64(r.Rate)))
	if len(l.durations) > 0 {
		fmt.Fprintf(w, "latency     50%% %s, 90%% %s, 99%% %s, most %s\n", millis(r.P50), millis(r.P90), millis(r.P99), millis(r.Max))
	}
	for _, status := range sortedKeys(r.Statuses) {
		fmt.Fprintf(w, "status %d  %d\n", status, r.Statuses[status])
	}
	for _, text := range sortedKeys(r.Errors) {
		fmt.Fprintf(w, "error       %d times: %s\n", r.Errors[text], text)
	}
}

func millis(seconds float64) string { return fmt.Sprintf("%.2f ms", seconds*1000) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
