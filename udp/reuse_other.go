//go:build !unix || solaris || illumos

package udp

import (
	"errors"
	"fmt"
)

// reusePort lets other sockets be bound to the same port. Here that is not possible.
func reusePort(uintptr) error {
	return fmt.Errorf("udp: SO_REUSEPORT: %w", errors.ErrUnsupported)
}
