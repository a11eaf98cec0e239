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
