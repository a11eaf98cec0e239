package stream

import "math/bits"

// urgencies is how many levels of urgency there are, 0 to 7 (RFC 9218, Section 4.1).
const urgencies = 8

// Node makes a value member of a Queue; embed one per queue. It belongs to at
// most one queue at a time.
type Node[T any] struct {
	Value T

	next, prev  *Node[T] // in the ring, if incremental
	id          uint64
	index       int32 // in the heap, if not incremental
	urgency     uint8
	incremental bool
	queued      bool
}

// Queued tells whether the node is in a queue.
func (n *Node[T]) Queued() bool { return n.queued }

// before tells whether n comes before m in the heap.
func (n *Node[T]) before(m *Node[T]) bool {
	if n.urgency != m.urgency {
		return n.urgency < m.urgency
	}
	return n.id < m.id
}

// Queue has the order of RFC 9218, Section 10: urgency 0 first, 7 last; within one
// urgency, members that are not incremental by ascending id, incremental ones in
// turn; where both kinds are ready in one urgency they alternate, so that neither starves the other.
// The zero value is ready.
//
// Peek, and all that concerns incremental members alone, takes constant time, the rest
// O(log n).
type Queue[T any] struct {
	// heap is a binary heap of the members that are not incremental, the first on top.
	heap []*Node[T]

	// rings has the incremental members of each urgency, in rings linked both ways:
	// the one whose turn is next, or nil. Bit u of inRing tells that rings[u] is not nil.
	// It is made when it is needed.
	rings  *[urgencies]*Node[T]
	inRing uint8

	// Bit u of ringTurn tells that in urgency u it is the turn of an incremental member.
	ringTurn uint8
	n        int
}

// Len returns the number of members.
func (q *Queue[T]) Len() int { return q.n }

// Push adds the node, whose Value the caller has set. A node that is in the queue stays
// where it is. An urgency above 7 counts as 7.
func (q *Queue[T]) Push(n *Node[T], urgency uint8, incremental bool, id uint64) {
	if n.queued {
		return
	}
	n.urgency, n.incremental, n.id = min(urgency, urgencies-1), incremental, id
	n.queued = true
	q.n++
	if !incremental {
		q.heap = append(q.heap, n)
		q.up(len(q.heap)-1, n)
		return
	}
	if q.rings == nil {
		q.rings = new([urgencies]*Node[T])
	}
	first := q.rings[n.urgency]
	if first == nil {
		n.next, n.prev = n, n
		q.rings[n.urgency] = n
		q.inRing |= 1 << n.urgency
		return
	}
	n.next, n.prev = first, first.prev
	n.prev.next, first.prev = n, n
}

// Peek returns the first node, nil if the queue is empty.
func (q *Queue[T]) Peek() *Node[T] {
	u := bits.TrailingZeros8(q.inRing) // 8 if there is none
	if len(q.heap) > 0 {
		if top := q.heap[0]; int(top.urgency) < u || int(top.urgency) == u && q.ringTurn&(1<<u) == 0 {
			return top
		}
	}
	if u == urgencies {
		return nil
	}
	return q.rings[u]
}

// Pop removes the first node and returns it, nil if the queue is empty.
func (q *Queue[T]) Pop() *Node[T] {
	n := q.Peek()
	if n != nil {
		q.Remove(n)
	}
	return n
}

// Served tells that n, the first node, had its turn, one packet's worth: if it is incremental it
// goes to the back of its kind, and the other kind is next.
func (q *Queue[T]) Served(n *Node[T]) {
	if !n.queued {
		return
	}
	q.passTurn(n)
	if n.incremental && q.rings[n.urgency] == n {
		q.rings[n.urgency] = n.next
	}
}

// passTurn gives the next turn in n's urgency to the other kind.
func (q *Queue[T]) passTurn(n *Node[T]) {
	if n.incremental {
		q.ringTurn &^= 1 << n.urgency
	} else {
		q.ringTurn |= 1 << n.urgency
	}
}

// Remove takes n out of the queue; a node that is not in it is left alone. To remove
// the first node counts as its turn: a row of short streams must not hold up the other kind.
func (q *Queue[T]) Remove(n *Node[T]) {
	if !n.queued {
		return
	}
	if q.Peek() == n {
		q.passTurn(n)
	}
	n.queued = false
	q.n--
	if !n.incremental {
		q.removeAt(int(n.index))
		return
	}
	if n.next == n {
		q.rings[n.urgency] = nil
		q.inRing &^= 1 << n.urgency
	} else {
		n.prev.next, n.next.prev = n.next, n.prev
		if q.rings[n.urgency] == n {
			q.rings[n.urgency] = n.next
		}
	}
	n.next, n.prev = nil, nil
}

// removeAt takes the member at index i out of the heap.
func (q *Queue[T]) removeAt(i int) {
	last := len(q.heap) - 1
	m := q.heap[last]
	q.heap[last] = nil
	q.heap = q.heap[:last]
	switch {
	case i < last && i > 0 && m.before(q.heap[(i-1)/2]):
		q.up(i, m)
	case i < last:
		q.down(i, m)
	case last == 0 && cap(q.heap) > 4*keepCap:
		q.heap = nil // that was a crowd
	}
}

// Rest lets go of the memory of a queue that is empty.
func (q *Queue[T]) Rest() {
	if q.n == 0 {
		q.heap, q.rings = nil, nil
	}
}

// up puts n at index i, or above.
func (q *Queue[T]) up(i int, n *Node[T]) {
	for i > 0 {
		parent := (i - 1) / 2
		p := q.heap[parent]
		if !n.before(p) {
			break
		}
		q.heap[i] = p
		p.index = int32(i)
		i = parent
	}
	q.heap[i] = n
	n.index = int32(i)
}

// down puts n at index i, or below.
func (q *Queue[T]) down(i int, n *Node[T]) {
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			break
		}
		c := q.heap[child]
		if child+1 < len(q.heap) && q.heap[child+1].before(c) {
			child++
			c = q.heap[child]
		}
		if !c.before(n) {
			break
		}
		q.heap[i] = c
		c.index = int32(i)
		i = child
	}
	q.heap[i] = n
	n.index = int32(i)
}
