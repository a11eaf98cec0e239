package frittata

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// faultyKey is a private key that only its Sign makes use of.
type faultyKey struct {
	crypto.Signer
	sign func() ([]byte, error)
}

func (k *faultyKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return k.sign() }

// faultyMessageKey is one for whole messages.
type faultyMessageKey struct{ faultyKey }

func (k *faultyMessageKey) SignMessage(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return k.sign()
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// cacheFuncs is a session cache of functions.
type cacheFuncs struct {
	get func() (*tls.ClientSessionState, bool)
	put func()
}

func (c *cacheFuncs) Get(string) (*tls.ClientSessionState, bool) { return c.get() }
func (c *cacheFuncs) Put(string, *tls.ClientSessionState)        { c.put() }

// withKey returns a configuration's certificate with another private key.
func withKey(cfg *tls.Config, key func(crypto.Signer) crypto.Signer) *tls.Certificate {
	cert := cfg.Certificates[0]
	cert.PrivateKey = key(cert.PrivateKey.(crypto.Signer))
	return &cert
}

// tlsFault is a place of a tls.Config where code of the user's runs.
type tlsFault struct {
	name   string
	client bool
	set    func(c *tls.Config, fault func())
	mutual bool // the server asks for a certificate
	goesOn bool // the handshake does not need it
	hides  bool // crypto/tls does not wrap its error
	silent bool // nor tell its text
}

// errOops is what the user's code panics with.
var errOops = errors.New("oops")

// tells tells whether err is what the handshake is to fail with.
func (f *tlsFault) tells(err error, errs ...error) bool {
	if f.silent {
		return err != nil
	}
	for _, want := range errs {
		if f.hides && (err == nil || !strings.Contains(err.Error(), want.Error())) || !f.hides && !errors.Is(err, want) {
			return false
		}
	}
	return true
}

var tlsFaults = []tlsFault{
	{name: "GetCertificate", set: func(c *tls.Config, fault func()) {
		c.Certificates = nil
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { fault(); return nil, nil }
	}},
	{name: "GetConfigForClient", set: func(c *tls.Config, fault func()) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { fault(); return nil, nil }
	}},
	{name: "GetCertificate of GetConfigForClient", set: func(c *tls.Config, fault func()) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { fault(); return nil, nil }}, nil
		}
	}},
	{name: "key of GetConfigForClient", hides: true, set: func(c *tls.Config, fault func()) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cert := withKey(c, func(k crypto.Signer) crypto.Signer {
				return &faultyKey{k, func() ([]byte, error) { fault(); return nil, nil }}
			})
			return &tls.Config{Certificates: []tls.Certificate{*cert}}, nil
		}
	}},
	{name: "key", hides: true, set: func(c *tls.Config, fault func()) {
		c.Certificates = []tls.Certificate{*withKey(c, func(k crypto.Signer) crypto.Signer {
			return &faultyKey{k, func() ([]byte, error) { fault(); return nil, nil }}
		})}
	}},
	{name: "message key of GetCertificate", hides: true, set: func(c *tls.Config, fault func()) {
		cert := withKey(c, func(k crypto.Signer) crypto.Signer {
			return &faultyMessageKey{faultyKey{k, func() ([]byte, error) { fault(); return nil, nil }}}
		})
		c.Certificates = nil
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
	}},
	{name: "VerifyConnection of a server", mutual: true, set: func(c *tls.Config, fault func()) {
		c.VerifyConnection = func(tls.ConnectionState) error { fault(); return nil }
	}},
	{name: "VerifyPeerCertificate of a server", mutual: true, set: func(c *tls.Config, fault func()) {
		c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { fault(); return nil }
	}},
	{name: "KeyLogWriter", set: func(c *tls.Config, fault func()) {
		c.KeyLogWriter = writerFunc(func(p []byte) (int, error) { fault(); return len(p), nil })
	}},
	{name: "WrapSession", goesOn: true, set: func(c *tls.Config, fault func()) {
		c.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { fault(); return nil, nil }
	}},
	{name: "GetClientCertificate", client: true, mutual: true, set: func(c *tls.Config, fault func()) {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { fault(); return nil, nil }
	}},
	{name: "VerifyConnection", client: true, set: func(c *tls.Config, fault func()) {
		c.VerifyConnection = func(tls.ConnectionState) error { fault(); return nil }
	}},
	{name: "VerifyPeerCertificate", client: true, set: func(c *tls.Config, fault func()) {
		c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { fault(); return nil }
	}},
	{name: "Time", client: true, silent: true, set: func(c *tls.Config, fault func()) {
		c.Time = func() time.Time { fault(); return time.Now() }
	}},
	{name: "Rand", client: true, hides: true, set: func(c *tls.Config, fault func()) {
		c.Rand = readerFunc(func(p []byte) (int, error) { fault(); return len(p), nil })
	}},
	{name: "ClientSessionCache.Get", client: true, goesOn: true, set: func(c *tls.Config, fault func()) {
		c.ClientSessionCache = &cacheFuncs{func() (*tls.ClientSessionState, bool) { fault(); return nil, false }, func() {}}
	}},
	{name: "ClientSessionCache.Put", client: true, goesOn: true, set: func(c *tls.Config, fault func()) {
		c.ClientSessionCache = &cacheFuncs{func() (*tls.ClientSessionState, bool) { return nil, false }, fault}
	}},
}

// A panic of what is the user's in a tls.Config, which is called by a goroutine of crypto/tls, fails
// the handshake, and nothing else. So does what ends the goroutine.
func TestPanicsInTLS(t *testing.T) {
	for _, test := range tlsFaults {
		t.Run(test.name, func(t *testing.T) { test.run(t, func() { panic(errOops) }, ErrPanic, errOops) })
		t.Run(test.name+" exits", func(t *testing.T) { test.run(t, runtime.Goexit, ErrGoexit) })
	}
}

// run has the place do what fails with errs.
func (test *tlsFault) run(t *testing.T, fault func(), errs ...error) {
	leak.Check(t)
	scfg, ccfg := serverConfig(), clientConfig()
	cert, pool := testCert()
	ccfg.QUIC.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1) // without one, it gets no ticket
	if test.mutual {
		scfg.QUIC.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		scfg.QUIC.TLS.ClientCAs = pool
		ccfg.QUIC.TLS.Certificates = []tls.Certificate{cert}
	}
	cfg := scfg
	if test.client {
		cfg = ccfg
	}
	panicked := make(chan struct{}, 100)
	test.set(cfg.QUIC.TLS, func() {
		panicked <- struct{}{}
		fault()
	})
	l := listen(t, scfg)
	closed := make(chan error, 1)
	server := one(t, l, &app{closed: func(_ *quic.Conn, err error) { closed <- err }})
	tr, err := Open("udp", "127.0.0.1:0", ccfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	c, err := tr.Dial(ctx, l.Addr(), "localhost", nil, &app{})
	faulty := tr
	if !test.client {
		faulty = l.Transport()
	}
	wait(t, "it panicked", panicked)
	if test.goesOn {
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		wait(t, "the connection has closed", c.Closed())
	} else if err == nil {
		// A client is through with its handshake before the server is.
		wait(t, "the server told the client", c.Closed())
		err = c.Err()
	}
	if cancel(); !test.goesOn && test.client {
		if !test.tells(err, errs...) {
			t.Errorf("Dial failed with %v", err)
		}
	} else if !test.goesOn {
		te, ok := errors.AsType[*quic.TransportError](err)
		if serr := <-closed; !test.tells(serr, errs...) || !ok || !te.Remote {
			t.Errorf("the server's error is %v, the client's %v", serr, err)
		}
	}
	select {
	case s := <-server: // there may be none
		_ = s.Close()
		wait(t, "the server's connection has closed", s.Closed())
	default:
	}
	until(t, "it is counted", func() bool { return faulty.Stats().Panics > 0 })
	allSlotsFree(t)
}

// allSlotsFree waits until no handshake is computed: as many slots are free as there are.
func allSlotsFree(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(testTime); ; time.Sleep(time.Millisecond) {
		handshakeSlots.mu.Lock()
		free := handshakeSlots.free
		handshakeSlots.mu.Unlock()
		if free == runtime.GOMAXPROCS(0) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d slots are free", free)
		}
	}
}

// What crypto/tls calls in cases that are rare.
func TestPanicsInRareTLSCallbacks(t *testing.T) {
	leak.Check(t)
	tr, err := Open("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	c := &tls.Config{
		GetEncryptedClientHelloKeys:         func(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) { panic(1) },
		EncryptedClientHelloRejectionVerify: func(tls.ConnectionState) error { panic(2) },
		UnwrapSession:                       func([]byte, tls.ConnectionState) (*tls.SessionState, error) { panic(3) },
	}
	tr.guardTLS(c)
	enterHandshake()
	_, err1 := c.GetEncryptedClientHelloKeys(nil)
	err2 := c.EncryptedClientHelloRejectionVerify(tls.ConnectionState{})
	_, err3 := c.UnwrapSession(nil, tls.ConnectionState{})
	leaveHandshake()
	for i, err := range []error{err1, err2, err3} {
		if !errors.Is(err, ErrPanic) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if n := tr.Stats().Panics; n != 3 {
		t.Errorf("%d panics were counted", n)
	}
	allSlotsFree(t)
}

// What waits in a tls.Config holds no slot of those that compute handshakes.
func TestBlockedKey(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	release, waits := make(chan struct{}), make(chan struct{}, 100)
	slow := withKey(cfg.QUIC.TLS, func(k crypto.Signer) crypto.Signer {
		return &faultyKey{k, func() ([]byte, error) {
			waits <- struct{}{}
			<-release
			return nil, errors.New("no service")
		}}
	})
	cfg.QUIC.TLS.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h.ServerName == "example.org" {
			return slow, nil
		}
		return nil, nil
	}
	l := listen(t, cfg)
	serve(t, l, func() Application { return &app{} })
	tr, err := Open("udp", "127.0.0.1:0", clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	n := 2*runtime.GOMAXPROCS(0) + 1
	failed := make(chan error, n)
	for range n {
		go func() {
			_, err := tr.Dial(testContext(t), l.Addr(), "example.org", nil, &app{})
			failed <- err
		}()
	}
	for range n {
		wait(t, "all wait for their signatures", waits)
	}
	if _, err := tr.Dial(testContext(t), l.Addr(), "localhost", nil, &app{}); err != nil {
		t.Error(err)
	}
	close(release)
	for range n {
		if err := <-failed; err == nil {
			t.Error("no error without a signature")
		}
	}
}

// So it is with what seals tickets.
func TestBlockedWrapSession(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	release, waits := make(chan struct{}), make(chan struct{}, 100)
	cfg.QUIC.TLS.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) {
		waits <- struct{}{}
		<-release
		return nil, errors.New("no service")
	}
	l := listen(t, cfg)
	serve(t, l, func() Application { return newEcho() })
	var clients []*upload
	n := 2*runtime.GOMAXPROCS(0) + 1
	for range n {
		ccfg := clientConfig()
		ccfg.QUIC.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		u := newUpload(1, 10_000)
		clients = append(clients, u)
		dial(t, l, ccfg, u)
	}
	for range n {
		wait(t, "all wait for their tickets", waits)
	}
	echoes(t, l) // without a ticket
	close(release)
	for _, u := range clients {
		wait(t, "all came back", u.done)
	}
	allSlotsFree(t)
}

// blockedPut is a client whose session cache blocks in Put, which it tells, until release is closed.
func blockedPut() (cfg *Config, waits, release chan struct{}) {
	cfg = clientConfig()
	waits, release = make(chan struct{}, 100), make(chan struct{})
	cfg.QUIC.TLS.ClientSessionCache = &cacheFuncs{func() (*tls.ClientSessionState, bool) { return nil, false }, func() {
		waits <- struct{}{}
		<-release
	}}
	return cfg, waits, release
}

// A session cache that blocks in Put holds up neither its connection nor others.
func TestBlockedPut(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	cfg, waits, release := blockedPut()
	tr, err := Open("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	defer close(release)
	for range 3 {
		u := newUpload(1, 100_000)
		if _, err := tr.Dial(testContext(t), l.Addr(), "localhost", nil, u); err != nil {
			t.Fatal(err)
		}
		wait(t, "it blocks", waits)
		wait(t, "all came back", u.done)
	}
}

// Nor does Close wait for it for ever.
func TestCloseWhilePutBlocks(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	cfg, waits, release := blockedPut()
	defer close(release)
	tr, err := Open("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Dial(testContext(t), l.Addr(), "localhost", nil, &app{}); err != nil {
		t.Fatal(err)
	}
	wait(t, "it blocks", waits)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}()
	wait(t, "Close returns", closed)
}

func TestPanicInConfigForClient(t *testing.T) {
	t.Run("panic", func(t *testing.T) {
		faultInConfigForClient(t, ErrPanic, func(quic.ClientInfo) (*quic.Config, error) { panic("oops") })
	})
	t.Run("exit", func(t *testing.T) {
		faultInConfigForClient(t, ErrGoexit, func(quic.ClientInfo) (*quic.Config, error) { runtime.Goexit(); return nil, nil })
	})
}

func faultInConfigForClient(t *testing.T, want error, f func(quic.ClientInfo) (*quic.Config, error)) {
	leak.Check(t)
	cfg := serverConfig()
	cfg.QUIC.ConfigForClient = f
	l := listen(t, cfg)
	closed := make(chan error, 1)
	one(t, l, &app{closed: func(_ *quic.Conn, err error) { closed <- err }})
	_, err := Dial(testContext(t), l.Addr().String(), clientConfig(), &app{})
	te, ok := errors.AsType[*quic.TransportError](err)
	if serr := <-closed; !errors.Is(serr, want) || !ok || !te.Remote || te.Code != quic.InternalError {
		t.Errorf("the server's error is %v, the client's %v", serr, err)
	}
	if n := l.Transport().Stats().Panics; n != 1 {
		t.Errorf("%d panics were counted", n)
	}
	allSlotsFree(t)
}

// panicky is a Metrics and a slog.Handler of which all methods panic.
type panicky struct{}

func (panicky) TransportOpened(*Transport)                { panic("opened") }
func (panicky) TransportClosed(*Transport)                { panic("closed") }
func (panicky) ConnEstablished(*HandshakeInfo)            { panic("established") }
func (panicky) ConnClosed(*ConnRecord)                    { panic("conn closed") }
func (panicky) FirstFlight(netip.AddrPort, FlightOutcome) { panic("first flight") }
func (panicky) Enabled(context.Context, slog.Level) bool  { panic("enabled") }
func (panicky) Handle(context.Context, slog.Record) error { panic("handle") }
func (p panicky) WithAttrs([]slog.Attr) slog.Handler      { return p }
func (p panicky) WithGroup(string) slog.Handler           { return p }

// enabled is a slog.Handler that panics late.
type enabled struct{ panicky }

func (enabled) Enabled(context.Context, slog.Level) bool { return true }

// Metrics and a Logger that panic harm no connection.
func TestPanicsInMetricsAndLogger(t *testing.T) {
	for name, h := range map[string]slog.Handler{"Enabled": panicky{}, "Handle": enabled{}} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			scfg, ccfg := serverConfig(), clientConfig()
			for _, cfg := range []*Config{scfg, ccfg} {
				cfg.Metrics, cfg.Logger = panicky{}, slog.New(h)
			}
			l := listen(t, scfg)
			serve(t, l, func() Application { return newEcho() })
			u := newUpload(2, 100_000)
			c := dial(t, l, ccfg, u)
			wait(t, "all came back", u.done)
			if u.err != nil {
				t.Error(u.err)
			}
			_ = c.Close()
			wait(t, "the connection has closed", c.Closed())
			for _, tr := range []*Transport{c.Transport(), l.Transport()} {
				if err := tr.Close(); err != nil {
					t.Error(err)
				}
				// All methods of Metrics but FirstFlight at a client, and some lines of the log.
				if n := tr.Stats().Panics; n < 5 {
					t.Errorf("%d panics were counted", n)
				}
			}
		})
	}
}
