package udp

import (
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxBatch is how many messages one system call receives at most.
const maxBatch = 64

// reader is what receiving needs, made once.
type reader struct {
	c     *Conn
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []sockaddr
	ctls  []control
	drops uint32 // as the kernel told last

	// The call at hand: how many messages are wanted, and what came of it.
	want, n int
	errno   syscall.Errno
	soft    int // errors passed over

	// receive and tryReceive as function values, which cost memory when they are made.
	wait func(fd uintptr) bool
	try  func(fd uintptr)
}

func (r *reader) init(c *Conn) {
	r.c = c
	r.wait = r.receive
	r.try = r.tryReceive
}

// grow makes room for n messages.
func (r *reader) grow(n int) {
	if n <= len(r.msgs) {
		return
	}
	r.msgs = make([]mmsghdr, n)
	r.iovs = make([]unix.Iovec, n)
	r.names = make([]sockaddr, n)
	r.ctls = make([]control, n)
	for i := range r.msgs {
		h := &r.msgs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = &r.ctls[i].b[0]
	}
}

// begin prepares to receive into m.
func (r *reader) begin(m []Message) {
	r.want = min(len(m), maxBatch)
	r.grow(r.want)
	r.n, r.errno, r.soft = 0, 0, 0
	for i := range r.want {
		h := &r.msgs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
		r.iovs[i].Base = unsafe.SliceData(m[i].Buf)
		r.iovs[i].SetLen(len(m[i].Buf))
	}
}

// receive is what the poller calls until it returns true.
func (r *reader) receive(fd uintptr) bool {
	for {
		n, errno := r.call(fd)
		switch {
		case errno == 0 && n > 0:
			r.n = n
			return true
		case errno == 0 || errno == unix.EAGAIN:
			return false
		case isSoftRead(errno) && r.soft < maxSoftErrors:
			r.soft++
			r.c.counters.readSoftErrors.Add(1)
			continue
		}
		r.errno = errno
		return true
	}
}

// call is one system call that receives.
func (r *reader) call(fd uintptr) (int, syscall.Errno) {
	k := &r.c.sys.kernel
	if r.c.batching.Load() {
		n, errno := k.recvmmsg(fd, r.msgs[:r.want])
		if errno != unix.ENOSYS {
			return n, errno
		}
		r.c.leaveBatching()
	}
	if errno := k.recvmsg(fd, &r.msgs[0]); errno != 0 {
		return 0, errno
	}
	return 1, 0
}

func (r *reader) tryReceive(fd uintptr) { r.receive(fd) }

// end fills in what was received.
func (r *reader) end(m []Message) (int, error) {
	// The buffers are the caller's again.
	for i := range r.want {
		r.iovs[i].Base = nil
	}
	if r.errno != 0 {
		return 0, &net.OpError{Op: "read", Net: "udp", Source: r.c.udp.LocalAddr(), Err: os.NewSyscallError("recvmmsg", r.errno)}
	}
	var a ancillary
	for i := range r.n {
		m, h := &m[i], &r.msgs[i]
		a.parse(r.ctls[i].b[:min(uint64(h.hdr.Controllen), controlSize)])
		m.N = int(h.len)
		m.Segment = m.N
		if a.segment > 0 && a.segment < m.N {
			m.Segment = a.segment
		}
		m.Remote = getSockaddr(&r.names[i], h.hdr.Namelen)
		m.Local = a.local
		if a.ifindex != 0 && zoned(a.local) {
			m.Local = zones.with(a.local, a.ifindex)
		}
		m.OriginalDst = a.original
		m.Interface = int(a.ifindex)
		m.Time = time.Time{}
		if a.timed {
			m.Time = time.Unix(a.sec, a.nsec)
		}
		m.ECN = a.ecn
		m.Truncated = h.hdr.Flags&unix.MSG_TRUNC != 0
		if a.hasDrops && a.drops != r.drops {
			r.c.counters.dropped.Add(uint64(a.drops - r.drops))
			r.drops = a.drops
		}
	}
	return r.n, nil
}

func (c *Conn) readBatch(m []Message) (int, error) {
	r := &c.sys.reader
	r.begin(m)
	err := c.raw.Read(r.wait)
	tellScheduler() // see Await
	n, e := r.end(m)
	if err != nil {
		return 0, err
	}
	return n, e
}

func (c *Conn) tryReadBatch(m []Message) (int, error) {
	r := &c.sys.reader
	r.begin(m)
	// Not raw.Read, which fails once the deadline has passed.
	err := c.raw.Control(r.try)
	n, e := r.end(m)
	if err != nil {
		return 0, err
	}
	return n, e
}

func (c *Conn) await() error {
	if p := c.sys.poll; p != nil {
		return p.waitRead()
	}
	return nil
}
