//go:build !linux && !darwin

package udp

// system is what a Conn needs besides. Here that is nothing.
type system struct{}

// openControl leaves ECN marks and local addresses alone.
func (c *Conn) openControl(*Options) {}

// readControl returns no room for control messages.
func (c *Conn) readControl() []byte { return nil }

// control has nothing to note.
func (m *Message) control(*Conn, []byte) {}

// writeControlled sends a datagram without control messages.
func (c *Conn) writeControlled(d []byte, t *Train) error {
	if c.remote.IsValid() {
		_, err := c.udp.Write(d)
		return err
	}
	_, _, err := c.udp.WriteMsgUDPAddrPort(d, nil, t.Remote)
	return err
}
