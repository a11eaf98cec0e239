package pipe

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/frittata-go/frittata/internal/chunk"
)

// DefaultLimit is how many bytes a pipe holds if its Init names no other limit.
const DefaultLimit = 256 << 10

const (
	minChunk = 512      // of the first chunk, in bytes: a small message should not pin much
	maxChunk = 16 << 10 // of each chunk, in bytes: larger ones save nothing more
)

// errDeadline is what the goroutine's methods return from the deadline on.
var errDeadline = os.ErrDeadlineExceeded

// ErrClosed is what a goroutine's method returns after that goroutine, or
// another one, has closed its end. It wraps io.ErrClosedPipe.
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "frittata: use of a closed stream" }
func (closedError) Unwrap() error { return io.ErrClosedPipe }

// Strand is the end of a pipe that does not block. A *frittata.Conn is one.
type Strand interface {
	// Wake makes a turn of the strand happen soon. Any goroutine may call it.
	Wake()
	// Yield tells the turn that is under way that goroutines have been made
	// runnable which may have something to say before the turn ends. It is
	// called on the strand.
	Yield()
}

// pipe is what a Reader and a Writer have in common.
type pipe struct {
	mu     sync.Mutex
	cond   sync.Cond // where goroutines wait; its L is &mu
	strand Strand
	pool   *chunk.Pool
	bufs   []*chunk.Buffer // from head on
	head   int
	n      int // bytes in bufs
	limit  int
	err    error // the end: what the other side sees after bufs, or at once
	timer  *time.Timer
	until  int64 // the deadline in nanoseconds since epoch; 0: none

	waiters int32 // goroutines in cond.Wait
	held    bool  // who fills the pipe has met the limit and is to be told at half of it
	done    bool  // the side that takes has ended the pipe
	expired bool  // the deadline has passed
}

var epoch = time.Now().Add(-time.Second) // so that no deadline is 0

func (p *pipe) init(s Strand, pool *chunk.Pool, limit int) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	p.strand, p.pool, p.limit = s, pool, limit
	p.cond.L = &p.mu
}

// push appends b, which is not empty.
func (p *pipe) push(b *chunk.Buffer) {
	if p.head > 0 && len(p.bufs) == cap(p.bufs) {
		n := copy(p.bufs, p.bufs[p.head:])
		clear(p.bufs[n:])
		p.bufs, p.head = p.bufs[:n], 0
	}
	p.bufs = append(p.bufs, b)
	p.n += len(b.B)
}

// pop takes the first buffer, of which there must be one.
func (p *pipe) pop() *chunk.Buffer {
	b := p.bufs[p.head]
	p.bufs[p.head] = nil
	p.head++
	if p.head == len(p.bufs) {
		p.bufs, p.head = p.bufs[:0], 0
	}
	p.n -= len(b.B)
	return b
}

// drop releases all that the pipe holds.
func (p *pipe) drop() {
	for _, b := range p.bufs[p.head:] {
		b.Release()
	}
	p.bufs, p.head, p.n = nil, 0, 0
}

// tail is the last buffer if there is one.
func (p *pipe) tail() *chunk.Buffer {
	if p.head == len(p.bufs) {
		return nil
	}
	return p.bufs[len(p.bufs)-1]
}

// unhold tells whether who fills the pipe waits for it to drain to half, which has happened.
func (p *pipe) unhold() bool {
	if p.held && p.n <= p.limit/2 {
		p.held = false
		return true
	}
	return false
}

// wait blocks until something has changed. It is called with mu held.
func (p *pipe) wait() error {
	if p.expired {
		return errDeadline
	}
	p.waiters++
	p.cond.Wait()
	p.waiters--
	if p.expired {
		return errDeadline
	}
	return nil
}

// setDeadline makes wait fail from t on.
func (p *pipe) setDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expired, p.until = false, 0
	if p.timer != nil {
		p.timer.Stop()
	}
	if t.IsZero() {
		return
	}
	d := time.Until(t)
	if d <= 0 {
		p.expired = true
		p.cond.Broadcast()
		return
	}
	p.until = int64(t.Sub(epoch))
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.onTimer)
		return
	}
	p.timer.Reset(d)
}

// onTimer runs at the deadline, or at an earlier one that was moved meanwhile.
func (p *pipe) onTimer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == 0 {
		return
	}
	if d := time.Duration(p.until) - time.Since(epoch); d > 0 {
		p.timer.Reset(d)
		return
	}
	p.expired = true
	p.cond.Broadcast()
}

// stopTimer lets the deadline's timer go, once the pipe has ended.
func (p *pipe) stopTimer() {
	p.until = 0
	if p.timer != nil {
		p.timer.Stop()
	}
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}
