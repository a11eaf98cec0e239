//go:build unix && !linux

package udp

import "golang.org/x/sys/unix"

// bufferSizes returns the sizes of the kernel's buffers, or 0.
func bufferSizes(fd uintptr) (receive, send int) {
	receive, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		receive = 0
	}
	send, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		send = 0
	}
	return receive, send
}
