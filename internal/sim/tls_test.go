package sim

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// tlsConfigs makes the configurations of a server and of a client that trusts it, in virtual time.
func tlsConfigs(t *testing.T, now func() time.Time) (server, client *quic.Config) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sim"}, DNSNames: []string{"sim.example"},
		NotBefore: epoch.Add(-time.Hour), NotAfter: epoch.Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		// As large as a chain of two.
		ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: make([]byte, 2500)}},
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
	server = &quic.Config{TLS: quic.ServerTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: priv}}, NextProtos: []string{"sim"}, Time: now,
	})}
	client = &quic.Config{TLS: quic.ClientTLS(&tls.Config{RootCAs: pool, NextProtos: []string{"sim"}, Time: now})}
	return server, client
}

// The same over crypto/tls, on a few links.
func TestTLS(t *testing.T) {
	for _, name := range []string{"clean", "loss 5%", "loss 20%", "burst loss", "reordering", "duplication", "corruption", "MTU 1200", "tiny queue", "all at once"} {
		t.Run(name, func(t *testing.T) {
			var l *link
			for i := range links {
				if links[i].name == name {
					l = &links[i]
				}
			}
			cryptotest.SetGlobalRandom(t, Seed(t.Name()))
			client, serve := Peer{Streams: 2, Size: mb / 2}, Peer{Streams: 2, Size: mb / 2, Dir: quic.Uni}
			var d *duo
			now := func() time.Time {
				if d == nil {
					return epoch
				}
				return d.Now()
			}
			sc, cc := tlsConfigs(t, now)
			d = newDuo(t, l, client, serve, func(c, s *HostConfig) { c.Config, s.Config = cc, sc })
			d.Until("transfer", l.limit, d.moved(&client, &serve))
			if p := d.conn.Q.TLS().NegotiatedProtocol; p != "sim" {
				t.Errorf("protocol %q", p)
			}
			if n := d.serverConn().Q.TLS().ServerName; n != "sim.example" {
				t.Errorf("server name %q", n)
			}
			d.finish()
		})
	}
}

func TestTLSUntrusted(t *testing.T) {
	cryptotest.SetGlobalRandom(t, Seed(t.Name()))
	sc, cc := tlsConfigs(t, func() time.Time { return epoch })
	cc.TLS = quic.ClientTLS(&tls.Config{RootCAs: x509.NewCertPool(), NextProtos: []string{"sim"}, Time: func() time.Time { return epoch }})
	d := newDuo(t, lossy(0.1), Peer{}, Peer{}, func(c, s *HostConfig) { c.Config, s.Config = cc, sc })
	d.Until("failure", 10*time.Second, d.conn.Closed)
	if d.conn.Connected() {
		t.Error("connected to a server that is not trusted")
	}
	d.Until("the server learns of it", 20*time.Second, d.serverConn().Closed)
}
