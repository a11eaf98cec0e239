package netns

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	// requireVariable, when set, makes a missing tool or right a failure.
	requireVariable = "FRITTATA_NETNS_REQUIRE"
	// roleVariable tells the test's binary that it was started within a namespace.
	roleVariable = "FRITTATA_NETNS_ROLE"
)

// testTime is how long the whole of a test may take: a machine may be busy.
const testTime = 2 * time.Minute

// step is how many bytes each end receives between two changes of the network.
const step = 8 << 20

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role, os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// missing skips the test, or fails it where it is required.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv(requireVariable) != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// network is two namespaces with a cable between them.
type network struct {
	t              *testing.T
	server, client string // the namespaces
	dev            string // the device's name in both
}

// newNetwork makes a network of the test's own, and takes it down in the end.
func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		missing(t, "the command ip is missing: it is in the package iproute2")
	}
	id := fmt.Sprintf("frit%d", os.Getpid())
	n := &network{t: t, server: id + "s", client: id + "c", dev: "veth0"}
	if out, err := exec.Command("ip", "netns", "add", n.server).CombinedOutput(); err != nil {
		missing(t, "no network namespace can be made here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.server).Run() })
	n.ip("netns", "add", n.client)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.client).Run() })
	// Both ends are made where they belong, so that the machine's own namespace never sees them.
	if out, err := exec.Command("ip", "-n", n.server, "link", "add", n.dev, "type", "veth", "peer", "name", n.dev, "netns", n.client).CombinedOutput(); err != nil {
		missing(t, "no pair of virtual Ethernet devices can be made here: %v: %s", err, out)
	}
	for _, ns := range []string{n.server, n.client} {
		n.ip("-n", ns, "link", "set", "lo", "up")
		n.ip("-n", ns, "link", "set", n.dev, "up")
	}
	return n
}

// ip runs the command, which must succeed.
func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// address gives a namespace's device an address.
func (n *network) address(ns, addr string) {
	n.t.Helper()
	args := []string{"-n", ns, "addr", "add", addr, "dev", n.dev}
	if strings.Contains(addr, ":") {
		args = append(args, "nodad") // it is to be used at once
	}
	n.ip(args...)
}

func (n *network) unaddress(ns, addr string) {
	n.t.Helper()
	n.ip("-n", ns, "addr", "del", addr, "dev", n.dev)
}

// mtu sets the MTU of a namespace's device.
func (n *network) mtu(ns string, mtu int) {
	n.t.Helper()
	n.ip("-n", ns, "link", "set", n.dev, "mtu", fmt.Sprint(mtu))
}

// actor is an end of the connection: this binary, started in a namespace.
type actor struct {
	t     *testing.T
	role  string
	in    io.WriteCloser
	lines chan line
}

// line is what an actor says, as JSON.
type line struct {
	Listening string  `json:",omitempty"` // an address
	Received  int64   `json:",omitempty"` // bytes so far
	Report    *report `json:",omitempty"` // the end
}

// report is how it went, as an end of the connection sees it.
type report struct {
	Sent, Received int64
	Remote         string // the peer's address, in the end
	PathMTU        int
	PathChanges    uint64
	PacketsLost    uint64
	HadGSO, GSO    bool // whether trains were system calls at first, and in the end
	WriteErrors    uint64
}

// start starts an actor, which lives no longer than the test.
func (n *network) start(ns, role string, args ...string) *actor {
	n.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns, exe}, args...)...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	a := &actor{t: n.t, role: role, in: in, lines: make(chan line, 1024)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(a.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			var l line
			if err := json.Unmarshal(s.Bytes(), &l); err != nil {
				n.t.Errorf("%s says %q", role, s.Text())
				continue
			}
			if l.Received == 0 {
				a.lines <- l
				continue
			}
			select {
			case a.lines <- l:
			default: // nobody waits for progress now
			}
		}
	}()
	n.t.Cleanup(func() {
		_ = in.Close() // which an actor takes as its end
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	return a
}

// drain forgets what was said so far.
func (a *actor) drain() {
	for {
		select {
		case _, ok := <-a.lines:
			if ok {
				continue
			}
		default:
		}
		return
	}
}

// await returns the first line that fits.
func (a *actor) await(what string, limit <-chan time.Time, fits func(line) bool) line {
	a.t.Helper()
	for {
		select {
		case l, ok := <-a.lines:
			if !ok {
				a.t.Fatalf("the %s ended before %s", a.role, what)
			}
			if fits(l) {
				return l
			}
		case <-limit:
			a.t.Fatalf("no %s of the %s within %v", what, a.role, testTime)
		}
	}
}

// family is what differs between IPv4 and IPv6.
type family struct {
	name          string
	server        string // addresses without and with the length of the network
	first, second string
	bits          string
	header        int // bytes of the IP and UDP headers
}

var families = []family{
	{name: "IPv4", server: "10.99.0.1", first: "10.99.0.2", second: "10.99.0.77", bits: "/24", header: 20 + 8},
	{name: "IPv6", server: "fd99::1", first: "fd99::2", second: "fd99::77", bits: "/64", header: 40 + 8},
}

const smallMTU = 1300

func TestNetworkChanges(t *testing.T) {
	for _, f := range families {
		for _, c := range []struct {
			name    string
			oneSide bool // the MTU changes at the client's end only: the server's packets vanish
			args    []string
		}{
			{name: "trains"},
			{name: "single datagrams", args: []string{"-plain"}},
			{name: "black hole", oneSide: true, args: []string{"-plain"}},
		} {
			t.Run(f.name+"/"+c.name, func(t *testing.T) { f.test(t, c.oneSide, c.args) })
		}
	}
}

// test has both ends send and receive all the time, and changes the network under them.
func (f *family) test(t *testing.T, oneSide bool, args []string) {
	n := newNetwork(t)
	n.address(n.server, f.server+f.bits)
	n.address(n.client, f.first+f.bits)
	limit := time.After(testTime)

	host := f.server
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	server := n.start(n.server, "server", append(args, host+":4433")...)
	addr := server.await("an address", limit, func(l line) bool { return l.Listening != "" }).Listening
	client := n.start(n.client, "client", append(args, addr)...)
	both := func(what string) {
		t.Helper()
		began := time.Now()
		server.drain()
		client.drain()
		for _, a := range []*actor{server, client} {
			from := a.await("progress", limit, func(l line) bool { return l.Received > 0 }).Received
			a.await("progress", limit, func(l line) bool { return l.Received >= from+step })
			t.Logf("%s: %s has %d more bytes after %v", what, a.role, step, time.Since(began).Round(time.Millisecond))
		}
	}
	both("at first")

	n.mtu(n.client, smallMTU)
	if !oneSide {
		n.mtu(n.server, smallMTU)
	}
	both("another MTU")

	// The second address first: without any the device would lose its route.
	n.address(n.client, f.second+f.bits)
	n.unaddress(n.client, f.first+f.bits)
	if f.header == 28 {
		// The kernel took the second address for one that depends on the first.
		n.ip("-n", n.client, "addr", "replace", f.second+f.bits, "dev", n.dev)
	}
	both("another address")

	_, _ = io.WriteString(client.in, "enough\n")
	isReport := func(l line) bool { return l.Report != nil }
	c := client.await("report", limit, isReport).Report
	s := server.await("report", limit, isReport).Report
	t.Logf("client: %+v", *c)
	t.Logf("server: %+v", *s)
	if c.Sent != s.Received || s.Sent != c.Received {
		t.Errorf("the client sent %d and the server got %d; the server sent %d and the client got %d", c.Sent, s.Received, s.Sent, c.Received)
	}
	if !strings.HasPrefix(strings.Trim(s.Remote, "["), f.second) {
		t.Errorf("the server sends to %s, the client is at %s", s.Remote, f.second)
	}
	if s.PathChanges != 1 {
		t.Errorf("%d changes of the server's path", s.PathChanges)
	}
	for _, r := range []*report{c, s} {
		if most := smallMTU - f.header; r.PathMTU > most {
			t.Errorf("datagrams of up to %d bytes, %d fit", r.PathMTU, most)
		}
		if r.GSO != r.HadGSO {
			t.Error("the change of the MTU was taken for a failure of GSO")
		}
		if r.PathMTU < 1200 {
			t.Errorf("datagrams of %d bytes", r.PathMTU)
		}
	}
}
