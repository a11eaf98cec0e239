package frittata

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

func TestMain(m *testing.M) { leak.Main(m) }

// testTime is how long a test waits for what has to happen.
const testTime = time.Minute

var testCert = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		DNSNames:    []string{"localhost", "example.org"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, priv)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv, Leaf: leaf}, pool
})

func serverConfig() *Config {
	cert, _ := testCert()
	return &Config{
		QUIC: quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}}},
	}
}

func clientConfig() *Config {
	_, pool := testCert()
	return &Config{
		QUIC: quic.Config{TLS: &tls.Config{RootCAs: pool, NextProtos: []string{"test"}, CurvePreferences: []tls.CurveID{tls.X25519}}},
	}
}

// testLogger logs to stderr if the tests are verbose.
func testLogger() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return nil
}

// app is an Application of functions, any of which may be nil.
type app struct {
	established func(c *quic.Conn, info HandshakeInfo) error
	reads       func(c *quic.Conn) error
	writes      func(c *quic.Conn) error
	closed      func(c *quic.Conn, err error)
}

func (a *app) OnEstablished(c *quic.Conn, info HandshakeInfo) error {
	if a.established == nil {
		return nil
	}
	return a.established(c, info)
}

func (a *app) ProcessReads(c *quic.Conn) error {
	if a.reads == nil {
		return nil
	}
	return a.reads(c)
}

func (a *app) ProcessWrites(c *quic.Conn) error {
	if a.writes == nil {
		return nil
	}
	return a.writes(c)
}

func (a *app) OnClose(c *quic.Conn, err error) {
	if a.closed != nil {
		a.closed(c, err)
	}
}

// echo sends back what comes on each bidirectional stream.
type echo struct {
	app
	waiting map[quic.StreamID]*echoed
}

type echoed struct {
	b   *quic.Buffer
	fin bool
}

func newEcho() *echo { return &echo{waiting: make(map[quic.StreamID]*echoed)} }

func (e *echo) ProcessReads(c *quic.Conn) error {
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		if err := e.move(c, id); err != nil {
			return err
		}
	}
}

func (e *echo) ProcessWrites(c *quic.Conn) error {
	for {
		id, ok := c.NextWritable()
		if !ok {
			return nil
		}
		if err := e.move(c, id); err != nil {
			return err
		}
	}
}

func (e *echo) move(c *quic.Conn, id quic.StreamID) error {
	for {
		w := e.waiting[id]
		if w == nil {
			b, fin, err := c.StreamReadBuf(id, 64<<10)
			if err != nil {
				return err
			}
			if b == nil && !fin {
				return nil
			}
			w = &echoed{b, fin}
			if b == nil {
				w.b = &quic.Buffer{}
			}
		}
		ok, err := c.StreamWriteBuf(id, w.b, w.fin)
		if err != nil {
			return err
		}
		if !ok {
			e.waiting[id] = w
			return nil
		}
		delete(e.waiting, id)
		if w.fin {
			return nil
		}
	}
}

// serve accepts connections until the listener is closed.
func serve(t testing.TB, l *Listener, make func() Application) {
	t.Helper()
	go func() {
		for {
			in, err := l.Accept(context.Background())
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			if _, err := in.Start(make()); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, ErrTooManyHandshakes) {
				t.Error(err)
			}
		}
	}()
}

func listen(t testing.TB, cfg *Config) *Listener {
	t.Helper()
	leak.Check(t)
	if cfg.Logger == nil {
		cfg.Logger = testLogger()
	}
	l, err := Listen("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	t.Cleanup(cancel)
	return ctx
}

func dial(t testing.TB, l *Listener, cfg *Config, a Application) *Conn {
	t.Helper()
	c, err := Dial(testContext(t), l.Addr().String(), cfg, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Transport().Close() })
	return c
}

func wait(t testing.TB, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(testTime):
		buf := make([]byte, 1<<20)
		t.Fatalf("waited in vain until %s\n%s", what, buf[:runtime.Stack(buf, true)])
	}
}
