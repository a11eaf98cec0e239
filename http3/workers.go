package http3

import (
	"context"
	"sync"
	"time"

	"github.com/frittata-go/frittata/h3driver"
)

// workerIdle is how long a goroutine waits for another request before it ends.
const workerIdle = time.Second

// workers are the goroutines that run handlers. A request never waits for one
// that is busy: if there is any in the queue, a worker is about to take it. But it
// is one at a time that is made to run, and it has the next one made to run
// when it finds more to do; and a worker that is done takes the next request itself. So
// a hundred handlers that do not wait are run by one goroutine or two, one
// after the other, on a stack that has grown to the right size, and a hundred that do
// wait by a hundred. The zero value is ready.
type workers struct {
	mu     sync.Mutex
	queue  []task
	first  int       // of queue
	idle   []*worker // the last one first
	coming bool      // a worker has been made to run and has not looked at the queue yet
	busy   int       // requests that were expected and are not finished
	quiet  chan struct{}
	closed bool
	timer  *time.Timer
	ticks  bool // timer is running
	trust  trust
}

// task is a request to handle.
type task struct {
	c *serverConn
	s *h3driver.Stream
}

// worker is a goroutine, and what it has for the requests that it handles one after the other.
type worker struct {
	wake  chan bool // false: end
	since time.Time // when it began to be idle
	scratch
}

// expect counts a request that is to be handled, by a worker or by the goroutine of a turn.
func (p *workers) expect() {
	p.mu.Lock()
	p.busy++
	p.mu.Unlock()
}

// submit has a request handled that expect was called for. It does not block.
func (p *workers) submit(t task) {
	p.mu.Lock()
	if p.first > 0 && len(p.queue) == cap(p.queue) {
		n := copy(p.queue, p.queue[p.first:])
		clear(p.queue[n:])
		p.queue, p.first = p.queue[:n], 0
	}
	p.queue = append(p.queue, t)
	p.more()
	p.mu.Unlock()
}

// more makes a worker run, unless one is on its way. It is called with mu held.
func (p *workers) more() {
	if p.coming {
		return
	}
	p.coming = true
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		w.wake <- true // has room: w was idle
		return
	}
	go p.run(&worker{wake: make(chan bool, 1)})
}

func (p *workers) run(w *worker) {
	came := true
	for {
		t, ok := p.next(w, came)
		if !ok {
			if !<-w.wake {
				return
			}
			came = true
			continue
		}
		came = false
		p.handle(w, t)
	}
}

// next takes a request, or makes w idle. came tells that w was made to run for it.
func (p *workers) next(w *worker, came bool) (t task, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if came {
		p.coming = false
	}
	if p.first == len(p.queue) {
		if p.closed {
			w.wake <- false
			return t, false
		}
		w.since = time.Now()
		p.idle = append(p.idle, w)
		if !p.ticks {
			p.ticks = true
			p.tick()
		}
		return t, false
	}
	t = p.queue[p.first]
	p.queue[p.first] = task{}
	p.first++
	if p.first == len(p.queue) {
		p.queue, p.first = p.queue[:0], 0
	} else {
		p.more()
	}
	return t, true
}

// handle also ends well if the handler ends the goroutine.
func (p *workers) handle(w *worker, t task) {
	begin := time.Now()
	defer func() { p.done(time.Since(begin), true) }()
	t.c.serve(t.s, &w.scratch, nil)
}

// done ends the counting of a request. own tells that it had a goroutine, for that time.
func (p *workers) done(took time.Duration, own bool) {
	p.mu.Lock()
	if own {
		p.trust.note(took)
	} else {
		p.trust.kept()
	}
	p.busy--
	if p.busy == 0 && p.quiet != nil {
		close(p.quiet)
		p.quiet = nil
	}
	p.mu.Unlock()
}

// tick is called with mu held.
func (p *workers) tick() {
	if p.timer == nil {
		p.timer = time.AfterFunc(workerIdle, p.expire)
		return
	}
	p.timer.Reset(workerIdle)
}

// expire ends the workers that have been idle for long.
func (p *workers) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := time.Now().Add(-workerIdle)
	n := 0
	for n < len(p.idle) && (p.closed || p.idle[n].since.Before(limit)) {
		p.idle[n].wake <- false
		n++
	}
	rest := copy(p.idle, p.idle[n:])
	clear(p.idle[rest:])
	p.idle = p.idle[:rest]
	if p.ticks = rest > 0; p.ticks {
		p.tick()
	}
}

// close ends the workers as they become idle.
func (p *workers) close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.expire()
}

// wait waits until no request is being handled.
func (p *workers) wait(ctx context.Context) error {
	p.mu.Lock()
	if p.busy == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.quiet == nil {
		p.quiet = make(chan struct{})
	}
	quiet := p.quiet
	p.mu.Unlock()
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
