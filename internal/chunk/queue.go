package chunk

import "encoding/binary"

const (
	// queueHeader is what a message takes in the memory of a Queue besides its bytes: its length.
	queueHeader = 4
	// queueChunk is the most memory that a Queue takes for more than one message at a time, in bytes.
	queueChunk = 16 << 10
)

// Queue is a first-in, first-out list of messages that lie one behind the other in
// pooled memory. So many small ones take hardly more than their bytes, and large ones less than
// twice that; a Buffer for each would be MinSize at least. Its user bounds what is in it.
type Queue struct {
	bufs []*Buffer // from head on
	head int32
	off  int32 // of the first message in the first Buffer
}

// Empty tells whether there is no message.
func (q *Queue) Empty() bool { return int(q.head) == len(q.bufs) }

// Push adds a copy of p, in memory of the pool.
func (q *Queue) Push(pool *Pool, p []byte) {
	need := queueHeader + len(p)
	n := len(q.bufs)
	if q.Empty() || cap(q.bufs[n-1].B)-len(q.bufs[n-1].B) < need {
		if q.head > 32 && int(q.head) > n/2 {
			n = copy(q.bufs, q.bufs[q.head:])
			clear(q.bufs[n:])
			q.bufs, q.head = q.bufs[:n], 0
		}
		// Few messages take little memory, and many few Buffers.
		size := need
		if n > int(q.head) {
			size = max(size, min(2*q.bufs[n-1].Size(), queueChunk))
		}
		q.bufs = append(q.bufs, pool.Get(size))
		n = len(q.bufs)
	}
	b := q.bufs[n-1]
	b.B = binary.LittleEndian.AppendUint32(b.B, uint32(len(p)))
	b.B = append(b.B, p...)
}

// Front returns the first message, which is valid until it is popped. There has to be one.
func (q *Queue) Front() []byte {
	b := q.bufs[q.head].B[q.off:]
	n := int(binary.LittleEndian.Uint32(b))
	return b[queueHeader : queueHeader+n : queueHeader+n]
}

// Pop takes the first message out. There has to be one.
func (q *Queue) Pop() {
	b := q.bufs[q.head]
	q.off += int32(queueHeader + len(q.Front()))
	if int(q.off) < len(b.B) {
		return
	}
	b.Release()
	q.bufs[q.head] = nil
	q.head++
	q.off = 0
	if q.Empty() {
		q.bufs, q.head = q.bufs[:0], 0
	}
}

// Clear takes all messages out, and lets go of the list's own memory.
func (q *Queue) Clear() {
	for _, b := range q.bufs[q.head:] {
		b.Release()
	}
	*q = Queue{}
}

// Memory returns how many bytes of memory the messages take.
func (q *Queue) Memory() (n int) {
	for _, b := range q.bufs[q.head:] {
		n += b.Size()
	}
	return n
}
