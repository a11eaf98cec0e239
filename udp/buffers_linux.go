package udp

import (
	"math"

	"golang.org/x/sys/unix"
)

// maxBuffer is the largest buffer that the kernel gives. Its figure is twice that, in 32 bits.
const maxBuffer = math.MaxInt32 / 2

// setBuffer asks for a buffer of size bytes, and returns what it is then and what was asked
// for. The kernel counts its own bookkeeping, and doubles the figure for that.
func (p *prober) setBuffer(size, opt, force int) (got, wanted int) {
	v, err := p.kernel.getsockopt(p.fd, unix.SOL_SOCKET, opt)
	if err != nil {
		v = 0
	}
	if size == 0 && v/2 < DefaultBuffer {
		size = DefaultBuffer
	}
	if size <= 0 {
		return v / 2, 0
	}
	size = min(size, maxBuffer)
	// Only the administrator may exceed the system's limit. Others get as much as that.
	if p.kernel.setsockopt(p.fd, unix.SOL_SOCKET, force, size) != nil {
		// A failure leaves what there was, which is what is returned.
		_ = p.kernel.setsockopt(p.fd, unix.SOL_SOCKET, opt, size)
	}
	if now, err := p.kernel.getsockopt(p.fd, unix.SOL_SOCKET, opt); err == nil {
		v = now
	}
	return v / 2, size
}
