//go:build linux || darwin

package udp

import (
	"net"
	"net/netip"
	"slices"
)

// isFit tells whether the system should take local as the source of what is sent to remote: it is this
// host's, and may be seen there. That takes some time.
func isFit(local, remote netip.Addr) bool {
	switch {
	case local.IsLoopback():
		return remote.Unmap().IsLoopback() || isOwn(remote)
	case zoned(local) && zoned(remote) && zoneIndex(local.Zone()) != zoneIndex(remote.Zone()):
		return false
	}
	return isOwn(local)
}

// isOwn tells whether an address is one of this host's interfaces'. A link-local one is that of its zone.
func isOwn(a netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if zoned(a) {
		var ifi *net.Interface
		if ifi, err = net.InterfaceByIndex(int(zoneIndex(a.Zone()))); err == nil {
			all, err = ifi.Addrs()
		}
	}
	return err == nil && slices.ContainsFunc(all, func(b net.Addr) bool {
		p, ok := b.(*net.IPNet)
		return ok && p.IP.Equal(a.AsSlice())
	})
}

// zoned tells whether an address means nothing without its interface.
func zoned(a netip.Addr) bool {
	return a.IsLinkLocalUnicast() && a.Is6() || a.IsLinkLocalMulticast() && a.Is6()
}
