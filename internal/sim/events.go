package sim

import "time"

// event is something that will happen. Events of one time happen in the order
// in which they were planned, so that a world is the same every time.
type event struct {
	at  time.Duration
	seq uint64
	run func()
}

func (e *event) before(f *event) bool {
	return e.at < f.at || e.at == f.at && e.seq < f.seq
}

// eventHeap is a binary heap of events, the next one first.
type eventHeap struct {
	list []event
	seq  uint64
}

func (h *eventHeap) push(at time.Duration, run func()) {
	h.seq++
	h.list = append(h.list, event{at: at, seq: h.seq, run: run})
	l := h.list
	for i := len(l) - 1; i > 0; {
		up := (i - 1) / 2
		if !l[i].before(&l[up]) {
			break
		}
		l[i], l[up] = l[up], l[i]
		i = up
	}
}

func (h *eventHeap) pop() event {
	l := h.list
	e := l[0]
	last := len(l) - 1
	l[0] = l[last]
	l[last] = event{}
	l = l[:last]
	h.list = l
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && l[c+1].before(&l[c]) {
			c++
		}
		if !l[c].before(&l[i]) {
			break
		}
		l[i], l[c] = l[c], l[i]
		i = c
	}
	return e
}
