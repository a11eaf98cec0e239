package frittata

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

func TestHandshakeTimeoutOfAClient(t *testing.T) {
	leak.Check(t)
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
	leak.Check(t)
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

// A Dial whose ctx ends does not wait for a callback that blocks, nor until the Transport does so no more.
func TestDialContextWhileCallbackBlocks(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return &app{} })
	blocks, release := make(chan struct{}), make(chan struct{})
	cfg := clientConfig()
	metrics := newRecorder()
	cfg.Metrics = metrics
	cfg.QUIC.TLS.VerifyConnection = func(tls.ConnectionState) error {
		close(blocks)
		<-release
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-blocks
		cancel()
	}()
	if _, err := Dial(ctx, l.Addr().String(), cfg, &app{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial failed with %v", err)
	}
	metrics.mu.Lock()
	if n := len(metrics.ended); n != 0 {
		t.Error("Dial waited until the Transport gave up")
	}
	metrics.mu.Unlock()
	close(release)
	for tr := range metrics.opened {
		_ = tr.Close()
	}
}

func TestHandshakeTimeoutOfAServer(t *testing.T) {
	leak.Check(t)
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

func TestHandshakeAndResume(t *testing.T) {
	leak.Check(t)
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
	leak.Check(t)
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
	for range 2*runtime.GOMAXPROCS(0) + 1 {
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
	for deadline := time.Now().Add(testTime); l.Transport().Stats().Handshakes < 2*runtime.GOMAXPROCS(0)+1; time.Sleep(time.Millisecond) {
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
	leak.Check(t)
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
	tr, err := Open("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	closed := make(chan struct{})
	_, err = tr.Dial(testContext(t), l.Addr(), "localhost", nil, &app{closed: func(*quic.Conn, error) { close(closed) }})
	var timeout *quic.HandshakeTimeoutError
	if !errors.As(err, &timeout) {
		t.Errorf("Dial failed with %v", err)
	}
	close(release)
	wait(t, "the connection that nobody has is closed", closed)
}

// An Application that comes when the connection has closed already is told so.
func TestSetApplicationLate(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	handshake := make(chan *Conn, 1)
	go func() {
		in, err := l.Accept(testContext(t))
		if err != nil {
			t.Error(err)
			return
		}
		c, err := in.Handshake(testContext(t), nil)
		if err != nil {
			t.Error(err)
			return
		}
		handshake <- c
	}()
	client := dial(t, l, clientConfig(), &app{})
	c := <-handshake
	_ = client.Close()
	wait(t, "the server knows that it is closed", c.Closed())
	closed := make(chan error, 1)
	if err := c.SetApplication(&app{closed: func(_ *quic.Conn, err error) { closed <- err }}); err != nil {
		return // so the caller knows
	}
	c.Resume()
	wait(t, "it is gone", c.Done())
	select {
	case err := <-closed:
		if err == nil {
			t.Error("OnClose got no reason")
		}
	default:
		t.Error("OnClose was not called")
	}
}

// A handshake that cannot even begin has failed like any other, to the Application too, whatever its callback does.
func TestHandshakeCannotBegin(t *testing.T) {
	leak.Check(t)
	scfg, ccfg := serverConfig(), clientConfig()
	scfg.QUIC.TLS.MaxVersion = tls.VersionTLS12
	l := listen(t, scfg)
	for i, end := range []func(){func() {}, func() { panic("oops") }, runtime.Goexit} {
		closed := make(chan error, 2)
		server := one(t, l, &app{closed: func(_ *quic.Conn, err error) {
			closed <- err
			end()
		}})
		tr, err := Open("udp", "127.0.0.1:0", ccfg)
		if err != nil {
			t.Fatal(err)
		}
		firstFlight(t, l.Addr())
		c := <-server
		wait(t, "it is gone", c.Done())
		if len(closed) != 1 {
			t.Fatalf("OnClose was called %d times", len(closed))
		}
		if err := <-closed; err == nil || err != c.Err() {
			t.Errorf("OnClose got %v, not %v", err, c.Err())
		}
		if n := l.Transport().Stats().Panics; n != uint64(i) {
			t.Errorf("%d panics were counted, not %d", n, i)
		}
		// At a client Dial tells it as well.
		cfg := ccfg.QUIC
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.MaxVersion = tls.VersionTLS12
		_, err = tr.Dial(testContext(t), l.Addr(), "localhost", &cfg, &app{closed: func(_ *quic.Conn, err error) { closed <- err }})
		if err == nil || len(closed) != 1 || <-closed != err {
			t.Errorf("Dial: %v", err)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
}
