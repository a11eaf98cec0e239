package udp

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxMessages is how many messages one system call sends at most. With GSO each is a train.
const maxMessages = maxSegments

// sendTries is how many times a message is offered to the kernel that meets an error which may be
// about an earlier one. The kernel keeps only one such error at a time, but another may come in meanwhile.
const sendTries = 3

// writers are for whoever sends: they cost memory to make.
var writers = sync.Pool{New: func() any {
	w := new(writer)
	w.try = w.trySend
	w.wait = w.send
	for i := range w.msgs {
		w.msgs[i].hdr.Iov = &w.iovs[i]
		w.msgs[i].hdr.SetIovlen(1)
	}
	return w
}}

// writer sends one train.
type writer struct {
	c    *Conn
	msgs [maxMessages]mmsghdr
	iovs [maxMessages]unix.Iovec

	// What all messages share: the destination, none if its length is 0, and the
	// control messages, of which that for trains is the last.
	name     sockaddr
	nameLen  uint32
	ctl      control
	plainLen int
	trainLen int

	// What the control messages say.
	v4      bool       // the destination's IP version
	local   netip.Addr // the zero Addr: the system's choice
	ecn     uint8
	timed   bool
	release uint64 // when the train leaves, if timed

	// The train: what is left of it, and how many datagrams a message is.
	data    []byte
	segment int
	left    int
	per     int

	// The call at hand: how many messages there are, and what came of it.
	filled, n int
	errno     syscall.Errno

	used int // the most messages that a call for this train had

	// send and trySend as function values, which cost memory when they are made.
	wait func(fd uintptr) bool
	try  func(fd uintptr)
}

func (c *Conn) writeTrain(t *Train) (int, error) {
	w := writers.Get().(*writer)
	w.c = c
	sent, err := w.write(t)
	// What is the caller's is not kept.
	w.c, w.data = nil, nil
	for i := range w.used {
		w.iovs[i].Base = nil
	}
	w.used = 0
	writers.Put(w)
	return sent, err
}

func (w *writer) write(t *Train) (sent int, err error) {
	c := w.c
	if err := w.begin(t); err != nil {
		return 0, err
	}
	total := w.left
	var (
		tries    int
		doubt    bool // GSO may be what the kernel did not like
		untimed  bool // so may be the release time, which was left out
		unmarked bool // so may be the ECN mark, which was left out
		unbound  bool // so may be the source address, which was left out
	)
	for w.left > 0 {
		w.fill()
		if err := w.flush(); err != nil {
			return total - w.left, err
		}
		train := min(w.per, w.left) > 1
		switch errno := w.errno; {
		case errno == 0:
			w.advance()
			tries = 0
			if untimed {
				c.txTime.Store(false)
			}
			if unmarked {
				c.ecn.Store(false)
			}
			if unbound {
				c.source.Store(false)
			}

		case train && errno == unix.EIO:
			// The interface cannot compute checksums, or transforms packets.
			c.leaveGSO("the network interface refuses trains", false)
			c.counters.fallbacks.Add(1)
			w.per = 1

		case train && (errno == unix.EINVAL || errno == unix.EMSGSIZE):
			// Before Linux 6.14, EINVAL also means that the datagrams are too large for the
			// interface. Or the train is not at fault at all.
			doubt = errno == unix.EINVAL
			c.counters.fallbacks.Add(1)
			w.per = 1

		case errno == unix.EINVAL && w.timed:
			w.timed = false
			w.control()
			untimed, doubt = true, false
			c.counters.fallbacks.Add(1)

		case errno == unix.EINVAL && w.ecn != 0:
			// The time need not be at fault too. If it is, the next train tells.
			w.ecn = 0
			w.control()
			unmarked, untimed, doubt = true, false, false
			c.counters.fallbacks.Add(1)

		case errno == unix.EINVAL && w.local.IsValid() && isFit(w.local, w.remoteOf(t)):
			// Else it is the address that is at fault: the caller's, or one that the host has lost.
			w.local = netip.Addr{}
			w.control()
			unbound, unmarked, untimed, doubt = true, false, false, false
			c.counters.fallbacks.Add(1)

		case isNoMemory(errno):
			c.counters.writeSoftErrors.Add(1)
			c.counters.datagramsLost.Add(uint64(w.left))
			return total - w.left, nil

		case isSoft(errno):
			c.counters.writeSoftErrors.Add(1)
			if tries++; tries < sendTries {
				continue
			}
			c.counters.datagramsLost.Add(uint64(w.left))
			return total - w.left, &unreachableError{w.failure(t, os.NewSyscallError("sendmmsg", errno)), isNoRoute(errno)}

		case errno == unix.EMSGSIZE:
			// Of a connected socket it may come from an ICMP message, which anybody can
			// forge. Then the next try succeeds.
			if tries++; tries < sendTries {
				continue
			}
			c.counters.tooLarge.Add(1)
			return total - w.left, ErrTooLarge

		default:
			return total - w.left, w.failure(t, os.NewSyscallError("sendmmsg", errno))
		}
	}
	if doubt {
		c.leaveGSO("the kernel refuses trains", false)
	}
	return total, nil
}

// begin takes up a train.
func (w *writer) begin(t *Train) error {
	c := w.c
	w.nameLen = 0
	remote := t.Remote
	switch {
	case remote.IsValid():
		w.nameLen = putSockaddr(&w.name, remote, c.sys.v6)
		if w.nameLen == 0 {
			return w.failure(t, os.NewSyscallError("sendmmsg", unix.EAFNOSUPPORT))
		}
	case c.remote.IsValid():
		remote = c.remote
	default:
		return w.failure(t, errNoRemote)
	}
	w.v4 = remote.Addr().Unmap().Is4()
	w.local, w.ecn = netip.Addr{}, 0
	if c.source.Load() && t.Local.IsValid() && !t.Local.IsUnspecified() {
		w.local = t.Local.Unmap()
		if w.local.Is4() != w.v4 {
			return w.failure(t, errVersions)
		}
	}
	if c.ecn.Load() {
		w.ecn = t.ECN & ecnMask
	}
	if w.timed = !t.Time.IsZero() && c.txTime.Load(); w.timed {
		w.release = c.sys.clock.at(t.Time)
	}
	w.data, w.left = t.Data, t.Count()
	w.segment = t.Segment
	if w.left == 1 {
		w.segment = len(t.Data)
	}
	w.per = 1
	if w.left > 1 && !t.Alone && c.gso.Load() {
		limit := maxPayload6
		if w.v4 {
			limit = maxPayload4
		}
		w.per = max(1, min(maxSegments, limit/w.segment))
	}
	w.control()
	return nil
}

// control writes the control messages.
func (w *writer) control() {
	n := 0
	if w.local.IsValid() {
		var ifindex uint32
		if zone := w.local.Zone(); zone != "" {
			ifindex = zones.index(zone)
		}
		n = w.ctl.putSource(n, w.local, ifindex)
	}
	if w.ecn != 0 {
		n = w.ctl.putClass(n, w.ecn|w.c.sys.dscp(w.v4), w.v4)
	}
	if w.timed {
		n = w.ctl.putTime(n, w.release)
	}
	w.plainLen, w.trainLen = n, n
	if w.per > 1 {
		w.trainLen = w.ctl.putSegment(n, w.segment)
	}
}

// fill makes messages of the train, as many as one call takes.
func (w *writer) fill() {
	data, left := w.data, w.left
	w.filled = 0
	for left > 0 && w.filled < maxMessages {
		k := min(w.per, left)
		size := len(data)
		if k < left {
			size = k * w.segment
		}
		h, iov := &w.msgs[w.filled].hdr, &w.iovs[w.filled]
		h.Name, h.Namelen = nil, w.nameLen
		if w.nameLen > 0 {
			h.Name = (*byte)(unsafe.Pointer(&w.name))
		}
		// Drivers have had trouble with trains of one datagram.
		n := w.plainLen
		if k > 1 {
			n = w.trainLen
		}
		h.Control = nil
		if n > 0 {
			h.Control = &w.ctl.b[0]
		}
		h.SetControllen(n)
		iov.Base = unsafe.SliceData(data)
		iov.SetLen(size)
		data = data[size:]
		left -= k
		w.filled++
	}
	w.used = max(w.used, w.filled)
}

// flush hands the messages to the kernel, and waits while its buffer is full. An
// error is the Conn's.
func (w *writer) flush() error {
	// Not raw.Write at first, which lets no two writers in at once.
	if err := w.c.raw.Control(w.try); err != nil {
		return err
	}
	if w.errno == unix.EAGAIN {
		return w.c.raw.Write(w.wait)
	}
	return nil
}

func (w *writer) trySend(fd uintptr) { w.send(fd) }

// send is what the poller calls until it returns true.
func (w *writer) send(fd uintptr) bool {
	w.n, w.errno = w.call(fd)
	if w.errno == 0 && w.n == 0 {
		w.errno = unix.EAGAIN
	}
	return w.errno != unix.EAGAIN
}

// call is one system call that sends.
func (w *writer) call(fd uintptr) (int, syscall.Errno) {
	k := &w.c.sys.kernel
	if w.c.batching.Load() {
		n, errno := k.sendmmsg(fd, w.msgs[:w.filled])
		if errno != unix.ENOSYS {
			return n, errno
		}
		w.c.leaveBatching()
	}
	if errno := k.sendmsg(fd, &w.msgs[0]); errno != 0 {
		return 0, errno
	}
	return 1, 0
}

// advance goes past what the kernel took, and counts it.
func (w *writer) advance() {
	datagrams := min(w.n*w.per, w.left)
	size := len(w.data)
	if datagrams < w.left {
		size = datagrams * w.segment
	}
	if w.per > 1 {
		trains := w.n
		if datagrams%w.per == 1 {
			trains-- // the last message is a single datagram
		}
		w.c.counters.trainsSent.Add(uint64(trains))
	}
	w.c.counters.onSent(datagrams, size)
	if w.timed {
		w.c.counters.datagramsTimed.Add(uint64(datagrams))
	}
	w.data = w.data[size:]
	w.left -= datagrams
}

// remoteOf returns where a train goes.
func (w *writer) remoteOf(t *Train) netip.Addr {
	if t.Remote.IsValid() {
		return t.Remote.Addr()
	}
	return w.c.remote.Addr()
}

// failure is the error of a call.
func (w *writer) failure(t *Train, err error) error {
	e := &net.OpError{Op: "write", Net: "udp", Source: w.c.udp.LocalAddr(), Err: err}
	if t.Remote.IsValid() {
		e.Addr = net.UDPAddrFromAddrPort(t.Remote)
	}
	return e
}
