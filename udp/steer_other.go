//go:build !linux

package udp

import "errors"

// canGroup tells that sockets on the same port do not share the load.
const canGroup = false

// steer is never called, as there are no groups.
func (c *Conn) steer(*Steer) error { return errors.ErrUnsupported }
