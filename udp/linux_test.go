//go:build linux

package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata/internal/leak"
)

// remoteOf makes an address of a host and a port.
func remoteOf(host string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), port)
}

// needGSO skips a test on kernels that have no GSO or GRO.
func needGSO(t testing.TB, c *Conn) {
	t.Helper()
	if k := c.Caps(); !k.GSO || !k.GRO {
		t.Skipf("no GSO or GRO: %+v", k)
	}
}

func TestCaps(t *testing.T) {
	leak.Check(t)
	for _, l := range []struct {
		network, addr string
		maxTrain      int
	}{{"udp4", "127.0.0.1:0", 65507}, {"udp6", "[::1]:0", 65527}, {"udp6", "[::]:0", 65527}, {"udp", ":0", 65507}} {
		t.Run(l.network+" "+l.addr, func(t *testing.T) {
			k := listen(t, l.network, l.addr, nil).Caps()
			if !k.ECN || !k.Pktinfo || !k.DF || k.MaxSegments != 64 || k.ReceiveBuffer <= 0 || k.SendBuffer <= 0 {
				t.Errorf("%+v", k)
			}
			if k.MaxTrain != l.maxTrain && !(l.addr == ":0" && k.MaxTrain == 65527) {
				t.Errorf("MaxTrain %d, want %d", k.MaxTrain, l.maxTrain)
			}
			k = listen(t, l.network, l.addr, &Options{DisableGSO: true, DisableGRO: true, DisableECN: true, DisablePktinfo: true, DisableDF: true}).Caps()
			if k.GSO || k.GRO || k.ECN || k.Pktinfo || k.DF {
				t.Errorf("with all off: %+v", k)
			}
		})
	}
}

// option returns a socket's option.
func option(t *testing.T, c *Conn, level, opt int) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var v int
	if e := raw.Control(func(fd uintptr) { v, err = getsockopt(int(fd), level, opt) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return v
}

func TestSocketOptions(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp", ":0", &Options{DisablePoll: true})
	if v := option(t, c, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER); v != unix.IP_PMTUDISC_PROBE {
		t.Errorf("IP_MTU_DISCOVER %d", v)
	}
	if c.sys.v6 {
		if v := option(t, c, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER); v != unix.IPV6_PMTUDISC_PROBE {
			t.Errorf("IPV6_MTU_DISCOVER %d", v)
		}
	}
	if k := c.Caps(); k.GSO {
		if v := option(t, c, unix.IPPROTO_UDP, unix.UDP_SEGMENT); v != 0 {
			t.Errorf("UDP_SEGMENT %d: it would cut up single datagrams", v)
		}
	}
	// New switches off what it is told not to use.
	c, err := New(c.udp, &Options{DisableGRO: true, DisableECN: true, DisablePktinfo: true})
	if err != nil {
		t.Fatal(err)
	}
	if v := option(t, c, unix.IPPROTO_UDP, unix.UDP_GRO); v != 0 {
		t.Errorf("UDP_GRO %d", v)
	}
	if v := option(t, c, unix.IPPROTO_IP, unix.IP_RECVTOS); v != 0 {
		t.Errorf("IP_RECVTOS %d", v)
	}
}

func TestBuffers(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", &Options{ReceiveBuffer: 100 << 10, SendBuffer: 50 << 10, DisablePoll: true})
	if k := c.Caps(); k.ReceiveBuffer != 100<<10 || k.SendBuffer != 50<<10 {
		t.Errorf("%+v", k)
	}
	c, err := New(c.udp, &Options{ReceiveBuffer: -1, SendBuffer: -1, DisablePoll: true})
	if err != nil {
		t.Fatal(err)
	}
	if k := c.Caps(); k.ReceiveBuffer != 100<<10 || k.SendBuffer != 50<<10 {
		t.Errorf("%+v, want it as it was", k)
	}
	c, err = New(c.udp, nil)
	if err != nil {
		t.Fatal(err)
	}
	if k := c.Caps(); k.ReceiveBuffer <= 100<<10 || k.SendBuffer <= 50<<10 {
		t.Errorf("%+v, want more", k)
	}
	// The kernel's figure has 32 bits: what is more must not become nothing.
	wish := int64(4 << 30)
	if huge := int(wish); int64(huge) == wish {
		c = listen(t, "udp4", "127.0.0.1:0", &Options{ReceiveBuffer: huge, SendBuffer: huge})
		if k := c.Caps(); k.ReceiveBuffer <= 100<<10 || k.SendBuffer <= 50<<10 {
			t.Errorf("%+v with buffers of %d bytes", k, huge)
		}
	}
}

// TestTrain sends trains as a whole, to receivers with and without GRO.
func TestTrain(t *testing.T) {
	leak.Check(t)
	for _, l := range []struct{ network, addr string }{{"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}} {
		for _, gro := range []bool{true, false} {
			t.Run(l.network, func(t *testing.T) {
				c := listen(t, l.network, l.addr, &Options{DisableGRO: !gro})
				d := listen(t, l.network, l.addr, nil)
				needGSO(t, d)
				limit := d.Caps().MaxTrain
				for _, tt := range []struct {
					size, segment int
					trains, calls uint64
				}{
					{2400, 1200, 1, 1},
					{12345, 1200, 1, 1},
					{1201, 1200, 1, 1},
					{1200, 1200, 0, 1},
					{64 * 100, 100, 1, 1},
					{65 * 100, 100, 1, 1},     // the second message is a datagram
					{200*100 + 1, 100, 4, 1},  // 201 datagrams: 64, 64, 64, 9
					{limit, 1200, 1, 1},       // 54 datagrams of 1200 bytes, and the rest alone
					{5 * limit, 1452, 5, 1},   // 45 a message, and the rest alone
					{100 * 1000, 40000, 0, 1}, // two do not fit a message
					{20 * 100, 100, 1, 1},
				} {
					before := d.Stats()
					tr := Train{Data: pattern(tt.size), Segment: tt.segment, Remote: c.LocalAddr()}
					send(t, d, &tr)
					got := datagrams(t, c, tr.Count())
					checkTrain(t, &tr, got)
					after := d.Stats()
					if n := after.TrainsSent - before.TrainsSent; n != tt.trains {
						t.Errorf("%d bytes in datagrams of %d: %d trains, want %d", tt.size, tt.segment, n, tt.trains)
					}
					if n := after.WriteCalls - before.WriteCalls; n != tt.calls {
						t.Errorf("%d bytes in datagrams of %d: %d calls, want %d", tt.size, tt.segment, n, tt.calls)
					}
				}
				if s := d.Stats(); s.Fallbacks != 0 || s.SoftErrors != 0 || !d.Caps().GSO {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// TestGRO checks that a train comes in as it went out: one message.
func TestGRO(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	needGSO(t, c)
	tr := Train{Data: pattern(30*1200 + 7), Segment: 1200, Remote: c.LocalAddr(), ECN: 2}
	send(t, c, &tr)
	send(t, c, &Train{Data: pattern(9), Remote: c.LocalAddr()})
	m := messages(4)
	n, err := c.ReadBatch(m)
	if err != nil || n != 2 {
		t.Fatalf("%d messages, %v; want both with one call", n, err)
	}
	if m[0].N != len(tr.Data) || m[0].Segment != 1200 || m[0].ECN != 2 || m[0].Truncated {
		t.Errorf("N %d, Segment %d, ECN %d", m[0].N, m[0].Segment, m[0].ECN)
	}
	if m[1].N != 9 || m[1].Segment != 9 || m[1].ECN != 0 {
		t.Errorf("N %d, Segment %d, ECN %d", m[1].N, m[1].Segment, m[1].ECN)
	}
	if s := c.Stats(); s.ReadCalls != 1 || s.DatagramsReceived != 32 || s.DatagramsSent != 32 || s.WriteCalls != 2 {
		t.Errorf("%+v", s)
	}
	// A buffer that is too small for the train.
	send(t, c, &tr)
	m[0].Buf = m[0].Buf[:3000]
	if n, err := c.ReadBatch(m); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if m[0].N != 3000 || m[0].Segment != 1200 || !m[0].Truncated {
		t.Errorf("N %d, Segment %d, truncated %v", m[0].N, m[0].Segment, m[0].Truncated)
	}
}

func TestMoreThanABatch(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", &Options{DisableGRO: true, DisableGSO: true})
	tr := Train{Data: pattern(150 * 10), Segment: 10, Remote: c.LocalAddr()}
	send(t, c, &tr)
	if s := c.Stats(); s.WriteCalls != 3 || s.TrainsSent != 0 {
		t.Errorf("%+v", s)
	}
	m := messages(100)
	total := 0
	for i, want := range []int{64, 64, 22} {
		n, err := c.TryReadBatch(m)
		if err != nil || n != want {
			t.Fatalf("call %d: %d, %v; want %d", i, n, err, want)
		}
		checkTrain(t, &Train{Data: tr.Data[total*10:][:n*10], Segment: 10}, func() (ms []Message) {
			for _, m := range m[:n] {
				m.Buf = m.Buf[:m.N]
				ms = append(ms, m)
			}
			return ms
		}())
		total += n
	}
	if n, err := c.TryReadBatch(m); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	// A smaller batch after a larger one.
	send(t, c, &tr)
	if n, err := c.ReadBatch(m[:3]); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestECN(t *testing.T) {
	leak.Check(t)
	for _, l := range loopbacks {
		t.Run(l.name, func(t *testing.T) {
			c := listen(t, l.network, l.listen, nil)
			peer := listen(t, l.peerNetwork, l.peerListen, nil)
			for ecn := range uint8(4) {
				for _, segment := range []int{5000, 1000} {
					tr := Train{Data: pattern(5000), Segment: segment, ECN: ecn,
						Remote: netip.AddrPortFrom(netip.MustParseAddr(l.remote), c.LocalAddr().Port())}
					send(t, peer, &tr)
					for _, m := range datagrams(t, c, tr.Count()) {
						if m.ECN != ecn {
							t.Errorf("%d, want %d", m.ECN, ecn)
						}
					}
				}
			}
		})
	}
	c := listen(t, "udp4", "127.0.0.1:0", &Options{DisableECN: true})
	d := listen(t, "udp4", "127.0.0.1:0", nil)
	for _, p := range [][2]*Conn{{c, d}, {d, c}} {
		send(t, p[0], &Train{Data: []byte("x"), ECN: 3, Remote: p[1].LocalAddr()})
		if m := datagrams(t, p[1], 1)[0]; m.ECN != 0 {
			t.Errorf("ECN %d with one side's ECN switched off", m.ECN)
		}
	}
	// More than the mark must not get into the traffic class.
	send(t, d, &Train{Data: []byte("x"), ECN: 0xfe, Remote: d.LocalAddr()})
	if m := datagrams(t, d, 1)[0]; m.ECN != 2 {
		t.Errorf("ECN %d", m.ECN)
	}
}

// TestLocal sends from and to each of two addresses of a socket that is bound to all.
func TestLocal(t *testing.T) {
	leak.Check(t)
	for _, network := range []string{"udp4", "udp"} {
		c := listen(t, network, ":0", nil)
		peer := listen(t, "udp4", "127.0.0.1:0", nil)
		for _, local := range []string{"127.0.0.2", "127.0.0.1", "127.9.9.9", "::ffff:127.0.0.3"} {
			a := netip.MustParseAddr(local)
			if network == "udp4" || c.sys.v6 {
				send(t, c, &Train{Data: pattern(2001), Segment: 1000, Remote: peer.LocalAddr(), Local: a, ECN: 1})
			}
			m := datagrams(t, peer, 3)[0]
			if want := netip.AddrPortFrom(a.Unmap(), c.LocalAddr().Port()); m.Remote != want {
				t.Errorf("from %v, want %v", m.Remote, want)
			}
			send(t, peer, &Train{Data: []byte("x"), Remote: m.Remote})
			if m := datagrams(t, c, 1)[0]; m.Local != a.Unmap() || m.Remote != peer.LocalAddr() {
				t.Errorf("to %v, want %v", m.Local, a)
			}
		}
		// No address is the system's choice, and so is the wildcard.
		for _, a := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			send(t, c, &Train{Data: []byte("x"), Remote: peer.LocalAddr(), Local: a})
			if m := datagrams(t, peer, 1)[0]; m.Remote.Addr() != netip.MustParseAddr("127.0.0.1") {
				t.Errorf("from %v", m.Remote)
			}
		}
		for _, a := range []string{"::1", "192.0.2.1"} {
			tr := Train{Data: pattern(300), Segment: 100, Remote: peer.LocalAddr(), Local: netip.MustParseAddr(a)}
			if n, err := c.WriteTrain(&tr); n != 0 || err == nil {
				t.Errorf("from %s: %d, %v", a, n, err)
			}
		}
		if k := c.Caps(); !k.ECN {
			t.Error("ECN was switched off for a source address that is not this host's")
		}
		send(t, c, &Train{Data: pattern(300), Segment: 100, Remote: peer.LocalAddr()})
		datagrams(t, peer, 3)
	}
	c := listen(t, "udp4", ":0", &Options{DisablePktinfo: true})
	send(t, c, &Train{Data: []byte("x"), Local: netip.MustParseAddr("127.0.0.2"), Remote: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.LocalAddr().Port())})
	if m := datagrams(t, c, 1)[0]; m.Local.IsValid() || m.Remote.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%v to %v with pktinfo switched off", m.Remote, m.Local)
	}
}

// TestWrongSource checks that an address that is not of this host is not taken for a failure of GSO.
func TestWrongSource(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "0.0.0.0:0", nil)
	tr := Train{Data: pattern(300), Segment: 100, Local: netip.MustParseAddr("192.0.2.1"),
		Remote: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.LocalAddr().Port())}
	before := c.Caps()
	n, err := c.WriteTrain(&tr)
	// Which of the two depends on the routes there are.
	if n != 0 || !errors.Is(err, unix.EINVAL) && !errors.Is(err, ErrUnreachable) {
		t.Fatalf("%d, %v", n, err)
	}
	var oe *net.OpError
	if !errors.As(err, &oe) || oe.Op != "write" {
		t.Errorf("%#v", err)
	}
	if c.Caps() != before {
		t.Errorf("%+v, before %+v", c.Caps(), before)
	}
}

func TestZone(t *testing.T) {
	leak.Check(t)
	a := linkLocal(t)
	c := listen(t, "udp6", "[::]:0", nil)
	d := listen(t, "udp6", netip.AddrPortFrom(a, 0).String(), nil)
	if d.LocalAddr().Addr() != a {
		t.Errorf("bound to %v, want %v", d.LocalAddr(), a)
	}
	send(t, d, &Train{Data: []byte("x"), Remote: netip.AddrPortFrom(a, c.LocalAddr().Port())})
	m := datagrams(t, c, 1)[0]
	if m.Remote != d.LocalAddr() || m.Local != a {
		t.Fatalf("from %v to %v, want %v to %v", m.Remote, m.Local, d.LocalAddr(), a)
	}
	back := Train{Data: []byte("x"), Remote: m.Remote, Local: m.Local}
	send(t, c, &back)
	if m := datagrams(t, d, 1)[0]; m.Remote != netip.AddrPortFrom(a, c.LocalAddr().Port()) {
		t.Errorf("answer from %v", m.Remote)
	}
	if !raceEnabled {
		ms := messages(1)
		if n := testing.AllocsPerRun(100, func() {
			send(t, c, &back)
			if n, err := d.ReadBatch(ms); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestReusePort(t *testing.T) {
	leak.Check(t)
	o := &Options{ReusePort: true}
	c := listen(t, "udp4", "127.0.0.1:0", o)
	d := listen(t, "udp4", c.LocalAddr().String(), o)
	if c.LocalAddr() != d.LocalAddr() {
		t.Errorf("%v, %v", c.LocalAddr(), d.LocalAddr())
	}
}

// TestDropped overfills a receive buffer and expects the kernel's count of what was lost.
func TestDropped(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", &Options{ReceiveBuffer: 4 << 10})
	d := listen(t, "udp4", "127.0.0.1:0", nil)
	one := Train{Data: pattern(1000), Remote: c.LocalAddr()}
	const sent = 100
	for range sent {
		send(t, d, &one)
	}
	m := messages(64)
	got := 0
	for {
		n, err := c.TryReadBatch(m)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got += n
	}
	// The count comes with the next datagram.
	send(t, d, &one)
	datagrams(t, c, 1)
	if s := c.Stats(); int(s.Dropped) != sent-got || got == sent {
		t.Errorf("received %d of %d, dropped %d", got, sent, s.Dropped)
	}
}

func TestAllocs(t *testing.T) {
	leak.Check(t)
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, l := range []struct{ network, addr, to string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"}, {"udp6", "[::1]:0", "::1"}, {"udp", ":0", "127.0.0.1"},
	} {
		for _, o := range []Options{{}, {DisableGSO: true, DisableGRO: true}, {Timestamps: true, TxTime: true, DSCP: 8, Transparent: permitted(t)}} {
			c := listen(t, l.network, l.addr, &o)
			a := netip.MustParseAddr(l.to)
			tr := Train{Data: pattern(10 * 1200), Segment: 1200, ECN: 2, Local: a, Remote: netip.AddrPortFrom(a, c.LocalAddr().Port()), Time: time.Now()}
			m := messages(16)
			if n := testing.AllocsPerRun(200, func() {
				send(t, c, &tr)
				for got := 0; got < 10; {
					n, err := c.ReadBatch(m)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range m[:n] {
						got += count(m.N, m.Segment)
					}
				}
				if n, err := c.TryReadBatch(m); n != 0 || err != nil {
					t.Fatal(n, err)
				}
			}); n != 0 {
				t.Errorf("%s %+v: %v allocations", l.network, o, n)
			}
		}
	}
}

// TestWaitForData has a reader wait for what another goroutine sends.
func TestWaitForData(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	m := messages(1)
	for range 100 {
		go c.WriteTrain(&Train{Data: []byte("x"), Remote: c.LocalAddr()})
		if n, err := c.ReadBatch(m); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	c.SetReadDeadline(time.Now())
	if _, err := c.ReadBatch(m); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
