package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var ngtcp2Stack = stack{
	name:   "ngtcp2",
	need:   needNgtcp2,
	serve:  ngtcp2Serve,
	client: func(t *testing.T, addr string) client { return &ngtcp2Client{addr: mustAddrPort(t, addr)} },
}

// requireVar makes a failure of what is a skipped test otherwise.
const requireVar = "FRITTATA_INTEROP_REQUIRE"

func needNgtcp2(t *testing.T) {
	t.Helper()
	for _, name := range []string{"gtlsserver", "gtlsclient"} {
		if _, err := ngtcp2Path(name); err != nil {
			const hint = "%v: Debian has it in the packages ngtcp2-server and ngtcp2-client"
			if os.Getenv(requireVar) == "1" {
				t.Fatalf(hint, err)
			}
			t.Skipf(hint, err)
		}
	}
}

// ngtcp2Path finds a program. Debian has the server where only root's PATH looks.
func ngtcp2Path(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		if p, e := exec.LookPath(filepath.Join("/usr/sbin", name)); e == nil {
			return p, nil
		}
	}
	return path, err
}

func mustAddrPort(t *testing.T, addr string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ngtcp2Serve(t *testing.T, o serverOptions) string {
	f, err := disk()
	if err != nil {
		t.Fatal(err)
	}
	path, err := ngtcp2Path("gtlsserver")
	if err != nil {
		t.Fatal(err)
	}
	// The server has to be given a port. Someone else may take the one that was
	// free a moment ago: then the server ends, and another port is tried.
	for range 5 {
		port := freePort(t)
		args := []string{"-q", "-d", f.htdocs, "127.0.0.1", fmt.Sprint(port), f.key, f.cert}
		if o.retry {
			args = append([]string{"--validate-addr"}, args...)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cmd := exec.CommandContext(ctx, path, args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			cmd.Wait()
			close(ended)
		}()
		if waitBound(t, port, ended) {
			t.Cleanup(func() {
				cancel()
				<-ended
				if t.Failed() && out.Len() > 0 {
					t.Logf("gtlsserver: %s", out.Bytes())
				}
			})
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
		cancel()
		<-ended
		t.Logf("gtlsserver ended: %s", out.Bytes())
	}
	t.Fatal("gtlsserver does not start")
	return ""
}

func freePort(t *testing.T) int {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// waitBound waits until a port is taken, by a process that has not ended.
func waitBound(t *testing.T, port int, ended <-chan struct{}) bool {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err == nil {
			c.Close()
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
		if err != nil {
			return true
		}
	}
	t.Fatalf("gtlsserver does not bind port %d", port)
	return false
}

// ngtcp2Client runs gtlsclient, once for each call.
type ngtcp2Client struct {
	addr  netip.AddrPort
	extra []string // arguments
}

// run runs gtlsclient for n requests of a path, and returns what it printed.
func (c *ngtcp2Client) run(t *testing.T, path string, n int, args ...string) string {
	t.Helper()
	exe, err := ngtcp2Path("gtlsclient")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{
		"--exit-on-all-streams-close", "--no-quic-dump", "--no-http-dump", "--sni=" + serverName, "--timeout=20s",
		"-n", fmt.Sprint(n),
	}
	all = append(all, c.extra...)
	all = append(all, args...)
	all = append(all, c.addr.Addr().String(), fmt.Sprint(c.addr.Port()), fmt.Sprintf("https://%s:%d%s", serverName, c.addr.Port(), path))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, exe, all...).CombinedOutput()
	if err != nil {
		t.Fatalf("gtlsclient %s: %v\n%s", strings.Join(all, " "), err, tail(out))
	}
	return string(out)
}

// tail returns the last lines of an output.
func tail(out []byte) []byte {
	const most = 8 << 10
	return out[max(0, len(out)-most):]
}

func (c *ngtcp2Client) get(t *testing.T, path string) body {
	t.Helper()
	dir := t.TempDir()
	out := c.run(t, path, 1, "--download="+dir)
	f, err := os.Open(filepath.Join(dir, filepath.Base(path)))
	if err != nil {
		t.Fatalf("%v\n%s", err, tail([]byte(out)))
	}
	defer f.Close()
	b, err := readBody(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (c *ngtcp2Client) post(t *testing.T, path string, content []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, content, 0o644); err != nil {
		t.Fatal(err)
	}
	out := c.run(t, path, 1, "-m", "POST", "-d", data, "--download="+dir)
	b, err := os.ReadFile(filepath.Join(dir, filepath.Base(path)))
	if err != nil {
		t.Fatalf("%v\n%s", err, tail([]byte(out)))
	}
	return b
}

// many checks that each stream brought a complete response: gtlsclient checks
// the length of its body, and ends the stream with H3_NO_ERROR if it was right.
// How many go at a time is what the server's limit on streams allows, 100.
func (c *ngtcp2Client) many(t *testing.T, path string, n, _ int, want body) int {
	t.Helper()
	out := c.run(t, path, n)
	ok := strings.Count(out, "[:status: 200]")
	right := strings.Count(out, fmt.Sprintf("[content-length: %d]", want.n))
	ended := strings.Count(out, "closed with error code 256\n")
	if ok != n || right != n || ended != n {
		t.Errorf("of %d streams, %d brought status 200, %d the right length, and %d ended well", n, ok, right, ended)
	}
	return min(ok, right, ended)
}
