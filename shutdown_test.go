package frittata

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// graceful closes the connection when it is told to, after a while.
type graceful struct {
	app
	up   chan struct{}
	told chan *quic.Conn
}

func newGraceful() *graceful {
	g := &graceful{up: make(chan struct{}), told: make(chan *quic.Conn, 1)}
	g.established = func(*quic.Conn, HandshakeInfo) error { close(g.up); return nil }
	return g
}

func (g *graceful) OnShutdown(c *quic.Conn) { g.told <- c }

func TestShutdown(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	g := newGraceful()
	server := one(t, l, g)
	c := dial(t, l, clientConfig(), &app{})
	s := <-server
	wait(t, "the server is established", g.up)
	server2 := one(t, l, &app{})
	c2 := dial(t, l, clientConfig(), &app{})
	<-server2

	done := make(chan error, 1)
	go func() { done <- l.Shutdown(testContext(t)) }()
	<-g.told
	wait(t, "the connection that takes no notice was closed", c2.Closed())
	if _, err := l.Accept(testContext(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	select {
	case <-done:
		t.Error("Shutdown did not wait")
	default:
	}
	_ = s.CloseWithError(quic.CloseError{Application: true, Code: 7})
	if err := <-done; err != nil {
		t.Error(err)
	}
	wait(t, "the client heard of it", c.Closed())
	var ae *quic.ApplicationError
	if !errors.As(c.Err(), &ae) || ae.Code != 7 {
		t.Errorf("the client's connection closed with %v", c.Err())
	}
}

func TestShutdownContext(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	g := newGraceful()
	server := one(t, l, g)
	c := dial(t, l, clientConfig(), &app{})
	s := <-server
	wait(t, "the server is established", g.up)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Shutdown(ctx) }()
	<-g.told
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	wait(t, "the connection is gone", s.Done())
	wait(t, "the client heard of it", c.Closed())
}

// Clients that come while a Listener drains get the answer that was chosen, and
// those that are served go on until Shutdown.
func TestDrain(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			leak.Check(t)
			l := listenTestGroup(t, n, serverConfig())
			server := one(t, l, newEcho())
			u := newUpload(1, 1000)
			c := dial(t, l, clientConfig(), u)
			wait(t, "all came back", u.done)
			s := <-server
			firstFlight(t, l.Addr())
			for deadline := time.Now().Add(testTime); l.Stats().Endpoint.Pending == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%+v", l.Stats())
				}
			}
			l.Drain(true)
			l.Drain(false) // too late
			if st := l.Stats(); st.Endpoint.Refusals != 1 {
				t.Errorf("%d refusals", st.Endpoint.Refusals)
			}
			if _, err := l.Accept(testContext(t)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: %v", err)
			}
			_, err := Dial(testContext(t), l.Addr().String(), clientConfig(), &app{})
			if te, ok := errors.AsType[*quic.TransportError](err); !ok || te.Code != quic.ConnectionRefused {
				t.Errorf("while it drains: %v", err)
			}
			u = newUpload(1, 1000)
			if err := c.Call(testContext(t), func(qc *quic.Conn) { c.app = u; err = u.onEstablished(qc, HandshakeInfo{}) }); err != nil {
				t.Fatal(err)
			}
			wait(t, "all came back while it drains", u.done)
			if u.err != nil || s.Err() != nil {
				t.Error(u.err, s.Err())
			}
			if err := l.Shutdown(testContext(t)); err != nil {
				t.Error(err)
			}
			wait(t, "the client heard of it", c.Closed())
		})
	}
}

// Without a refusal clients hear nothing, and whoever listens next gets them.
func TestDrainIgnores(t *testing.T) {
	leak.Check(t)
	tr, err := Open("udp", "127.0.0.1:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	l, err := tr.Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Drain(false)
	firstFlight(t, tr.LocalAddr())
	for deadline := time.Now().Add(testTime); tr.Stats().Endpoint.Drops[quic.DropBusy] == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", tr.Stats())
		}
	}
	if n := tr.Stats().TrainsSent; n != 0 {
		t.Errorf("%d answers", n)
	}
	next, err := tr.Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	one(t, next, &app{})
	dial(t, next, clientConfig(), &app{})
}

// A graceful shutdown waits for the connections of all Transports, and all sockets are
// open until the last has ended; those that take too long are closed when ctx ends.
func TestGroupShutdown(t *testing.T) {
	for _, patient := range []bool{true, false} {
		t.Run(strconv.FormatBool(patient), func(t *testing.T) {
			leak.Check(t)
			l := listenTestGroup(t, 4, serverConfig())
			const clients = 12
			told := make(chan *quic.Conn, clients)
			up := make(chan *Conn, clients)
			serve(t, l, func() Application {
				g := newGraceful()
				g.told = told
				g.established = func(_ *quic.Conn, i HandshakeInfo) error { up <- i.Conn; return nil }
				return g
			})
			var conns []*Conn
			for range clients {
				c := dial(t, l, clientConfig(), &app{})
				conns = append(conns, c)
			}
			var servers []*Conn
			for range clients {
				servers = append(servers, <-up)
			}
			ctx, cancel := context.WithCancel(testContext(t))
			done := make(chan error, 1)
			go func() { done <- l.Shutdown(ctx) }()
			for range clients {
				<-told
			}
			var want error
			last := servers[clients-1]
			for _, s := range servers[:clients-1] {
				_ = s.Close()
				wait(t, "the connection is closed", s.Closed())
			}
			select {
			case err := <-done:
				t.Errorf("Shutdown did not wait: %v", err)
			default:
			}
			if patient {
				_ = last.Close()
			} else {
				want = context.Canceled
				cancel()
			}
			if err := <-done; !errors.Is(err, want) {
				t.Errorf("Shutdown: %v, want %v", err, want)
			}
			for _, c := range conns {
				wait(t, "the client heard of it", c.Closed())
			}
			cancel()
		})
	}
}

// A client that was accepted before Shutdown, and is started after it, is not forgotten by it.
func TestStartAfterShutdown(t *testing.T) {
	leak.Check(t)
	tr, err := Open("udp", "127.0.0.1:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	l, err := tr.Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	firstFlight(t, tr.LocalAddr())
	in, err := l.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Shutdown(testContext(t)); err != nil {
		t.Error(err)
	}
	if _, err := in.Start(&app{}); !errors.Is(err, ErrTransportClosed) {
		t.Errorf("Start: %v", err)
	}
	if st := tr.Stats(); st.Conns != 0 || st.Handshakes != 0 || st.HandshakeMemory != 0 {
		t.Errorf("%+v", st)
	}
}
