package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/http3"
)

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestServe(t *testing.T) {
	cert, pool := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	type addrs struct{ quic, metrics net.Addr }
	ready, ended := make(chan addrs, 1), make(chan error, 1)
	go func() {
		ended <- serve(ctx, "127.0.0.1:0", cert, l, func(q, m net.Addr) { ready <- addrs{q, m} })
	}()
	var at addrs
	select {
	case at = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}

	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	if got := get(t, tr, "https://"+at.quic.String()+"/"); !strings.HasPrefix(got, "Hello, 127.0.0.1:") {
		t.Errorf("the greeting is %q", got)
	}
	got := get(t, http.DefaultTransport, "http://"+at.metrics.String()+"/metrics")
	for _, line := range []string{
		`frittata_transports 1`,
		`frittata_connections{state="open"} 1`,
		`frittata_connections_begun_total{role="server"} 1`,
		`frittata_handshake_duration_seconds_count{role="server"} 1`,
		`frittata_first_flights_by_network_total{network="127.0.0.0/20",outcome="queued"} 1`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no line %s in\n%s", line, got)
		}
	}
	if !strings.Contains(got, "go_sched_latencies_seconds_bucket") {
		t.Error("nothing of the scheduler")
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, rt http.RoundTripper, url string) string {
	t.Helper()
	resp, err := (&http.Client{Transport: rt, Timeout: time.Minute}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	return string(b)
}
