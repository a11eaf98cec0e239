package stream

import (
	"time"

	"github.com/frittata-go/frittata/internal/chunk"
)

// Skeleton of the exported API: the signatures are the contract.

// SendBuffer holds what was written to a stream until it is acked. Offsets count from the stream's first byte. Zero value ready.
type SendBuffer struct{}

func (s *SendBuffer) Write(pool *chunk.Pool, p []byte) { panic("skeleton") } // appends a copy
func (s *SendBuffer) WriteBuf(b *chunk.Buffer)         { panic("skeleton") } // takes ownership
func (s *SendBuffer) End() uint64                      { panic("skeleton") } // offset after the last byte written
func (s *SendBuffer) Next() uint64                     { panic("skeleton") } // offset of the first byte never sent
func (s *SendBuffer) Unsent() int                      { panic("skeleton") } // End-Next
func (s *SendBuffer) Held() int                        { panic("skeleton") } // bytes of memory held (unacked, by chunk)

// Lost returns the first range that is to be sent again, n 0 if none.
func (s *SendBuffer) Lost() (off uint64, n int) { panic("skeleton") }

// Copy copies len(dst) bytes at off to dst; they were written and are not acked... Sequential reads of big buffers must be O(1) amortized (a cursor).
func (s *SendBuffer) Copy(dst []byte, off uint64) { panic("skeleton") }

// OnSent tells that [off, off+n) is in a packet: it advances Next, or takes the range out of the lost ones.
func (s *SendBuffer) OnSent(off uint64, n int) { panic("skeleton") }

// OnAcked releases what need not be held any more. OnLost makes what of the range is not acked due again. Both take any range that was sent, any number of times, in any order.
func (s *SendBuffer) OnAcked(off uint64, n int) { panic("skeleton") }
func (s *SendBuffer) OnLost(off uint64, n int)  { panic("skeleton") }

// AllAcked tells whether all that was written is acked.
func (s *SendBuffer) AllAcked() bool { panic("skeleton") }

// Discard releases everything; the buffer stays defined: Unsent 0, no Lost, OnAcked and OnLost do nothing. End keeps its value.
func (s *SendBuffer) Discard() { panic("skeleton") }

// RecvBuffer puts a stream's bytes in order. Memory is pages at aligned offsets, so that it never holds more than the flow control window plus two pages, however small the pieces are; pages at the stream's beginning are small (a short stream is cheap), later ones 16 KiB or so.
type RecvBuffer struct{}

// ErrGaps: more gaps than allowed.
// Insert copies data at off; bytes that are there already are ignored. maxGaps bounds the separate ranges that wait for what comes before them: the cap sits here.
func (r *RecvBuffer) Insert(pool *chunk.Pool, off uint64, data []byte, maxGaps int) error {
	panic("skeleton")
}
func (r *RecvBuffer) ReadOffset() uint64 { panic("skeleton") } // offset of the next byte to read
func (r *RecvBuffer) End() uint64        { panic("skeleton") } // highest offset inserted
func (r *RecvBuffer) Readable() int      { panic("skeleton") } // contiguous bytes that can be read
func (r *RecvBuffer) Read(p []byte) int  { panic("skeleton") }

// ReadBuf passes on the next bytes, at most max (> 0), by ownership; nil if there are none. Without a copy where a page's content ends or max allows; data that comes later for a page that was handed over goes to a new one.
func (r *RecvBuffer) ReadBuf(max int) *chunk.Buffer { panic("skeleton") }

// Discard releases everything; later Inserts are ignored, with offsets still tracked in End.
func (r *RecvBuffer) Discard() { panic("skeleton") }

// SendWindow is flow control of what we send.
type SendWindow struct{}

func (w *SendWindow) Init(limit uint64)       { panic("skeleton") }
func (w *SendWindow) Raise(limit uint64) bool { panic("skeleton") } // true if it grew
func (w *SendWindow) Limit() uint64           { panic("skeleton") }
func (w *SendWindow) Available() uint64       { panic("skeleton") }
func (w *SendWindow) Use(n int)               { panic("skeleton") }

// RecvWindow is flow control of what we receive: the limit that the peer knows, and a window that tunes itself: it doubles, up to max, when a window's worth of data was read within 2 RTT... and the update goes out once a quarter to half of it is used.
type RecvWindow struct{}

func (w *RecvWindow) Init(window, max uint64) { panic("skeleton") }
func (w *RecvWindow) Limit() uint64           { panic("skeleton") } // what the peer was told or will be
func (w *RecvWindow) Window() uint64          { panic("skeleton") }

// OnRead tells that the application has taken n more bytes (or does not want them). It returns true when a new Limit is to be sent.
func (w *RecvWindow) OnRead(n int, now, rtt time.Duration) bool { panic("skeleton") }

// Grow raises the window to at least min (the connection's window follows the streams').
func (w *RecvWindow) Grow(min uint64) { panic("skeleton") }

// Node makes a value member of a Queue; embed one per queue. It belongs to at most one queue.
type Node[T any] struct{ Value T }

// Queued tells whether the node is in a queue.
func (n *Node[T]) Queued() bool { panic("skeleton") }

// Queue has the order of RFC 9218: urgency 0 (first) to 7; within one urgency, non-incremental members by ascending id, incremental ones in turn; where both kinds are ready in one urgency they alternate. All operations are O(log n) or better and allocate nothing in the steady state. Zero value ready.
type Queue[T any] struct{}

// Push adds the node (Value set by the caller); a node that is there stays where it is.
func (q *Queue[T]) Push(n *Node[T], urgency uint8, incremental bool, id uint64) { panic("skeleton") }

// Peek returns the first node, nil if empty; Pop also removes it.
func (q *Queue[T]) Peek() *Node[T] { panic("skeleton") }
func (q *Queue[T]) Pop() *Node[T]  { panic("skeleton") }

// Served tells that the first node had its turn (one packet's worth): an incremental one goes to the back.
func (q *Queue[T]) Served(n *Node[T]) { panic("skeleton") }
func (q *Queue[T]) Remove(n *Node[T]) { panic("skeleton") }
func (q *Queue[T]) Len() int          { panic("skeleton") }
