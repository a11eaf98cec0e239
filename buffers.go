package frittata

import (
	"slices"
	"sync"
)

// buffer is the memory of one message that is received, or of one train that is sent: what
// GRO merges is never cut, and no UDP system call takes more.
type buffer [64 << 10]byte

// reserved is how many buffers a process keeps, which is 4 MiB. The pages of those that were never in use
// are not resident.
const reserved = 64

// packetBuffers is where all Transports of the process have their buffers from.
var packetBuffers reserve

// reserve keeps buffers for as long as the process lives, the last used first, as these are in the
// processor's caches. A sync.Pool would lose them to the garbage collector, which a process with little memory in use
// runs dozens of times a second: whenever there is as much garbage as there is memory in use (GOGC=100). That is also
// why all are allocated at the first need: they count as in use, and a small process collects half as often.
type reserve struct {
	mu   sync.Mutex
	free []*buffer
	made bool // its buffers were allocated
}

// get fills the places of dst that are nil.
func (r *reserve) get(dst []*buffer) {
	r.mu.Lock()
	if !r.made {
		r.made = true
		r.free = make([]*buffer, reserved)
		for i := range r.free {
			r.free[i] = new(buffer)
		}
	}
	for i, b := range dst {
		last := len(r.free) - 1
		if b != nil {
			continue
		}
		if last < 0 {
			break
		}
		dst[i], r.free[last] = r.free[last], nil
		r.free = r.free[:last]
	}
	r.mu.Unlock()
	for i, b := range dst {
		if b == nil {
			dst[i] = new(buffer)
		}
	}
}

// put takes back what is in src, and leaves nil there. Of as many, get has each in its place again: the first
// ones are used most. What is more than the reserve is the garbage collector's.
func (r *reserve) put(src []*buffer) {
	r.mu.Lock()
	for _, b := range slices.Backward(src) {
		if b != nil && len(r.free) < reserved {
			r.free = append(r.free, b)
		}
	}
	r.mu.Unlock()
	clear(src)
}
