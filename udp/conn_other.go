//go:build !linux

package udp

import (
	"errors"
	"net"
	"net/netip"
)

// system is what a Conn needs besides. Here that is nothing.
type system struct{}

// open prepares the socket.
func (c *Conn) open(o *Options) error {
	// What follows is allowed to fail, unless the socket is closed.
	if err := c.raw.Control(func(uintptr) {}); err != nil {
		return err
	}
	if err := prepareProxy(0, o); err != nil {
		return err
	}
	c.setNoGSO("not on this system")
	c.caps.MaxSegments = 1
	c.caps.MaxTrain = maxPayload4
	if !o.DisableDF {
		c.caps.DF = c.setDF()
	}
	setBuffer(c.udp.SetReadBuffer, o.ReceiveBuffer)
	setBuffer(c.udp.SetWriteBuffer, o.SendBuffer)
	return nil
}

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

// setBuffer asks for a buffer of size bytes. Systems that have a limit refuse
// what exceeds it, and do not tell the limit: half of it may do.
func setBuffer(set func(int) error, size int) {
	const least = 256 << 10 // not much more than what systems give by default
	switch {
	case size > 0:
		// A failure leaves what there was. Nothing depends on it.
		_ = set(size)
	case size == 0:
		for n := DefaultBuffer; n >= least && set(n) != nil; n /= 2 {
		}
	}
}

func (c *Conn) readBatch(m []Message) (int, error) {
	for tries := 1; ; tries++ {
		n, _, flags, remote, err := c.udp.ReadMsgUDPAddrPort(m[0].Buf, nil)
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
		return 1, nil
	}
}

// received notes a datagram.
func (m *Message) received(n int, remote netip.AddrPort, truncated bool) {
	m.N, m.Segment = n, n
	m.Remote = unmap(remote)
	m.Local = netip.Addr{}
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
		if err = c.writeDatagram(d, t.Remote, connected); err != nil {
			return sent, c.writeFailed(err, total-sent)
		}
		c.counters.onSent(1, len(d))
	}
	return sent, nil
}

var errNoRemote = errors.New("train without a destination")

// writeDatagram sends a datagram. An error may be about an earlier one, so that it tries twice.
func (c *Conn) writeDatagram(d []byte, remote netip.AddrPort, connected bool) (err error) {
	for range 2 {
		if connected {
			_, err = c.udp.Write(d)
		} else {
			_, _, err = c.udp.WriteMsgUDPAddrPort(d, nil, remote)
		}
		if err == nil || !softErrno(err) {
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
		return &unreachableError{err}
	}
	return err
}
