//go:build unix && !solaris && !illumos

package udp

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// reusePort lets other sockets be bound to the same port.
func reusePort(fd uintptr) error {
	err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if err == unix.ENOPROTOOPT {
		return fmt.Errorf("udp: SO_REUSEPORT: %w", errors.ErrUnsupported)
	}
	return os.NewSyscallError("setsockopt", err)
}
