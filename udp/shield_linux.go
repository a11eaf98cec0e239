package udp

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// probeShield tells whether the socket takes filters and has none, which would be its owner's.
func (p *prober) probeShield(on bool) bool {
	if !on {
		return false
	}
	n, err := p.kernel.filterLen(p.fd)
	return err == nil && n == 0
}

func (c *Conn) setShield(s Shield) error {
	var err error
	if e := c.raw.Control(func(fd uintptr) { err = c.sys.kernel.filter(int(fd), s.program()) }); e != nil {
		return e
	}
	return err
}

// program returns a program of the classic Berkeley packet filter. It sees the UDP header and the payload, and
// its result is how many bytes of them are kept.
func (s Shield) program() []unix.SockFilter {
	const (
		header   = 8    // of UDP, bytes
		formType = 0xb0 // of the first byte: the form of the header and the type of the packet (RFC 9000, Section 17.2)
		initial  = 0x80
		version1 = 1
		all      = 1<<32 - 1
	)
	switch s {
	case ShieldOff:
		return nil
	case ShieldAll:
		return []unix.SockFilter{
			// Loading what is not there ends the program with 0: it is no QUIC, be it empty or cut.
			{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: header},
			{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: formType},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: initial, Jf: 3},
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: header + 1},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: version1, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: 0},
			{Code: unix.BPF_RET | unix.BPF_K, K: all},
		}
	}
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: header},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: formType},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: initial, Jf: 11},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: header + 1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: version1, Jf: 9},
		// The lengths of the IDs tell where the token's length is (RFC 9000, Section 17.2.2).
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: header + 5},
		{Code: unix.BPF_MISC | unix.BPF_TAX},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: header + 6},
		{Code: unix.BPF_ALU | unix.BPF_ADD | unix.BPF_X},
		{Code: unix.BPF_MISC | unix.BPF_TAX},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: header + 7},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JA, K: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: all},
	}
}

// filter has the kernel run a program for each datagram that comes in, or none.
func filter(fd int, program []unix.SockFilter) error {
	if len(program) == 0 {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if err == unix.ENOENT {
			err = nil // there was none
		}
		return os.NewSyscallError("setsockopt", err)
	}
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &p))
}

// filterLen returns how many instructions the socket's filter has.
func filterLen(fd int) (int, error) {
	var n uint32 // room for none of them: the kernel only says how many there are
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, 0, uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("getsockopt", errno)
	}
	return int(n), nil
}
