package pipe

import (
	"io"
	"time"

	"github.com/frittata-go/frittata/internal/chunk"
)

// Writer carries bytes from a goroutine to a strand. Call Init before all else.
// A Writer must not be copied.
type Writer struct{ p pipe }

var (
	_ io.WriteCloser = (*Writer)(nil)
	_ io.ReaderFrom  = (*Writer)(nil)
)

// Init sets the strand that is woken when there is something to take, where
// the chunks come from (nil: plain allocation), and the bytes that the pipe
// holds before Write blocks; 0 means DefaultLimit.
func (w *Writer) Init(s Strand, pool *chunk.Pool, limit int) { w.p.init(s, pool, limit) }

// Pop takes the next buffer, with its ownership. fin tells that the goroutine
// has closed the pipe and nothing comes after b; b is nil if there is nothing
// to take, or nothing but the end. Strand only.
func (w *Writer) Pop() (b *chunk.Buffer, fin bool) {
	p := &w.p
	p.mu.Lock()
	if p.head < len(p.bufs) {
		b = p.pop()
	}
	fin = p.err == io.EOF && p.head == len(p.bufs)
	woke := p.unhold() && p.waiters > 0
	if woke {
		p.cond.Broadcast()
	}
	p.mu.Unlock()
	if woke {
		p.strand.Yield()
	}
	return b, fin
}

// Unpop puts b back in front, for when there was no room for it. Strand only.
func (w *Writer) Unpop(b *chunk.Buffer) {
	p := &w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.done || p.err != nil && p.err != io.EOF:
		b.Release()
		return
	case p.head > 0:
		p.head--
		p.bufs[p.head] = b
	default:
		p.bufs = append(p.bufs, nil)
		copy(p.bufs[1:], p.bufs)
		p.bufs[0] = b
	}
	p.n += len(b.B)
}

// Len returns the bytes that wait to be taken.
func (w *Writer) Len() int {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.n
}

// Err returns what the goroutine gave to CloseWithError: the stream is to be
// reset. It is nil before that and after Close.
func (w *Writer) Err() error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.p.err == io.EOF || w.p.done {
		return nil
	}
	return w.p.err
}

// Stop ends the pipe from the strand's side: what is left is lost, and writes
// fail with err. It does nothing if the goroutine has ended it and all was taken. Strand only.
func (w *Writer) Stop(err error) {
	p := &w.p
	p.mu.Lock()
	if p.done || p.err != nil && p.n == 0 {
		p.mu.Unlock()
		return
	}
	p.done = true
	p.err = err
	if err == nil {
		p.err = ErrClosed
	}
	p.drop()
	p.stopTimer()
	woke := p.waiters > 0
	p.cond.Broadcast()
	p.mu.Unlock()
	if woke {
		p.strand.Yield()
	}
}

// room blocks until there is some. It is called with mu held.
func (w *Writer) room() error {
	p := &w.p
	for {
		switch {
		case p.done:
			return p.err
		case p.err != nil:
			return ErrClosed
		case p.expired:
			return errDeadline
		case p.n < p.limit && !p.held:
			return nil
		}
		// Once full, go on only at half: else each chunk that the strand takes
		// would wake this goroutine for one more.
		p.held = true
		if err := p.wait(); err != nil {
			return err
		}
	}
}

// Write copies b and returns. While the pipe is full it blocks, until all of b
// is in, the strand has ended the pipe or the deadline. Writes of several
// goroutines may be mixed.
func (w *Writer) Write(b []byte) (n int, err error) {
	p := &w.p
	p.mu.Lock()
	for {
		if err = w.room(); err != nil {
			break
		}
		empty := p.head == len(p.bufs)
		m := w.fill(b[n:])
		n += m
		wake := empty && m > 0
		if n == len(b) {
			p.mu.Unlock()
			if wake {
				p.strand.Wake()
			}
			return n, nil
		}
		p.held = true
		if wake {
			p.mu.Unlock()
			p.strand.Wake()
			p.mu.Lock()
		}
	}
	p.mu.Unlock()
	return n, err
}

// fill copies as much of b as there is room for.
func (w *Writer) fill(b []byte) (n int) {
	p := &w.p
	size := minChunk
	if t := p.tail(); t != nil {
		if room := min(cap(t.B)-len(t.B), p.limit-p.n); room > 0 {
			n = min(room, len(b))
			t.B = append(t.B, b[:n]...)
			p.n += n
		}
		size = min(2*cap(t.B), maxChunk)
	}
	for n < len(b) && p.n < p.limit {
		m := min(len(b)-n, p.limit-p.n)
		c := p.pool.Get(min(max(size, m), maxChunk))
		m = min(m, cap(c.B))
		c.B = append(c.B, b[n:n+m]...)
		n += m
		p.push(c)
		size = maxChunk
	}
	return n
}

// ReadFrom reads from r until its end, straight into the pipe's chunks.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	p := &w.p
	size := 4 << 10
	for {
		p.mu.Lock()
		err = w.room()
		p.mu.Unlock()
		if err != nil {
			return n, err
		}
		c := p.pool.Get(size)
		m, err := r.Read(c.B[:cap(c.B)])
		c.B = c.B[:m]
		n += int64(m)
		if m == cap(c.B) {
			size = maxChunk
		}
		if werr := w.put(c); werr != nil {
			return n, werr
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// put appends c, over the limit by at most c if others write at the same time.
func (w *Writer) put(c *chunk.Buffer) error {
	p := &w.p
	p.mu.Lock()
	if p.done || p.err != nil {
		err := p.err
		if !p.done {
			err = ErrClosed
		}
		p.mu.Unlock()
		c.Release()
		return err
	}
	if len(c.B) == 0 {
		p.mu.Unlock()
		c.Release()
		return nil
	}
	wake := p.head == len(p.bufs)
	if t := p.tail(); t != nil && len(c.B) <= cap(t.B)-len(t.B) {
		// A trickle should not pin a large chunk for each drop.
		t.B = append(t.B, c.B...)
		p.n += len(c.B)
		c.Release()
	} else {
		p.push(c)
	}
	p.mu.Unlock()
	if wake {
		p.strand.Wake()
	}
	return nil
}

// SetWriteDeadline makes Write fail with os.ErrDeadlineExceeded from t on; the
// zero time means never.
func (w *Writer) SetWriteDeadline(t time.Time) { w.p.setDeadline(t) }

// Close tells the strand that no more comes; what was written still goes out.
func (w *Writer) Close() error {
	w.end(io.EOF)
	return nil
}

// CloseWithError ends the pipe at once: what the strand has not taken yet is
// lost, and it finds err by Err. It overrides a Close before it, unless the
// strand has taken all. A nil error means Close.
func (w *Writer) CloseWithError(err error) {
	if err == nil {
		err = io.EOF
	}
	w.end(err)
}

func (w *Writer) end(err error) {
	p := &w.p
	p.mu.Lock()
	if p.done || p.err != nil && (p.n == 0 || err == io.EOF || p.err != io.EOF) {
		p.mu.Unlock()
		return
	}
	wake := p.n == 0 || err != io.EOF
	p.err = err
	if err != io.EOF {
		p.drop()
	}
	p.stopTimer()
	p.cond.Broadcast()
	p.mu.Unlock()
	if wake {
		p.strand.Wake()
	}
}
