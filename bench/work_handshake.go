package main

import (
	"context"
	"errors"
)

// handshakeTask opens connections and closes them, Conns at a time: W4. The
// handshakes are full ones, with a certificate that the client verifies.
type handshakeTask struct {
	s *spec
	d dialer
}

func dialHandshakes(s *spec) (task, error) {
	d, err := stacks[s.Peer].dialRaw(s)
	return &handshakeTask{s, d}, err
}

func (t *handshakeTask) shake(ctx context.Context, _ int) error {
	c, err := t.d.dial(ctx)
	if err != nil {
		return err
	}
	return c.close()
}

func (t *handshakeTask) warm(ctx context.Context) error {
	r := hammer(ctx, t.s.Conns, t.s.Warmup, t.shake)
	if r.Errors != 0 {
		return errors.New(r.Error)
	}
	return nil
}

func (t *handshakeTask) run(ctx context.Context) (result, error) {
	return hammer(ctx, t.s.Conns, t.s.Duration, t.shake), nil
}

func (t *handshakeTask) close() error { return t.d.close() }
