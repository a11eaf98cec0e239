package recovery

// Frame is what is remembered of one frame of a packet. Kind's meaning is the
// caller's.
type Frame[S any] struct {
	Kind   uint8
	Fin    bool
	Len    uint32
	Off    uint64 // or a sequence number, a limit
	Stream S
}

// minArena is how many frames an arena has room for at first, and how many one
// that is not in use may keep.
const minArena = 16

// arena is a queue of the frames of packets, in the packets' order. Places are
// counted from the beginning and wrap around.
type arena[S any] struct {
	buf  []Frame[S] // its length is a power of two
	head uint32     // the first of the oldest packet
	end  uint32     // after the last of the newest packet
	open uint32     // after the last of the packet that is being built
}

func (a *arena[S]) at(i uint32) *Frame[S] { return &a.buf[i&uint32(len(a.buf)-1)] }

func (a *arena[S]) add(f Frame[S]) {
	if int(a.open-a.head) == len(a.buf) {
		a.resize(max(2*len(a.buf), minArena))
	}
	*a.at(a.open) = f
	a.open++
}

func (a *arena[S]) resize(size int) {
	buf := make([]Frame[S], size)
	for i := a.head; i != a.open; i++ {
		buf[i&uint32(size-1)] = *a.at(i)
	}
	a.buf = buf
}

// drop lets go of the memory of an arena that has no frames. The places are counted on.
func (a *arena[S]) drop() { *a = arena[S]{head: a.end, end: a.end, open: a.end} }

// reset forgets the frames of the packet that is being built.
func (a *arena[S]) reset() {
	a.clear(a.end, a.open)
	a.open = a.end
}

// clear zeroes frames so that they hold on to no stream.
func (a *arena[S]) clear(from, to uint32) {
	for i := from; i != to; i++ {
		*a.at(i) = Frame[S]{}
	}
}
