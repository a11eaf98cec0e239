package pipe

import (
	"io"
	"time"

	"github.com/frittata-go/frittata/internal/chunk"
)

// Reader carries bytes from a strand to a goroutine. Call Init before all else.
// A Reader must not be copied.
type Reader struct{ p pipe }

var (
	_ io.Reader   = (*Reader)(nil)
	_ io.WriterTo = (*Reader)(nil)
)

// Init sets the strand that is woken when a full pipe has drained, and the
// bytes that the pipe holds until it is full; 0 means DefaultLimit.
func (r *Reader) Init(s Strand, limit int) { r.p.init(s, nil, limit) }

// Push gives b to the goroutine, and its ownership with it. It returns false
// when the pipe has reached its limit, or ended: the strand should push no more
// before it is woken, though nothing breaks if it does. Strand only.
func (r *Reader) Push(b *chunk.Buffer) (more bool) {
	p := &r.p
	p.mu.Lock()
	if p.done || p.err != nil {
		p.mu.Unlock()
		b.Release()
		return false
	}
	if len(b.B) == 0 {
		full := p.n >= p.limit
		p.mu.Unlock()
		b.Release()
		return !full
	}
	if t := p.tail(); t != nil && len(b.B) <= min(maxJoin, cap(t.B)-len(t.B)) {
		// A peer that sends a trickle should not have us hold a buffer for each drop.
		t.B = append(t.B, b.B...)
		p.n += len(b.B)
		b.Release()
	} else {
		p.push(b)
	}
	full := p.n >= p.limit
	if full {
		p.held = true
	}
	woke := p.waiters > 0
	if woke {
		p.cond.Signal()
	}
	p.mu.Unlock()
	if woke {
		p.strand.Yield()
	}
	return !full
}

// maxJoin is up to how many bytes are copied to the buffer before them, if they
// fit there, instead of being kept in one of their own.
const maxJoin = 1 << 10

// Full tells whether the pipe has reached its limit. If so, the strand is woken
// when the goroutine has drained it to half. Strand only.
func (r *Reader) Full() bool {
	p := &r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n < p.limit || p.done {
		return false
	}
	p.held = true
	return true
}

// Len returns the bytes that wait to be read.
func (r *Reader) Len() int {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.p.n
}

// CloseWithError ends the pipe: the goroutine reads what is left, then gets
// err; nil means io.EOF. The first error stays. Strand only.
func (r *Reader) CloseWithError(err error) { r.end(orEOF(err), false) }

// Abort ends the pipe at once: what is left is lost, and the goroutine gets
// err. It overrides an earlier CloseWithError. Strand only.
func (r *Reader) Abort(err error) { r.end(orEOF(err), true) }

func (r *Reader) end(err error, abort bool) {
	p := &r.p
	p.mu.Lock()
	if p.err != nil && !(abort && p.n > 0) || p.done {
		p.mu.Unlock()
		return
	}
	p.err = err
	p.held = false
	if abort {
		p.drop()
	}
	woke := p.waiters > 0
	p.cond.Broadcast()
	p.mu.Unlock()
	if woke {
		p.strand.Yield()
	}
}

// Closed tells whether the goroutine has called Close: it reads no more.
func (r *Reader) Closed() bool {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.p.done
}

// await blocks until there is a buffer. It is called with mu held.
func (r *Reader) await() error {
	p := &r.p
	if p.expired {
		return errDeadline
	}
	for p.head == len(p.bufs) {
		switch {
		case p.done:
			return ErrClosed
		case p.err != nil:
			p.stopTimer()
			return p.err
		}
		if err := p.wait(); err != nil {
			return err
		}
	}
	return nil
}

// Read blocks until there is something to read, the end or the deadline.
func (r *Reader) Read(b []byte) (n int, err error) {
	p := &r.p
	p.mu.Lock()
	if len(b) > 0 {
		if err = r.await(); err != nil {
			p.mu.Unlock()
			return 0, err
		}
	}
	for n < len(b) && p.head < len(p.bufs) {
		c := p.bufs[p.head]
		m := copy(b[n:], c.B)
		n += m
		if m < len(c.B) {
			c.B = c.B[m:]
			p.n -= m
			break
		}
		p.pop().Release()
	}
	p.passOn()
	wake := p.unhold()
	p.mu.Unlock()
	if wake {
		p.strand.Wake()
	}
	return n, nil
}

// passOn wakes another goroutine that reads, if there is something left for it:
// what was pushed has woken one for each piece, and that one may have taken less, or one
// that was awake anyway may have come before it. It is called with mu held.
func (p *pipe) passOn() {
	if p.waiters > 0 && p.head < len(p.bufs) {
		p.cond.Signal()
	}
}

// ReadBuf is like Read, but passes a whole buffer, and its ownership with it.
func (r *Reader) ReadBuf() (*chunk.Buffer, error) {
	p := &r.p
	p.mu.Lock()
	if err := r.await(); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	b := p.pop()
	p.passOn()
	wake := p.unhold()
	p.mu.Unlock()
	if wake {
		p.strand.Wake()
	}
	return b, nil
}

// WriteTo writes to w until the end, without copying to a buffer in between.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		b, err := r.ReadBuf()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		m, err := w.Write(b.B)
		if err == nil && m < len(b.B) {
			err = io.ErrShortWrite
		}
		n += int64(m)
		b.Release()
		if err != nil {
			return n, err
		}
	}
}

// SetReadDeadline makes Read fail with os.ErrDeadlineExceeded from t on; the
// zero time means never.
func (r *Reader) SetReadDeadline(t time.Time) { r.p.setDeadline(t) }

// Close ends the pipe from the goroutine's side: what is left is lost, reads
// fail with ErrClosed, and the strand is woken, to ask Closed. It does nothing
// after the strand has ended the pipe and all was read.
func (r *Reader) Close() error {
	p := &r.p
	p.mu.Lock()
	if p.done {
		p.mu.Unlock()
		return nil
	}
	tell := p.err == nil || p.n > 0
	p.done, p.held = true, false
	p.drop()
	p.stopTimer()
	p.cond.Broadcast()
	p.mu.Unlock()
	if tell {
		p.strand.Wake()
	}
	return nil
}
