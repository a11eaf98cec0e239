package frittata

import "runtime"

// runner runs the strands that the router does not get to.
func (t *Transport) runner() {
	defer t.wg.Done()
	w := &worker{t: t}
	for {
		if len(w.due) == 0 {
			w.release()
		}
		w.due = t.queue.next(w.due)
		if len(w.due) == 0 {
			return
		}
		// Whoever woke the strand may have more to say, and others too.
		runtime.Gosched()
		w.take()
		w.run()
		kept := w.due[:0]
		for _, c := range w.due {
			if !t.queue.handBack(c, w.now) {
				kept = append(kept, c)
			}
		}
		w.due = kept
	}
}
