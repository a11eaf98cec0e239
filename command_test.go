package frittata

import (
	"errors"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// Commands of other goroutines: live counters, a key update, a close with a code.
func TestCommands(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	server := one(t, l, newEcho())
	u := newUpload(1, 100_000)
	c := dial(t, l, clientConfig(), u)
	wait(t, "all came back", u.done)
	ctx := testContext(t)
	before, err := c.Stats(ctx)
	if err != nil || before.StreamBytesReceived != 100_000 || before.KeyUpdates != 0 {
		t.Errorf("%+v, %v", before, err)
	}
	if err := c.UpdateKeys(ctx); err != nil {
		t.Fatal(err)
	}
	// The same connection goes on with the new keys.
	u2 := newUpload(1, 100_000)
	if err := c.Call(ctx, func(qc *quic.Conn) { c.app = u2; err = u2.onEstablished(qc, HandshakeInfo{}) }); err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back with new keys", u2.done)
	if u2.err != nil || err != nil {
		t.Fatal(u2.err, err)
	}
	for _, end := range []*Conn{c, <-server} {
		if s, err := end.Stats(ctx); err != nil || s.KeyUpdates == 0 {
			t.Errorf("%d key updates, %v", s.KeyUpdates, err)
		}
	}
	_ = c.CloseWithError(quic.CloseError{Application: true, Code: 42, Reason: "enough"})
	wait(t, "closed", c.Closed())
	if err := c.UpdateKeys(ctx); err == nil {
		t.Error("a key update of a closed connection")
	}
	wait(t, "gone", c.Done())
	if err := c.UpdateKeys(ctx); !errors.Is(err, ErrConnGone) {
		t.Errorf("a key update of a connection that is gone: %v", err)
	}
	if r, ok := c.Record(); !ok || r.Kind != CloseApplication || r.Code != 42 || r.Remote {
		t.Errorf("%+v", r)
	}
}

// While a callback does not return, what waits for the strand is bounded, and closing needs no room.
func TestCommandsBounded(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	c := dial(t, l, clientConfig(), &app{})
	block, blocked := make(chan struct{}), make(chan struct{})
	if err := c.Do(func(*quic.Conn) { close(blocked); <-block }); err != nil {
		t.Fatal(err)
	}
	wait(t, "the strand is stuck", blocked)
	const limit = 100
	ran := 0
	for i := range limit + 50 {
		err := c.post(func(*quic.Conn) { ran++ }, limit)
		if want := i >= limit; errors.Is(err, ErrConnStuck) != want {
			t.Fatalf("%d: %v", i, err)
		}
	}
	for range 1000 {
		_ = c.Close()
	}
	c.mu.Lock()
	n := len(c.cmds)
	c.mu.Unlock()
	if n != limit+1 {
		t.Errorf("%d functions wait", n)
	}
	close(block)
	wait(t, "closed", c.Closed())
	if ran != limit {
		t.Errorf("%d of %d functions ran", ran, limit)
	}
}

// What functions do after a silence they do now, and not when the last packet came.
func TestCommandsKnowTheTime(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return &app{} })
	c := dial(t, l, clientConfig(), &app{})
	for errors.Is(c.UpdateKeys(testContext(t)), quic.ErrNotConnected) {
		time.Sleep(time.Millisecond)
	}
	s, err := c.Stats(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	// The keys of before are kept for three probe timeouts, and no other update may begin.
	time.Sleep(time.Second + 6*(s.SmoothedRTT+4*s.RTTVar+25*time.Millisecond))
	if err := c.UpdateKeys(testContext(t)); err != nil {
		t.Error(err)
	}
}
