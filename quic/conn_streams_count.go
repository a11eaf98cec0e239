package quic

// OpenStreamsOf returns the number of streams of one direction that have state:
// those that are not done in both halves, acknowledgments included.
func (c *Conn) OpenStreamsOf(dir Dir) int {
	n := 0
	for id := range c.strs.live {
		if id.Dir() == dir {
			n++
		}
	}
	return n
}

// StreamSendDone tells whether nothing of our half of a stream is under way: all that
// was written, with the end, has been acknowledged, or a reset has, or there is no such stream any more.
func (c *Conn) StreamSendDone(id StreamID) bool {
	st := c.strs.live[id]
	return st == nil || st.send.done
}
