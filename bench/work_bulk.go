package main

import (
	"context"
	"time"
)

// bulkTask moves a number of bytes on one stream of the raw protocol: W1 is the
// download, W6 the upload, W8 the download over a lossy link.
type bulkTask struct {
	s *spec
	d dialer
	c rawConn
}

func dialBulk(s *spec) (task, error) {
	d, err := stacks[s.Peer].dialRaw(s)
	return &bulkTask{s: s, d: d}, err
}

func (t *bulkTask) warm(ctx context.Context) (err error) {
	t.c, err = t.d.dial(ctx)
	return err
}

func (t *bulkTask) run(ctx context.Context) (r result, err error) {
	begin := time.Now()
	if t.s.Upload {
		r.Bytes, err = t.c.upload(ctx, t.s.Bytes)
	} else {
		r.Bytes, err = t.c.download(ctx, t.s.Bytes)
	}
	r.Seconds, r.Ops = time.Since(begin).Seconds(), 1
	return r, err
}

func (t *bulkTask) close() error {
	if t.c != nil {
		t.c.close()
	}
	return t.d.close()
}
