//go:build unix && !solaris && !illumos

package udp

import (
	"os"

	"golang.org/x/sys/unix"
)

// reusePort lets other sockets be bound to the same port.
func reusePort(fd uintptr) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}
