//go:build unix && !linux && !aix

package udp

import (
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func (c *Conn) tryReadBatch(m []Message) (int, error) {
	var n, oobn, flags int
	oob := c.readControl()
	var from unix.Sockaddr
	var err error
	// Not raw.Read, which fails once the deadline has passed.
	if e := c.raw.Control(func(fd uintptr) {
		for tries := 1; ; tries++ {
			n, oobn, flags, from, err = unix.RecvmsgBuffers(int(fd), [][]byte{m[0].Buf}, oob, unix.MSG_DONTWAIT)
			if err == unix.EINTR || err != nil && softErrno(err) && tries < maxSoftErrors {
				c.counters.readSoftErrors.Add(1)
				continue
			}
			return
		}
	}); e != nil {
		return 0, e
	}
	if err == unix.EAGAIN {
		return 0, nil
	}
	if err != nil {
		return 0, &net.OpError{Op: "read", Net: "udp", Source: c.udp.LocalAddr(), Err: os.NewSyscallError("recvmsg", err)}
	}
	m[0].received(n, addrPort(from), truncated(flags, nil))
	m[0].control(c, oob[:oobn])
	return 1, nil
}

// addrPort returns the address in sa.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			a = a.WithZone(zoneName(sa.ZoneId))
		}
		return netip.AddrPortFrom(a, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// zoneName returns what package net calls the interface with that index.
func zoneName(index uint32) string {
	if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
		return ifi.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}
