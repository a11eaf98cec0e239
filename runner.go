package frittata

import "runtime"

// runner runs the strands that the router does not get to, or while the load lasts those of its lane.
func (t *Transport) runner(l *lane) {
	w := &worker{t: t, lane: l}
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
		w.due = t.queue.next(w.lane, w.due)
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
	if len(w.due) > 0 && w.t.queue.handBack(w.due, w.now) {
		clear(w.due)
		w.due = w.due[:0]
	}
}
