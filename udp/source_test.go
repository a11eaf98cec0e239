//go:build linux || darwin

package udp

import (
	"net"
	"net/netip"
	"testing"
)

// linkLocal returns a link-local IPv6 address of this host with its zone.
func linkLocal(t *testing.T) netip.Addr {
	t.Helper()
	ifs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range ifs {
		addrs, err := ifi.Addrs()
		if err != nil || ifi.Flags&net.FlagUp == 0 {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				return p.Addr().WithZone(ifi.Name)
			}
		}
	}
	t.Skip("no link-local address")
	return netip.Addr{}
}

// own returns an address of this host that others may see.
func own(t *testing.T) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !zoned(p.Addr()) {
			return p.Addr()
		}
	}
	t.Skip("no address but those of the loopback interface")
	return netip.Addr{}
}

func TestFit(t *testing.T) {
	for _, test := range []struct {
		local, remote string
		want          bool
	}{
		{"127.0.0.1", "127.0.0.1", true},
		{"127.0.0.1", "::ffff:127.0.0.1", true},
		{"::1", "::1", true},
		{"127.0.0.1", "192.0.2.1", false},
		{"::1", "2001:db8::1", false},
		{"192.0.2.1", "127.0.0.1", false}, // not this host's
		{"2001:db8::1", "::1", false},
		{"fe80::1", "2001:db8::1", false}, // without a zone
		{"fe80::1%none", "fe80::2%none", false},
		{"fe80::1%1", "fe80::2%2", false},
	} {
		if got := isFit(netip.MustParseAddr(test.local), netip.MustParseAddr(test.remote)); got != test.want {
			t.Errorf("from %s to %s: %v", test.local, test.remote, got)
		}
	}
}

func TestFitOwn(t *testing.T) {
	a := own(t)
	loopback, other := netip.IPv6Loopback(), netip.MustParseAddr("2001:db8::1")
	if a.Is4() {
		loopback, other = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	}
	if !isFit(a, other) || !isFit(a, a) || !isFit(loopback, a) {
		t.Errorf("%v is unfit", a)
	}
}

func TestFitLinkLocal(t *testing.T) {
	a := linkLocal(t)
	near, far := netip.MustParseAddr("fe80::1").WithZone(a.Zone()), netip.MustParseAddr("2001:db8::1")
	if !isFit(a, near) || !isFit(a, far) {
		t.Errorf("%v is unfit", a)
	}
	if isFit(a.WithZone(""), near) || isFit(a, near.WithZone("none")) {
		t.Errorf("%v is fit in any zone", a)
	}
}
