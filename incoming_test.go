package frittata

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

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

func TestRefuse(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	done := make(chan struct{})
	go func() {
		defer close(done)
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
	<-done
}

func TestRetry(t *testing.T) {
	leak.Check(t)
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
	leak.Check(t)
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
	leak.Check(t)
	cfg := serverConfig()
	cfg.MaxHandshakes = 8
	l := listen(t, cfg)
	serve(t, l, func() Application { return &app{} })
	var peers []net.PacketConn
	for range 40 {
		peers = append(peers, firstFlight(t, l.Addr()))
	}
	tr := l.Transport()
	for deadline := time.Now().Add(testTime); ; time.Sleep(time.Millisecond) {
		st := tr.Stats()
		if st.Endpoint.Retries+uint64(st.Handshakes) == 40 && st.Conns == st.Handshakes {
			// Two, unless one was counted twice when the next came: on its way from those that wait.
			if st.Handshakes < 1 || st.Handshakes > 2 {
				t.Errorf("%d handshakes", st.Handshakes)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", st)
		}
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
	leak.Check(t)
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
	leak.Check(t)
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
	leak.Check(t)
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
