package frittata

import "runtime"

// runner runs the strands that the router does not get to.
func (t *Transport) runner() {
	w := &worker{t: t}
	w.initDuties(func() {
		if w.goOn() {
			w.handBack()
			w.serve()
		}
	})
	w.serve()
}

// serve is a runner's goroutine, until there is nothing to run any more or another
// goroutine is the runner.
func (w *worker) serve() {
	t := w.t
	for {
		if len(w.due) == 0 {
			w.release()
		}
		w.due = t.queue.next(w.due)
		if len(w.due) == 0 {
			w.duties.end()
			t.wg.Add(-workerCount)
			return
		}
		// Whoever woke the strand may have more to say, and others too.
		runtime.Gosched()
		w.take()
		if !w.run() {
			return
		}
		w.handBack()
	}
}

// handBack leaves to the router what goes on, if that one has time.
func (w *worker) handBack() {
	kept := w.due[:0]
	for _, c := range w.due {
		if !w.t.queue.handBack(c, w.now) {
			kept = append(kept, c)
		}
	}
	w.due = kept
}
