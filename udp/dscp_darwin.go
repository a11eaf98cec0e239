package udp

import "golang.org/x/sys/unix"

// setDSCP sets the code point, unless it is 0, and returns what it is then: 0 if
// the IP versions differ.
func (c *Conn) setDSCP(dscp uint8) uint8 {
	v4, v6 := false, false
	err := c.raw.Control(func(raw uintptr) {
		fd := int(raw)
		c.sys.class4, v4 = setClass(fd, unix.IPPROTO_IP, unix.IP_TOS, dscp)
		c.sys.class6, v6 = setClass(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscp)
	})
	a := c.local.Addr()
	switch {
	case err != nil:
		return 0
	case a.Is4() && v4:
		return c.sys.class4 >> dscpShift
	case a.Is4() || !v6 || a.IsUnspecified() && c.sys.class4 != c.sys.class6:
		return 0
	}
	return c.sys.class6 >> dscpShift
}

// setClass does that for one IP version, and returns the traffic class without the
// mark, if there is such a thing. Of a socket of one version the option of the other fails.
func setClass(fd, level, opt int, dscp uint8) (class uint8, ok bool) {
	if dscp != 0 {
		// A failure leaves what there was, which is what is returned.
		_ = unix.SetsockoptInt(fd, level, opt, int(dscp)<<dscpShift)
	}
	v, err := unix.GetsockoptInt(fd, level, opt)
	if err != nil || v < 0 { // -1 is the default of IPv6: no class
		return 0, err == nil
	}
	return uint8(v) &^ ecnMask, true
}
