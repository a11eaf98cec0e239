//go:build !linux && !darwin

package udp

// setDSCP cannot set the code point here.
func (c *Conn) setDSCP(uint8) uint8 { return 0 }
