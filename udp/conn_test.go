package udp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// wait is how long a test waits for what must come. It ends only tests that fail.
const wait = 10 * time.Second

// listen opens a socket for the time of a test, which is skipped where the IP version is missing.
func listen(t testing.TB, network, addr string, o *Options) *Conn {
	t.Helper()
	c, err := Listen(network, addr, o)
	if err != nil {
		if strings.Contains(addr, "::") || network == "udp6" {
			t.Skipf("no IPv6: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	return c
}

// messages returns n messages with buffers.
func messages(n int) []Message {
	m := make([]Message, n)
	for i := range m {
		m[i].Buf = make([]byte, BufferSize)
	}
	return m
}

// datagrams receives n datagrams and returns a copy of each as it was received, with
// Buf and N those of the datagram.
func datagrams(t testing.TB, c *Conn, n int) []Message {
	t.Helper()
	var got []Message
	m := messages(8)
	for len(got) < n {
		k, err := c.ReadBatch(m)
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(got), n, err)
		}
		if k < 1 || k > len(m) {
			t.Fatalf("ReadBatch of %d returned %d", len(m), k)
		}
		for _, m := range m[:k] {
			data := m.Buf[:m.N]
			for {
				d := m
				d.N = min(m.Segment, len(data))
				d.Buf = bytes.Clone(data[:d.N])
				got = append(got, d)
				data = data[d.N:]
				if len(data) == 0 {
					break
				}
			}
		}
	}
	if len(got) != n {
		t.Fatalf("%d datagrams, want %d", len(got), n)
	}
	return got
}

// pattern returns n bytes, of which no two pieces are alike.
func pattern(n int) []byte {
	b := make([]byte, 0, n+4)
	for i := uint32(0); len(b) < n; i++ {
		b = binary.BigEndian.AppendUint32(b, i*2654435761)
	}
	return b[:n]
}

// checkTrain compares datagrams received with the train that was sent.
func checkTrain(t testing.TB, tr *Train, got []Message) {
	t.Helper()
	if len(got) != tr.Count() {
		t.Fatalf("%d datagrams, want %d", len(got), tr.Count())
	}
	rest := tr.Data
	for i, m := range got {
		want := rest
		if i < len(got)-1 {
			want = rest[:tr.Segment]
		}
		if !bytes.Equal(m.Buf, want) {
			t.Fatalf("datagram %d of %d: %d bytes, want %d, or others", i, len(got), m.N, len(want))
		}
		rest = rest[len(want):]
	}
}

func send(t testing.TB, c *Conn, tr *Train) {
	t.Helper()
	n, err := c.WriteTrain(tr)
	if err != nil {
		t.Fatal(err)
	}
	if n != tr.Count() {
		t.Fatalf("sent %d of %d datagrams", n, tr.Count())
	}
}

// loopbacks are the ways that one socket may speak to another on this host.
var loopbacks = []struct {
	name                    string
	network, listen         string
	peerNetwork, peerListen string
	remote                  string // of the socket, as the peer has it
	wantRemote              string // of the peer, as the socket sees it
}{
	{"v4", "udp4", "127.0.0.1:0", "udp4", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
	{"v6", "udp6", "[::1]:0", "udp6", "[::1]:0", "::1", "::1"},
	{"dual stack from v4", "udp", ":0", "udp4", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
	{"dual stack from v6", "udp", ":0", "udp6", "[::1]:0", "::1", "::1"},
	{"v4 from dual stack", "udp4", "127.0.0.1:0", "udp", ":0", "127.0.0.1", "127.0.0.1"},
	{"v4 from dual stack, mapped", "udp4", "127.0.0.1:0", "udp", ":0", "::ffff:127.0.0.1", "127.0.0.1"},
	{"dual stack both, v4", "udp", ":0", "udp", ":0", "127.0.0.1", "127.0.0.1"},
	{"dual stack both, v6", "udp", ":0", "udp", ":0", "::1", "::1"},
	{"v4 mapped", "udp4", "127.0.0.1:0", "udp4", "127.0.0.1:0", "::ffff:127.0.0.1", "127.0.0.1"},
}

func TestLoopback(t *testing.T) {
	leak.Check(t)
	for _, l := range loopbacks {
		for _, o := range []struct {
			name string
			Options
		}{
			{"all", Options{}},
			{"no GSO", Options{DisableGSO: true}},
			{"no GRO", Options{DisableGRO: true}},
			{"nothing", Options{DisableGSO: true, DisableGRO: true, DisableECN: true, DisablePktinfo: true, DisableDF: true}},
		} {
			t.Run(l.name+", "+o.name, func(t *testing.T) {
				c := listen(t, l.network, l.listen, &o.Options)
				peer := listen(t, l.peerNetwork, l.peerListen, &o.Options)
				to := netip.AddrPortFrom(netip.MustParseAddr(l.remote), c.LocalAddr().Port())
				for _, tr := range []Train{
					{Data: pattern(1)},
					{Data: pattern(1200), Segment: 1200},
					{Data: pattern(1200), Segment: 5000},
					{Data: pattern(1201), Segment: 1200},
					{Data: pattern(12000), Segment: 1200},
					{Data: pattern(11999), Segment: 1200},
					{Data: pattern(64), Segment: 1},
				} {
					tr.Remote = to
					send(t, peer, &tr)
					got := datagrams(t, c, tr.Count())
					checkTrain(t, &tr, got)
					for _, m := range got {
						want := netip.AddrPortFrom(netip.MustParseAddr(l.wantRemote), peer.LocalAddr().Port())
						if m.Remote != want {
							t.Fatalf("from %v, want %v", m.Remote, want)
						}
						if c.Caps().Pktinfo && m.Local != to.Addr().Unmap() || !c.Caps().Pktinfo && m.Local.IsValid() {
							t.Fatalf("to %v, want %v", m.Local, to.Addr())
						}
						if m.Truncated || m.ECN != 0 {
							t.Fatalf("truncated %v, ECN %d", m.Truncated, m.ECN)
						}
					}
					// And back.
					back := Train{Data: tr.Data, Segment: tr.Segment, Remote: got[0].Remote, Local: got[0].Local}
					send(t, c, &back)
					got = datagrams(t, peer, back.Count())
					checkTrain(t, &back, got)
					if got[0].Remote != netip.AddrPortFrom(to.Addr().Unmap(), to.Port()) {
						t.Fatalf("answer from %v, want %v", got[0].Remote, to)
					}
				}
				if s := c.Stats(); s.DatagramsReceived != s.DatagramsSent || s.BytesReceived != s.BytesSent || s.DatagramsLost != 0 || s.Fallbacks != 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

func TestEmptyDatagram(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	send(t, c, &Train{Segment: 1200, Remote: c.LocalAddr()})
	if m := datagrams(t, c, 1)[0]; m.N != 0 || m.Segment != 0 || m.Remote != c.LocalAddr() {
		t.Errorf("%+v", m)
	}
	if s := c.Stats(); s.DatagramsSent != 1 || s.DatagramsReceived != 1 || s.BytesReceived != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTruncated(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	send(t, c, &Train{Data: pattern(100), Remote: c.LocalAddr()})
	send(t, c, &Train{Data: pattern(50), Remote: c.LocalAddr()})
	m := make([]Message, 1)
	m[0].Buf = make([]byte, 60)
	for _, want := range []struct {
		n         int
		truncated bool
	}{{60, true}, {50, false}} {
		if n, err := c.ReadBatch(m); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if m[0].N != want.n || m[0].Truncated != want.truncated || !bytes.Equal(m[0].Buf[:m[0].N], pattern(want.n)) {
			t.Errorf("%d bytes, truncated %v, want %v", m[0].N, m[0].Truncated, want)
		}
	}
	if s := c.Stats(); s.Truncated != 1 {
		t.Errorf("%+v", s)
	}
}

func TestNoBuffers(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	if n, err := c.ReadBatch(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	if n, err := c.TryReadBatch(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
}

func TestDeadline(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	m := messages(1)
	c.SetReadDeadline(time.Unix(1, 0))
	n, err := c.ReadBatch(m)
	if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d, %v", n, err)
	}
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
	if n, err := c.TryReadBatch(m); n != 0 || err != nil {
		t.Fatalf("TryReadBatch after the deadline: %d, %v", n, err)
	}
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := c.ReadBatch(m); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	// A deadline set while it waits holds too.
	c.SetReadDeadline(time.Time{})
	done := make(chan error)
	go func() {
		_, err := c.ReadBatch(m)
		done <- err
	}()
	c.SetReadDeadline(time.Unix(1, 0))
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(wait))
	send(t, c, &Train{Data: []byte("late"), Remote: c.LocalAddr()})
	datagrams(t, c, 1)
}

// TestDeadlineUnderLoad has a deadline pass while datagrams come: a reader that is told to
// stop by it must not have to wait until they end. They are still there afterwards.
func TestDeadlineUnderLoad(t *testing.T) {
	leak.Check(t)
	for _, o := range []*Options{nil, {DisablePoll: true}} {
		c := listen(t, "udp4", "127.0.0.1:0", o)
		send(t, c, &Train{Data: []byte("x"), Remote: c.LocalAddr()})
		c.SetReadDeadline(time.Unix(1, 0))
		if n, err := c.ReadBatch(messages(1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("DisablePoll %v: %d, %v", o != nil, n, err)
		}
		c.SetReadDeadline(time.Now().Add(wait))
		datagrams(t, c, 1)
	}
}

func TestClose(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	c.SetReadDeadline(time.Time{})
	m := messages(1)
	done := make(chan error)
	go func() {
		_, err := c.ReadBatch(m)
		done <- err
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch: %v", err)
	}
	if _, err := c.ReadBatch(m); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch: %v", err)
	}
	if n, err := c.WriteTrain(&Train{Data: []byte("x"), Remote: netip.MustParseAddrPort("127.0.0.1:9")}); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteTrain: %d, %v", n, err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
	if err := c.SetReadDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetReadDeadline: %v", err)
	}
	c.Stats()
	c.Caps()
}

func TestDial(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	d, err := Dial(context.Background(), "udp", c.LocalAddr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.RemoteAddr() != c.LocalAddr() || c.RemoteAddr().IsValid() {
		t.Errorf("remotes %v, %v", d.RemoteAddr(), c.RemoteAddr())
	}
	tr := Train{Data: pattern(5000), Segment: 1200}
	send(t, d, &tr)
	got := datagrams(t, c, tr.Count())
	checkTrain(t, &tr, got)
	if got[0].Remote != d.LocalAddr() {
		t.Errorf("from %v, want %v", got[0].Remote, d.LocalAddr())
	}
	tr.Remote, tr.Local, tr.ECN = d.RemoteAddr(), d.LocalAddr().Addr(), 1
	send(t, d, &tr)
	checkTrain(t, &tr, datagrams(t, c, tr.Count()))
}

// TestRefused has the peer of a connected socket go away: the ICMP messages that
// answer what is sent then are no errors.
func TestRefused(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	d, err := Dial(context.Background(), "udp4", c.LocalAddr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c.Close()
	for range 10 {
		send(t, d, &Train{Data: pattern(3000), Segment: 1200})
	}
	d.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := d.ReadBatch(messages(1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestWriteErrors(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	for _, tr := range []Train{
		{Data: []byte("no destination")},
		{Data: []byte("IPv6"), Remote: netip.MustParseAddrPort("[::1]:9")},
	} {
		n, err := c.WriteTrain(&tr)
		if n != 0 || err == nil || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %d, %v", tr.Data, n, err)
		}
	}
	tr := Train{Data: pattern(70000), Remote: c.LocalAddr()}
	if n, err := c.WriteTrain(&tr); n != 0 || !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d, %v", n, err)
	}
	if s := c.Stats(); s.TooLarge != 1 || s.DatagramsSent != 0 {
		t.Errorf("%+v", s)
	}
}

func TestListenErrors(t *testing.T) {
	leak.Check(t)
	for _, network := range []string{"", "tcp", "unixgram", "udp5"} {
		if _, err := Listen(network, "127.0.0.1:0", nil); err == nil {
			t.Errorf("Listen(%q) succeeded", network)
		}
		if _, err := Dial(context.Background(), network, "127.0.0.1:9", nil); err == nil {
			t.Errorf("Dial(%q) succeeded", network)
		}
	}
	if _, err := Listen("udp", "127.0.0.1", nil); err == nil {
		t.Error("Listen without a port succeeded")
	}
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	if _, err := Listen("udp4", c.LocalAddr().String(), nil); err == nil {
		t.Error("Listen on a port in use succeeded")
	}
	uc, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	uc.Close()
	if _, err := New(uc, nil); err == nil {
		t.Error("New of a closed socket succeeded")
	}
}

// TestConcurrentWriters has several goroutines send trains, each recognized
// by its bytes, while one receives.
func TestConcurrentWriters(t *testing.T) {
	leak.Check(t)
	const (
		goroutines = 4
		trains     = 50
		segment    = 200
		size       = 7*segment + 100
		window     = 8 // trains under way, so that none is lost
	)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	d := listen(t, "udp4", "127.0.0.1:0", nil)
	credit := make(chan struct{}, window)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range trains {
				credit <- struct{}{}
				data := bytes.Repeat([]byte{byte(g)}, size)
				for off := 0; off < size; off += segment {
					binary.BigEndian.PutUint32(data[off:], uint32(i))
				}
				if n, err := d.WriteTrain(&Train{Data: data, Segment: segment, Remote: c.LocalAddr(), ECN: uint8(g)}); n != 8 || err != nil {
					t.Errorf("sent %d: %v", n, err)
				}
			}
		})
	}
	seen := map[[2]uint32]int{}
	m := messages(8)
	for got := 0; got < goroutines*trains*8; {
		n, err := c.ReadBatch(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range m[:n] {
			for data := m.Buf[:m.N]; len(data) > 0; got++ {
				d := data[:min(m.Segment, len(data))]
				data = data[len(d):]
				g := d[len(d)-1]
				if c.Caps().ECN && m.ECN != g {
					t.Fatalf("ECN %d, want %d", m.ECN, g)
				}
				k := [2]uint32{uint32(g), binary.BigEndian.Uint32(d)}
				seen[k]++
				if seen[k] == 8 {
					<-credit
				}
			}
		}
		c.Stats()
	}
	wg.Wait()
	if len(seen) != goroutines*trains {
		t.Errorf("%d trains, want %d", len(seen), goroutines*trains)
	}
	if s := d.Stats(); s.DatagramsSent != goroutines*trains*8 || s.BytesSent != goroutines*trains*size {
		t.Errorf("%+v", s)
	}
}

func TestCount(t *testing.T) {
	const large = int(^uint(0) >> 1)
	for _, tt := range []struct{ n, segment, want int }{
		{0, 0, 1}, {0, 5, 1}, {1, 0, 1}, {1, -5, 1}, {5, 5, 1}, {6, 5, 2}, {10, 5, 2}, {11, 5, 3}, {5, 6, 1}, {5, large, 1}, {large, large, 1}, {large, large - 1, 2},
	} {
		if got := count(tt.n, tt.segment); got != tt.want {
			t.Errorf("count(%d, %d) = %d, want %d", tt.n, tt.segment, got, tt.want)
		}
	}
}
