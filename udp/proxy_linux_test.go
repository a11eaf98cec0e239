package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata/internal/leak"
)

// permitted tells whether the test may make transparent sockets.
func permitted(t testing.TB) bool {
	c, err := Listen("udp4", "127.0.0.1:0", &Options{Transparent: true, Mark: 1})
	if err != nil {
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("%v is not about permission", err)
		}
		return false
	}
	c.Close()
	return true
}

// TestTransparent sends from addresses that are not this host's, and receives what was not for it.
func TestTransparent(t *testing.T) {
	leak.Check(t)
	skipped := t.Logf
	if os.Getenv("FRITTATA_NETNS_REQUIRE") != "" { // set where the test must not be skipped
		skipped = t.Errorf
	}
	if !permitted(t) {
		skipped("skipped: not permitted")
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The network namespace is the thread's, and goes with it: it is never unlocked.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			skipped("skipped: no network namespace: %v", err)
			return
		}
		// All addresses of these prefixes are this host's, as with the routes that a proxy has for packets with its mark.
		for _, args := range []string{"link set lo up", "route add local 192.0.2.0/24 dev lo", "-6 route add local 2001:db8::/32 dev lo"} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				skipped("skipped: ip %s: %v: %s", args, err, out)
				return
			}
		}
		testTransparent(t)
	}()
	<-done
}

func testTransparent(t *testing.T) {
	for _, tt := range []struct{ network, listen, foreign, other, client string }{
		{"udp4", "0.0.0.0:0", "192.0.2.7", "198.51.100.1", "127.0.0.1:0"},
		{"udp6", "[::]:0", "2001:db8::7", "2001:db8:1::1", "[::1]:0"},
		{"udp", ":0", "192.0.2.7", "198.51.100.1", "127.0.0.1:0"},
		{"udp", ":0", "2001:db8::7", "2001:db8:1::1", "[::1]:0"},
	} {
		open := func(network, addr string, o *Options) *Conn {
			c, err := Listen(network, addr, o)
			if err != nil {
				t.Errorf("%+v: %v", tt, err)
				return nil
			}
			t.Cleanup(func() { c.Close() })
			c.SetReadDeadline(time.Now().Add(wait))
			return c
		}
		c := open(tt.network, tt.listen, &Options{Transparent: true, Mark: 7})
		d := open("udp", tt.client, nil)
		if c == nil || d == nil {
			return
		}
		if k := c.Caps(); !k.Transparent || !k.OriginalDst || k.Mark != 7 {
			t.Errorf("%+v", k)
		}
		if k := d.Caps(); k.Transparent || k.OriginalDst || k.Mark != 0 {
			t.Errorf("%+v", k)
		}
		to := remoteOf(tt.foreign, c.LocalAddr().Port())
		m := messages(1)
		if _, err := d.WriteTrain(&Train{Data: []byte("x"), Remote: to}); err != nil {
			t.Errorf("to %v: %v", to, err)
			return
		}
		if n, err := c.ReadBatch(m); n != 1 || err != nil || m[0].OriginalDst != to || m[0].Local != to.Addr() {
			t.Errorf("%d, %v, original destination %v, local %v; want %v", n, err, m[0].OriginalDst, m[0].Local, to)
			return
		}
		// The answer comes from there, and from where nobody ever was.
		for _, from := range []string{tt.foreign, tt.other} {
			if _, err := c.WriteTrain(&Train{Data: []byte("y"), Remote: d.LocalAddr(), Local: netip.MustParseAddr(from)}); err != nil {
				t.Errorf("from %s: %v", from, err)
				return
			}
			if n, err := d.ReadBatch(m); n != 1 || err != nil || m[0].Remote != remoteOf(from, to.Port()) || m[0].OriginalDst.IsValid() {
				t.Errorf("%d, %v, from %v, want %v; original destination %v", n, err, m[0].Remote, from, m[0].OriginalDst)
				return
			}
		}
		// A socket may be bound to such an address, if it is transparent.
		if e := open("udp", netip.AddrPortFrom(netip.MustParseAddr(tt.other), 0).String(), &Options{Transparent: true}); e == nil {
			return
		}
		if e, err := Listen("udp", netip.AddrPortFrom(netip.MustParseAddr(tt.other), 0).String(), nil); err == nil {
			e.Close()
			t.Errorf("bound to %s without being transparent", tt.other)
		}
		e, err := Dial(context.Background(), "udp", d.LocalAddr().String(), &Options{Transparent: true, Mark: 9})
		if err != nil {
			t.Error(err)
			return
		}
		if k := e.Caps(); !k.Transparent || k.Mark != 9 {
			t.Errorf("%+v", k)
		}
		e.Close()
	}
}

// TestProxyFaults has the kernel refuse what only the administrator may do.
func TestProxyFaults(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		o          Options
		level, opt int
		name       string
	}{
		{Options{Transparent: true}, unix.IPPROTO_IP, unix.IP_TRANSPARENT, "IP_TRANSPARENT"},
		{Options{Mark: 1 << 31}, unix.SOL_SOCKET, unix.SO_MARK, "SO_MARK"},
	} {
		uc, err := net.ListenUDP("udp4", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer uc.Close()
		k := realKernel
		k.setsockopt = func(fd, level, opt, value int) error {
			if level == tt.level && opt == tt.opt {
				return os.NewSyscallError("setsockopt", unix.EPERM)
			}
			return setsockopt(fd, level, opt, value)
		}
		_, err = newConn(uc, &tt.o, system{kernel: k})
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), tt.name) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("%s: %v", tt.name, err)
		}
		// A socket that has it already needs no permission.
		k.getsockopt = func(fd, level, opt int) (int, error) {
			if level == tt.level && opt == tt.opt {
				return int(int32(max(1, tt.o.Mark))), nil
			}
			return getsockopt(fd, level, opt)
		}
		c, err := newConn(uc, &tt.o, system{kernel: k})
		if err != nil {
			t.Errorf("%s, set already: %v", tt.name, err)
			continue
		}
		if k := c.Caps(); k.Transparent != tt.o.Transparent || k.Mark != tt.o.Mark {
			t.Errorf("%s, set already: %+v", tt.name, k)
		}
	}
	// Without the original destination there is still the rest.
	if !permitted(t) {
		t.Skip("not permitted")
	}
	uc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	k := realKernel
	k.setsockopt = func(fd, level, opt, value int) error {
		if level == unix.IPPROTO_IP && opt == unix.IP_RECVORIGDSTADDR {
			return os.NewSyscallError("setsockopt", unix.ENOPROTOOPT)
		}
		return setsockopt(fd, level, opt, value)
	}
	c, err := newConn(uc, &Options{Transparent: true}, system{kernel: k})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, &Train{Data: []byte("x"), Remote: c.LocalAddr()})
	if m := datagrams(t, c, 1)[0]; m.OriginalDst.IsValid() || c.Caps().OriginalDst || !c.Caps().Transparent {
		t.Errorf("%v, %+v", m.OriginalDst, c.Caps())
	}
}
