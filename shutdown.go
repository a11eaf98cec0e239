package frittata

import (
	"cmp"
	"context"
	"math"
	"sync"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// closeWait is how long Close waits for connections to tell their peers, for them to be gone, and for
// goroutines to end: only a callback that blocks takes so long.
const closeWait = 2 * time.Second

// Shutdown ends all connections gracefully: nothing new is accepted or dialed,
// each Application that is a [Shutdowner] is told and the connections of others
// are closed, and when all have closed, or ctx ends, the Transport is closed. The error is that of
// ctx if it ended first.
func (t *Transport) Shutdown(ctx context.Context) error {
	return shutdown(ctx, []*Transport{t})
}

// shutdown is Shutdown for several. They are closed together, for where a datagram goes among
// the sockets of a group depends on all of them.
func shutdown(ctx context.Context, ts []*Transport) error {
	quiet := make([]<-chan struct{}, len(ts))
	for i, t := range ts {
		var conns []*Conn
		conns, quiet[i] = t.endNew()
		for _, c := range conns {
			c.shutdown()
		}
	}
	var err error
	for i, t := range ts {
		if quiet[i] == nil || err != nil {
			continue
		}
		select {
		case <-quiet[i]:
		case <-t.closeDone:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if cerr := closeAll(ts); err == nil {
		err = cerr
	}
	return err
}

// closeAll closes them at the same time, and returns the first error.
func closeAll(ts []*Transport) error {
	errs := make([]error, len(ts))
	var wg sync.WaitGroup
	for i, t := range ts[1:] {
		wg.Go(func() { errs[i+1] = t.Close() })
	}
	errs[0] = ts[0].Close()
	wg.Wait()
	return cmp.Or(errs...)
}

// endNew lets no more connections begin. It returns those that there are, and
// what is closed when all of them have closed, nil if they have.
func (t *Transport) endNew() ([]*Conn, <-chan struct{}) {
	t.mu.Lock()
	t.ending = true
	conns := make([]*Conn, 0, len(t.conns))
	for c := range t.conns {
		conns = append(conns, c)
	}
	if t.open > 0 && t.quiet == nil {
		t.quiet = make(chan struct{})
	}
	quiet := t.quiet
	t.mu.Unlock()

	t.epMu.Lock()
	l := t.listener
	t.epMu.Unlock()
	if l != nil {
		l.stop(false)
	}
	return conns, quiet
}

// shutdown tells the application, or closes the connection if it cannot be told.
func (c *Conn) shutdown() {
	// A connection that is gone has ended.
	_ = c.post(func(qc *quic.Conn) {
		if s, ok := c.app.(Shutdowner); ok && c.established && !c.closing {
			s.OnShutdown(qc)
			return
		}
		qc.Close(quic.CloseError{})
	}, math.MaxInt)
}

// Close closes all connections with NO_ERROR, tells the peers so, closes the
// socket and waits for the Transport's goroutines to end. It must not be called in a callback.
func (t *Transport) Close() error {
	t.closeOnce.Do(func() {
		t.closeErr = t.close()
		t.noteEnd()
		close(t.closeDone)
	})
	<-t.closeDone
	return t.closeErr
}

func (t *Transport) close() error {
	conns, quiet := t.endNew()
	for _, c := range conns {
		_ = c.Close()
	}
	limit := time.NewTimer(closeWait)
	defer limit.Stop()
	if quiet != nil {
		select {
		case <-quiet:
		case <-limit.C:
		}
	}
	t.stopping.Store(true)
	err := t.socket.Close()
	t.epMu.Lock()
	if t.shield.timer != nil {
		t.shield.timer.Stop()
	}
	if t.pendingTimer != nil {
		t.pendingTimer.Stop()
	}
	t.epMu.Unlock()

	// Nobody waits for what the peers may still send.
	t.mu.Lock()
	var empty chan struct{}
	if len(t.conns) > 0 {
		empty = make(chan struct{})
		t.empty = empty
	}
	t.mu.Unlock()
	abort(conns)
	limit.Reset(closeWait)
	if empty != nil {
		select {
		case <-empty:
		case <-limit.C:
			// It ends when the callback returns.
			t.logger().Warn("a callback keeps a connection from closing")
			t.queue.close(false)
			return err
		}
	}
	t.queue.close(true)
	ended := make(chan struct{})
	go func() {
		t.wg.Wait()
		close(ended)
	}()
	limit.Reset(closeWait)
	select {
	case <-ended:
	case <-limit.C:
		// What belongs to no connection any more, as ClientSessionCache.Put.
		t.logger().Warn("a callback has not returned")
	}
	return err
}

// abort ends connections at once.
func abort(conns []*Conn) {
	for _, c := range conns {
		// A connection that is gone has ended.
		_ = c.post(func(*quic.Conn) { c.io.Abort(ErrTransportClosed) }, math.MaxInt)
	}
}

// socketClosed is the router's, when it was not Close that closed the socket: nothing comes any more,
// so nobody should wait for it. Close has still to be called.
func (t *Transport) socketClosed() {
	conns, _ := t.endNew()
	abort(conns)
}
