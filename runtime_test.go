package frittata

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
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
				noLeaks(t)
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
	noLeaks(t)
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
	noLeaks(t)
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
	noLeaks(t)
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

func TestHandshakeTimeoutOfAClient(t *testing.T) {
	noLeaks(t)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cfg := clientConfig()
	cfg.QUIC.HandshakeTimeout = 50 * time.Millisecond
	closed := make(chan error, 1)
	_, err = Dial(testContext(t), silent.LocalAddr().String(), cfg, &app{closed: func(_ *quic.Conn, err error) { closed <- err }})
	var timeout *quic.HandshakeTimeoutError
	var ne net.Error
	if !errors.As(err, &timeout) || timeout.Heard || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("Dial failed with %v", err)
	}
	if err := <-closed; !errors.As(err, &timeout) {
		t.Errorf("OnClose got %v", err)
	}
}

func TestDialContext(t *testing.T) {
	noLeaks(t)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, silent.LocalAddr().String(), clientConfig(), &app{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial failed with %v", err)
	}
}

// firstFlight sends what a client says first, and nothing more.
func firstFlight(t *testing.T, to netip.AddrPort) net.PacketConn {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	cfg := clientConfig().QUIC
	qc, err := quic.Connect(time.Now(), &cfg, to, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	for {
		train, ok := qc.IO().Transmit(time.Now(), buf, 1)
		if !ok {
			break
		}
		if _, err := pc.WriteTo(buf[:train.N], net.UDPAddrFromAddrPort(to)); err != nil {
			t.Fatal(err)
		}
	}
	qc.IO().Abort(errors.New("test"))
	return pc
}

func TestHandshakeTimeoutOfAServer(t *testing.T) {
	noLeaks(t)
	cfg := serverConfig()
	cfg.QUIC.HandshakeTimeout = 50 * time.Millisecond
	l := listen(t, cfg)
	closed := make(chan error, 1)
	server := one(t, l, &app{closed: func(_ *quic.Conn, err error) { closed <- err }})
	firstFlight(t, l.Addr())
	s := <-server
	var timeout *quic.HandshakeTimeoutError
	if err := <-closed; !errors.As(err, &timeout) {
		t.Errorf("OnClose got %v", err)
	}
	wait(t, "it is gone", s.Done())
	for l.Transport().Stats().Handshakes != 0 {
		time.Sleep(time.Millisecond)
	}
	if st := l.Transport().Stats(); st.Conns != 0 || st.Endpoint.Routes != 0 {
		t.Errorf("something is left: %+v", st)
	}
}

func TestRefuse(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	go func() {
		in, err := l.Accept(testContext(t))
		if err != nil {
			t.Error(err)
			return
		}
		if err := in.Refuse(); err != nil {
			t.Error(err)
		}
		if _, err := in.Start(&app{}); !errors.Is(err, ErrIncomingGone) {
			t.Errorf("Start after Refuse: %v", err)
		}
	}()
	_, err := Dial(testContext(t), l.Addr().String(), clientConfig(), &app{})
	var te *quic.TransportError
	if !errors.As(err, &te) || te.Code != quic.ConnectionRefused || !te.Remote {
		t.Errorf("Dial failed with %v", err)
	}
}

func TestRetry(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	info := make(chan HandshakeInfo, 1)
	go func() {
		in, err := l.Accept(testContext(t))
		if err != nil || in.Validated() {
			t.Error(err, "or validated")
			return
		}
		if err := in.Retry(); err != nil {
			t.Error(err)
			return
		}
		in, err = l.Accept(testContext(t))
		if err != nil || !in.Validated() || in.RemoteAddr().Addr() != netip.MustParseAddr("127.0.0.1") || in.LocalAddr() != l.Addr() {
			t.Error(err, "or not validated", in)
			return
		}
		if err := in.Retry(); err == nil {
			t.Error("a second Retry")
		}
		if _, err := in.Start(&app{established: func(_ *quic.Conn, i HandshakeInfo) error { info <- i; return nil }}); err != nil {
			t.Error(err)
		}
	}()
	dial(t, l, clientConfig(), &app{})
	if i := <-info; !i.Retried || i.Times.Received.IsZero() || i.Times.Established.Before(i.Times.Started) || i.Times.Started.Before(i.Times.Accepted) {
		t.Errorf("%+v", i)
	}
}

func TestRetryAlways(t *testing.T) {
	noLeaks(t)
	cfg := serverConfig()
	cfg.Retry = RetryAlways
	l := listen(t, cfg)
	one(t, l, &app{})
	dial(t, l, clientConfig(), &app{})
	if n := l.Transport().Stats().Endpoint.Retries; n != 1 {
		t.Errorf("%d Retries", n)
	}
}

// Clients that never go on make the server ask for Retries, and then fill it up;
// nothing is computed for those beyond.
func TestHalfOpenHandshakesAreBounded(t *testing.T) {
	noLeaks(t)
	cfg := serverConfig()
	cfg.MaxHandshakes = 8
	l := listen(t, cfg)
	serve(t, l, func() Application { return &app{} })
	var peers []net.PacketConn
	for range 40 {
		peers = append(peers, firstFlight(t, l.Addr()))
	}
	tr := l.Transport()
	for deadline := time.Now().Add(testTime); tr.Stats().Endpoint.Retries < 38 || tr.Stats().Handshakes < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", tr.Stats())
		}
	}
	if st := tr.Stats(); st.Handshakes != 2 || st.Conns != 2 {
		t.Errorf("%d handshakes, %d connections", st.Handshakes, st.Conns)
	}
	// Who answers the Retry gets in.
	dial(t, l, clientConfig(), &app{})

	cfg = serverConfig()
	cfg.MaxHandshakes = 8
	cfg.Retry = RetryNever
	l = listen(t, cfg)
	serve(t, l, func() Application { return &app{} })
	for range 40 {
		peers = append(peers, firstFlight(t, l.Addr()))
	}
	tr = l.Transport()
	for deadline := time.Now().Add(testTime); tr.Stats().TooManyHandshakes < 32; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", tr.Stats())
		}
	}
	if st := tr.Stats(); st.Handshakes > 8 || st.Conns > 8 {
		t.Errorf("%d handshakes, %d connections", st.Handshakes, st.Conns)
	}
	_ = peers
}

func TestMaxConns(t *testing.T) {
	noLeaks(t)
	cfg := serverConfig()
	cfg.MaxConns = 1
	l := listen(t, cfg)
	serve(t, l, func() Application { return &app{} })
	c := dial(t, l, clientConfig(), &app{})
	_, err := Dial(testContext(t), l.Addr().String(), clientConfig(), &app{})
	var te *quic.TransportError
	if !errors.As(err, &te) || te.Code != quic.ConnectionRefused {
		t.Errorf("the second connection: %v", err)
	}
	if l.Transport().Stats().TooManyConns != 1 || c.Err() != nil {
		t.Error("not counted, or not the second one was refused")
	}
	ct := c.Transport()
	ct.mu.Lock()
	ct.cfg.MaxConns = 1
	ct.mu.Unlock()
	if _, err := ct.Dial(testContext(t), l.Addr(), "localhost", nil, &app{}); !errors.Is(err, ErrTooManyConns) {
		t.Errorf("a second Dial: %v", err)
	}
}

func TestWhatNobodyAcceptsExpires(t *testing.T) {
	noLeaks(t)
	cfg := serverConfig()
	cfg.PendingAge = 30 * time.Millisecond
	l := listen(t, cfg)
	firstFlight(t, l.Addr())
	in, err := l.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	firstFlight(t, l.Addr())
	for deadline := time.Now().Add(testTime); ; time.Sleep(time.Millisecond) {
		st := l.Transport().Stats().Endpoint
		if st.Expired == 2 && st.PendingBytes == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", st)
		}
	}
	if _, err := in.Start(&app{}); !errors.Is(err, ErrIncomingGone) {
		t.Errorf("Start of an expired flight: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if in, err := l.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("an expired flight was accepted: %v %v", in, err)
	}
	if st := l.Transport().Stats(); st.Conns != 0 || st.Open != 0 || st.Handshakes != 0 {
		t.Errorf("%+v", st)
	}
}

func TestIgnoreAndAcceptAgain(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	go func() {
		in, err := l.Accept(testContext(t))
		if err != nil {
			t.Error(err)
			return
		}
		in.Ignore()
		if in, err = l.Accept(testContext(t)); err != nil { // the client has repeated itself
			t.Error(err)
			return
		}
		if _, err := in.Start(&app{}); err != nil {
			t.Error(err)
		}
	}()
	dial(t, l, clientConfig(), &app{})
}

func TestHandshakeAndResume(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	u := newUpload(1, 100_000)
	go func() {
		if c, err := Dial(testContext(t), l.Addr().String(), clientConfig(), u); err != nil {
			t.Error(err)
		} else {
			<-u.done
			_ = c.Close()
		}
	}()
	in, err := l.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := in.Handshake(testContext(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, ok := c.HandshakeInfo(); !ok || info.ALPN != "test" {
		t.Errorf("%+v", info)
	}
	// Data comes meanwhile, and nobody is called for it.
	for {
		st, err := c.Stats(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if st.StreamBytesReceived > 0 {
			break
		}
	}
	if err := c.SetApplication(newEcho()); err != nil {
		t.Fatal(err)
	}
	c.Resume()
	wait(t, "all came back", u.done)
	if u.err != nil {
		t.Error(u.err)
	}
	if err := c.SetApplication(newEcho()); err == nil {
		t.Error("SetApplication after Resume")
	}
	wait(t, "the client closed", c.Closed())
}

// Callbacks of tls.Config that block keep no slot of those that bound the
// computing of handshakes.
func TestBlockedTLSCallbacks(t *testing.T) {
	noLeaks(t)
	release := make(chan struct{})
	cfg := serverConfig()
	cert := cfg.QUIC.TLS.Certificates[0]
	cfg.QUIC.TLS.Certificates = nil
	cfg.QUIC.TLS.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h.ServerName == "example.org" {
			<-release
		}
		return &cert, nil
	}
	l := listen(t, cfg)
	serve(t, l, func() Application { return &app{} })
	var wg sync.WaitGroup
	for range 2*cap(handshakeSlots) + 1 {
		wg.Go(func() {
			cfg := clientConfig()
			cfg.QUIC.TLS.ServerName = "example.org"
			c, err := Dial(testContext(t), l.Addr().String(), cfg, &app{})
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.Transport().Close()
		})
	}
	for deadline := time.Now().Add(testTime); l.Transport().Stats().Handshakes < 2*cap(handshakeSlots)+1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the handshakes did not begin")
		}
	}
	other := clientConfig()
	other.QUIC.TLS.ServerName = "localhost"
	dial(t, l, other, &app{})
	close(release)
	wg.Wait()
}

// A handshake that a callback of tls.Config blocks frees who waits for it.
func TestStuckHandshake(t *testing.T) {
	noLeaks(t)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	l := listen(t, serverConfig())
	one(t, l, &app{})
	release := make(chan struct{})
	cfg := clientConfig()
	cfg.QUIC.HandshakeTimeout = 500 * time.Millisecond
	cfg.QUIC.TLS.VerifyConnection = func(tls.ConnectionState) error { <-release; return nil }
	tr, err := listenTransport("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	defer close(release)
	_, err = tr.Dial(testContext(t), l.Addr(), "localhost", nil, &app{})
	var timeout *quic.HandshakeTimeoutError
	if !errors.As(err, &timeout) {
		t.Errorf("Dial failed with %v", err)
	}
}

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
	noLeaks(t)
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
	noLeaks(t)
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

// Two Transports, each of them client and server, and a Listener that is closed.
func TestOneTransportForBothRoles(t *testing.T) {
	noLeaks(t)
	var ts [2]*Transport
	for i := range ts {
		cfg := serverConfig()
		_, cfg.QUIC.TLS.RootCAs = testCert()
		tr, err := listenTransport("udp", "127.0.0.1:0", cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		ts[i] = tr
		l, err := tr.Listen(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Listen(nil); !errors.Is(err, ErrListening) {
			t.Errorf("a second Listener: %v", err)
		}
		serve(t, l, func() Application { return newEcho() })
		defer l.Close()
	}
	for i := range 6 {
		u := newUpload(1, 50_000)
		if _, err := ts[i%2].Dial(testContext(t), ts[1-i%2].LocalAddr(), "localhost", nil, u); err != nil {
			t.Fatal(err)
		}
		wait(t, "all came back", u.done)
		if u.err != nil {
			t.Error(u.err)
		}
	}
	if st := ts[0].Stats(); st.Conns != 6 {
		t.Errorf("%+v", st)
	}
}

func TestPacketSocket(t *testing.T) {
	noLeaks(t)
	var ts [2]*Transport
	for i := range ts {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s, err := PacketSocket(struct{ net.PacketConn }{pc})
		if err != nil {
			t.Fatal(err)
		}
		cfg := serverConfig()
		_, cfg.QUIC.TLS.RootCAs = testCert()
		if ts[i], err = NewTransport(s, cfg); err != nil {
			t.Fatal(err)
		}
		defer ts[i].Close()
	}
	l, err := ts[0].Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	serve(t, l, func() Application { return newEcho() })
	u := newUpload(3, 200_000)
	if _, err := ts[1].Dial(testContext(t), ts[0].LocalAddr(), "localhost", nil, u); err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back", u.done)
	if u.err != nil {
		t.Error(u.err)
	}
}

// nat forwards datagrams between a client and a server, from a port that changes.
type nat struct {
	inside *net.UDPConn
	server *net.UDPAddr
	mu     sync.Mutex
	client *net.UDPAddr
	out    *net.UDPConn
	all    []*net.UDPConn
}

func newNAT(t *testing.T, server netip.AddrPort) *nat {
	n := &nat{server: net.UDPAddrFromAddrPort(server)}
	var err error
	if n.inside, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	n.rebind(t)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			m, from, err := n.inside.ReadFromUDP(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.client = from
			_, _ = n.out.Write(buf[:m])
			n.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		n.inside.Close()
		for _, c := range n.all {
			c.Close()
		}
	})
	return n
}

func (n *nat) rebind(t *testing.T) {
	out, err := net.DialUDP("udp", nil, n.server)
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	n.out = out
	n.all = append(n.all, out)
	n.mu.Unlock()
	go func() {
		buf := make([]byte, 64<<10)
		for {
			m, err := out.Read(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			_, _ = n.inside.WriteToUDP(buf[:m], n.client)
			n.mu.Unlock()
		}
	}()
}

func TestNATRebinding(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	server := one(t, l, newEcho())
	n := newNAT(t, l.Addr())
	u := newUpload(1, 1000)
	c, err := Dial(testContext(t), n.inside.LocalAddr().String(), clientConfig(), u)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Transport().Close()
	wait(t, "all came back", u.done)
	s := <-server
	before := s.RemoteAddr()
	n.rebind(t)
	u2 := newUpload(1, 100_000)
	if err := c.Call(testContext(t), func(qc *quic.Conn) { c.app = u2; err = u2.onEstablished(qc, HandshakeInfo{}) }); err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back by the new way", u2.done)
	if u2.err != nil || err != nil {
		t.Fatal(u2.err, err)
	}
	if after := s.RemoteAddr(); after == before {
		t.Errorf("the server has not noticed the new address: %v", after)
	}
}

func TestInboxIsBounded(t *testing.T) {
	tr := &Transport{cfg: Config{InboxBytes: 10_000}, buffers: &sharedBuffers}
	c := newConn(tr, &app{}, netip.AddrPort{})
	r := run{data: make([]byte, 3000), segment: 1000}
	for range 100 {
		c.keep(&r)
	}
	if c.boxBytes != 9000 || len(c.box) != 3 {
		t.Errorf("%d bytes in %d entries", c.boxBytes, len(c.box))
	}
	if n := tr.stats.inboxDropped.Load(); n != 97*3000 {
		t.Errorf("%d bytes were dropped", n)
	}
}

func TestConfigErrors(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no TLS":         func(c *Config) { c.QUIC.TLS = nil },
		"no ALPN":        func(c *Config) { c.QUIC.TLS = &tls.Config{} },
		"negative limit": func(c *Config) { c.MaxHandshakes = -1 },
		"short IDs":      func(c *Config) { c.QUIC.ConnIDs = quic.RandomConnIDs(2) },
		"long IDs":       func(c *Config) { c.QUIC.ConnIDs = quic.RandomConnIDs(21) },
	} {
		cfg := serverConfig()
		change(cfg)
		if l, err := Listen("udp", "127.0.0.1:0", cfg); err == nil {
			l.Close()
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Listen("tcp", "127.0.0.1:0", serverConfig()); err == nil {
		t.Error("a network that is not UDP")
	}
	if _, err := Dial(t.Context(), "127.0.0.1:1", nil, &app{}); err == nil {
		t.Error("Dial without a configuration")
	}
	if _, err := Dial(t.Context(), "127.0.0.1:1", clientConfig(), nil); err == nil {
		t.Error("Dial without an Application")
	}
}

// An empty connection ID makes a client's datagrams be routed by address.
func TestEmptyConnIDs(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	cfg := clientConfig()
	cfg.QUIC.ConnIDs = quic.RandomConnIDs(0)
	u := newUpload(2, 100_000)
	c := dial(t, l, cfg, u)
	wait(t, "all came back", u.done)
	if u.err != nil {
		t.Error(u.err)
	}
	if _, err := c.Transport().Listen(serverConfigQUIC()); err == nil {
		t.Error("a server with empty connection IDs")
	}
}

func serverConfigQUIC() *quic.Config { return &serverConfig().QUIC }

// Datagrams that are no QUIC, or of no connection, do no harm.
func TestStrayDatagrams(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	s, err := udp.Dial(t.Context(), "udp", l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	garbage := make([]byte, 1200*20)
	for i := range garbage {
		garbage[i] = byte(i * i >> 3)
	}
	for i := range 20 {
		garbage[i*1200] = byte(i * 37)
		if _, err := s.WriteTrain(&udp.Train{Data: garbage, Segment: 1200}); err != nil {
			t.Fatal(err)
		}
	}
	u := newUpload(1, 100_000)
	dial(t, l, clientConfig(), u)
	wait(t, "all came back", u.done)
	if u.err != nil {
		t.Error(u.err)
	}
}
