package udp

import (
	"encoding/binary"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Sent is what a system call that sends was given: its first message stands for all.
type Sent struct {
	Batch   bool // by the call for several messages
	Size    int  // of a datagram, in bytes
	Segment bool // a train
	Mark    bool // an ECN mark
	Source  bool // a source address
	Time    bool // a release time
}

// Faults are what the kernel does wrong, for tests of what is built on this package. What is nil works.
type Faults struct {
	Lacks   func(level, opt int) bool      // socket options that fail
	Send    func(s Sent) syscall.Errno     // in place of sending, unless it is 0
	Receive func(batch bool) syscall.Errno // in place of receiving, unless it is 0
	Batch   syscall.Errno                  // of all calls for several messages
	Firsts  func() bool                    // of each train nothing arrives but its first datagram
	Steer   bool                           // the kernel does not steer
	Share   error                          // of SO_REUSEPORT
	Poll    error                          // there is no epoll instance to be had
}

// Inject has the sockets that the test opens from now on meet faults.
func Inject(t testing.TB, f Faults) {
	k := realKernel
	k.setsockopt = func(fd, level, opt, value int) error {
		if f.Lacks != nil && f.Lacks(level, opt) {
			return os.NewSyscallError("setsockopt", unix.ENOPROTOOPT)
		}
		return setsockopt(fd, level, opt, value)
	}
	k.getsockopt = func(fd, level, opt int) (int, error) {
		if f.Lacks != nil && f.Lacks(level, opt) {
			return 0, os.NewSyscallError("getsockopt", unix.ENOPROTOOPT)
		}
		return getsockopt(fd, level, opt)
	}
	k.setTxTime = func(fd int) error {
		if f.Lacks != nil && f.Lacks(unix.SOL_SOCKET, unix.SO_TXTIME) {
			return os.NewSyscallError("setsockopt", unix.ENOPROTOOPT)
		}
		return setTxTime(fd)
	}
	send := func(batch bool, m *mmsghdr) syscall.Errno {
		if f.Send == nil {
			return 0
		}
		return f.Send(sentOf(batch, m))
	}
	k.sendmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
		if f.Batch != 0 {
			return 0, f.Batch
		}
		if len(msgs) == 0 {
			return sendmmsg(fd, msgs)
		}
		if errno := send(true, &msgs[0]); errno != 0 {
			return 0, errno
		}
		if f.Firsts != nil && f.Firsts() {
			return sendFirsts(fd, msgs)
		}
		return sendmmsg(fd, msgs)
	}
	k.sendmsg = func(fd uintptr, m *mmsghdr) syscall.Errno {
		if errno := send(false, m); errno != 0 {
			return errno
		}
		return sendmsg(fd, m)
	}
	k.recvmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
		if f.Batch != 0 {
			return 0, f.Batch
		}
		if f.Receive != nil && len(msgs) > 0 {
			if errno := f.Receive(true); errno != 0 {
				return 0, errno
			}
		}
		return recvmmsg(fd, msgs)
	}
	k.recvmsg = func(fd uintptr, m *mmsghdr) syscall.Errno {
		if f.Receive != nil {
			if errno := f.Receive(false); errno != 0 {
				return errno
			}
		}
		return recvmsg(fd, m)
	}
	if f.Steer {
		k.attach = func(int, []unix.SockFilter) error { return os.NewSyscallError("setsockopt", unix.EPERM) }
	}
	if f.Poll != nil {
		k.epollCreate = func() (int, error) { return -1, f.Poll }
	}
	oldKernel, oldReuse := realKernel, setReusePort
	realKernel = k
	if f.Share != nil {
		setReusePort = func(uintptr) error { return f.Share }
	}
	t.Cleanup(func() { realKernel, setReusePort = oldKernel, oldReuse })
}

// sentOf reads what a message asks for.
func sentOf(batch bool, m *mmsghdr) Sent {
	s := Sent{Batch: batch, Size: int(m.hdr.Iov.Len)}
	if m.hdr.Controllen == 0 {
		return s
	}
	cms, err := syscall.ParseSocketControlMessage(controlBytes(&m.hdr))
	if err != nil {
		panic(err)
	}
	for _, cm := range cms {
		switch [2]int32{cm.Header.Level, cm.Header.Type} {
		case [2]int32{unix.IPPROTO_UDP, unix.UDP_SEGMENT}:
			s.Segment, s.Size = true, int(binary.NativeEndian.Uint16(cm.Data))
		case [2]int32{unix.IPPROTO_IP, unix.IP_TOS}, [2]int32{unix.IPPROTO_IPV6, unix.IPV6_TCLASS}:
			s.Mark = true
		case [2]int32{unix.IPPROTO_IP, unix.IP_PKTINFO}, [2]int32{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}:
			s.Source = true
		case [2]int32{unix.SOL_SOCKET, unix.SCM_TXTIME}:
			s.Time = true
		}
	}
	return s
}

// sendFirsts sends the first datagram of each train alone, and claims that it sent all.
func sendFirsts(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
	full := make([]int, len(msgs))
	for i := range msgs {
		iov := msgs[i].hdr.Iov
		full[i] = int(iov.Len)
		iov.SetLen(min(full[i], sentOf(true, &msgs[i]).Size))
	}
	n, errno := sendmmsg(fd, msgs)
	for i := range msgs {
		msgs[i].hdr.Iov.SetLen(full[i])
	}
	return n, errno
}
