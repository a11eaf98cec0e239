package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/http3"
	"github.com/frittata-go/frittata/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	b   bytes.Buffer
	new chan struct{} // closed by the next Write
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.new != nil {
		close(b.new)
		b.new = nil
	}
	return b.b.Write(p)
}

// waitFor waits until text was written, and is false if done is closed first.
func (b *lockedBuffer) waitFor(text string, done <-chan struct{}) bool {
	for {
		b.mu.Lock()
		if strings.Contains(b.b.String(), text) {
			b.mu.Unlock()
			return true
		}
		if b.new == nil {
			b.new = make(chan struct{})
		}
		next := b.new
		b.mu.Unlock()
		select {
		case <-next:
		case <-done:
			return false
		}
	}
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// world is an env with what a test looks at.
type world struct {
	env
	out, err *lockedBuffer
	signal   chan os.Signal
}

func newWorld() *world {
	w := &world{out: &lockedBuffer{}, err: &lockedBuffer{}, signal: make(chan os.Signal, 2)}
	w.env = env{
		stdin: strings.NewReader(""), stdout: w.out, stderr: w.err,
		getenv:  func(string) string { return "" },
		signals: w.signal,
		forget:  func() {},
		self:    "frittata",
	}
	return w
}

// runArgs runs a command.
func runArgs(t *testing.T, args ...string) (code exitCode, stdout, stderr string) {
	t.Helper()
	w := newWorld()
	code = run(t.Context(), &w.env, args)
	return code, w.out.String(), w.err.String()
}

// expect runs a command that has to end with code and to say all of the texts.
func expect(t *testing.T, code exitCode, args []string, texts ...string) (stdout, stderr string) {
	t.Helper()
	got, stdout, stderr := runArgs(t, args...)
	if got != code {
		t.Errorf("frittata %q: exit code %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	for _, text := range texts {
		if !strings.Contains(stdout+stderr, text) {
			t.Errorf("frittata %q does not say %q:\n%s%s", args, text, stdout, stderr)
		}
	}
	return stdout, stderr
}

// served is a "frittata serve" of a test.
type served struct {
	*world
	url  string // with a slash at its end
	pin  string
	done chan struct{} // closed when the command has ended
	code exitCode      // then
}

// wait returns the exit code when the command has ended.
func (s *served) wait() exitCode {
	<-s.done
	return s.code
}

// startServe runs "frittata serve" until the test ends, if it does not end before.
func startServe(t *testing.T, args ...string) *served {
	t.Helper()
	s := &served{world: newWorld(), done: make(chan struct{})}
	addr := make(chan string, 1)
	s.listening = func(a string) { addr <- a }
	ctx, cancel := context.WithCancel(context.Background())
	args = append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)
	go func() {
		defer close(s.done)
		s.code = run(ctx, &s.env, args)
	}()
	select {
	case a := <-addr:
		s.url = "https://" + a + "/"
	case <-s.done:
		cancel()
		t.Fatalf("frittata %q: exit code %d\n%s", args, s.code, s.err)
	}
	t.Cleanup(func() {
		cancel()
		s.wait()
	})
	for line := range strings.Lines(s.out.String()) {
		if p, ok := strings.CutPrefix(line, "SPKI SHA-256: "); ok {
			s.pin = strings.TrimSpace(p)
		}
	}
	if s.pin == "" {
		t.Fatalf("no pin was printed:\n%s", s.out)
	}
	return s
}

// writeFile makes a file with n bytes of synthetic data that is old enough for a strong ETag.
func writeFile(t *testing.T, path string, n int64) []byte {
	t.Helper()
	data, err := io.ReadAll(&synthetic{size: n})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	return data
}

func sameFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d, or others", filepath.Base(path), len(got), len(want))
	}
	left, err := filepath.Glob(path + ".*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// startHandler serves a handler over HTTP/3 until the test ends.
func startHandler(t *testing.T, h http.Handler, change func(*tls.Config)) (u string) {
	t.Helper()
	cert, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	if change != nil {
		change(cfg)
	}
	srv := &http3.Server{Addr: "127.0.0.1:0", Handler: h, TLSConfig: cfg}
	l, err := srv.Listen()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return "https://" + l.Addr().String() + "/"
}

// handlerRT answers requests by a handler, without a network.
type handlerRT struct {
	h    http.Handler
	cut  int64 // if not 0, bodies break off there
	err  error // what they break off with
	seen []*http.Request
}

func (rt *handlerRT) RoundTrip(req *http.Request) (*http.Response, error) {
	rt.seen = append(rt.seen, req)
	rec := httptest.NewRecorder()
	rt.h.ServeHTTP(rec, req)
	resp := rec.Result()
	resp.Request = req
	resp.ContentLength = -1
	if n, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64); err == nil {
		resp.ContentLength = n
	}
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if rt.cut > 0 && resp.ContentLength > rt.cut {
		resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, rt.cut), &errorReader{rt.err}))
	}
	return resp, nil
}

type errorReader struct{ err error }

func (r *errorReader) Read([]byte) (int, error) {
	if r.err == nil {
		return 0, io.ErrUnexpectedEOF
	}
	return 0, r.err
}

// fakeClient is a client of get that sends its requests to rt.
func fakeClient(t *testing.T, rt http.RoundTripper, args ...string) (*client, *world) {
	t.Helper()
	w := newWorld()
	o, err := parseGet(&w.env, args)
	if err != nil {
		t.Fatal(err)
	}
	no := func(context.Context, string) bool { return false }
	c := &client{e: &w.env, o: o, rt: rt, closedUDP: no, openTCP: no}
	c.progress = func(int64, int64, string) *progress { return nil }
	return c, w
}

// codeOf returns the exit code that err leads to.
func codeOf(c *client, err error) exitCode {
	if err == nil {
		return exitOK
	}
	u, _ := url.Parse("https://server.example/")
	return c.explain(context.Background(), u, err).code
}

var errBroken = errors.New("broken on purpose")
