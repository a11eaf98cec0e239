package udp

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is room for an address of either version, as the kernel has it.
type sockaddr = unix.RawSockaddrInet6

// putSockaddr writes a, for a socket of IPv6 or of IPv4, and returns its length. It
// returns 0 for an address that such a socket does not speak.
func putSockaddr(sa *sockaddr, a netip.AddrPort, v6 bool) uint32 {
	ip := a.Addr()
	if v6 {
		*sa = sockaddr{Family: unix.AF_INET6, Addr: ip.As16()}
		putPort(&sa.Port, a.Port())
		if zone := ip.Zone(); zone != "" {
			sa.Scope_id = zones.index(zone)
		}
		return unix.SizeofSockaddrInet6
	}
	ip = ip.Unmap()
	if !ip.Is4() {
		return 0
	}
	sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
	*sa4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip.As4()}
	putPort(&sa4.Port, a.Port())
	return unix.SizeofSockaddrInet4
}

// getSockaddr reads an address of n bytes. It returns the zero AddrPort if it is of
// another kind.
func getSockaddr(sa *sockaddr, n uint32) netip.AddrPort {
	switch {
	case sa.Family == unix.AF_INET && n >= unix.SizeofSockaddrInet4:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), getPort(&sa4.Port))
	case sa.Family == unix.AF_INET6 && n >= unix.SizeofSockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 && zoned(ip) {
			ip = zones.with(ip, sa.Scope_id)
		}
		return netip.AddrPortFrom(ip, getPort(&sa.Port))
	}
	return netip.AddrPort{}
}

// Ports are in network byte order.

func putPort(p *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], port)
}

func getPort(p *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:])
}
