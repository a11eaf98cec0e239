package main

import (
	"context"
	"errors"
)

// requestSize is the size of the answers of W3.
const requestSize = 1 << 10

// requestsTask gets 1 KiB over and over, PerConn at a time on each of Conns
// connections: W3.
type requestsTask struct {
	s     *spec
	conns []httpClient
	bufs  [][]byte
}

func dialRequests(s *spec) (task, error) {
	t := &requestsTask{s: s}
	for range s.Conns {
		c, err := stacks[s.Peer].dialHTTP(s)
		if err != nil {
			return nil, err
		}
		t.conns = append(t.conns, c)
	}
	for range s.Conns * s.PerConn {
		t.bufs = append(t.bufs, make([]byte, 2*requestSize))
	}
	return t, nil
}

func (t *requestsTask) get(ctx context.Context, worker int) error {
	_, err := httpGet(ctx, t.conns[worker%len(t.conns)], t.s.Addr, requestSize, t.bufs[worker])
	return err
}

func (t *requestsTask) warm(ctx context.Context) error {
	// One request first, so that the hundred do not dial a hundred times.
	for i := range t.conns {
		if err := t.get(ctx, i); err != nil {
			return err
		}
	}
	r := hammer(ctx, len(t.bufs), t.s.Warmup, t.get)
	if r.Errors != 0 {
		return errors.New(r.Error)
	}
	return nil
}

func (t *requestsTask) run(ctx context.Context) (r result, err error) {
	if t.s.Requests != 0 {
		r = hammerTimes(ctx, len(t.bufs), t.s.Requests, t.get)
	} else {
		r = hammer(ctx, len(t.bufs), t.s.Duration, t.get)
	}
	r.Bytes = r.Ops * requestSize
	return r, nil
}

func (t *requestsTask) close() error {
	var errs []error
	for _, c := range t.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
