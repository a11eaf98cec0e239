package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

func TestGetMistakes(t *testing.T) {
	for _, tt := range []struct {
		args string
		text string
	}{
		{"", "a URL is missing"},
		{"http://a.example", "https"},
		{"https:///x", "host"},
		{"https://a.example:port/", "port"},
		{"https://a.example:65536/", "port"},
		{"https://a.example:0/", "port"},
		{"--timeout 5 https://a.example", "5s"},
		{"--insecure --pin " + pin{}.String() + " https://a.example", "exclude each other"},
		{"--insecure --ca x https://a.example", "exclude each other"},
		{"--pin short https://a.example", "44 characters"},
		{"-H nonsense https://a.example", "NAME: VALUE"},
		{"-H a(b):c https://a.example", "no name"},
		{"-X G(T https://a.example", "no method"},
		{"-c 5 https://a.example", "-n"},
		{"-n 0 https://a.example", "at least 1"},
		{"-n 5 -c 0 https://a.example", "at least 1"},
		{"-n five https://a.example", "five"},
		{"-n 5 -o x https://a.example", "excludes"},
		{"-n 5 -i https://a.example", "excludes"},
		{"-n 5 -d @- https://a.example", "@-"},
		{"-o x https://a.example https://b.example", "2 URLs"},
		{"-o x -X HEAD https://a.example", "HEAD"},
		{"-o - --json https://a.example", "standard output"},
		{"-i --json https://a.example", "excludes"},
		{"--timeout 0s https://a.example", "above 0"},
	} {
		expect(t, exitUsage, append([]string{"get"}, strings.Fields(tt.args)...), tt.text, "get --help")
	}
	expect(t, exitUsage, []string{"get", "-o", "", "https://a.example"}, "name of a file")
	expect(t, exitFile, []string{"get", "--ca", filepath.Join(t.TempDir(), "nothing"), "https://a.example"}, "nothing")
}

func TestParseGet(t *testing.T) {
	leak.Check(t)
	w := newWorld()
	o, err := parseGet(&w.env, []string{"localhost:4433/a?b#c", "-H", "X-A: 1", "-H", "x-a:2", "-H", "Host: other.example", "-d", "x=y", "--timeout", "5s"})
	if err != nil {
		t.Fatal(err)
	}
	if o.urls[0].String() != "https://localhost:4433/a?b" || o.method != "POST" || o.host != "other.example" || o.timeout != 5*time.Second {
		t.Errorf("%+v", o)
	}
	if got := o.header["X-A"]; len(got) != 2 || got[0] != "1" || got[1] != "2" {
		t.Errorf("header: %v", o.header)
	}
}

func TestRequests(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	data := writeFile(t, file, 100_000)
	type seen struct {
		req  *http.Request
		body []byte
	}
	var last seen
	rt := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		last = seen{req: req}
		if req.Body != nil {
			last.body, _ = io.ReadAll(req.Body)
			req.Body.Close()
		}
		return (&handlerRT{h: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if to := r.Header.Get("To"); to != "" {
				http.Redirect(w, r, to, http.StatusFound)
			}
		})}).RoundTrip(req)
	})
	get := func(args ...string) string {
		t.Helper()
		c, w := fakeClient(t, rt, args...)
		if _, err := c.get(t.Context(), c.o.urls[0]); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		return w.err.String()
	}
	get("https://user:secret@a.example/x")
	if u, p, _ := last.req.BasicAuth(); u != "user" || p != "secret" || last.req.Method != "GET" || last.req.ContentLength != 0 || !strings.HasPrefix(last.req.UserAgent(), "frittata/") {
		t.Errorf("GET: %v", last.req)
	}
	get("https://token@a.example/x")
	if u, p, ok := last.req.BasicAuth(); u != "token" || p != "" || !ok {
		t.Errorf("a name without a password: %v", last.req)
	}
	get("-d", "a=b", "https://a.example/x")
	if last.req.Method != "POST" || string(last.body) != "a=b" || last.req.ContentLength != 3 || last.req.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("-d: %v, %q", last.req, last.body)
	}
	get("-d", "@"+file, "-X", "PUT", "-H", "Content-Type: text/x-test", "-H", "User-Agent: me", "-H", "Host: b.example", "https://a.example/x")
	if last.req.Method != "PUT" || !bytes.Equal(last.body, data) || last.req.ContentLength != int64(len(data)) ||
		last.req.Header.Get("Content-Type") != "text/x-test" || last.req.UserAgent() != "me" || last.req.Host != "b.example" {
		t.Errorf("-d @FILE: %v, %d bytes", last.req, len(last.body))
	}
	get("-d", "", "https://a.example/x")
	if last.req.Method != "POST" || last.req.ContentLength != 0 || len(last.body) != 0 {
		t.Errorf("-d '': %v", last.req)
	}
	c, w := fakeClient(t, rt, "-d", "@-", "https://a.example/x")
	w.stdin = strings.NewReader("from standard input")
	if _, err := c.get(t.Context(), c.o.urls[0]); err != nil || string(last.body) != "from standard input" || last.req.ContentLength != -1 {
		t.Errorf("-d @-: %v, %v, %q", err, last.req, last.body)
	}
	c, _ = fakeClient(t, rt, "-d", "@"+file+".no", "https://a.example/x")
	if _, err := c.get(t.Context(), c.o.urls[0]); codeOf(c, err) != exitFile {
		t.Errorf("-d @ a file that is not there: %v", err)
	}
	if said := get("-H", "To: /y", "https://a.example/x"); !strings.Contains(said, "https://a.example/y") {
		t.Errorf("a redirect: %q", said)
	}
}

// gotConn tells, as a Transport does, that a request has a connection.
func gotConn(req *http.Request) {
	httptrace.ContextClientTrace(req.Context()).GotConn(httptrace.GotConnInfo{})
}

// Nothing comes, and nobody waits for ever.
func TestTimeout(t *testing.T) {
	leak.Check(t)
	rt := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		gotConn(req)
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	c, _ := fakeClient(t, rt, "--timeout", "1ms", "https://a.example/x")
	if _, err := c.get(t.Context(), c.o.urls[0]); codeOf(c, err) != exitTimeout {
		t.Errorf("no response: %v", err)
	}
	body := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		gotConn(req)
		r, w := io.Pipe()
		go func() {
			_, _ = w.Write([]byte("a beginning"))
			<-req.Context().Done()
			w.CloseWithError(req.Context().Err())
		}()
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: r, ContentLength: 100, Request: req}, nil
	})
	c, w := fakeClient(t, body, "--timeout", "50ms", "https://a.example/x")
	_, err := c.get(t.Context(), c.o.urls[0])
	if codeOf(c, err) != exitIncomplete || !errors.Is(err, errSilence) || w.out.String() != "a beginning" {
		t.Errorf("half a body: %v, %q", err, w.out)
	}
}

func TestTextOnly(t *testing.T) {
	var b strings.Builder
	w := &textOnly{w: &b}
	if _, err := w.Write([]byte("a\x00b")); err == nil || b.Len() > 0 {
		t.Errorf("binary data on a terminal: %q, %v", &b, err)
	}
	w = &textOnly{w: &b}
	for _, s := range []string{"text", "\x00"} { // it has begun as text: too late
		if _, err := w.Write([]byte(s)); err != nil {
			t.Error(err)
		}
	}
}

func TestGetFromServe(t *testing.T) {
	dir := t.TempDir()
	data := writeFile(t, filepath.Join(dir, "file.bin"), 3_000_000)
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("some text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, "--root", dir, "--debug-endpoints")
	get := func(code exitCode, args ...string) (stdout, stderr string) {
		t.Helper()
		return expect(t, code, append([]string{"get", "--pin", s.pin}, args...))
	}

	if stdout, stderr := get(exitOK, s.url+"a.txt"); stdout != "some text\n" || stderr != "" {
		t.Errorf("to standard output: %q, %q", stdout, stderr)
	}
	if stdout, _ := get(exitOK, s.url+"a.txt", s.url+"a.txt"); stdout != "some text\nsome text\n" {
		t.Errorf("twice: %q", stdout)
	}
	if stdout, _ := get(exitOK, s.url+"a.txt", "-i"); !strings.HasPrefix(stdout, "HTTP/3 200 OK\n") || !strings.HasSuffix(stdout, "\n\nsome text\n") {
		t.Errorf("-i: %q", stdout)
	}
	if stdout, _ := get(exitOK, "-X", "HEAD", "-i", s.url+"a.txt"); !strings.Contains(stdout, "Content-Length: 10\n") || strings.Contains(stdout, "some text") {
		t.Errorf("HEAD: %q", stdout)
	}
	if stdout, stderr := get(exitStatus, s.url+"nothing", s.url+"a.txt"); !strings.HasSuffix(stdout, "some text\n") || !strings.Contains(stderr, "404 Not Found") {
		t.Errorf("404, and one that works: %q, %q", stdout, stderr)
	}
	out := filepath.Join(t.TempDir(), "x")
	get(exitOK, "-o", out, s.url+"file.bin")
	sameFile(t, out, data)
	get(exitOK, s.url+".frittata/bytes/1000000", "-o", out)
	want, _ := io.ReadAll(&synthetic{size: 1_000_000})
	sameFile(t, out, want)

	upload := filepath.Join(dir, "file.bin")
	if stdout, _ := get(exitOK, "-d", "@"+upload, s.url+".frittata/sink"); stdout != "3000000\n" {
		t.Errorf("sink: %q", stdout)
	}
	get(exitOK, "-d", "@"+upload, "-o", out, s.url+".frittata/echo")
	sameFile(t, out, data)

	_, stderr := get(exitOK, "-v", s.url+"a.txt")
	for _, text := range []string{
		"* connected from ", "* QUIC version 1, handshake in ", "* TLS 1.3, TLS_", "* ALPN: h3", "* certificate: CN=frittata", "SPKI:   " + s.pin,
		"> GET /a.txt HTTP/3\n", "> Host: 127.0.0.1:", "< HTTP/3 200 OK\n", "< Content-Length: 10\n", "path MTU", "0 lost",
	} {
		if !strings.Contains(stderr, text) {
			t.Errorf("-v: no %q in:\n%s", text, stderr)
		}
	}

	stdout, _ := get(exitStatus, "--json", s.url+"file.bin", s.url+"nothing")
	d := json.NewDecoder(strings.NewReader(stdout))
	var first, second result
	if err := errors.Join(d.Decode(&first), d.Decode(&second)); err != nil {
		t.Fatalf("%v in:\n%s", err, stdout)
	}
	if first.Status != 200 || first.Bytes != 3_000_000 || first.Handshake <= 0 || first.TTFB <= 0 || first.Total < first.TTFB || first.Rate <= 0 || first.Code != 0 || first.Remote == "" {
		t.Errorf("--json: %+v", first)
	}
	if second.Status != 404 || second.Handshake != 0 || second.Code != exitStatus || second.Error == "" {
		t.Errorf("--json of an error: %+v", second)
	}

	stdout, _ = get(exitOK, "-n", "1000", "-c", "100", "--json", s.url+".frittata/bytes/1000")
	var load loadResult
	if err := json.Unmarshal([]byte(stdout), &load); err != nil || load.Requests != 1000 || load.Failed != 0 || load.Bytes != 1_000_000 || load.Statuses[200] != 1000 {
		t.Errorf("1,000 requests at 100 at once: %v, %s", err, stdout)
	}
}

func TestCertificates(t *testing.T) {
	certFile, keyFile := writePair(t, t.TempDir())
	otherCert, _ := writePair(t, t.TempDir())
	s := startServe(t, "--root", t.TempDir(), "--cert", certFile, "--key", keyFile)
	other := pin{1, 2, 3}.String()
	for _, tt := range []struct {
		args  []string
		code  exitCode
		texts []string
	}{
		{[]string{"--pin", s.pin}, exitOK, nil},
		{[]string{"--ca", certFile}, exitOK, nil},
		{[]string{"--insecure"}, exitOK, nil},
		{nil, exitCertificate, []string{"not trusted", "--pin " + s.pin}},
		{[]string{"--ca", otherCert}, exitCertificate, []string{"not trusted"}},
		{[]string{"--pin", other}, exitCertificate, []string{other, "server's: " + s.pin}},
	} {
		expect(t, tt.code, append(append([]string{"get"}, tt.args...), s.url), tt.texts...)
	}
}

// idleApp is a protocol of its own.
type idleApp struct{}

func (idleApp) OnEstablished(*quic.Conn, frittata.HandshakeInfo) error { return nil }
func (idleApp) ProcessReads(*quic.Conn) error                          { return nil }
func (idleApp) ProcessWrites(*quic.Conn) error                         { return nil }
func (idleApp) OnClose(*quic.Conn, error)                              {}

func TestOtherProtocol(t *testing.T) {
	leak.Check(t)
	cert, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := &frittata.Config{}
	cfg.QUIC.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"other"}}
	l, err := frittata.Listen("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			in, err := l.Accept(t.Context())
			if err != nil {
				return
			}
			_, _ = in.Start(idleApp{})
		}
	}()
	expect(t, exitProtocol, []string{"get", "--insecure", "https://" + l.Addr().String()}, "no HTTP/3", "ALPN")
}

func TestNoServer(t *testing.T) {
	leak.Check(t)
	// Somebody listens, but does not speak QUIC.
	mute, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	expect(t, exitNoAnswer, []string{"get", "--timeout", "200ms", "--insecure", "https://" + mute.LocalAddr().String()}, "no QUIC at "+mute.LocalAddr().String())
	// Nobody does, and the system says so, or there is no answer.
	shut, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := shut.LocalAddr().String()
	shut.Close()
	expect(t, exitNoAnswer, []string{"get", "--timeout", "5s", "--insecure", "https://" + addr}, "no QUIC at "+addr)
	expect(t, exitNoAnswer, []string{"get", "--timeout", "5s", "--insecure", "-n", "100", "-c", "10", "https://" + addr}, "no QUIC at "+addr)
}

// gate serves data, but stops after half of it as long as it is shut.
type gate struct {
	data []byte
	open chan struct{}
	half chan struct{} // gets an entry when half has been sent
}

func newGate(n int) *gate {
	return &gate{data: bytesOf(7, n), open: make(chan struct{}), half: make(chan struct{}, 10)}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"gate"`)
	http.ServeContent(w, r, "x.bin", time.Time{}, &gatedReader{Reader: bytes.NewReader(g.data), g: g, r: r})
}

type gatedReader struct {
	*bytes.Reader
	g *gate
	r *http.Request
}

func (r *gatedReader) Read(p []byte) (int, error) {
	if at := int64(len(r.g.data) - r.Len()); at >= int64(len(r.g.data)/2) {
		select {
		case r.g.half <- struct{}{}:
		default:
		}
		select {
		case <-r.g.open:
		case <-r.r.Context().Done():
			return 0, r.r.Context().Err()
		}
	}
	return r.Reader.Read(p)
}

func TestInterrupt(t *testing.T) {
	leak.Check(t)
	g := newGate(2_000_000)
	u := startHandler(t, g, nil)
	out := filepath.Join(t.TempDir(), "x")
	w := newWorld()
	forgotten := make(chan struct{})
	w.forget = sync.OnceFunc(func() { close(forgotten) })
	code := make(chan exitCode, 1)
	go func() { code <- run(t.Context(), &w.env, []string{"get", "--insecure", "-o", out, u}) }()
	select {
	case <-g.half:
	case c := <-code:
		t.Fatalf("get has ended with exit code %d\n%s", c, w.err)
	}
	w.signal <- os.Interrupt
	if c := <-code; c != exitInterrupted || !strings.Contains(w.err.String(), "interrupted after") || !strings.Contains(w.err.String(), out+".part") {
		t.Errorf("exit code %d\n%s", c, w.err)
	}
	<-forgotten
	close(g.open)
	expect(t, exitOK, []string{"get", "--insecure", "-o", out, u}, "resuming at")
	sameFile(t, out, g.data)
}

// TestKilled is also the process that is killed: with FRITTATA_TEST_ARGS it does what that says.
func TestKilled(t *testing.T) {
	leak.Check(t)
	if args := os.Getenv("FRITTATA_TEST_ARGS"); args != "" {
		w := newWorld()
		w.stdout, w.stderr = os.Stdout, os.Stderr
		os.Exit(int(run(t.Context(), &w.env, strings.Split(args, "\n"))))
	}
	if runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("no processes here")
	}
	g := newGate(8_000_000)
	u := startHandler(t, g, nil)
	out := filepath.Join(t.TempDir(), "x")
	args := []string{"get", "--insecure", "-o", out, u}
	for range 2 { // the second one resumes what the first one left, and is killed too
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "FRITTATA_TEST_ARGS="+strings.Join(args, "\n"))
		var stderr lockedBuffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }()
		select {
		case <-g.half:
			waitForSize(t, out+".part", 1)
		case <-ended:
		}
		_ = cmd.Process.Kill() // it fails if the process has ended: that is looked at below
		<-ended
		if cmd.ProcessState.ExitCode() >= 0 {
			t.Fatalf("it has ended by itself: %v\n%s", cmd.ProcessState, &stderr)
		}
	}
	had := partSize(t, out)
	close(g.open)
	stdout, _ := expect(t, exitOK, append(args, "--json"))
	var r result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Offset != had || r.Bytes < int64(len(g.data))-had {
		t.Errorf("resumed at %d, %d bytes; %d were there (%v)", r.Offset, r.Bytes, had, err)
	}
	sameFile(t, out, g.data)
}

// waitForSize waits until a file has n bytes.
func waitForSize(t *testing.T, path string, n int64) {
	t.Helper()
	for {
		if info, err := os.Stat(path); err == nil && info.Size() >= n {
			return
		}
		if t.Context().Err() != nil {
			t.Fatalf("%s does not grow to %d bytes", path, n)
		}
		time.Sleep(time.Millisecond) // there is nothing else that tells
	}
}
