package udp

import (
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/frittata-go/frittata/udp/internal/darwin"
	"golang.org/x/sys/unix"
)

// The numbers of package darwin are the system's: a difference does not compile.
var _ = [1]struct{}{}[darwin.LevelIP4^unix.IPPROTO_IP|darwin.LevelIP6^unix.IPPROTO_IPV6|
	darwin.OptTOS^unix.IP_TOS|darwin.OptPktinfo^unix.IP_PKTINFO|darwin.OptPktinfo^unix.IP_RECVPKTINFO|darwin.OptRecvTOS^unix.IP_RECVTOS|
	darwin.OptRecvTClass^unix.IPV6_RECVTCLASS|darwin.OptTClass^unix.IPV6_TCLASS|
	darwin.OptPktinfo6^unix.IPV6_PKTINFO|darwin.OptRecvPktinfo^unix.IPV6_RECVPKTINFO]

// system is what a Conn needs besides.
type system struct {
	read [darwin.Size]byte // control messages received

	// The traffic class of each IP version, without an ECN mark.
	class4, class6 uint8
}

// controls are for control messages to send, by any number of goroutines.
var controls = sync.Pool{New: func() any { return new([darwin.Size]byte) }}

// openControl has the system tell local addresses and ECN marks.
func (c *Conn) openControl(o *Options) {
	_ = c.raw.Control(func(raw uintptr) { // the socket is open: that has been checked
		fd := int(raw)
		on := func(level, opt int, v bool) bool {
			n := 0
			if v {
				n = 1
			}
			return unix.SetsockoptInt(fd, level, opt, n) == nil && v
		}
		if sa, err := unix.Getsockname(fd); err == nil {
			if _, v4 := sa.(*unix.SockaddrInet4); v4 {
				c.caps.ECN = on(unix.IPPROTO_IP, unix.IP_RECVTOS, !o.DisableECN)
				c.caps.Pktinfo = on(unix.IPPROTO_IP, unix.IP_RECVPKTINFO, !o.DisablePktinfo)
				return
			}
		}
		// These are for IPv4 too, which has no options of its own on such a socket.
		c.caps.ECN = on(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, !o.DisableECN)
		c.caps.Pktinfo = on(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, !o.DisablePktinfo)
	})
}

// readControl returns where control messages go. Only one goroutine reads.
func (c *Conn) readControl() []byte { return c.sys.read[:] }

// control notes what control messages say.
func (m *Message) control(c *Conn, b []byte) {
	i := darwin.Parse(b)
	if c.caps.ECN {
		m.ECN = i.Class & ecnMask
	}
	if c.caps.Pktinfo {
		m.Local, m.Interface = i.Local, int(i.Interface)
		if i.Interface != 0 && m.Local.Is6() && (m.Local.IsLinkLocalUnicast() || m.Local.IsLinkLocalMulticast()) {
			m.Local = m.Local.WithZone(zoneName(i.Interface))
		}
	}
}

// writeControlled sends a datagram with control messages. If the system refuses them, it
// goes without, and so do all after it; but a source address that is unfit is an error.
func (c *Conn) writeControlled(d []byte, t *Train) error {
	remote, to := t.Remote, t.Remote
	if c.remote.IsValid() {
		remote, to = c.remote, netip.AddrPort{} // package net wants none
	}
	v4 := remote.Addr().Unmap().Is4()
	var ecn, class uint8
	if c.ecn.Load() {
		ecn, class = t.ECN&ecnMask, c.sys.class6
		if v4 {
			class = c.sys.class4
		}
	}
	// A socket that is bound to an address, or connected, has its source.
	var source netip.Addr
	if c.source.Load() && !c.remote.IsValid() && c.local.Addr().IsUnspecified() && !t.Local.IsUnspecified() {
		source = t.Local.Unmap()
	}
	if source.IsValid() && source.Is4() != v4 {
		return errVersions
	}
	buf := controls.Get().(*[darwin.Size]byte)
	defer controls.Put(buf)
	unmarked, unsourced := false, false
	for {
		b := buf[:0]
		if ecn != 0 {
			b = darwin.AppendClass(b, class|ecn, v4)
		}
		if source.IsValid() {
			b = darwin.AppendSource(b, source, zoneIndex(source.Zone()))
		}
		_, _, err := c.udp.WriteMsgUDPAddrPort(d, b, to)
		switch refused := err != nil && errnoOf(err) == unix.EINVAL; {
		case err == nil:
			if unsourced {
				c.source.Store(false)
			} else if unmarked {
				c.ecn.Store(false)
			}
			return nil
		case refused && ecn != 0:
			ecn, unmarked = 0, true
		case refused && source.IsValid() && isFit(source, remote.Addr()):
			// Else it is the address that is at fault: the caller's, or one that the host has lost.
			source, unsourced = netip.Addr{}, true
		default:
			return err
		}
		c.counters.fallbacks.Add(1)
	}
}

// zoneIndex returns the index of the interface that package net calls so, or 0.
func zoneIndex(name string) uint32 {
	if name == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(name); err == nil {
		return uint32(ifi.Index)
	}
	n, _ := strconv.ParseUint(name, 10, 32) // 0 if it is no number
	return uint32(n)
}
