package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// queueModel is a Queue as a list in the order of the turns.
type queueModel struct {
	members  []*Node[int]
	ringTurn [urgencies]bool
}

func (m *queueModel) peek() *Node[int] {
	for u := range uint8(urgencies) {
		var first, turn *Node[int]
		for _, n := range m.members {
			switch {
			case n.urgency != u:
			case n.incremental && turn == nil:
				turn = n
			case !n.incremental && (first == nil || n.id < first.id):
				first = n
			}
		}
		if turn != nil && (first == nil || m.ringTurn[u]) {
			return turn
		}
		if first != nil {
			return first
		}
	}
	return nil
}

func (m *queueModel) remove(n *Node[int]) {
	if m.peek() == n {
		m.ringTurn[n.urgency] = !n.incremental
	}
	m.members = slices.DeleteFunc(m.members, func(o *Node[int]) bool { return o == n })
}

func (m *queueModel) served(n *Node[int]) {
	m.ringTurn[n.urgency] = !n.incremental
	if n.incremental {
		m.members = slices.DeleteFunc(m.members, func(o *Node[int]) bool { return o == n })
		m.members = append(m.members, n)
	}
}

func FuzzQueue(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		var q Queue[int]
		var m queueModel
		nodes := make([]Node[int], 64)
		in = in[:min(len(in), 1<<12)]
		for sc := script(in); len(sc) > 0; {
			op := sc.byte()
			id := sc.byte() % 64
			n := &nodes[id]
			switch op % 8 {
			case 0, 1, 2, 3:
				u, incremental := sc.byte()%10, sc.byte()&1 != 0
				if op&8 != 0 {
					u = 3
				}
				if !n.queued {
					m.members = append(m.members, n)
				}
				q.Push(n, u, incremental, uint64(id))
			case 4:
				if n.queued {
					m.remove(n)
				}
				q.Remove(n)
			case 5:
				want := m.peek()
				if want != nil {
					m.remove(want)
				}
				if got := q.Pop(); got != want {
					t.Fatalf("Pop %v, want %v", got, want)
				}
			default:
				if n := q.Peek(); n != nil {
					m.served(n)
					q.Served(n)
				}
			}
			if got, want := q.Peek(), m.peek(); got != want {
				t.Fatalf("Peek %v, want %v", got, want)
			}
			if q.Len() != len(m.members) {
				t.Fatalf("Len %d, want %d", q.Len(), len(m.members))
			}
			q.check()
		}
		for q.Len() > 0 {
			want := m.peek()
			m.remove(want)
			if got := q.Pop(); got != want || got.Queued() || got.next != nil || got.prev != nil {
				t.Fatal("wrong at the end")
			}
		}
		if q.Pop() != nil || q.Peek() != nil {
			t.Fatal("not empty")
		}
	})
}

// check panics if the queue is not what its comments say.
func (q *Queue[T]) check() {
	n := len(q.heap)
	for i, m := range q.heap {
		if int(m.index) != i || !m.queued || m.incremental || i > 0 && m.before(q.heap[(i-1)/2]) {
			panic("heap out of order")
		}
	}
	rings := q.rings
	if rings == nil {
		rings = new([urgencies]*Node[T])
	}
	for u, first := range rings {
		if (first != nil) != (q.inRing>>u&1 != 0) {
			panic("wrong bits")
		}
		for m := first; m != nil; {
			if m.next.prev != m || !m.queued || !m.incremental || int(m.urgency) != u {
				panic("broken ring")
			}
			n++
			if m = m.next; m == first {
				break
			}
		}
	}
	if n != q.n {
		panic("wrong length")
	}
}

func order(q *Queue[string], turns int) (out []string) {
	for range turns {
		n := q.Peek()
		out = append(out, n.Value)
		q.Served(n)
	}
	return out
}

func TestQueueOrder(t *testing.T) {
	type member struct {
		name        string
		urgency     uint8
		incremental bool
		id          uint64
	}
	for _, c := range []struct {
		members []member
		want    []string
	}{
		{[]member{{"c", 3, false, 8}, {"a", 3, false, 0}, {"b", 3, false, 4}}, []string{"a", "a", "a"}},
		{[]member{{"a", 3, true, 0}, {"b", 3, true, 4}, {"c", 3, true, 8}}, []string{"a", "b", "c", "a"}},
		{[]member{{"a", 3, false, 0}, {"b", 2, true, 4}, {"c", 7, true, 8}}, []string{"b", "b"}},
		{[]member{{"x", 3, true, 8}, {"a", 3, false, 0}, {"y", 3, true, 4}, {"b", 3, false, 4}},
			[]string{"a", "x", "a", "y", "a", "x"}},
		{[]member{{"a", 9, false, 0}, {"b", 7, true, 4}}, []string{"a", "b", "a", "b"}},
	} {
		var q Queue[string]
		for _, m := range c.members {
			q.Push(&Node[string]{Value: m.name}, m.urgency, m.incremental, m.id)
		}
		if got := order(&q, len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.members, got, c.want)
		}
	}
}

// Short streams that are done in one turn must not hold up the other kind.
func TestQueueRemoveIsATurn(t *testing.T) {
	var q Queue[string]
	big := Node[string]{Value: "big"}
	q.Push(&big, 3, true, 0)
	for i := range uint64(10) {
		q.Push(&Node[string]{Value: "small"}, 3, false, 4+4*i)
	}
	bigTurns := 0
	for range 20 {
		if n := q.Peek(); n == &big {
			bigTurns++
			q.Served(n)
		} else {
			q.Remove(n)
		}
	}
	if bigTurns != 10 || q.Len() != 1 {
		t.Errorf("%d turns of 20, %d left", bigTurns, q.Len())
	}
}

func TestQueueNodeStays(t *testing.T) {
	var q Queue[string]
	a, b := Node[string]{Value: "a"}, Node[string]{Value: "b"}
	q.Push(&a, 3, false, 0)
	q.Push(&b, 3, false, 4)
	q.Push(&a, 7, true, 100)
	if q.Peek() != &a || q.Len() != 2 || !a.Queued() {
		t.Error("a moved")
	}
	q.Remove(&a)
	q.Remove(&a)
	q.Served(&a)
	if q.Peek() != &b || q.Len() != 1 || a.Queued() {
		t.Error("a is still there")
	}
}

// A crowd in any order costs O(log n) each, and leaves no memory behind.
func TestQueueCrowd(t *testing.T) {
	const n = 10_000
	r := rand.New(rand.NewPCG(1, 2))
	for name, ids := range map[string][]int{
		"ascending": seq(n), "descending": reversed(seq(n)), "random": r.Perm(n),
	} {
		var q Queue[int]
		nodes := make([]Node[int], n)
		for _, id := range ids {
			nodes[id].Value = id
			q.Push(&nodes[id], 3, false, uint64(id))
		}
		q.check()
		for _, id := range ids[:n/2] {
			q.Remove(&nodes[id])
		}
		q.check()
		prev := -1
		for m := q.Pop(); m != nil; m = q.Pop() {
			if m.Value <= prev {
				t.Fatalf("%s: %d after %d", name, m.Value, prev)
			}
			prev = m.Value
		}
		if cap(q.heap) > 4*keepCap {
			t.Errorf("%s: an empty queue has room for %d", name, cap(q.heap))
		}
	}
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func reversed(s []int) []int {
	slices.Reverse(s)
	return s
}

func TestQueueNoAllocs(t *testing.T) {
	var q Queue[int]
	nodes := make([]Node[int], 200)
	if n := testing.AllocsPerRun(100, func() {
		for i := range nodes {
			q.Push(&nodes[i], uint8(i%3), i%2 == 0, uint64(len(nodes)-i))
		}
		for q.Len() > 0 {
			q.Served(q.Peek())
			q.Pop()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkQueue is for one turn, Peek and Served, and for one member's Push and Pop,
// among so many.
func BenchmarkQueue(b *testing.B) {
	for _, members := range []int{1, 100, 10_000} {
		for _, incremental := range []bool{false, true} {
			var q Queue[int]
			nodes := make([]Node[int], members)
			for i := range nodes {
				q.Push(&nodes[i], 3, incremental, uint64(i))
			}
			name := fmt.Sprintf("members=%d/incremental=%v", members, incremental)
			b.Run("Served/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					q.Served(q.Peek())
				}
			})
			b.Run("PushPop/"+name, func(b *testing.B) {
				b.ReportAllocs()
				id := uint64(members)
				for b.Loop() {
					q.Push(q.Pop(), 3, incremental, id)
					id++
				}
			})
		}
	}
}
