package quic

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"
)

// Alerts of RFC 8446, Section 6.
const (
	alertBadCertificate        = 42
	alertUnknownCA             = 48
	alertCertificateRequired   = 116
	alertNoApplicationProtocol = 120
)

// fails runs a handshake that fails: one end closes with the alert, the other is told.
func (p *pair) fails(alert uint8, serverCloses bool) {
	p.t.Helper()
	p.until("failure", 20*time.Second, func() bool {
		return p.client.Err() != nil && p.server != nil && p.server.Err() != nil
	})
	closer, other := p.client, p.server
	if serverCloses {
		closer, other = p.server, p.client
	}
	for _, c := range []*Conn{closer, other} {
		te, ok := c.Err().(*TransportError)
		if !ok {
			p.t.Fatalf("%v", c.Err())
		}
		if got, ok := te.Code.Alert(); !ok || got != alert || te.Remote != (c == other) {
			p.t.Errorf("%v (remote %v), want alert %d", te, te.Remote, alert)
		}
	}
	p.until("the end", time.Minute, func() bool { return p.client.IO().Gone() && p.server.IO().Gone() })
}

func TestTLSFailures(t *testing.T) {
	server, client := testTLS(t)
	other, _ := testTLS(t)
	edit := func(c *tls.Config, f func(*tls.Config)) *tls.Config {
		c = c.Clone()
		f(c)
		return c
	}
	for _, test := range []struct {
		name         string
		server       *tls.Config
		client       *tls.Config
		alert        uint8
		serverCloses bool
	}{
		{"ALPN", server, edit(client, func(c *tls.Config) { c.NextProtos = []string{"dummy"} }), alertNoApplicationProtocol, true},
		{"unknown CA", other, client, alertBadCertificate, false},
		{"client certificate required", edit(server, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }), client, alertCertificateRequired, true},
		{"client certificate refused", edit(server, func(c *tls.Config) {
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		}), edit(client, func(c *tls.Config) { c.Certificates = other.Certificates }), alertUnknownCA, true},
		{"no configuration for the name", edit(server, func(c *tls.Config) {
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no such name") }
		}), client, alertInternalError, true},
		{"verification by the application", server, edit(client, func(c *tls.Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { return errors.New("not this one") }
		}), alertBadCertificate, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPair(t, &Config{TLS: test.client}, &Config{TLS: test.server})
			p.fails(test.alert, test.serverCloses)
		})
	}
}

// TestTLSReasonStaysInside: what a callback says is not for the peer.
func TestTLSReasonStaysInside(t *testing.T) {
	server, client := testTLS(t)
	secret := errors.New("secret of the database")
	server = server.Clone()
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, secret }
	p := newPair(t, &Config{TLS: client}, &Config{TLS: server})
	p.fails(alertInternalError, true)
	if !errors.Is(p.server.Err(), secret) {
		t.Errorf("the cause is lost: %v", p.server.Err())
	}
	if te := p.client.Err().(*TransportError); te.Reason != "" {
		t.Errorf("the client was told %q", te.Reason)
	}
}

// largeTLS is a server's configuration with a certificate of more than size bytes.
func largeTLS(t testing.TB, size int) (server, client *tls.Config) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"example.org"}
	for n := 0; n < size; n += 60 {
		names = append(names, string(bytes.Repeat([]byte{'a' + byte(n%26)}, 55))+".org")
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "large"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return ServerTLS(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: priv}}, NextProtos: []string{"test"}}),
		ClientTLS(&tls.Config{RootCAs: pool, NextProtos: []string{"test"}})
}

// TestLargeCertificate: the server's flight is more than it may send before the
// client's address is validated, with and without loss of what would let it go on.
func TestLargeCertificate(t *testing.T) {
	server, client := largeTLS(t, 15_000)
	for name, drop := range map[string]func(toServer bool, n int, b []byte) bool{
		"no loss":                        nil,
		"client's packets 3 to 8 lost":   func(toServer bool, n int, b []byte) bool { return toServer && n >= 3 && n < 9 },
		"server's first packet lost":     func(toServer bool, n int, b []byte) bool { return !toServer && n == 1 },
		"all but one of a flight lost":   func(toServer bool, n int, b []byte) bool { return !toServer && n < 6 && n != 3 },
		"every second one lost each way": func(toServer bool, n int, b []byte) bool { return n < 40 && n%2 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, &Config{TLS: client, HandshakeTimeout: time.Minute}, &Config{TLS: server, HandshakeTimeout: time.Minute})
			p.drop = func(toServer bool, n int, b []byte) bool {
				if c := p.server; c != nil && !c.paths.active.validated && c.paths.active.sent > 3*c.paths.active.received {
					t.Fatal("more than three times what came")
				}
				return drop != nil && drop(toServer, n, b)
			}
			p.connect()
			p.transfer(p.client, p.server, Bidi, 50_000, time.Minute)
		})
	}
}

// TestKeyLog has the secrets written for Wireshark.
func TestKeyLog(t *testing.T) {
	server, client := testTLS(t)
	var log [2]bytes.Buffer
	server, client = server.Clone(), client.Clone()
	client.KeyLogWriter, server.KeyLogWriter = &log[0], &log[1]
	p := newPair(t, &Config{TLS: client}, &Config{TLS: server})
	p.connect()
	for _, label := range []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} {
		if !bytes.Contains(log[0].Bytes(), []byte(label)) || !bytes.Contains(log[1].Bytes(), []byte(label)) {
			t.Errorf("no %s", label)
		}
	}
}

// TestResumption: the second handshake is an abbreviated one.
func TestResumption(t *testing.T) {
	server, client := testTLS(t)
	client = client.Clone()
	client.ClientSessionCache, client.SessionTicketsDisabled = tls.NewLRUClientSessionCache(4), false
	client = ClientTLS(client)
	for i := range 3 {
		p := newPair(t, &Config{TLS: client}, &Config{TLS: server})
		p.connect()
		p.transfer(p.server, p.client, Uni, 10_000, time.Second) // the ticket is there by then
		for _, c := range []*Conn{p.client, p.server} {
			if got := c.TLS().DidResume; got != (i > 0) {
				t.Errorf("connection %d (client %v): resumed %v", i, c.IsClient(), got)
			}
		}
	}
}

// TestNoTicket: a ticket that cannot be made is no reason to fail.
func TestNoTicket(t *testing.T) {
	server, client := testTLS(t)
	server = server.Clone()
	server.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return nil, errors.New("no keys") }
	p := newPair(t, &Config{TLS: client}, &Config{TLS: server})
	p.connect()
	p.transfer(p.server, p.client, Uni, 10_000, time.Second)
}

// TestTLSState is there during the handshake, after it, and after the end.
func TestTLSState(t *testing.T) {
	server, client := testTLS(t)
	p := newPair(t, &Config{TLS: client}, &Config{TLS: server})
	if p.client.TLS().HandshakeComplete {
		t.Error("complete before it began")
	}
	p.connect()
	p.client.Close(CloseError{})
	p.until("the end", time.Minute, func() bool { return p.client.IO().Gone() && p.server.IO().Gone() })
	for _, c := range []*Conn{p.client, p.server} {
		st := c.TLS()
		if !st.HandshakeComplete || st.NegotiatedProtocol != "test" || st.ServerName != "example.org" || st.Version != tls.VersionTLS13 {
			t.Errorf("client %v: %+v", c.IsClient(), st)
		}
	}
	if len(p.client.TLS().PeerCertificates) != 1 {
		t.Error("no certificate of the server")
	}
}
