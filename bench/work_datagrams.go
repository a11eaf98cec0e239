package main

import (
	"context"
	"time"
)

// datagramsTask sends datagrams as fast as the stack takes them: W7. The server
// counts those that reach its application.
type datagramsTask struct {
	s *spec
	d dialer
	c rawConn
}

func dialDatagrams(s *spec) (task, error) {
	d, err := stacks[s.Peer].dialRaw(s)
	return &datagramsTask{s: s, d: d}, err
}

func (t *datagramsTask) warm(ctx context.Context) (err error) {
	if t.c, err = t.d.dial(ctx); err != nil {
		return err
	}
	_, err = t.send(ctx, t.s.Warmup) // the path MTU search ends in this time
	return err
}

func (t *datagramsTask) send(ctx context.Context, d time.Duration) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return t.c.sendDatagrams(ctx, t.s.Payload)
}

func (t *datagramsTask) run(ctx context.Context) (r result, err error) {
	begin := time.Now()
	r.Ops, err = t.send(ctx, t.s.Duration)
	r.Seconds = time.Since(begin).Seconds()
	return r, err
}

func (t *datagramsTask) close() error {
	if t.c != nil {
		t.c.close()
	}
	return t.d.close()
}
