package udp

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct of that name: a message and how many of its bytes were
// received or sent.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// kernel is the system calls that a Conn makes, so that tests can have them fail.
type kernel struct {
	recvmmsg   func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno)
	sendmmsg   func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno)
	recvmsg    func(fd uintptr, msg *mmsghdr) syscall.Errno
	sendmsg    func(fd uintptr, msg *mmsghdr) syscall.Errno
	setsockopt func(fd, level, opt, value int) error
	getsockopt func(fd, level, opt int) (int, error)
	setTxTime  func(fd int) error
	attach     func(fd int, program []unix.SockFilter) error
	filter     func(fd int, program []unix.SockFilter) error
	filterLen  func(fd int) (int, error)

	epollCreate func() (int, error)
	epollCtl    func(epfd, op, fd int, events uint32) error
}

var realKernel = kernel{
	recvmmsg:   recvmmsg,
	sendmmsg:   sendmmsg,
	recvmsg:    recvmsg,
	sendmsg:    sendmsg,
	setsockopt: setsockopt,
	getsockopt: getsockopt,
	setTxTime:  setTxTime,
	attach:     attach,
	filter:     filter,
	filterLen:  filterLen,

	epollCreate: epollCreate,
	epollCtl:    epollCtl,
}

func recvmmsg(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
	return mmsg(unix.SYS_RECVMMSG, fd, msgs)
}

func sendmmsg(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
	return mmsg(unix.SYS_SENDMMSG, fd, msgs)
}

// mmsg never waits, and Go's scheduler is not told of the call: see [Conn.Await].
func mmsg(call, fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(msgs))), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return 0, errno
		}
		return int(n), 0
	}
}

func recvmsg(fd uintptr, msg *mmsghdr) syscall.Errno { return oneMsg(unix.SYS_RECVMSG, fd, msg) }

func sendmsg(fd uintptr, msg *mmsghdr) syscall.Errno { return oneMsg(unix.SYS_SENDMSG, fd, msg) }

// oneMsg is mmsg for a single message.
func oneMsg(call, fd uintptr, msg *mmsghdr) syscall.Errno {
	for {
		n, _, errno := unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(&msg.hdr)), unix.MSG_DONTWAIT)
		if errno == unix.EINTR {
			continue
		}
		msg.len = uint32(n)
		return errno
	}
}

// tellScheduler makes a system call that does nothing but that Go's scheduler is told of it.
func tellScheduler() { _, _, _ = unix.Syscall(unix.SYS_GETPID, 0, 0, 0) }

func setsockopt(fd, level, opt, value int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, opt, value))
}

func getsockopt(fd, level, opt int) (int, error) {
	v, err := unix.GetsockoptInt(fd, level, opt)
	return v, os.NewSyscallError("getsockopt", err)
}
