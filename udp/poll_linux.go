package udp

import (
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readPoll has a socket in the place of the Go runtime's poller. That one has the kernel tell it of
// all that arrives, whether or not anybody waits, and of room to send, which there is
// anew whenever a datagram has left. Each wakes a thread that finds nothing to do, if there is an idle one. A
// readPoll asks for one arrival, when a read is about to wait.
//
// It is an epoll instance with the socket in it, and the runtime's poller watches that one.
type readPoll struct {
	kernel *kernel
	fd     int
	addr   net.Addr
	ep     *os.File // the epoll instance
	raw    syscall.RawConn
	epfd   int

	refs   atomic.Int64  // who uses fd, and pollClosed
	unused chan struct{} // closed with fd

	cleanup runtime.Cleanup

	// The reader's.
	wait  func(uintptr) bool // pass as a function value, which costs memory when it is made
	asked bool               // pass has asked in this Read
	open  bool               // something that was asked for was not taken
	err   error              // of pass
}

// pollClosed is in refs once the socket is closed.
const pollClosed int64 = 1 << 61

// newReadPoll makes one for the socket of uc, which is fd. The descriptor that it uses is another one.
func newReadPoll(k *kernel, uc *net.UDPConn, fd int) (*readPoll, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	epfd, err := k.epollCreate()
	if err != nil {
		unix.Close(own)
		return nil, err
	}
	p := &readPoll{kernel: k, fd: own, epfd: epfd, addr: uc.LocalAddr(), unused: make(chan struct{})}
	p.wait = p.pass
	p.ep = os.NewFile(uintptr(epfd), "epoll")
	err = k.epollCtl(epfd, unix.EPOLL_CTL_ADD, own, 0)
	if err == nil {
		err = p.ep.SetReadDeadline(time.Time{}) // which fails if nobody watches it
	}
	if err == nil {
		p.raw, err = p.ep.SyscallConn()
	}
	if err != nil {
		p.ep.Close()
		unix.Close(own)
		return nil, err
	}
	// As package net does it for a socket that is forgotten.
	p.cleanup = runtime.AddCleanup(p, func(fd int) { unix.Close(fd) }, own)
	return p, nil
}

func epollCreate() (int, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("epoll_create1", err)
	}
	// Or else os does not have it watched.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}

// epollCtl has one event of those told.
func epollCtl(epfd, op, fd int, events uint32) error {
	ev := unix.EpollEvent{Events: events | unix.EPOLLONESHOT}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epfd, op, fd, &ev))
}

// enter is called before fd is used, and exit afterwards.
func (p *readPoll) enter() error {
	if p.refs.Add(1)&pollClosed != 0 {
		p.exit()
		return p.failure(net.ErrClosed)
	}
	return nil
}

func (p *readPoll) exit() {
	if p.refs.Add(-1) == pollClosed {
		p.end()
	}
}

// end closes the socket that nobody uses any more.
func (p *readPoll) end() {
	// Somebody who came too late may have been the last, too.
	if p.refs.CompareAndSwap(pollClosed, pollClosed<<1|pollClosed) {
		p.cleanup.Stop()
		unix.Close(p.fd)
		close(p.unused)
	}
}

func (p *readPoll) failure(err error) error {
	if p.refs.Load()&pollClosed != 0 {
		err = net.ErrClosed // package os has an error of its own
	}
	return &net.OpError{Op: "raw-read", Net: "udp", Source: p.addr, Err: err}
}

// Close closes the socket. Who waits is woken.
func (p *readPoll) Close() error {
	if p.refs.Or(pollClosed)&pollClosed != 0 {
		return p.failure(net.ErrClosed)
	}
	err := p.ep.Close()
	if p.refs.Load() == pollClosed {
		p.end()
	}
	<-p.unused
	return err
}

func (p *readPoll) SetReadDeadline(t time.Time) error {
	if err := p.ep.SetReadDeadline(t); err != nil {
		return p.failure(err)
	}
	return nil
}

// Control implements syscall.RawConn.
func (p *readPoll) Control(f func(fd uintptr)) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.exit()
	f(uintptr(p.fd))
	return nil
}

// try is Control for a function that tells whether it is done.
func (p *readPoll) try(f func(fd uintptr) bool) (done bool, err error) {
	if err := p.enter(); err != nil {
		return false, err
	}
	defer p.exit()
	return f(uintptr(p.fd)), nil
}

// Read implements syscall.RawConn. One goroutine at a time may call it.
func (p *readPoll) Read(f func(fd uintptr) bool) error {
	// As package net does it: else a reader would not see its deadline before nothing comes any more.
	if err := p.raw.Read(noWait); err != nil {
		return p.failure(err)
	}
	for {
		if done, err := p.try(f); done || err != nil {
			return err
		}
		if err := p.waitRead(); err != nil {
			return err
		}
	}
}

// noWait has the runtime's poller look at the deadline alone.
func noWait(uintptr) bool { return true }

// waitRead waits for an arrival.
func (p *readPoll) waitRead() error {
	p.asked, p.err = false, nil
	err := p.raw.Read(p.wait)
	switch {
	case err != nil:
		return p.failure(err)
	case p.err != nil:
		return p.failure(p.err)
	case p.refs.Load()&pollClosed != 0:
		return p.failure(net.ErrClosed)
	}
	return nil
}

// pass is what the runtime's poller calls: before it waits, to ask for an arrival, and when it has waited.
func (p *readPoll) pass(uintptr) bool {
	p.take()
	if p.asked {
		return true
	}
	p.asked, p.open = true, true
	p.err = p.kernel.epollCtl(p.epfd, unix.EPOLL_CTL_MOD, p.fd, unix.EPOLLIN)
	return p.err != nil
}

// take takes what was told: nothing more is then until it is asked for. What is
// left there would not be told again.
func (p *readPoll) take() {
	if p.open {
		var ev unix.EpollEvent
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd), uintptr(unsafe.Pointer(&ev)), 1, 0, 0, 0)
		p.open = errno != 0 || n == 0
	}
}

// writeWait is how long a wait for room lasts before it is looked whether the socket is closed.
const writeWait = 20 * time.Millisecond

// Write implements syscall.RawConn.
func (p *readPoll) Write(f func(fd uintptr) bool) error {
	for {
		if done, err := p.try(f); done || err != nil {
			return err
		}
		p.await(unix.POLLOUT, writeWait, true)
	}
}

// await waits in the kernel for one of events, for at most d, and tells whether it is there. If tell is false, Go's
// scheduler does not learn of it.
func (p *readPoll) await(events int16, d time.Duration, tell bool) bool {
	if p.enter() != nil {
		return false
	}
	defer p.exit()
	limit := unix.NsecToTimespec(int64(d))
	fd := unix.PollFd{Fd: int32(p.fd), Events: events}
	var n uintptr
	var errno syscall.Errno
	if tell {
		n, _, errno = unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	} else {
		n, _, errno = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	}
	return n > 0 && errno == 0
}
