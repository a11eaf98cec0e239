package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestServeMistakes(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, 10)
	certFile, _ := writePair(t, t.TempDir())
	_, otherKey := writePair(t, t.TempDir())
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := fmt.Sprint(taken.LocalAddr().(*net.UDPAddr).Port)

	for _, tt := range []struct {
		args  []string
		code  exitCode
		texts []string
	}{
		{[]string{"--addr", "127.0.0.1:" + port}, exitListen, []string{"UDP port " + port + " is taken", "--addr 127.0.0.1:0"}},
		{[]string{"--addr", "192.0.2.1:0"}, exitListen, nil},
		{[]string{"--addr", "no.such.host.invalid:0"}, exitListen, nil},
		{[]string{"--addr", "localhost"}, exitUsage, []string{"host:port"}},
		{[]string{"--addr", "127.0.0.1:0", "--root", filepath.Join(dir, "nothing")}, exitFile, []string{"nothing", "--root"}},
		{[]string{"--addr", "127.0.0.1:0", "--root", file}, exitFile, []string{"no directory", "--root " + shellQuote(dir)}},
		{[]string{"--cert", certFile}, exitUsage, []string{"belong together"}},
		{[]string{"--key", otherKey}, exitUsage, []string{"belong together"}},
		{[]string{"--cert", certFile, "--key", otherKey}, exitFile, []string{"private key", "PEM"}},
		{[]string{"--cert", "nothing.pem", "--key", otherKey}, exitFile, []string{"nothing.pem"}},
		{[]string{"--retry", "sometimes"}, exitUsage, []string{"auto, always or never"}},
		{[]string{"public"}, exitUsage, []string{"--root"}},
	} {
		expect(t, tt.code, append([]string{"serve"}, tt.args...), tt.texts...)
	}
	w := newWorld()
	w.getenv = func(string) string { return filepath.Join(dir, "no", "keys") }
	if code := run(t.Context(), &w.env, []string{"serve", "--addr", "127.0.0.1:0"}); code != exitFile || !strings.Contains(w.err.String(), "SSLKEYLOGFILE") {
		t.Errorf("SSLKEYLOGFILE: %d, %s", code, w.err)
	}
}

func TestListenErrors(t *testing.T) {
	for _, tt := range []struct {
		err   error
		addr  string
		texts []string
	}{
		{syscall.EADDRINUSE, ":4433", []string{"port 4433 is taken", "--addr :4434"}},
		{syscall.EADDRINUSE, ":4434", []string{"port 4434 is taken", "--addr :0"}},
		{syscall.EACCES, ":443", []string{"no permission", "1024", "--addr :4433"}},
		{syscall.EADDRNOTAVAIL, "192.0.2.1:443", []string{"no address of this host", "--addr :443"}},
		{&net.DNSError{Err: "no such host", Name: "x.example"}, "x.example:443", []string{"x.example has no address"}},
		{errors.New("whatever"), ":443", []string{"whatever"}},
	} {
		err := listenError(&net.OpError{Op: "listen", Net: "udp", Err: os.NewSyscallError("bind", tt.err)}, tt.addr)
		var f *failure
		if !errors.As(err, &f) || f.code != exitListen || !errors.Is(err, tt.err) {
			t.Fatalf("%v: %v", tt.err, err)
		}
		for _, text := range tt.texts {
			if !strings.Contains(f.what+"\n"+f.try, text) {
				t.Errorf("%v: %q is not in %q, %q", tt.err, text, f.what, f.try)
			}
		}
	}
}

func TestAnnounce(t *testing.T) {
	s := startServe(t, "--root", t.TempDir())
	// The command that it prints works.
	_, command, ok := strings.Cut(s.out.String(), "Get from it:  frittata ")
	if !ok {
		t.Fatalf("no command:\n%s", s.out)
	}
	expect(t, exitOK, strings.Fields(command), "<pre>")

	certFile, keyFile := writePair(t, t.TempDir())
	s = startServe(t, "--root", t.TempDir(), "--cert", certFile, "--key", keyFile)
	if strings.Contains(s.out.String(), "--pin") {
		t.Errorf("a certificate of one's own needs no pin:\n%s", s.out)
	}
	expect(t, exitOK, []string{"get", "--ca", certFile, s.url}, "<pre>")
	expect(t, exitOK, []string{"get", "--pin", s.pin, s.url}, "<pre>")
}

func TestSpecificHost(t *testing.T) {
	for in, want := range map[string]string{"": "", "0.0.0.0": "", "::": "", "127.0.0.1": "127.0.0.1", "::1": "::1", "a.example": "a.example"} {
		if got := specific(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestServeLogs(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "file"), 1000)
	s := startServe(t, "--root", dir, "--retry", "always")
	expect(t, exitOK, []string{"get", "--pin", s.pin, "-o", filepath.Join(t.TempDir(), "x"), s.url + "file"})
	expect(t, exitStatus, []string{"get", "--pin", s.pin, s.url + ".frittata/bytes/1"}) // not without --debug-endpoints
	s.signal <- os.Interrupt
	if code := s.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, text := range []string{"method=GET path=/file status=200 bytes=1000", "remote=127.0.0.1:", "status=404", "shutting down", "all transfers are complete"} {
		if !strings.Contains(s.err.String(), text) {
			t.Errorf("no %q in:\n%s", text, s.err)
		}
	}
}

func TestServeKeyLog(t *testing.T) {
	leak.Check(t)
	name := filepath.Join(t.TempDir(), "keys")
	t.Setenv("SSLKEYLOGFILE", name)
	w := newWorld()
	w.getenv = os.Getenv
	addr := make(chan string, 1)
	w.listening = func(a string) { addr <- a }
	code := make(chan exitCode)
	go func() {
		code <- run(t.Context(), &w.env, []string{"serve", "--addr", "127.0.0.1:0", "--root", t.TempDir()})
	}()
	expect(t, exitOK, []string{"get", "--insecure", "https://" + <-addr})
	w.signal <- os.Interrupt
	<-code
	b, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(b), "CLIENT_TRAFFIC_SECRET_0 ") {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// heldWriter lets nothing through before it is told to.
type heldWriter struct {
	w       io.Writer
	begun   chan struct{} // gets an entry when something has come
	release chan struct{}
}

func (h *heldWriter) Write(p []byte) (int, error) {
	select {
	case h.begun <- struct{}{}:
	default:
	}
	<-h.release
	return h.w.Write(p)
}

// transfer gets more than all windows hold from a server, and does not read on before it is told to.
func transfer(t *testing.T, s *served, w io.Writer) (held *heldWriter, code chan exitCode, stderr *lockedBuffer) {
	t.Helper()
	c := newWorld()
	held = &heldWriter{w: w, begun: make(chan struct{}, 1), release: make(chan struct{})}
	c.stdout = held
	code = make(chan exitCode, 1)
	ctx := t.Context()
	go func() {
		code <- run(ctx, &c.env, []string{"get", "--pin", s.pin, "-o", "-", fmt.Sprintf("%s.frittata/bytes/%d", s.url, transferSize)})
	}()
	select {
	case <-held.begun:
	case got := <-code:
		t.Fatalf("get has ended with exit code %d\n%s", got, c.err)
	}
	return held, code, c.err
}

// transferSize is more than the windows are when nothing was read yet.
const transferSize = 8 << 20

// A signal completes what is under way, be the client ever so slow.
func TestSignalCompletesTransfers(t *testing.T) {
	s := startServe(t, "--root", t.TempDir(), "--debug-endpoints")
	sum := sha256.New()
	held, code, stderr := transfer(t, s, sum)
	s.signal <- syscall.SIGTERM
	s.waitForLog(t, "shutting down")
	// Nothing new is let in.
	got, _, _ := runArgs(t, "get", "--pin", s.pin, "--timeout", "1s", s.url)
	if got == exitOK {
		t.Error("a new request was answered")
	}
	close(held.release)
	if c := <-code; c != exitOK {
		t.Errorf("get: exit code %d\n%s", c, stderr)
	}
	want := sha256.New()
	_, _ = io.Copy(want, &synthetic{size: transferSize})
	if string(sum.Sum(nil)) != string(want.Sum(nil)) {
		t.Error("other bytes have come")
	}
	if c := s.wait(); c != exitOK || !strings.Contains(s.err.String(), "transfers=1") {
		t.Errorf("serve: exit code %d\n%s", c, s.err)
	}
}

func TestSecondSignalEndsTransfers(t *testing.T) {
	s := startServe(t, "--root", t.TempDir(), "--debug-endpoints")
	held, code, stderr := transfer(t, s, io.Discard)
	s.signal <- os.Interrupt
	s.waitForLog(t, "shutting down")
	s.signal <- os.Interrupt
	if c := s.wait(); c != exitOther || !strings.Contains(s.err.String(), "second signal with 1 transfers") {
		t.Errorf("serve: exit code %d\n%s", c, s.err)
	}
	close(held.release)
	if c := <-code; c != exitIncomplete || !strings.Contains(stderr.String(), "broke off") {
		t.Errorf("get: exit code %d\n%s", c, stderr)
	}
}

// waitForLog waits until the server has logged text.
func (s *served) waitForLog(t *testing.T, text string) {
	t.Helper()
	if !s.err.waitFor(text, s.done) {
		t.Fatalf("the server has ended with exit code %d and without %q", s.code, text)
	}
}
