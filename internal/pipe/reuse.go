package pipe

import (
	"io"

	"github.com/frittata-go/frittata/internal/chunk"
)

// reset makes the pipe as it was before Init, but for memory that can be used
// again. Nobody else may know the pipe any more, nor ever have been told of it a deadline
// that may still fire: then reset returns false, and the pipe is not to be used again.
func (p *pipe) reset() bool {
	if p.timer != nil || p.waiters != 0 {
		return false
	}
	for _, b := range p.bufs[p.head:] {
		b.Release()
	}
	clear(p.bufs)
	bufs := p.bufs[:0]
	if cap(bufs) > keptBufs {
		bufs = nil
	}
	p.strand, p.pool = nil, nil
	p.bufs, p.head, p.n, p.limit = bufs, 0, 0, 0
	p.err, p.until = nil, 0
	p.held, p.done, p.expired = false, false, false
	return true
}

// keptBufs is how long a list of buffers may be that is kept for the next use.
const keptBufs = 16

// Reset prepares the Reader for another Init, which saves allocations. Nobody
// may use it meanwhile or have kept it. It returns false if it cannot be used
// again: after SetReadDeadline.
func (r *Reader) Reset() bool { return r.p.reset() }

// Reset prepares the Writer for another Init, which saves allocations. Nobody
// may use it meanwhile or have kept it. It returns false if it cannot be used
// again: after SetWriteDeadline.
func (w *Writer) Reset() bool { return w.p.reset() }

// Put is Write by ownership, and in the same step Close if fin is set, which
// costs one wake-up. It blocks while the pipe is full, unless fin is set. b may be nil.
func (w *Writer) Put(b *chunk.Buffer, fin bool) error {
	p := &w.p
	p.mu.Lock()
	var err error
	switch {
	case !fin:
		err = w.room()
	case p.done:
		err = p.err
	case p.err != nil:
		err = ErrClosed
	}
	if err != nil {
		p.mu.Unlock()
		if b != nil {
			b.Release()
		}
		return err
	}
	wake := p.n == 0
	switch {
	case b == nil:
		wake = wake && fin
	case len(b.B) == 0:
		b.Release()
		wake = wake && fin
	default:
		p.push(b)
	}
	if fin {
		p.err = io.EOF
		p.stopTimer()
		if p.waiters > 0 {
			p.cond.Broadcast()
		}
	}
	p.mu.Unlock()
	if wake {
		p.strand.Wake()
	}
	return nil
}

// Complete tells whether all that will ever come has come: the goroutine will
// not wait any more.
func (r *Reader) Complete() bool {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.p.err != nil
}
