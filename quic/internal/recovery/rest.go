package recovery

// Rest lets go of all memory that a connection with nothing in flight can do
// without. It is built up again when the next packet is sent. The caller decides
// when that is worth while; trim is for memory that was needed in a crowd only.
func (r *Recovery[S]) Rest() {
	r.ranges = nil
	for i := range r.spaces {
		sp := &r.spaces[i]
		for sp.popPlain() {
		}
		if sp.packets.n > 0 || sp.frames.open != sp.frames.end {
			continue
		}
		sp.packets = packetRing{}
		sp.frames.drop()
		sp.late = nil
	}
}
