// Package darwin reads and writes the control messages of UDP sockets on macOS and its
// relatives. It is portable, so that it can be tested anywhere; package
// udp checks its numbers against those of golang.org/x/sys where it uses them.
package darwin

import (
	"encoding/binary"
	"net/netip"
)

// Options of sockets, and types of control messages. Several types are named for the option that asks for them.
const (
	LevelIP4 = 0  // IPPROTO_IP
	LevelIP6 = 41 // IPPROTO_IPV6

	OptTOS         = 3  // IP_TOS
	OptPktinfo     = 26 // IP_PKTINFO, and IP_RECVPKTINFO
	OptRecvTOS     = 27 // IP_RECVTOS
	OptRecvTClass  = 35 // IPV6_RECVTCLASS
	OptTClass      = 36 // IPV6_TCLASS
	OptPktinfo6    = 46 // IPV6_PKTINFO
	OptRecvPktinfo = 61 // IPV6_RECVPKTINFO
)

const (
	// headerSize is the size of struct cmsghdr, which is three numbers of 32 bits:
	// length, level and type.
	headerSize = 12

	// alignment is that of messages and of their data, on processors of 64 bits too.
	alignment = 4

	pktinfoSize  = 12 // struct in_pktinfo: interface, source address, destination address
	pktinfo6Size = 20 // struct in6_pktinfo: address, interface
)

// Size is enough for what this package writes, and for what it asks to be told, in bytes.
const Size = 128

// Info is what control messages said about a datagram.
type Info struct {
	Local     netip.Addr // where it was sent to, without a zone
	Interface uint32     // 0 if that is unknown
	Class     uint8      // the traffic class: DSCP and ECN
}

// Parse reads control messages. It stops at one that makes no sense.
func Parse(b []byte) Info {
	var i Info
	for len(b) >= headerSize {
		size := uint64(binary.NativeEndian.Uint32(b))
		if size < headerSize || size > uint64(len(b)) {
			break
		}
		level, typ := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[8:])
		i.add(level, typ, b[headerSize:size])
		b = b[min(align(int(size)), len(b)):]
	}
	return i
}

// add notes a control message.
func (i *Info) add(level, typ uint32, data []byte) {
	switch {
	case level == LevelIP4 && (typ == OptRecvTOS || typ == OptTOS) && len(data) >= 1:
		i.Class = data[0]
	case level == LevelIP6 && typ == OptTClass && len(data) >= 4:
		i.Class = uint8(binary.NativeEndian.Uint32(data))
	case level == LevelIP6 && typ == OptTClass && len(data) >= 1:
		i.Class = data[0] // some versions
	case level == LevelIP4 && typ == OptPktinfo && len(data) >= pktinfoSize:
		i.Interface = binary.NativeEndian.Uint32(data)
		i.Local = netip.AddrFrom4([4]byte(data[8:]))
	case level == LevelIP6 && typ == OptPktinfo6 && len(data) >= pktinfo6Size:
		i.Local = netip.AddrFrom16([16]byte(data)).Unmap()
		i.Interface = binary.NativeEndian.Uint32(data[16:])
	}
}

// AppendClass appends the traffic class to use. Which form it takes depends on the
// destination, not on the socket.
func AppendClass(b []byte, class uint8, v4 bool) []byte {
	if v4 {
		b = appendHeader(b, LevelIP4, OptTOS, 4)
	} else {
		b = appendHeader(b, LevelIP6, OptTClass, 4)
	}
	return binary.NativeEndian.AppendUint32(b, uint32(class))
}

// AppendSource appends the source address to use. Only IPv6 has an interface.
func AppendSource(b []byte, a netip.Addr, ifindex uint32) []byte {
	if a.Is4() {
		b = appendHeader(b, LevelIP4, OptPktinfo, pktinfoSize)
		b = append(b, 0, 0, 0, 0)
		ip := a.As4()
		b = append(b, ip[:]...)
		return append(b, 0, 0, 0, 0)
	}
	b = appendHeader(b, LevelIP6, OptPktinfo6, pktinfo6Size)
	ip := a.As16()
	b = append(b, ip[:]...)
	return binary.NativeEndian.AppendUint32(b, ifindex)
}

// appendHeader begins a control message with so much data. All that is written
// here is aligned.
func appendHeader(b []byte, level, typ, size uint32) []byte {
	b = binary.NativeEndian.AppendUint32(b, headerSize+size)
	b = binary.NativeEndian.AppendUint32(b, level)
	return binary.NativeEndian.AppendUint32(b, typ)
}

func align(n int) int { return (n + alignment - 1) &^ (alignment - 1) }
