package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// workload is what a server and a client do, for any stack. Each has a file of
// its own, work_*.go.
type workload struct {
	serve func(*spec) (server, error)
	dial  func(*spec) (task, error)
}

// task is a client's part of a workload.
type task interface {
	// warm connects, and does what is not to be measured.
	warm(ctx context.Context) error
	// run does what is measured.
	run(ctx context.Context) (result, error)
	close() error
}

var workloads = map[string]workload{
	"bulk":      {serveRaw, dialBulk},
	"http-bulk": {serveHTTPBytes, dialHTTPBulk},
	"requests":  {serveGets, dialRequests},
	"handshake": {serveRaw, dialHandshakes},
	"idle":      {serveRaw, dialIdle},
	"http-idle": {serveHTTPBytes, dialHTTPIdle},
	"datagrams": {serveRaw, dialDatagrams},
	"turns":     {serveTurns, dialTurns},

	"spread":      {serveRaw, dialSpread},
	"http-spread": {serveGets, dialHTTPSpread},
}

func serveRaw(s *spec) (server, error) { return stacks[s.Peer].serveRaw(s) }

// maxSamples bounds the latencies that a worker keeps: the first ones.
const maxSamples = 1 << 20

// hammer has n workers do op over and over for d, and then waits for those that
// are under way.
func hammer(ctx context.Context, n int, d time.Duration, op func(ctx context.Context, worker int) error) result {
	end := time.Now().Add(d)
	return hammerWhile(ctx, n, func(now time.Time) bool { return now.Before(end) }, op)
}

// hammerTimes has n workers do op as often as told, all together.
func hammerTimes(ctx context.Context, n, times int, op func(ctx context.Context, worker int) error) result {
	var begun atomic.Int64
	return hammerWhile(ctx, n, func(time.Time) bool { return begun.Add(1) <= int64(times) }, op)
}

func hammerWhile(ctx context.Context, n int, more func(now time.Time) bool, op func(ctx context.Context, worker int) error) result {
	type tally struct {
		ops, errs int64
		err       error
		samples   []time.Duration
	}
	tallies := make([]tally, n)
	for i := range tallies {
		tallies[i].samples = make([]time.Duration, 0, 1024)
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			t := &tallies[i]
			for {
				start := time.Now()
				if !more(start) {
					return
				}
				if err := op(ctx, i); err != nil {
					if t.errs++; t.err == nil {
						t.err = err
					}
					if t.errs > 100 || ctx.Err() != nil {
						return
					}
					continue
				}
				t.ops++
				if len(t.samples) < maxSamples {
					t.samples = append(t.samples, time.Since(start))
				}
			}
		})
	}
	wg.Wait()
	r := result{Seconds: time.Since(begin).Seconds()}
	var all []time.Duration
	for i := range tallies {
		t := &tallies[i]
		r.Ops += t.ops
		r.Errors += t.errs
		if t.err != nil && r.Error == "" {
			r.Error = t.err.Error()
		}
		all = append(all, t.samples...)
	}
	slices.Sort(all)
	r.P50, r.P99 = quantile(all, 0.50), quantile(all, 0.99)
	return r
}

// quantile returns a quantile of sorted samples in microseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]) / 1e3
}

// each does op for all of 0..n-1, limit at a time, and returns the first error.
func each(ctx context.Context, n, limit int, op func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(limit, n) {
		wg.Go(func() {
			for i := range next {
				if err := op(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
loop:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break loop
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}
