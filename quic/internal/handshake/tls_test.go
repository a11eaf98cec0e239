package handshake

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
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
