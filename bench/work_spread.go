package main

import (
	"context"
	"errors"
	"fmt"
)

const (
	// spreadPiece is the size of the downloads that are spread over many
	// connections.
	spreadPiece = 64 << 10

	// spreadWarmup is how many transfers each connection has before the measured
	// time: then it has left slow start, and its search for the MTU is over.
	spreadWarmup = 4
)

// visits are transfers that go round all of n connections. There are workers,
// and each has every workers-th connection for its own, so that no connection has two transfers
// at a time.
type visits struct {
	n, workers int
	stay       int     // transfers before the next connection
	at         []visit // of each worker
	op         func(ctx context.Context, worker, conn int) error
}

// visit is where a worker is.
type visit struct{ conn, done int }

func newVisits(s *spec, op func(ctx context.Context, worker, conn int) error) visits {
	v := visits{n: s.Conns, workers: min(s.AtATime, s.Conns), stay: s.Stay, op: op}
	for i := range v.workers {
		v.at = append(v.at, visit{conn: i})
	}
	return v
}

func (v *visits) next(ctx context.Context, worker int) error {
	at := &v.at[worker]
	if at.done++; at.done > v.stay {
		at.done = 1
		if at.conn += v.workers; at.conn >= v.n {
			at.conn = worker
		}
	}
	return v.op(ctx, worker, at.conn)
}

// warm has every connection do its first transfers.
func (v *visits) warm(ctx context.Context) error {
	most := (v.n + v.workers - 1) / v.workers // connections of a worker
	rounds := max(spreadWarmup, v.stay) * most
	return each(ctx, v.workers, v.workers, func(ctx context.Context, worker int) error {
		for range rounds {
			if err := v.next(ctx, worker); err != nil {
				return err
			}
		}
		return nil
	})
}

// run does what is measured.
func (v *visits) run(ctx context.Context, s *spec) result {
	return hammer(ctx, v.workers, s.Duration, v.next)
}

// spreadTask downloads Piece bytes on one connection after the other, AtATime
// at a time.
type spreadTask struct {
	s     *spec
	d     dialer
	conns []rawConn
	visits
}

func dialSpread(s *spec) (task, error) {
	d, err := stacks[s.Peer].dialRaw(s)
	t := &spreadTask{s: s, d: d, conns: make([]rawConn, s.Conns)}
	t.visits = newVisits(s, t.download)
	return t, err
}

func (t *spreadTask) download(ctx context.Context, _, conn int) error {
	n, err := t.conns[conn].download(ctx, int64(t.s.Piece))
	if err == nil && n != int64(t.s.Piece) {
		err = fmt.Errorf("%d bytes came of %d", n, int64(t.s.Piece))
	}
	return err
}

func (t *spreadTask) warm(ctx context.Context) error {
	err := each(ctx, len(t.conns), openAtATime, func(ctx context.Context, i int) (err error) {
		t.conns[i], err = t.d.dial(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return t.visits.warm(ctx)
}

func (t *spreadTask) run(ctx context.Context) (result, error) {
	r := t.visits.run(ctx, t.s)
	r.Bytes = r.Ops * int64(t.s.Piece)
	return r, nil
}

func (t *spreadTask) close() error { return t.d.close() }

// httpSpreadTask gets 1 KiB on one connection after the other.
type httpSpreadTask struct {
	s     *spec
	conns []httpClient
	bufs  [][]byte // of the workers
	visits
}

func dialHTTPSpread(s *spec) (task, error) {
	t := &httpSpreadTask{s: s}
	t.visits = newVisits(s, t.get)
	for range s.Conns {
		c, err := stacks[s.Peer].dialHTTP(s)
		if err != nil {
			return nil, err
		}
		t.conns = append(t.conns, c)
	}
	for range t.workers {
		t.bufs = append(t.bufs, make([]byte, 2*requestSize))
	}
	return t, nil
}

func (t *httpSpreadTask) get(ctx context.Context, worker, conn int) error {
	_, err := httpGet(ctx, t.conns[conn], t.s.Addr, requestSize, t.bufs[worker])
	return err
}

func (t *httpSpreadTask) warm(ctx context.Context) error {
	err := each(ctx, len(t.conns), openAtATime, func(ctx context.Context, i int) error {
		_, err := httpGet(ctx, t.conns[i], t.s.Addr, requestSize, make([]byte, 2*requestSize))
		return err
	})
	if err != nil {
		return err
	}
	return t.visits.warm(ctx)
}

func (t *httpSpreadTask) run(ctx context.Context) (result, error) {
	r := t.visits.run(ctx, t.s)
	r.Bytes = r.Ops * requestSize
	return r, nil
}

func (t *httpSpreadTask) close() error {
	var errs []error
	for _, c := range t.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
