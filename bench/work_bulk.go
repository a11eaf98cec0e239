package main

import (
	"context"
	"sync/atomic"
	"time"
)

// bulkTask moves a number of bytes of the raw protocol, on one stream or on
// PerConn at a time: W1 is the download, W6 the upload, W8 the download over a
// lossy link.
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
	n := int64(max(t.s.PerConn, 1))
	var moved atomic.Int64
	begin := time.Now()
	err = each(ctx, int(n), int(n), func(ctx context.Context, i int) error {
		share := t.s.Bytes / n
		if i == 0 {
			share += t.s.Bytes % n
		}
		move := t.c.download
		if t.s.Upload {
			move = t.c.upload
		}
		m, err := move(ctx, share)
		moved.Add(m)
		return err
	})
	r.Seconds, r.Bytes, r.Ops = time.Since(begin).Seconds(), moved.Load(), n
	return r, err
}

func (t *bulkTask) close() error {
	if t.c != nil {
		t.c.close()
	}
	return t.d.close()
}
