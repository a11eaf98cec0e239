package h3

// What a peer does that is allowed, but costs more than it brings, in glitches (quic.Config.GlitchLimit). A frame
// is one; what has an answer made, or work thrown away, is more.
const (
	glitchFrame   = 1
	glitchMessage = 10 // a request or response that is malformed, too large, or late
	glitchReset   = 2  // a request that is reset before it is answered: its data brought nothing
)

// glitch counts against the connection's limit.
func (c *Conn) glitch(n int) error {
	if c.qc.Glitch(n) {
		return nil
	}
	return &Error{CodeExcessiveLoad, "too much that brings nothing"}
}
