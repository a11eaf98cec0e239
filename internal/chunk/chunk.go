// Package chunk has pooled memory that is passed by ownership.
package chunk

// Buffer is a piece of pooled memory. B is the part in use; it may be resliced
// within its capacity. Whoever holds a Buffer owns it: it passes it on or
// calls Release, once, and does not touch it afterwards.
type Buffer struct {
	B []byte
	// unexported: the whole memory, the class, the pool
}

// Release gives the memory back.
func (b *Buffer) Release() { panic("skeleton") }

// Pool is where Buffers come from and go to. The zero value is ready, and a nil
// *Pool allocates plainly. Any goroutine may use it.
type Pool struct{}

// MaxSize is the largest Buffer that Get pools, in bytes.
const MaxSize = 64 << 10

// Get returns a Buffer whose B is empty with a capacity of at least n bytes.
func (p *Pool) Get(n int) *Buffer { panic("skeleton") }
