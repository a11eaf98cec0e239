// Package chunk has pooled memory that is passed by ownership.
//
// A Buffer goes from hand to hand: from the stream that received it to a pipe,
// to whoever reads the pipe, and there it is released. At any time one holder
// owns it, so there are no reference counts. The memory of a Buffer comes in a
// few sizes, each with a sync.Pool of its own, and the header is pooled along with it.
package chunk

import "sync"

// Buffer is a piece of pooled memory. B is the part in use; it may be resliced
// within its capacity. Whoever holds a Buffer owns it, B up to its capacity
// included: it passes it on or calls Release, once, and does not touch it
// afterwards.
//
// A Buffer made by hand as &Buffer{B: b} wraps b: Release leaves it to the
// garbage collector.
type Buffer struct {
	B    []byte
	mem  []byte // the whole memory, nil if the Buffer was made by hand
	pool *Pool  // where Get was called; may be nil
	// class is one more than the index of the size class; 0: not pooled.
	class    uint8
	released bool
}

// Release gives the memory back. To release a Buffer twice is a bug of the
// caller and panics, unless it is in use again by then.
func (b *Buffer) Release() {
	if b.released {
		panic("BUG: chunk.Buffer released twice")
	}
	b.released = true
	if b.class == 0 {
		poison(b.mem)
		b.B, b.mem, b.pool = nil, nil, nil
		return
	}
	b.B = nil
	poison(b.mem)
	b.pool.classes[b.class-1].Put(b)
}

// Size returns how many bytes of memory the Buffer keeps from other uses, which
// may be more than the capacity of B.
func (b *Buffer) Size() int {
	if b.mem == nil {
		return cap(b.B)
	}
	return len(b.mem)
}

// Pool returns the pool that the Buffer came from. It is nil if there was none.
func (b *Buffer) Pool() *Pool { return b.pool }

// Pool is where Buffers come from and go to. The zero value is ready, and a nil
// *Pool allocates plainly. Any goroutine may use it. A Pool must not be copied.
type Pool struct {
	classes [len(sizes)]sync.Pool
}

const (
	// MinSize is the size of the smallest Buffer that Get pools, in bytes.
	MinSize = 512

	// MaxSize is the size of the largest Buffer that Get pools, in bytes.
	MaxSize = 64 << 10
)

// sizes are the sizes of pooled memory, in bytes: for the head of a message, for a
// packet, for a small body, for a page of a stream, and for a batch from a socket.
var sizes = [...]int{MinSize, 2 << 10, 4 << 10, 16 << 10, MaxSize}

// Get returns a Buffer whose B is empty with a capacity of at least n bytes.
// What the memory contains is undefined.
func (p *Pool) Get(n int) *Buffer {
	if p == nil || n > MaxSize {
		mem := make([]byte, max(n, 0))
		return &Buffer{B: mem[:0], mem: mem, pool: p}
	}
	i := 0
	for sizes[i] < n {
		i++
	}
	if b, _ := p.classes[i].Get().(*Buffer); b != nil {
		checkPoison(b.mem)
		b.B = b.mem[:0]
		b.released = false
		return b
	}
	mem := make([]byte, sizes[i])
	return &Buffer{B: mem[:0], mem: mem, pool: p, class: uint8(i + 1)}
}
