package frittata

import (
	"context"
	"math"

	"github.com/frittata-go/frittata/quic"
)

// maxCommands is how many functions wait for a strand at most. More come together only if
// a callback blocks, and then whoever calls again and again would take memory without end.
const maxCommands = 1 << 16

// Do has fn run on the strand soon, and returns at once. It fails with
// ErrConnGone, and a connection that goes before fn's turn drops fn. Functions
// run in the order of the calls, at most 128 in a turn, so that other connections have theirs. If 65536 of them wait, since a callback does not return, it fails with ErrConnStuck.
func (c *Conn) Do(fn func(*quic.Conn)) error { return c.post(fn, maxCommands) }

// post is Do with a limit of its own.
func (c *Conn) post(fn func(*quic.Conn), limit int) error {
	c.mu.Lock()
	switch {
	case c.gone:
		c.mu.Unlock()
		return ErrConnGone
	case len(c.cmds) >= limit:
		c.mu.Unlock()
		return ErrConnStuck
	}
	c.cmds = append(c.cmds, fn)
	c.mail.Store(true)
	c.asked.Add(1)
	c.mu.Unlock()
	c.Wake()
	return nil
}

// Call is like Do, but returns when fn has run. It must not be called in a
// callback, which would wait for itself. When ctx ends first fn may still run later.
func (c *Conn) Call(ctx context.Context, fn func(*quic.Conn)) error {
	ran := make(chan struct{})
	if err := c.Do(func(qc *quic.Conn) {
		defer func() {
			close(ran)
			c.yield = true
		}()
		fn(qc)
	}); err != nil {
		return err
	}
	select {
	case <-ran:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done:
		select {
		case <-ran:
			return nil
		default:
			return ErrConnGone
		}
	}
}

// Close closes the connection with NO_ERROR, which loses what is not sent yet.
// It returns at once; see Closed. It never fails.
func (c *Conn) Close() error { return c.CloseWithError(quic.CloseError{}) }

// CloseWithError closes the connection and tells the peer e. It returns at once;
// see Closed. It never fails.
func (c *Conn) CloseWithError(e quic.CloseError) error {
	if !c.closePosted.Swap(true) { // the first one counts
		_ = c.post(func(qc *quic.Conn) { qc.Close(e) }, math.MaxInt) // a connection that is gone is closed
	}
	return nil
}

// UpdateKeys has the connection change its keys (RFC 9001, Section 6.1), which it
// does by itself well before that is needed. It is an error before the handshake is
// confirmed and while another update is under way. It must not be called in a callback.
func (c *Conn) UpdateKeys(ctx context.Context) error {
	result := make(chan error, 1)
	if err := c.Call(ctx, func(qc *quic.Conn) { result <- qc.UpdateKeys() }); err != nil {
		return err
	}
	return <-result
}

// Stats returns a snapshot of the connection's counters. It must not be called in a callback.
func (c *Conn) Stats(ctx context.Context) (s quic.Stats, err error) {
	var got quic.Stats
	if err := c.Call(ctx, func(qc *quic.Conn) { got = qc.Stats() }); err != nil {
		return s, err
	}
	return got, nil
}
