//go:build !linux && !darwin && !freebsd && !windows

package udp

import "errors"

func dontFragment4(uintptr) error { return errors.ErrUnsupported }

func dontFragment6(uintptr) error { return errors.ErrUnsupported }
