package http3

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// testCert is for localhost and the loopback addresses, and testRoots trusts it.
var testCert, testRoots = func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		DNSNames:    []string{"localhost", "example.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}()

// testServer is a Server on a loopback address and a Transport for it.
type testServer struct {
	t    testing.TB
	srv  *Server
	tr   *Transport
	url  string
	addr netip.AddrPort
	log  *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newTestServer(t testing.TB, h http.Handler, configure ...func(*testServer)) *testServer {
	t.Helper()
	leak.Check(t)
	ts := &testServer{t: t, log: &logBuffer{}}
	ts.srv = &Server{
		Addr:      "127.0.0.1:0",
		Handler:   h,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCert}},
		Logger:    slog.New(slog.NewTextHandler(ts.log, nil)),
	}
	ts.tr = &Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}
	for _, f := range configure {
		f(ts)
	}
	l, err := ts.srv.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ts.addr = l.Addr()
	ts.url = fmt.Sprintf("https://%v", ts.addr)
	served := make(chan error, 1)
	go func() { served <- ts.srv.Serve(l) }()
	t.Cleanup(func() {
		if err := ts.tr.Close(); err != nil {
			t.Errorf("Transport.Close: %v", err)
		}
		if err := ts.srv.Close(); err != nil {
			t.Errorf("Server.Close: %v", err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
	return ts
}

func (ts *testServer) client() *http.Client { return &http.Client{Transport: ts.tr} }

// request makes a request to path, which the test's context ends.
func (ts *testServer) request(method, path string, body io.Reader) *http.Request {
	ts.t.Helper()
	req, err := http.NewRequestWithContext(testContext(ts.t), method, ts.url+path, body)
	if err != nil {
		ts.t.Fatal(err)
	}
	return req
}

// do sends a request and reads the response.
func (ts *testServer) do(req *http.Request) (*http.Response, string) {
	ts.t.Helper()
	resp, err := ts.tr.RoundTrip(req)
	if err != nil {
		ts.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		ts.t.Fatalf("%s %s: reading the body: %v", req.Method, req.URL, err)
	}
	return resp, string(body)
}

func (ts *testServer) get(path string) (*http.Response, string) {
	ts.t.Helper()
	return ts.do(ts.request("GET", path, nil))
}

// testContext ends before the test's time does.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
