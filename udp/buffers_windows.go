package udp

import "golang.org/x/sys/windows"

// bufferSizes returns the sizes of the kernel's buffers, or 0.
func bufferSizes(fd uintptr) (receive, send int) {
	receive, err := windows.GetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_RCVBUF)
	if err != nil {
		receive = 0
	}
	send, err = windows.GetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_SNDBUF)
	if err != nil {
		send = 0
	}
	return receive, send
}
