package frittata

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// A closed Transport that somebody keeps does not keep the memory that it read into.
func TestClosedTransportKeepsNoBuffers(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	u := newUpload(10, 100_000)
	c := dial(t, l, clientConfig(), u)
	wait(t, "all came back", u.done)
	tr := c.Transport()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	for i, b := range tr.router.bufs {
		if b != nil || tr.router.msgs[i].Buf != nil {
			t.Errorf("buffer %d is left", i)
		}
	}
	if tr.router.runs != nil || tr.router.buf != nil {
		t.Error("the router holds memory")
	}
}

// heldSocket, once held, has nothing more to say until it is closed.
type heldSocket struct {
	Socket
	held    atomic.Bool
	once    sync.Once
	reached chan struct{} // closed when somebody has asked it since it was held
	closed  chan struct{}
}

func (s *heldSocket) TryReadBatch(m []udp.Message) (int, error) {
	if s.held.Load() {
		s.once.Do(func() { close(s.reached) })
		<-s.closed
		return 0, net.ErrClosed
	}
	return s.Socket.TryReadBatch(m)
}

func (s *heldSocket) Close() error {
	close(s.closed)
	return s.Socket.Close()
}

// A Transport may be closed while its router has turns to run: somebody else runs them.
func TestCloseWithTurnsDue(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	u, err := udp.Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &heldSocket{Socket: u, reached: make(chan struct{}), closed: make(chan struct{})}
	var log bytes.Buffer
	cfg := clientConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	tr, err := NewTransport(s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var handle *Conn
	a := &app{
		established: func(c *quic.Conn, info HandshakeInfo) error {
			handle = info.Conn
			id, err := c.OpenStream(quic.Bidi)
			if err != nil {
				return err
			}
			_, err = c.StreamWrite(id, []byte("hello"), true)
			return err
		},
		reads: func(c *quic.Conn) error {
			if _, ok := c.NextReadable(); ok {
				c.Close(quic.CloseError{})
			}
			return nil
		},
		closed: func(*quic.Conn, error) {
			if handle.w.router {
				s.held.Store(true)
			}
			handle.Wake() // another turn is due after this one
		},
	}
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	dialed := make(chan error, 1)
	go func() {
		_, err := tr.Dial(ctx, l.Addr(), "localhost", nil, a)
		dialed <- err
	}()
	select {
	case <-s.reached: // what is left, Dial's return too, may be due to a router that is held now
	case err := <-dialed:
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.reached:
		case <-handle.Closed():
		case <-time.After(testTime):
			t.Fatal("the connection does not close")
		}
		dialed <- nil
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-dialed
	wait(t, "the connection is gone", handle.Done())
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

// Two sockets that are always busy share one processor: neither has many turns before the other has some.
func TestSocketsShareAProcessor(t *testing.T) {
	leak.Check(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const goal = 2000
	var done [2]chan struct{}
	var pinging sync.WaitGroup
	var mu sync.Mutex
	stop := false
	var begun [2]bool
	var routed [2]int
	var last, row, turns, long int // whose the last turn was; how many its router had in a row; of all rows, and of those that were long
	for i := range 2 {
		done[i] = make(chan struct{})
		u, err := udp.Listen("udp4", "127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := newTransport(u, serverConfig())
		if err != nil {
			t.Fatal(err)
		}
		tr.queue.lag = math.MaxInt64
		tr.start()
		defer tr.Close()
		l, err := tr.Listen(nil)
		if err != nil {
			t.Fatal(err)
		}
		var conn *Conn
		server := one(t, l, &app{
			established: func(_ *quic.Conn, info HandshakeInfo) error { conn = info.Conn; return nil },
			writes: func(*quic.Conn) error {
				mu.Lock()
				defer mu.Unlock()
				if stop {
					return nil
				}
				conn.Wake()
				begun[i] = true
				if i != last || !begun[1-i] {
					last, row = i, 0
				}
				if !conn.w.router {
					return nil
				}
				turns++
				if row++; row > 4*roundsAtOnce {
					long++
				}
				if routed[i]++; routed[i] == goal {
					close(done[i])
				}
				return nil
			},
		})
		client := dial(t, l, clientConfig(), opener())
		<-server
		// A runner has it first, and the router with the next packet.
		pinging.Go(func() { ping(client, done[i]) })
	}
	for i := range 2 {
		wait(t, "the socket has had its turns", done[i])
	}
	pinging.Wait()
	mu.Lock()
	defer mu.Unlock()
	stop = true
	t.Logf("%d turns, %d of them in rows of many", turns, long)
	if 3*long > 2*turns {
		t.Error("one socket had many turns in a row")
	}
}
