package main

import (
	"context"
	"time"
)

// openAtATime is how many connections are being opened at a time in W5.
const openAtATime = 32

// idleTask opens connections and leaves them alone: W5. The driver looks at the
// memory of both processes before and after.
type idleTask struct {
	s     *spec
	d     dialer
	conns []rawConn
}

func dialIdle(s *spec) (task, error) {
	d, err := stacks[s.Peer].dialRaw(s)
	return &idleTask{s, d, make([]rawConn, s.Conns)}, err
}

func (t *idleTask) warm(context.Context) error { return nil }

func (t *idleTask) run(ctx context.Context) (result, error) {
	begin := time.Now()
	err := each(ctx, len(t.conns), openAtATime, func(ctx context.Context, i int) (err error) {
		t.conns[i], err = t.d.dial(ctx)
		return err
	})
	return result{Ops: int64(len(t.conns)), Seconds: time.Since(begin).Seconds()}, err
}

func (t *idleTask) close() error { return t.d.close() }

// httpIdleTask does the same over HTTP, with one request on each connection.
type httpIdleTask struct {
	s     *spec
	conns []httpClient
}

func dialHTTPIdle(s *spec) (task, error) {
	t := &httpIdleTask{s: s}
	for range s.Conns {
		c, err := stacks[s.Peer].dialHTTP(s)
		if err != nil {
			return nil, err
		}
		t.conns = append(t.conns, c)
	}
	return t, nil
}

func (t *httpIdleTask) warm(context.Context) error { return nil }

func (t *httpIdleTask) run(ctx context.Context) (result, error) {
	begin := time.Now()
	err := each(ctx, len(t.conns), openAtATime, func(ctx context.Context, i int) error {
		_, err := httpGet(ctx, t.conns[i], t.s.Addr, requestSize, make([]byte, 2*requestSize))
		return err
	})
	return result{Ops: int64(len(t.conns)), Seconds: time.Since(begin).Seconds()}, err
}

func (t *httpIdleTask) close() error { return nil }
