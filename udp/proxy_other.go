//go:build !linux

package udp

import (
	"errors"
	"fmt"
)

// prepareProxy is for what only Linux has.
func prepareProxy(_ int, o *Options) error {
	switch {
	case o.Transparent:
		return fmt.Errorf("udp: Options.Transparent: %w", errors.ErrUnsupported)
	case o.Mark != 0:
		return fmt.Errorf("udp: Options.Mark: %w", errors.ErrUnsupported)
	}
	return nil
}
