package handshake

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	localIP    = netip.MustParseAddr("192.0.2.1")
	remoteAddr = netip.MustParseAddrPort("192.0.2.7:4433")
)

// An authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
	pool *x509.CertPool
}

var testCA = sync.OnceValue(func() *authority {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	if err != nil {
		panic(err)
	}
	ca := &authority{key: key, pool: x509.NewCertPool()}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	ca.pool.AddCert(ca.cert)
	return ca
})

func (ca *authority) issue(names []string, ips ...string) tls.Certificate {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, ip := range ips {
		tmpl.IPAddresses = append(tmpl.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, pub, ca.key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var leaf = sync.OnceValue(func() tls.Certificate {
	return testCA().issue([]string{"example.org"}, remoteAddr.Addr().String(), "2001:db8::7")
})

func serverConfig1(testing.TB) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{leaf()}, NextProtos: []string{"h3"}}
}

func clientConfig1(testing.TB) *tls.Config {
	return &tls.Config{RootCAs: testCA().pool, ServerName: "example.org", NextProtos: []string{"h3"}}
}

func newTLSPair(t testing.TB, server, client *tls.Config) (c, s *end) {
	t.Helper()
	return newTLSPairTo(t, server, client, "", remoteAddr)
}

func newTLSPairTo(t testing.TB, server, client *tls.Config, name string, remote netip.AddrPort) (c, s *end) {
	t.Helper()
	ch, err := NewTLS(client, true, name, localIP, remote)
	if err != nil {
		t.Fatal(err)
	}
	sh, err := NewTLS(server, false, "", remote.Addr(), netip.AddrPortFrom(localIP, 5555))
	if err != nil {
		t.Fatal(err)
	}
	ch.SetParams([]byte("client params"))
	sh.SetParams([]byte("server params"))
	t.Cleanup(ch.Close)
	t.Cleanup(sh.Close)
	return &end{h: ch, name: "client"}, &end{h: sh, name: "server"}
}

func TestTLS(t *testing.T) {
	for _, piece := range []int{1, 1000, 1 << 20} {
		c, s := newTLSPair(t, serverConfig1(t), clientConfig1(t))
		if err := pump(c, s, piece); err != nil {
			t.Fatal(err)
		}
		checkDone(t, c, s)
		if name := s.h.State().ServerName; name != "example.org" {
			t.Errorf("server name %q", name)
		}
		c.h.Close()
		s.h.Close()
		if !c.h.State().HandshakeComplete || len(c.h.State().PeerCertificates) != 1 {
			t.Error("the state is lost with Close")
		}
	}
}

// TestHelloRetryRequest: the server does not like the key share that it is sent.
func TestHelloRetryRequest(t *testing.T) {
	server, client := serverConfig1(t), clientConfig1(t)
	server.CurvePreferences = []tls.CurveID{tls.CurveP256}
	client.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	for _, piece := range []int{7, 1 << 20} {
		c, s := newTLSPair(t, server, client)
		if err := pump(c, s, piece); err != nil {
			t.Fatal(err)
		}
		checkDone(t, c, s)
		if !s.h.State().HelloRetryRequest {
			t.Error("there was no HelloRetryRequest")
		}
	}
}

func TestALPNMismatch(t *testing.T) {
	client := clientConfig1(t)
	client.NextProtos = []string{"doq"}
	c, s := newTLSPair(t, serverConfig1(t), client)
	_ = pump(c, s, 1<<20)
	wantAlert(t, s, alertNoApplicationProtocol)

	// crypto/tls makes an exception for this pair, and QUIC does not.
	server := serverConfig1(t)
	server.NextProtos, client.NextProtos = []string{"h2"}, []string{"http/1.1"}
	c, s = newTLSPair(t, server, client)
	_ = pump(c, s, 1<<20)
	if c.done || s.done {
		t.Error("the handshake is done without a protocol")
	}
}

func TestALPNRequired(t *testing.T) {
	server, client := serverConfig1(t), clientConfig1(t)
	server.NextProtos, client.NextProtos = nil, nil
	if _, err := NewTLS(server, false, "", localIP, remoteAddr); err != errNoALPN {
		t.Errorf("server without protocols: %v", err)
	}
	if _, err := NewTLS(client, true, "", localIP, remoteAddr); err != errNoALPN {
		t.Errorf("client without protocols: %v", err)
	}
	// A server whose callback brings none.
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	c, s := newTLSPair(t, server, clientConfig1(t))
	_ = pump(c, s, 1<<20)
	if c.done || s.done {
		t.Error("the handshake is done without a protocol")
	}
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return &tls.Config{}, nil }
	c, s = newTLSPair(t, server, clientConfig1(t))
	_ = pump(c, s, 1<<20)
	wantAlert(t, s, alertInternalError)
}

func TestVersionExcluded(t *testing.T) {
	server := serverConfig1(t)
	server.MaxVersion = tls.VersionTLS12
	if _, err := NewTLS(server, false, "", localIP, remoteAddr); err != errMaxVersion {
		t.Error(err)
	}
	ret := server
	server = serverConfig1(t)
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return ret, nil }
	c, s := newTLSPair(t, server, clientConfig1(t))
	if err := pump(c, s, 1<<20); !errors.Is(err, errMaxVersion) {
		t.Error(err)
	}
	if _, err := NewTLS(nil, true, "", localIP, remoteAddr); err == nil {
		t.Error("no config, no error")
	}
}

// TestServerName: what the certificate has to be for.
func TestServerName(t *testing.T) {
	const alertBadCertificate = 42
	v6 := netip.MustParseAddrPort("[2001:db8::7]:443")
	for _, test := range []struct {
		name         string
		config, arg  string
		insecure     bool
		remote       netip.AddrPort
		wantErr      bool
		wantSNI      string
		wantVerified bool
	}{
		{name: "config", config: "example.org", remote: remoteAddr, wantSNI: "example.org", wantVerified: true},
		{name: "argument", config: "other.org", arg: "example.org", remote: remoteAddr, wantSNI: "example.org", wantVerified: true},
		{name: "wrong name", arg: "other.org", remote: remoteAddr, wantErr: true},
		{name: "address", arg: "192.0.2.7", remote: v6, wantVerified: true},
		{name: "wrong address", arg: "192.0.2.8", remote: remoteAddr, wantErr: true},
		{name: "remote address", remote: remoteAddr, wantVerified: true},
		{name: "mapped remote address", remote: netip.MustParseAddrPort("[::ffff:192.0.2.7]:443"), wantVerified: true},
		{name: "remote v6 address", remote: v6, wantVerified: true},
		{name: "remote v6 address with a zone", remote: netip.MustParseAddrPort("[2001:db8::7%eth0]:443"), wantVerified: true},
		{name: "wrong remote address", remote: netip.MustParseAddrPort("192.0.2.8:443"), wantErr: true},
		{name: "insecure", insecure: true, remote: netip.MustParseAddrPort("192.0.2.8:443")},
		{name: "insecure with a name", arg: "other.org", insecure: true, remote: remoteAddr, wantSNI: "other.org"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := clientConfig1(t)
			client.ServerName = test.config
			client.InsecureSkipVerify = test.insecure
			c, s := newTLSPairTo(t, serverConfig1(t), client, test.arg, test.remote)
			err := pump(c, s, 1<<20)
			if client.ServerName != test.config {
				t.Error("the user's config was changed")
			}
			if test.wantErr {
				wantAlert(t, c, alertBadCertificate)
				var host x509.HostnameError
				if !errors.As(err, &host) {
					t.Errorf("cause is %v", err)
				}
				// What came before the bad certificate is here.
				if string(c.params) != "server params" {
					t.Error("events that preceded the error are lost")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkDone(t, c, s)
			if got := s.h.State().ServerName; got != test.wantSNI {
				t.Errorf("server was told %q, want %q", got, test.wantSNI)
			}
			if got := len(c.h.State().VerifiedChains) > 0; got != test.wantVerified {
				t.Errorf("verified: %v, want %v", got, test.wantVerified)
			}
		})
	}
	client := clientConfig1(t)
	client.ServerName = ""
	if _, err := NewTLS(client, true, "", localIP, netip.AddrPort{}); err == nil {
		t.Error("nothing to verify against, and no error")
	}
}

func TestUnknownAuthority(t *testing.T) {
	client := clientConfig1(t)
	client.RootCAs = x509.NewCertPool()
	c, s := newTLSPair(t, serverConfig1(t), client)
	_ = pump(c, s, 1<<20)
	var a *AlertError
	if !errors.As(c.err, &a) || s.done {
		t.Fatalf("%v; server done: %v", c.err, s.done)
	}
	if ce := new(tls.CertificateVerificationError); !errors.As(c.err, &ce) {
		t.Errorf("cause is %v", c.err)
	}
}

func TestClientCertificate(t *testing.T) {
	server, client := serverConfig1(t), clientConfig1(t)
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, testCA().pool
	c, s := newTLSPair(t, server, client)
	_ = pump(c, s, 1<<20)
	const alertCertificateRequired = 116
	wantAlert(t, s, alertCertificateRequired)

	client.Certificates = []tls.Certificate{leaf()}
	c, s = newTLSPair(t, server, client)
	if err := pump(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	checkDone(t, c, s)
	if len(s.h.State().VerifiedChains) == 0 {
		t.Error("no verified chain of the client")
	}
}

func TestKeyLog(t *testing.T) {
	var log bytes.Buffer
	server := serverConfig1(t)
	server.KeyLogWriter = &log
	c, s := newTLSPair(t, server, clientConfig1(t))
	if err := pump(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} {
		if !strings.Contains(log.String(), label+" ") {
			t.Errorf("%s is missing", label)
		}
	}
}

// TestWrongMessages: CRYPTO data that a peer must not send.
func TestWrongMessages(t *testing.T) {
	started := func() *end {
		_, s := newTLSPair(t, serverConfig1(t), clientConfig1(t))
		if err := s.h.Start(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := started()
	s.err = s.h.HandleCrypto(LevelHandshake, []byte{1})
	wantAlert(t, s, alertUnexpectedMessage)
	if !errors.Is(s.err, ErrProtocolViolation) {
		t.Errorf("%v is not ErrProtocolViolation", s.err)
	}
	s = started()
	s.err = s.h.HandleCrypto(LevelInitial, []byte{20, 0, 0, 4, 1, 2, 3, 4})
	wantAlert(t, s, alertUnexpectedMessage)
	s = started()
	s.err = s.h.HandleCrypto(LevelInitial, []byte{1, 0, 0, 4, 1, 2, 3, 4})
	var a *AlertError
	if !errors.As(s.err, &a) {
		t.Errorf("malformed ClientHello: %v", s.err)
	}
	s = started()
	s.err = s.h.HandleCrypto(LevelInitial, []byte{1, 0xff, 0xff, 0xff})
	if !errors.As(s.err, &a) {
		t.Errorf("huge ClientHello: %v", s.err)
	}

	done := func() (c, s *end) {
		c, s = newTLSPair(t, serverConfig1(t), clientConfig1(t))
		if err := pump(c, s, 1<<20); err != nil {
			t.Fatal(err)
		}
		return c, s
	}
	// A TLS KeyUpdate (RFC 9001, Section 6).
	c, s := done()
	for _, e := range []*end{c, s} {
		e.err = e.h.HandleCrypto(LevelApp, []byte{24, 0, 0, 1, 0})
		wantAlert(t, e, alertUnexpectedMessage)
	}
	// A CertificateRequest (Section 4.4).
	c, _ = done()
	c.err = c.h.HandleCrypto(LevelApp, []byte{13, 0, 0, 1, 0})
	wantAlert(t, c, alertUnexpectedMessage)
	if !errors.Is(c.err, ErrProtocolViolation) {
		t.Errorf("%v is not ErrProtocolViolation", c.err)
	}
	// Data at a level that has ended (Section 4.1.3).
	c, _ = done()
	c.err = c.h.HandleCrypto(LevelHandshake, []byte{8})
	wantAlert(t, c, alertUnexpectedMessage)
	// More than the ClientHello at LevelInitial.
	c, s = newTLSPair(t, serverConfig1(t), clientConfig1(t))
	if c.h.Start() != nil || s.h.Start() != nil {
		t.Fatal("not started")
	}
	c.drain()
	s.err = s.h.HandleCrypto(LevelInitial, append(c.out[0].data, 1))
	s.drain()
	wantAlert(t, s, alertUnexpectedMessage)
	if s.sent[LevelInitial] == 0 || s.write[LevelHandshake] == nil {
		t.Error("events that preceded the error are lost")
	}
}

func TestTLSMisuse(t *testing.T) {
	h, err := NewTLS(clientConfig1(t), true, "", localIP, remoteAddr)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.HandleCrypto(LevelInitial, []byte{1}); err == nil {
		t.Error("data before Start")
	}
	if err := h.Start(); err != errParams {
		t.Errorf("no parameters: %v", err)
	}
	h.SetParams(nil)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != errStarted {
		t.Errorf("second Start: %v", err)
	}
	if h.SendTicket() == nil {
		t.Error("ticket of a client")
	}
	h.Close()
	h.Close()
	h.SetParams(nil)
	for _, err := range []error{h.Start(), h.HandleCrypto(LevelInitial, []byte{1}), h.SendTicket()} {
		if err != errClosed {
			t.Errorf("after Close: %v", err)
		}
	}
	if h.State().HandshakeComplete {
		t.Error("complete")
	}

	_, s := newTLSPair(t, serverConfig1(t), clientConfig1(t))
	if err := s.h.Start(); err != nil {
		t.Fatal(err)
	}
	if s.h.SendTicket() == nil {
		t.Error("ticket before the handshake")
	}
}

// TestGoroutines: each started handshake has a goroutine, and none survives Close.
func TestGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	var all []Handshaker
	for i := range 30 {
		c, s := newTLSPair(t, serverConfig1(t), clientConfig1(t))
		all = append(all, c.h, s.h)
		if c.h.Start() != nil || s.h.Start() != nil {
			t.Fatal("not started")
		}
		c.drain()
		switch i % 3 {
		case 1: // in the middle
			if err := s.h.HandleCrypto(LevelInitial, c.out[0].data); err != nil {
				t.Fatal(err)
			}
		case 2: // failed
			if err := s.h.HandleCrypto(LevelInitial, []byte{9, 9, 9, 9, 9}); err == nil {
				t.Fatal("no error")
			}
		}
	}
	if n := runtime.NumGoroutine(); n < before+40 {
		t.Errorf("%d goroutines with 50 unfinished handshakes, %d before", n, before)
	}
	for _, h := range all {
		h.Close()
	}
	// A goroutine ends a moment after it signals its end. The time is only so that the test ends if one does not.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func BenchmarkHandshake(b *testing.B) {
	server, client := ServerTLSConfig(serverConfig1(b)), ClientTLSConfig(clientConfig1(b))
	bench := func(b *testing.B, pair func() (c, s *end)) {
		b.ReportAllocs()
		for b.Loop() {
			c, s := pair()
			if err := pump(c, s, 1200); err != nil {
				b.Fatal(err)
			}
			c.h.Close()
			s.h.Close()
		}
	}
	b.Run("TLS", func(b *testing.B) { bench(b, func() (c, s *end) { return newTLSPair(b, server, client) }) })
	b.Run("Fake", func(b *testing.B) {
		bench(b, func() (c, s *end) { return fakeEnds([]string{"h3"}, []string{"h3"}) })
	})
}
