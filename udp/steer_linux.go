package udp

import (
	"os"

	"golang.org/x/sys/unix"
)

// canGroup tells that sockets on the same port share the load.
const canGroup = true

// steer has the kernel run the program for all sockets on the port.
func (c *Conn) steer(s *Steer) error {
	var err error
	if e := c.raw.Control(func(fd uintptr) { err = c.sys.kernel.attach(int(fd), s.program()) }); e != nil {
		return e
	}
	return err
}

// program returns a program of the classic Berkeley packet filter. It sees the payload of UDP, and
// its result is the place of a socket in the order of binding. For places that do not
// exist the kernel goes by the hash.
func (s *Steer) program() []unix.SockFilter {
	const (
		header     = 1 // bytes before the connection ID
		longHeader = 0x80
		byHash     = 1<<32 - 1
	)
	at := uint32(header + s.Offset)
	return []unix.SockFilter{
		// Loading what is not there would end the program with 0, which is a socket.
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_LEN},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: at, Jf: 5},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: longHeader, Jt: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: at},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: uint32(s.mask())},
		{Code: unix.BPF_RET | unix.BPF_A},
		{Code: unix.BPF_RET | unix.BPF_K, K: byHash},
	}
}

func attach(fd int, program []unix.SockFilter) error {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &p))
}
