package udp

import "golang.org/x/sys/unix"

// setDSCP sets the code point, unless it is 0, and returns what it is then: 0 if
// the IP versions differ. A control message with an ECN mark replaces the whole
// traffic class, so that it has to be known.
func (p *prober) setDSCP(s *system, dscp uint8) uint8 {
	if p.v4 {
		s.class4 = p.setClass(unix.IPPROTO_IP, unix.IP_TOS, dscp)
	}
	if p.v6 {
		s.class6 = p.setClass(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscp)
	}
	switch {
	case p.v4 && p.v6 && s.class4 != s.class6:
		return 0
	case p.v4:
		return s.class4 >> dscpShift
	}
	return s.class6 >> dscpShift
}

// setClass does that for one IP version, and returns the traffic class without the mark.
func (p *prober) setClass(level, opt int, dscp uint8) uint8 {
	if dscp != 0 {
		// A failure leaves what there was, which is what is returned.
		_ = p.kernel.setsockopt(p.fd, level, opt, int(dscp)<<dscpShift)
	}
	class, err := p.kernel.getsockopt(p.fd, level, opt)
	if err != nil {
		return 0
	}
	return uint8(class) &^ ecnMask
}

// dscp returns the traffic class of an IP version, which an ECN mark goes into.
func (s *system) dscp(v4 bool) uint8 {
	if v4 {
		return s.class4
	}
	return s.class6
}
