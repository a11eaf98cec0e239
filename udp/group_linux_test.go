package udp

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata/internal/leak"
)

// group opens a group for the time of a test.
func group(t testing.TB, network, addr string, n int, o *Options) []*Conn {
	t.Helper()
	g, err := ListenGroup(network, addr, n, o)
	if err != nil {
		if c, perr := net.ListenPacket("udp6", "[::1]:0"); perr == nil {
			c.Close()
		} else if network != "udp4" {
			t.Skip("no IPv6 here: ", perr)
		}
		t.Fatal(err)
	}
	for _, c := range g {
		t.Cleanup(func() { c.Close() })
		c.SetReadDeadline(time.Now().Add(wait))
		if c.LocalAddr() != g[0].LocalAddr() || c.LocalAddr().Port() == 0 {
			t.Fatalf("bound to %v and %v", g[0].LocalAddr(), c.LocalAddr())
		}
	}
	return g
}

// who sends a datagram and returns the place of the socket that it came to.
func who(t testing.TB, g []*Conn, d *Conn, host string, data []byte) int {
	t.Helper()
	send(t, d, &Train{Data: data, Remote: remoteOf(host, g[0].LocalAddr().Port())})
	m := messages(1)
	// Which one is to be waited for is not known.
	for end := time.Now().Add(wait); time.Now().Before(end); runtime.Gosched() {
		for i, c := range g {
			n, err := c.TryReadBatch(m)
			if err != nil {
				t.Fatal(err)
			}
			if n == 1 {
				if !bytes.Equal(m[0].Buf[:m[0].N], data) {
					t.Fatalf("%d bytes at socket %d, want %d", m[0].N, i, len(data))
				}
				return i
			}
		}
	}
	t.Fatal("at no socket")
	return -1
}

// TestGroup checks that the kernel spreads by the source, and always the same way.
func TestGroup(t *testing.T) {
	leak.Check(t)
	for _, l := range []struct{ network, addr, host string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"}, {"udp6", "[::1]:0", "::1"}, {"udp", ":0", "127.0.0.1"}, {"udp", ":0", "::1"}, {"udp4", "localhost:0", "127.0.0.1"},
	} {
		t.Run(l.network+" "+l.host, func(t *testing.T) {
			g := group(t, l.network, l.addr, 3, nil)
			hit := spread(t, g, l.host, []byte("whatever"))
			if len(hit) < 2 {
				t.Errorf("all at %v", hit)
			}
			for _, c := range g {
				if c.Caps().Steering {
					t.Error("steering without being asked")
				}
			}
		})
	}
	// Another group may join, also if nobody asked for one in particular.
	g := group(t, "udp4", "127.0.0.1:0", 2, nil)
	h := group(t, "udp4", g[0].LocalAddr().String(), 2, nil)
	spread(t, append(g, h...), "127.0.0.1", []byte("whatever"))
	// One that steers may not.
	if _, err := ListenGroup("udp4", g[0].LocalAddr().String(), 2, &Options{Steer: &Steer{}}); err == nil {
		t.Error("steering among strangers")
	}
	// Nor may any where a socket does not share.
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	if _, err := ListenGroup("udp4", c.LocalAddr().String(), 2, nil); err == nil {
		t.Error("a port in use: no error")
	}
}

// spread sends the same datagram from many ports, twice each, and returns the sockets that got some.
func spread(t testing.TB, g []*Conn, host string, data []byte) map[int]int {
	t.Helper()
	// With that many ports, two sockets of three are hit but for a chance of 3^-47.
	hit := map[int]int{}
	for range 48 {
		d := listen(t, "udp", remoteOf(host, 0).String(), nil)
		at := who(t, g, d, host, data)
		if again := who(t, g, d, host, data); again != at {
			t.Fatalf("first at %d, then at %d", at, again)
		}
		hit[at]++
	}
	return hit
}

// TestSteer checks where QUIC packets go.
func TestSteer(t *testing.T) {
	leak.Check(t)
	const n = 3
	for _, l := range []struct{ network, addr, host string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"}, {"udp6", "[::1]:0", "::1"}, {"udp", ":0", "127.0.0.1"}, {"udp", ":0", "::1"},
	} {
		for _, s := range []Steer{{}, {Offset: 7}, {Offset: 19}, {Offset: 1, Bits: 2}, {Offset: 3, Bits: 8}} {
			t.Run(fmt.Sprint(l, s), func(t *testing.T) {
				g := group(t, l.network, l.addr, n, &Options{Steer: &s})
				if !g[0].Caps().Steering || !g[n-1].Caps().Steering {
					t.Fatalf("%+v", g[0].Caps())
				}
				packet := func(first, worker byte) []byte {
					p := bytes.Repeat([]byte{1}, 30)
					p[0], p[1+s.Offset] = first, worker
					return p
				}
				for range 5 {
					d := listen(t, "udp", remoteOf(l.host, 0).String(), nil)
					for worker := range n {
						for _, first := range []byte{0x40, 0x7f, 0x00, 0x3f} {
							p := packet(first, byte(worker))
							for _, p := range [][]byte{p, p[:2+s.Offset]} {
								if at := who(t, g, d, l.host, p); at != worker {
									t.Fatalf("%x at %d, want %d", p, at, worker)
								}
							}
							if s.Bits == 2 {
								p[1+s.Offset] |= 0xac
								if at := who(t, g, d, l.host, p); at != worker {
									t.Fatalf("%x at %d, want %d", p, at, worker)
								}
							}
						}
					}
				}
				// The others are spread, by their source alone.
				for name, p := range map[string][]byte{
					"long header":          packet(0xc0, 1),
					"version negotiation":  packet(0x80, 2),
					"no such socket":       packet(0x40, n),
					"nor such a one":       packet(0x40, 0xff),
					"too short by a byte":  packet(0x40, 1)[:1+s.Offset],
					"the first byte alone": {0x40},
					"empty":                {},
				} {
					if hit := spread(t, g, l.host, p); len(hit) < 2 {
						t.Errorf("%s: all at %v", name, hit)
					}
				}
			})
		}
	}
}

// TestSteerTrains sends trains, which come in as they went out, and to the right socket.
func TestSteerTrains(t *testing.T) {
	leak.Check(t)
	g := group(t, "udp4", "127.0.0.1:0", 2, &Options{Steer: &Steer{Offset: 4}})
	d := listen(t, "udp4", "127.0.0.1:0", nil)
	for worker, c := range g {
		tr := Train{Data: pattern(12000), Segment: 1200, Remote: c.LocalAddr()}
		for i := 0; i < len(tr.Data); i += tr.Segment {
			tr.Data[i], tr.Data[i+5] = 0x40, byte(worker)
		}
		send(t, d, &tr)
		checkTrain(t, &tr, datagrams(t, c, 10))
	}
}

// TestSteerFaults has the kernel refuse the program: the kernel's own way is left.
func TestSteerFaults(t *testing.T) {
	k := realKernel
	k.attach = func(int, []unix.SockFilter) error { return os.NewSyscallError("setsockopt", unix.ENOPROTOOPT) }
	g, err := listenGroup("udp4", "127.0.0.1:0", 3, &Options{Steer: &Steer{}}, system{kernel: k})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range g {
		defer c.Close()
		if c.Caps().Steering {
			t.Error("steering")
		}
	}
	if hit := spread(t, g, "127.0.0.1", append([]byte{0x40}, make([]byte, 20)...)); len(hit) < 2 {
		t.Errorf("all at %v", hit)
	}
}

// TestGroupClosesAll has a socket of the group fail.
func TestGroupClosesAll(t *testing.T) {
	leak.Check(t)
	k := realKernel
	opened := 0
	k.getsockopt = func(fd, level, opt int) (int, error) {
		if level == unix.SOL_SOCKET && opt == unix.SO_DOMAIN {
			if opened++; opened == 3 {
				return 0, os.NewSyscallError("getsockopt", unix.ENOPROTOOPT)
			}
		}
		return getsockopt(fd, level, opt)
	}
	free := listen(t, "udp4", "127.0.0.1:0", nil)
	addr := free.LocalAddr().String()
	free.Close()
	for _, steer := range []*Steer{nil, {}} {
		opened = 0
		if g, err := listenGroup("udp4", addr, 4, &Options{Steer: steer}, system{kernel: k}); err == nil || g != nil {
			t.Error("no error")
		}
		// The port is free again.
		listen(t, "udp4", addr, nil).Close()
	}
}

// BenchmarkSteer compares what a datagram costs with and without the program.
func BenchmarkSteer(b *testing.B) {
	for _, s := range []*Steer{nil, {Offset: 2}} {
		b.Run(fmt.Sprintf("steer=%v", s != nil), func(b *testing.B) {
			g := group(b, "udp4", "127.0.0.1:0", 2, &Options{Steer: s})
			d := listen(b, "udp4", "127.0.0.1:0", nil)
			tr := Train{Data: make([]byte, 1200), Remote: g[0].LocalAddr()}
			m := messages(1)
			b.ReportAllocs()
			for b.Loop() {
				send(b, d, &tr)
				for _, c := range g {
					if _, err := c.TryReadBatch(m); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
