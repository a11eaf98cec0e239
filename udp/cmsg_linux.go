package udp

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSize is the size of a control buffer in bytes. The control messages that this
// package asks for take some 190; whoever opened the socket may have asked for more.
const controlSize = 256

// control is a buffer for control messages, aligned as the kernel wants it.
type control struct {
	_ [0]unix.Cmsghdr
	b [controlSize]byte
}

// put appends a control message to the first n bytes. It returns the new length
// and where the message's data goes, which is zero.
func (k *control) put(n, level, typ, size int) (int, []byte) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&k.b[n]))
	h.Level, h.Type = int32(level), int32(typ)
	h.SetLen(unix.CmsgLen(size))
	end := n + unix.CmsgSpace(size)
	data := k.b[n+unix.CmsgLen(0) : end]
	clear(data)
	return end, data[:size]
}

// putClass appends the traffic class: an ECN mark with the DSCP before it.
func (k *control) putClass(n int, class uint8, v4 bool) int {
	var data []byte
	if v4 {
		n, data = k.put(n, unix.IPPROTO_IP, unix.IP_TOS, 4)
	} else {
		n, data = k.put(n, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 4)
	}
	binary.NativeEndian.PutUint32(data, uint32(class))
	return n
}

// putSource appends the source address to use. Only IPv6 has an interface.
func (k *control) putSource(n int, a netip.Addr, ifindex uint32) int {
	var data []byte
	if a.Is4() {
		// struct in_pktinfo: interface, source address, destination address.
		n, data = k.put(n, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		ip := a.As4()
		copy(data[4:8], ip[:])
		return n
	}
	n, data = k.put(n, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	ip := a.As16()
	copy(data[:16], ip[:])
	binary.NativeEndian.PutUint32(data[16:], ifindex)
	return n
}

// putSegment appends the size of a train's datagrams.
func (k *control) putSegment(n, segment int) int {
	n, data := k.put(n, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(data, uint16(segment))
	return n
}

// ancillary is what control messages said about a received message.
type ancillary struct {
	segment  int        // 0 if it is one datagram
	local    netip.Addr // without a zone
	ifindex  uint32
	ecn      uint8
	drops    uint32 // by the socket so far, modulo 2^32
	hasDrops bool
	original netip.AddrPort // without a zone

	// When it came in, since 1970, if timed.
	sec, nsec int64
	timed     bool
}

// cmsgHeader is the size of a control message's header, in bytes.
var cmsgHeader = unix.CmsgLen(0)

// parse reads control messages. It stops at one that makes no sense.
func (a *ancillary) parse(b []byte) {
	*a = ancillary{}
	for len(b) >= cmsgHeader {
		h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(b)))
		size := uint64(h.Len)
		if size < uint64(cmsgHeader) || size > uint64(len(b)) {
			return
		}
		a.add(h.Level, h.Type, b[cmsgHeader:size])
		b = b[min(unix.CmsgSpace(int(size)-cmsgHeader), len(b)):]
	}
}

// add notes a control message.
func (a *ancillary) add(level, typ int32, data []byte) {
	switch level {
	case unix.IPPROTO_UDP:
		if typ == unix.UDP_GRO {
			switch {
			case len(data) >= 4:
				a.segment = int(binary.NativeEndian.Uint32(data) & 0xffff)
			case len(data) >= 2:
				a.segment = int(binary.NativeEndian.Uint16(data))
			}
		}
	case unix.IPPROTO_IP:
		switch {
		case typ == unix.IP_TOS && len(data) >= 1:
			a.ecn = data[0] & ecnMask // the one control message of a byte
		case typ == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			a.local = netip.AddrFrom4([4]byte(data[8:12]))
			a.ifindex = binary.NativeEndian.Uint32(data)
		case typ == unix.IP_ORIGDSTADDR && len(data) >= unix.SizeofSockaddrInet4:
			a.original = original4(data)
		}
	case unix.IPPROTO_IPV6:
		switch {
		case typ == unix.IPV6_TCLASS && len(data) >= 4:
			a.ecn = uint8(binary.NativeEndian.Uint32(data)) & ecnMask
		case typ == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			a.local = netip.AddrFrom16([16]byte(data[:16])).Unmap()
			a.ifindex = binary.NativeEndian.Uint32(data[16:])
		case typ == unix.IPV6_ORIGDSTADDR && len(data) >= unix.SizeofSockaddrInet6:
			a.original = original6(data)
		}
	case unix.SOL_SOCKET:
		switch typ {
		case unix.SO_RXQ_OVFL:
			if len(data) >= 4 {
				a.drops = binary.NativeEndian.Uint32(data)
				a.hasDrops = true
			}
		case unix.SO_TIMESTAMPNS_NEW, unix.SO_TIMESTAMPNS_OLD:
			a.sec, a.nsec, a.timed = timestamp(data)
		}
	}
}
