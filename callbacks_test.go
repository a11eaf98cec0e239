package frittata

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// opener is a client that opens a stream and writes to it, so that the server hears of it.
func opener() *app {
	return &app{established: func(c *quic.Conn, _ HandshakeInfo) error {
		id, err := c.OpenStream(quic.Bidi)
		if err != nil {
			return err
		}
		_, err = c.StreamWrite(id, []byte("hello"), false)
		return err
	}}
}

// one accepts a single connection with a.
func one(t *testing.T, l *Listener, a Application) <-chan *Conn {
	ch := make(chan *Conn, 1)
	go func() {
		in, err := l.Accept(testContext(t))
		if err != nil {
			if t.Context().Err() == nil {
				t.Error(err)
			}
			return
		}
		c, err := in.Start(a)
		if err != nil {
			t.Error(err)
			return
		}
		ch <- c
	}()
	return ch
}

func TestErrorsAndPanicsOfCallbacks(t *testing.T) {
	custom := &quic.ApplicationError{Code: 42, Reason: "enough"}
	for _, test := range []struct {
		name   string
		fn     func() error
		check  func(local, remote error) bool
		panics uint64
	}{
		{"plain error", func() error { return errors.New("secret") }, func(local, remote error) bool {
			var te, rte *quic.TransportError
			return errors.As(local, &te) && te.Code == quic.InternalError && strings.Contains(local.Error(), "secret") &&
				errors.As(remote, &rte) && rte.Code == quic.InternalError && rte.Remote && !strings.Contains(remote.Error(), "secret")
		}, 0},
		{"application error", func() error { return fmt.Errorf("wrapped: %w", custom) }, func(local, remote error) bool {
			var ae, rae *quic.ApplicationError
			return errors.As(local, &ae) && ae.Code == 42 && errors.As(remote, &rae) && rae.Code == 42 && rae.Remote && rae.Reason == "enough"
		}, 0},
		{"transport error", func() error { return &quic.TransportError{Code: quic.ConnectionRefused} }, func(local, remote error) bool {
			var rte *quic.TransportError
			return errors.As(remote, &rte) && rte.Code == quic.ConnectionRefused
		}, 0},
		{"panic", func() error { panic("oops") }, func(local, remote error) bool {
			var rte *quic.TransportError
			return errors.Is(local, ErrPanic) && errors.As(remote, &rte) && rte.Code == quic.InternalError
		}, 1},
	} {
		for _, where := range []string{"OnEstablished", "ProcessReads", "ProcessWrites", "Do"} {
			t.Run(test.name+" in "+where, func(t *testing.T) {
				leak.Check(t)
				l := listen(t, serverConfig())
				var closes atomic.Int32
				local := make(chan error, 1)
				a := &app{closed: func(c *quic.Conn, err error) {
					if closes.Add(1) == 1 {
						local <- err
					}
				}}
				switch where {
				case "OnEstablished":
					a.established = func(*quic.Conn, HandshakeInfo) error { return test.fn() }
				case "ProcessReads":
					a.reads = func(*quic.Conn) error { return test.fn() }
				case "ProcessWrites":
					a.writes = func(*quic.Conn) error { return test.fn() }
				case "Do":
					if test.panics == 0 {
						t.Skip("functions of Do return no error")
					}
					a.established = func(_ *quic.Conn, info HandshakeInfo) error {
						return info.Conn.Do(func(*quic.Conn) { _ = test.fn() })
					}
				}
				server := one(t, l, a)
				remote := make(chan error, 1)
				client := opener()
				client.closed = func(_ *quic.Conn, err error) { remote <- err }
				cl, err := Dial(testContext(t), l.Addr().String(), clientConfig(), client)
				if err == nil {
					defer cl.Transport().Close()
				}
				s := <-server
				wait(t, "the server closed", s.Closed())
				le, re := <-local, <-remote
				if !test.check(le, re) {
					t.Errorf("local error %v, remote error %v", le, re)
				}
				if got := l.Transport().Stats().Panics; got != test.panics {
					t.Errorf("%d panics were counted", got)
				}
				if err := s.Err(); err == nil || err.Error() != le.Error() {
					t.Errorf("Err is %v, OnClose got %v", err, le)
				}
				wait(t, "the connection is gone", s.Done())
				if closes.Load() != 1 {
					t.Errorf("OnClose was called %d times", closes.Load())
				}
			})
		}
	}
}

func TestPanicInOnClose(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	server := one(t, l, &app{closed: func(*quic.Conn, error) { panic("late") }})
	c := dial(t, l, clientConfig(), opener())
	s := <-server
	_ = s.Close()
	wait(t, "the server closed", s.Closed())
	wait(t, "the client heard of it", c.Closed())
	if l.Transport().Stats().Panics != 1 {
		t.Error("the panic was not counted")
	}
}

func TestDoAndCall(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	server := one(t, l, &app{})
	c := dial(t, l, clientConfig(), &app{})
	s := <-server
	var order []int
	for i := range 100 {
		if err := c.Do(func(*quic.Conn) { order = append(order, i) }); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := c.Call(testContext(t), func(*quic.Conn) { n = len(order) }); err != nil || n != 100 {
		t.Fatalf("%d functions ran before the one of Call, %v", n, err)
	}
	for i := range order {
		if order[i] != i {
			t.Fatalf("out of order: %v", order)
		}
	}
	if st, err := c.Stats(testContext(t)); err != nil || st.PacketsSent == 0 {
		t.Errorf("stats: %+v, %v", st, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	block := make(chan struct{})
	if err := c.Do(func(*quic.Conn) { <-block }); err != nil {
		t.Fatal(err)
	}
	if err := c.Call(canceled, func(*quic.Conn) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Call with a canceled context: %v", err)
	}
	close(block)
	_ = c.Transport().Close()
	wait(t, "it is gone", c.Done())
	if err := c.Do(func(*quic.Conn) {}); !errors.Is(err, ErrConnGone) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Do after the end: %v", err)
	}
	if err := c.Call(testContext(t), func(*quic.Conn) {}); !errors.Is(err, ErrConnGone) {
		t.Errorf("Call after the end: %v", err)
	}
	c.Wake()
	wait(t, "the server heard of it", s.Closed())
	Waker{}.Wake()
}

func TestWakersCauseTurns(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	var flag, seen, turns atomic.Int64
	reached := make(chan struct{})
	const wakers, wakes = 8, 500
	server := one(t, l, &app{reads: func(*quic.Conn) error {
		turns.Add(1)
		if n := flag.Load(); n != seen.Swap(n) && n == wakers*wakes {
			close(reached)
		}
		return nil
	}})
	dial(t, l, clientConfig(), opener())
	w := (<-server).Waker()
	var wg sync.WaitGroup
	for range wakers {
		wg.Go(func() {
			for range wakes {
				flag.Add(1)
				w.Wake()
			}
		})
	}
	wg.Wait()
	wait(t, "a turn saw the last change", reached)
	t.Logf("%d turns for %d wake-ups", turns.Load(), wakers*wakes)
}
