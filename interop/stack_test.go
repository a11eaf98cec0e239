package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// stack is an implementation of HTTP/3.
type stack struct {
	name string
	// need skips the test, or fails it, if the implementation is not there.
	need func(t *testing.T)
	// serve starts a server of the content below, for as long as the test
	// runs, and returns its address.
	serve func(t *testing.T, o serverOptions) string
	// client makes a client of a server.
	client func(t *testing.T, addr string) client
}

type serverOptions struct {
	retry bool // make each client prove its address
}

// client gets things from a server.
type client interface {
	// get fetches a path.
	get(t *testing.T, path string) body
	// post sends content and returns what the server answers.
	post(t *testing.T, path string, content []byte) []byte
	// many fetches a path n times, of which limit at a time, and returns how
	// often all of want came.
	many(t *testing.T, path string, n, limit int, want body) int
}

// body is what a message body was.
type body struct {
	n   int64
	sum [sha256.Size]byte
}

func (b body) String() string { return fmt.Sprintf("%d bytes, SHA-256 %x", b.n, b.sum[:4]) }

func bodyOf(p []byte) body { return body{int64(len(p)), sha256.Sum256(p)} }

// readBody reads to the end.
func readBody(r io.Reader) (body, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(onlyWriter{h}, r, make([]byte, 64<<10))
	b := body{n: n}
	h.Sum(b.sum[:0])
	return b, err
}

type onlyWriter struct{ hash.Hash }

func (w onlyWriter) Write(p []byte) (int, error) { return w.Hash.Write(p) }

const (
	smallSize = 1234
	largeSize = 100_000_000
)

// The names of what every server has.
const (
	smallPath = "/small.bin"
	largePath = "/large.bin"
	sumPath   = "/sum" // answers the SHA-256 of the request's body, in hex
)

var (
	large = sync.OnceValue(func() []byte {
		b := make([]byte, largeSize)
		mathrand.NewChaCha8([32]byte{1}).Read(b)
		return b
	})
	largeBody = sync.OnceValue(func() body { return bodyOf(large()) })
	smallBody = sync.OnceValue(func() body { return bodyOf(large()[:smallSize]) })
)

// handler serves the content.
func handler() http.Handler {
	mux := http.NewServeMux()
	send := func(p []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Length", strconv.Itoa(len(p)))
			w.Write(p)
		}
	}
	mux.HandleFunc("GET "+smallPath, send(large()[:smallSize]))
	mux.HandleFunc("GET "+largePath, send(large()))
	mux.HandleFunc("POST "+sumPath, func(w http.ResponseWriter, r *http.Request) {
		b, err := readBody(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		io.WriteString(w, hex.EncodeToString(b.sum[:]))
	})
	return mux
}

// files are the content and the certificate on the disk, for peers that are processes.
type files struct {
	htdocs    string
	key, cert string
}

var disk = sync.OnceValues(func() (f files, err error) {
	dir := filepath.Join(tempDir, "files")
	f = files{htdocs: filepath.Join(dir, "htdocs"), key: filepath.Join(dir, "key.pem"), cert: filepath.Join(dir, "cert.pem")}
	id, err := makeIdentity()
	return f, errors.Join(err,
		os.MkdirAll(f.htdocs, 0o755),
		os.WriteFile(filepath.Join(f.htdocs, smallPath), large()[:smallSize], 0o644),
		os.WriteFile(filepath.Join(f.htdocs, largePath), large(), 0o644),
		os.WriteFile(f.key, id.keyPEM, 0o600),
		os.WriteFile(f.cert, id.certPEM, 0o644))
})

// tempDir is there as long as the tests run.
var tempDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "frittata-interop-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		tempDir = dir
		return m.Run()
	}())
}

// identity is the certificate of all servers.
type identity struct {
	certPEM, keyPEM []byte
	server          *tls.Config
	client          *tls.Config
}

const serverName = "localhost"

var makeIdentity = sync.OnceValues(func() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: serverName},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:              []string{serverName},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	id := &identity{
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
	cert, err := tls.X509KeyPair(id.certPEM, id.keyPEM)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(id.certPEM)
	id.server = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13}
	id.client = &tls.Config{RootCAs: pool, ServerName: serverName, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13}
	return id, nil
})

func getIdentity(t *testing.T) *identity {
	t.Helper()
	id, err := makeIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// roundTripClient is the client of stacks that are an http.RoundTripper.
type roundTripClient struct {
	rt   http.RoundTripper
	addr string
}

func (c *roundTripClient) fetch(ctx context.Context, path string) (body, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.addr+path, nil)
	if err != nil {
		return body{}, err
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return body{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return body{}, fmt.Errorf("status %s", resp.Status)
	}
	return readBody(resp.Body)
}

func (c *roundTripClient) get(t *testing.T, path string) body {
	t.Helper()
	b, err := c.fetch(t.Context(), path)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return b
}

func (c *roundTripClient) post(t *testing.T, path string, content []byte) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+c.addr+path, strings.NewReader(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: status %s: %s", path, resp.Status, answer)
	}
	return answer
}

func (c *roundTripClient) many(t *testing.T, path string, n, limit int, want body) int {
	t.Helper()
	c.get(t, path) // so that there is a connection for all
	next := make(chan struct{}, n)
	for range n {
		next <- struct{}{}
	}
	close(next)
	var mu sync.Mutex
	var good int
	var wg sync.WaitGroup
	for range limit {
		wg.Go(func() {
			for range next {
				got, err := c.fetch(t.Context(), path)
				if err == nil && got != want {
					err = fmt.Errorf("got %v, want %v", got, want)
				}
				mu.Lock()
				if err == nil {
					good++
				} else if !t.Failed() {
					t.Errorf("GET %s: %v", path, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return good
}
