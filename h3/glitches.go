package h3

// What a peer does that is allowed, but costs more than it brings, in glitches (quic.Config.GlitchLimit). A frame
// is one; what has an answer made, or work thrown away, is more.
const (
	glitchFrame   = 1
	glitchMessage = 10 // a request or response that is malformed, too large, or late
	glitchReset   = 2  // a request that is reset before it is answered: its data brought nothing
)

// dataWorth is how many bytes the DATA frames of a message bring at least, on average and but for the last one: as much
// as the smallest message of gRPC.
const dataWorth = 5

// freeLack is how many bytes DATA frames may lack of that before it counts: longer ones may come yet.
const freeLack = 20 * dataWorth

// onDataLength charges the bytes that DATA frames lack of that. What a frame lacks is counted when the message goes on
// with another; what a longer one has more makes up for what others lacked before. QUIC puts back a glitch for each
// packet that brought data, so one such frame a packet is free: many in a packet are what no honest peer needs.
func (c *Conn) onDataLength(st *streamState) error {
	if st.left == 0 {
		return c.glitch(glitchFrame)
	}
	lack := c.lack + int(st.lack)
	st.lack = 0
	if st.left < dataWorth {
		st.lack = uint8(dataWorth - st.left)
	} else {
		lack -= int(min(st.left-dataWorth, uint64(lack)))
	}
	n := max(lack-freeLack, 0) / dataWorth
	c.lack = lack - n*dataWorth
	if n == 0 {
		return nil
	}
	return c.glitch(n * glitchFrame)
}

// glitch counts against the connection's limit.
func (c *Conn) glitch(n int) error {
	if c.qc.Glitch(n) {
		return nil
	}
	return &Error{CodeExcessiveLoad, "too much that brings nothing"}
}
