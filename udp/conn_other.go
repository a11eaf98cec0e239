//go:build !linux

package udp

import (
	"net"
	"net/netip"
	"time"
)

// open prepares the socket.
func (c *Conn) open(o *Options) error {
	// What follows is allowed to fail, unless the socket is closed.
	if err := c.raw.Control(func(uintptr) {}); err != nil {
		return err
	}
	if err := prepareProxy(0, o); err != nil {
		return err
	}
	c.setNoGSO("not on this system", false)
	c.caps.MaxSegments = 1
	c.caps.MaxTrain = maxPayload4
	if !o.DisableDF {
		c.caps.DF = c.setDF()
	}
	c.openControl(o)
	c.caps.DSCP = c.setDSCP(o.DSCP)
	c.caps.ReceiveBufferWanted = setBuffer(c.udp.SetReadBuffer, o.ReceiveBuffer)
	c.caps.SendBufferWanted = setBuffer(c.udp.SetWriteBuffer, o.SendBuffer)
	return c.raw.Control(func(fd uintptr) {
		c.caps.ReceiveBuffer, c.caps.SendBuffer = bufferSizes(fd)
	})
}

func (c *Conn) poll(time.Duration) bool { return false }

func (c *Conn) await() error { return nil }

// setDF has datagrams not be fragmented, and tells whether that worked for
// every IP version that the socket may speak.
func (c *Conn) setDF() bool {
	ok := false
	err := c.raw.Control(func(fd uintptr) {
		// Of a socket of one version the option of the other fails. A wildcard
		// address of IPv6 may mean both.
		err4, err6 := dontFragment4(fd), dontFragment6(fd)
		switch a := c.local.Addr(); {
		case a.Is4():
			ok = err4 == nil
		case a.IsUnspecified():
			ok = err4 == nil && err6 == nil
		default:
			ok = err6 == nil
		}
	})
	return err == nil && ok
}

// setBuffer asks for a buffer of size bytes, and returns what it asked for. Systems that
// have a limit refuse what exceeds it, and do not tell the limit: half of it may do.
func setBuffer(set func(int) error, size int) (wanted int) {
	const least = 256 << 10 // not much more than what systems give by default
	switch {
	case size > 0:
		// A failure leaves what there was, and Caps tells.
		_ = set(size)
		return size
	case size == 0:
		for n := DefaultBuffer; n >= least && set(n) != nil; n /= 2 {
		}
		return DefaultBuffer
	}
	return 0
}

func (c *Conn) readBatch(m []Message) (int, error) {
	for tries := 1; ; tries++ {
		oob := c.readControl()
		n, oobn, flags, remote, err := c.udp.ReadMsgUDPAddrPort(m[0].Buf, oob)
		truncated := truncated(flags, err)
		if err != nil && !truncated {
			if softErrno(err) && tries < maxSoftErrors {
				c.counters.readSoftErrors.Add(1)
				continue
			}
			return 0, err
		}
		if err != nil {
			remote = netip.AddrPort{} // not told along with an error
		}
		m[0].received(n, remote, truncated)
		m[0].control(c, oob[:oobn])
		return 1, nil
	}
}

// received notes a datagram.
func (m *Message) received(n int, remote netip.AddrPort, truncated bool) {
	m.N, m.Segment = n, n
	m.Remote = unmap(remote)
	m.Local, m.Interface = netip.Addr{}, 0
	m.OriginalDst, m.Time = netip.AddrPort{}, time.Time{}
	m.ECN = 0
	m.Truncated = truncated
}

func (c *Conn) writeTrain(t *Train) (sent int, err error) {
	connected := c.remote.IsValid()
	if !connected && !t.Remote.IsValid() {
		return 0, &net.OpError{Op: "write", Net: "udp", Source: c.udp.LocalAddr(), Err: errNoRemote}
	}
	if connected && t.Remote.IsValid() && t.Remote != c.remote {
		return 0, &net.OpError{Op: "write", Net: "udp", Source: c.udp.LocalAddr(), Err: net.ErrWriteToConnected}
	}
	data := t.Data
	for total := t.Count(); sent < total; sent++ {
		d := data
		if sent < total-1 {
			d = data[:t.Segment]
		}
		data = data[len(d):]
		if err = c.writeDatagram(d, t); err != nil {
			return sent, c.writeFailed(err, total-sent)
		}
		c.counters.onSent(1, len(d))
	}
	return sent, nil
}

// writeDatagram sends a datagram. An error may be about an earlier one, so that it tries twice.
func (c *Conn) writeDatagram(d []byte, t *Train) (err error) {
	for range 2 {
		if err = c.writeControlled(d, t); err == nil || !softErrno(err) {
			break
		}
		c.counters.writeSoftErrors.Add(1)
	}
	return err
}

// writeFailed gives the error its meaning, after which left datagrams were not sent.
func (c *Conn) writeFailed(err error, left int) error {
	switch {
	case tooLargeErrno(err):
		c.counters.tooLarge.Add(1)
		return ErrTooLarge
	case noMemoryErrno(err):
		c.counters.writeSoftErrors.Add(1)
		c.counters.datagramsLost.Add(uint64(left))
		return nil
	case softErrno(err):
		c.counters.datagramsLost.Add(uint64(left))
		return &unreachableError{err, noRouteErrno(err)}
	}
	return err
}
