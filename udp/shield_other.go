//go:build !linux

package udp

// setShield is never called, as there is no shield.
func (c *Conn) setShield(Shield) error { return errNoShield }
