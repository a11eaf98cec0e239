package udp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlBytes returns the control messages of a header.
func controlBytes(h *unix.Msghdr) []byte {
	return unsafe.Slice(h.Control, int(h.Controllen))
}

// TestPut compares the control messages that are sent with the standard library's reading of them.
func TestPut(t *testing.T) {
	type want struct {
		level, typ int32
		data       []byte
	}
	four := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	a4, a6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("fe80::7")
	b6 := a6.As16()
	var k control
	for i := range k.b {
		k.b[i] = 0xff
	}
	n := k.putSource(0, a4, 0)
	n = k.putClass(n, 0xff, true)
	n = k.putSource(n, a6, 3)
	n = k.putClass(n, 2, false)
	n = k.putSegment(n, 1200)
	n = k.putTime(n, 1<<62)
	wants := []want{
		{unix.IPPROTO_IP, unix.IP_PKTINFO, []byte{0, 0, 0, 0, 192, 0, 2, 7, 0, 0, 0, 0}},
		{unix.IPPROTO_IP, unix.IP_TOS, four(0xff)},
		{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, append(b6[:], four(3)...)},
		{unix.IPPROTO_IPV6, unix.IPV6_TCLASS, four(2)},
		{unix.IPPROTO_UDP, unix.UDP_SEGMENT, binary.NativeEndian.AppendUint16(nil, 1200)},
		{unix.SOL_SOCKET, unix.SCM_TXTIME, binary.NativeEndian.AppendUint64(nil, 1<<62)},
	}
	cms, err := syscall.ParseSocketControlMessage(k.b[:n])
	if err != nil || len(cms) != len(wants) {
		t.Fatalf("%d control messages, %v", len(cms), err)
	}
	for i, w := range wants {
		cm := cms[i]
		if cm.Header.Level != w.level || cm.Header.Type != w.typ || !bytes.Equal(cm.Data, w.data) {
			t.Errorf("%d: %+v, want %+v", i, cm, w)
		}
	}
}

// cmsg appends a control message.
func cmsg(b []byte, level, typ int, data []byte) []byte {
	n := len(b)
	b = append(b, make([]byte, unix.CmsgSpace(len(data)))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[n]))
	h.Level, h.Type = int32(level), int32(typ)
	h.SetLen(unix.CmsgLen(len(data)))
	copy(b[n+unix.CmsgLen(0):], data)
	return b
}

func TestParse(t *testing.T) {
	four := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	b := cmsg(nil, unix.IPPROTO_UDP, unix.UDP_GRO, four(1200))
	b = cmsg(b, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, four(1<<31))
	b = cmsg(b, 99, 99, []byte("unknown"))
	b = cmsg(b, unix.IPPROTO_IP, unix.IP_TOS, []byte{0xb9})
	b = cmsg(b, unix.IPPROTO_IP, unix.IP_PKTINFO, []byte{1, 0, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1})
	want := ancillary{segment: 1200, local: netip.MustParseAddr("192.0.2.1"), ifindex: 1, ecn: 1, drops: 1 << 31, hasDrops: true}
	parse := func(b []byte) (a ancillary) {
		var k control
		a.parse(k.b[:copy(k.b[:], b)])
		return a
	}
	if a := parse(b); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
	a6 := netip.MustParseAddr("fe80::1").As16()
	b = cmsg(nil, unix.IPPROTO_UDP, unix.UDP_GRO, binary.NativeEndian.AppendUint16(nil, 50))
	b = cmsg(b, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, four(0xfe))
	b = cmsg(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, append(a6[:], four(7)...))
	want = ancillary{segment: 50, local: netip.AddrFrom16(a6), ifindex: 7, ecn: 2}
	if a := parse(b); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
	mapped := netip.MustParseAddr("::ffff:192.0.2.1").As16()
	if a := parse(cmsg(nil, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, append(mapped[:], four(7)...))); a.local != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("%v", a.local)
	}
	b = cmsg(nil, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, 1<<33), 999999999))
	b = cmsg(b, unix.IPPROTO_IP, unix.IP_ORIGDSTADDR, []byte{2, 0, 0x01, 0xbb, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 0, 0})
	want = ancillary{sec: 1 << 33, nsec: 999999999, timed: true, original: netip.MustParseAddrPort("192.0.2.9:443")}
	if a := parse(b); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
	b = cmsg(nil, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_OLD, append(four(1<<31-1), four(5)...))
	b = cmsg(b, unix.IPPROTO_IPV6, unix.IPV6_ORIGDSTADDR, append(append([]byte{10, 0, 0x01, 0xbb, 0, 0, 0, 0}, a6[:]...), 7, 0, 0, 0))
	want = ancillary{sec: 1<<31 - 1, nsec: 5, timed: true, original: netip.MustParseAddrPort("[fe80::1]:443")}
	if a := parse(b); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
	// Too short, or of impossible length: nothing is made of it.
	for _, o := range [][2]int{{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW}, {unix.IPPROTO_IP, unix.IP_ORIGDSTADDR}, {unix.IPPROTO_IPV6, unix.IPV6_ORIGDSTADDR}} {
		if a := parse(cmsg(nil, o[0], o[1], make([]byte, 7))); a != (ancillary{}) {
			t.Errorf("%+v", a)
		}
	}
	for _, typ := range []int{unix.IP_TOS, unix.IP_PKTINFO} {
		if a := parse(cmsg(nil, unix.IPPROTO_IP, typ, nil)); a != (ancillary{}) {
			t.Errorf("%+v", a)
		}
	}
	b = cmsg(nil, unix.IPPROTO_IP, unix.IP_TOS, []byte{3})
	for _, length := range []int{0, unix.CmsgLen(0) - 1, len(b) + 1} {
		(*unix.Cmsghdr)(unsafe.Pointer(&b[0])).SetLen(length)
		if a := parse(b); a != (ancillary{}) {
			t.Errorf("length %d: %+v", length, a)
		}
	}
}

func FuzzParse(f *testing.F) {
	four := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	f.Add([]byte(nil))
	f.Add(cmsg(cmsg(nil, unix.IPPROTO_UDP, unix.UDP_GRO, four(1200)), unix.IPPROTO_IP, unix.IP_TOS, []byte{3}))
	f.Add(cmsg(nil, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, make([]byte, 20)))
	f.Add(cmsg(nil, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, four(2)))
	f.Add(cmsg(nil, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, four(9)))
	f.Add(cmsg(nil, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, make([]byte, 16)))
	f.Add(cmsg(nil, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_OLD, make([]byte, 8)))
	f.Add(cmsg(nil, unix.IPPROTO_IP, unix.IP_ORIGDSTADDR, make([]byte, unix.SizeofSockaddrInet4)))
	f.Add(cmsg(nil, unix.IPPROTO_IPV6, unix.IPV6_ORIGDSTADDR, make([]byte, unix.SizeofSockaddrInet6)))
	f.Add(cmsg(nil, unix.IPPROTO_IP, unix.IP_PKTINFO, make([]byte, 12))[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		var k control
		b = k.b[:copy(k.b[:], b)]
		var a ancillary
		a.parse(b)
		if a.ecn > 3 || a.segment < 0 || a.segment > 1<<16-1 || a.local.Is4In6() || a.local.Zone() != "" || a.original.Addr().Is4In6() {
			t.Fatalf("%+v", a)
		}
		// What the standard library can read, it reads likewise.
		cms, err := syscall.ParseSocketControlMessage(b)
		if err != nil {
			return
		}
		var want ancillary
		for _, cm := range cms {
			want.add(cm.Header.Level, cm.Header.Type, cm.Data)
		}
		if a != want {
			t.Fatalf("%+v, want %+v", a, want)
		}
	})
}

func TestSockaddr(t *testing.T) {
	for _, tt := range []struct {
		addr string
		v6   bool
		want string // empty: not possible
	}{
		{"192.0.2.1:443", false, "192.0.2.1:443"},
		{"192.0.2.1:443", true, "192.0.2.1:443"},
		{"[::ffff:192.0.2.1]:443", false, "192.0.2.1:443"},
		{"[::ffff:192.0.2.1]:443", true, "192.0.2.1:443"},
		{"[2001:db8::1]:65535", true, "[2001:db8::1]:65535"},
		{"[2001:db8::1]:1", false, ""},
		{"[fe80::1%lo]:258", true, "[fe80::1%lo]:258"},
		{"[fe80::1%1]:258", true, "[fe80::1%lo]:258"},
		{"[fe80::1%4294967295]:258", true, "[fe80::1%4294967295]:258"},
		{"[fe80::1%no such interface]:258", true, "[fe80::1]:258"},
	} {
		var sa sockaddr
		n := putSockaddr(&sa, netip.MustParseAddrPort(tt.addr), tt.v6)
		if tt.want == "" {
			if n != 0 {
				t.Errorf("%s: %d bytes", tt.addr, n)
			}
			continue
		}
		if got := getSockaddr(&sa, n); got != netip.MustParseAddrPort(tt.want) {
			t.Errorf("%s: %v, want %s", tt.addr, got, tt.want)
		}
		if got := getSockaddr(&sa, n-1); got.IsValid() {
			t.Errorf("%s cut short: %v", tt.addr, got)
		}
	}
	sa := sockaddr{Family: unix.AF_UNIX}
	if got := getSockaddr(&sa, unix.SizeofSockaddrInet6); got.IsValid() {
		t.Errorf("%v of AF_UNIX", got)
	}
}

// TestZonesBounded asks for more interfaces than there are.
func TestZonesBounded(t *testing.T) {
	var z zoneCache
	a := netip.MustParseAddr("fe80::1")
	for i := range uint32(maxZones + 100) {
		if b := z.with(a, 1<<20+i); b.Zone() == "" || b.WithZone("") != a {
			t.Fatal(b)
		}
		if len(z.byIndex) > maxZones || len(z.byName) > maxZones {
			t.Fatalf("%d, %d zones", len(z.byIndex), len(z.byName))
		}
	}
}
