package udp

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// system is what a Conn needs besides.
type system struct {
	kernel kernel
	reader reader
	poll   *readPoll // nil: the runtime's poller has the socket
	v6     bool      // an IPv6 socket, which may speak IPv4 too
	clock  clock

	// The traffic class of each IP version, without an ECN mark.
	class4, class6 uint8
}

// maxSegments is how many datagrams the oldest kernels with GSO take as a train. Newer ones
// take 128, which 64 KiB only are if they are tiny.
const maxSegments = 64

// open finds out what the socket can do, and has it do that.
func (c *Conn) open(o *Options) error {
	if c.sys.kernel.recvmmsg == nil {
		c.sys.kernel = realKernel
	}
	c.sys.reader.init(c)
	var err error
	if e := c.raw.Control(func(fd uintptr) {
		if err = c.probe(int(fd), o); err == nil && !o.DisablePoll {
			c.sys.poll, _ = newReadPoll(&c.sys.kernel, c.udp, int(fd))
		}
	}); e != nil {
		return e
	}
	if err != nil || c.sys.poll == nil {
		return err
	}
	c.raw, c.caps.Poll = c.sys.poll, true
	_ = c.udp.Close()
	return nil
}

func (c *Conn) poll(d time.Duration) bool {
	return c.sys.poll != nil && c.sys.poll.await(unix.POLLIN, d, d > time.Millisecond)
}

// prober sets socket options.
type prober struct {
	kernel *kernel
	fd     int
	v4, v6 bool // the IP versions that the socket speaks
}

func (c *Conn) probe(fd int, o *Options) error {
	k := &c.sys.kernel
	domain, err := k.getsockopt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	p := prober{kernel: k, fd: fd}
	switch domain {
	case unix.AF_INET:
		p.v4 = true
	case unix.AF_INET6:
		only, err := k.getsockopt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		a := c.local.Addr()
		p.v4 = a.Is4() || a.IsUnspecified() && (only == 0 || err != nil)
		p.v6 = !a.Is4()
		c.sys.v6 = true
	default:
		return fmt.Errorf("udp: socket of address family %d", domain)
	}
	c.caps.MaxSegments = maxSegments
	c.caps.MaxTrain = maxPayload4
	if !p.v4 {
		c.caps.MaxTrain = maxPayload6
	}
	if o.DisableGSO {
		c.setNoGSO("switched off", false)
	} else if _, err := k.getsockopt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT); err != nil {
		c.setNoGSO("the kernel does not have it", false)
	} else {
		// Only asked for: as an option of the socket it would cut up whatever is sent.
		c.caps.GSO = true
	}
	c.caps.GRO = p.set(!o.DisableGRO, unix.IPPROTO_UDP, unix.UDP_GRO)
	c.caps.ECN = p.setBoth(!o.DisableECN, unix.IP_RECVTOS, unix.IPV6_RECVTCLASS)
	c.caps.Pktinfo = p.setPktinfo(!o.DisablePktinfo)
	if !o.DisableDF {
		c.caps.DF = p.setDF()
	}
	c.caps.Batching = !o.DisableBatching && k.hasBatching(uintptr(fd))
	c.caps.DropCount = p.set(!o.DisableDropCount, unix.SOL_SOCKET, unix.SO_RXQ_OVFL)
	c.caps.ReceiveBuffer, c.caps.ReceiveBufferWanted = p.setBuffer(o.ReceiveBuffer, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE)
	c.caps.SendBuffer, c.caps.SendBufferWanted = p.setBuffer(o.SendBuffer, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE)
	c.caps.Shield = p.probeShield(!o.DisableShield)
	c.caps.DSCP = p.setDSCP(&c.sys, o.DSCP)
	c.caps.Timestamps = p.setTimestamps(o.Timestamps)
	if o.TxTime && k.setTxTime(fd) == nil {
		c.caps.TxTime = true
		c.sys.clock = startClock()
	}
	return p.setProxy(&c.caps, o)
}

// hasBatching tells whether there are calls for several messages, which an old kernel has not,
// and a sandbox may forbid. With none they do nothing.
func (k *kernel) hasBatching(fd uintptr) bool {
	_, send := k.sendmmsg(fd, nil)
	_, receive := k.recvmmsg(fd, nil)
	return !isAbsent(send) && !isAbsent(receive)
}

// isAbsent tells whether an error of a call that does nothing means that there is no such call.
func isAbsent(e syscall.Errno) bool { return e == unix.ENOSYS || e == unix.EPERM }

// leaveBatching gives up calls for several messages.
func (c *Conn) leaveBatching() {
	if c.batching.CompareAndSwap(true, false) {
		c.counters.fallbacks.Add(1)
	}
}

// set switches an option on or off, and tells whether it is on.
func (p *prober) set(on bool, level, opt int) bool {
	v := 0
	if on {
		v = 1
	}
	return p.kernel.setsockopt(p.fd, level, opt, v) == nil && on
}

// setBoth does that with the options of the IP versions that the socket speaks.
func (p *prober) setBoth(on bool, opt4, opt6 int) bool {
	ok := on
	if p.v4 {
		ok = p.set(on, unix.IPPROTO_IP, opt4) && ok
	}
	if p.v6 {
		ok = p.set(on, unix.IPPROTO_IPV6, opt6) && ok
	}
	return ok
}

// setPktinfo is for local addresses. An IPv6 socket tells those of IPv4 the same way, mapped.
func (p *prober) setPktinfo(on bool) bool {
	if !p.v6 {
		return p.set(on, unix.IPPROTO_IP, unix.IP_PKTINFO)
	}
	return p.set(on, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO)
}

// setDF has no datagram fragmented, and what ICMP messages say about the MTU
// ignored: anybody can forge them.
func (p *prober) setDF() bool {
	ok := true
	if p.v4 {
		ok = p.kernel.setsockopt(p.fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE) == nil
	}
	if p.v6 {
		ok = p.kernel.setsockopt(p.fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE) == nil && ok
	}
	return ok
}
