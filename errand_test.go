package frittata

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// errandFunc is an Errand that is done when it has been run.
type errandFunc struct{ run func(d *Duty) }

func (e *errandFunc) Run(d *Duty) (more bool) {
	e.run(d)
	return false
}

// lender has a server that lends e when its first connection gets data, and is an echo to all others.
func lender(t *testing.T, e Errand) *Listener {
	l := listen(t, serverConfig())
	var first atomic.Bool
	serve(t, l, func() Application {
		if first.Swap(true) {
			return newEcho()
		}
		var conn *Conn
		came, lent := false, false
		return &app{
			established: func(_ *quic.Conn, info HandshakeInfo) error { conn = info.Conn; return nil },
			reads: func(c *quic.Conn) error {
				if _, ok := c.NextReadable(); ok {
					came = true
				}
				if !came || lent {
					return nil
				}
				if lent = conn.Lend(e); !lent {
					conn.Wake() // the turns of a handshake take no errands
				} else if !conn.Lend(e) {
					t.Error("the same is not lent again")
				}
				return nil
			},
		}
	})
	return l
}

// poke has something sent to a lender.
func poke(t *testing.T, l *Listener) {
	dial(t, l, clientConfig(), &app{established: func(c *quic.Conn, _ HandshakeInfo) error {
		id, err := c.OpenStream(quic.Bidi)
		if err == nil {
			_, err = c.StreamWrite(id, []byte("go"), true)
		}
		return err
	}})
}

// echoes shows that the Transport works.
func echoes(t *testing.T, l *Listener) {
	u := newUpload(3, 50_000)
	dial(t, l, clientConfig(), u)
	wait(t, "all came back", u.done)
}

// An errand that blocks holds nobody up for long, whether it says so or not: it is called again,
// and who has the duties then goes on.
func TestErrandBlocks(t *testing.T) {
	for _, says := range []bool{false, true} {
		leak.Check(t)
		var calls atomic.Int32
		var once sync.Once
		block, again, back := make(chan struct{}), make(chan struct{}), make(chan bool, 1)
		l := lender(t, &errandFunc{func(d *Duty) {
			if calls.Add(1) > 1 {
				once.Do(func() { close(again) })
				return
			}
			if says {
				d.HandOver()
				d.HandOver()
			}
			<-block
			back <- d.Lost()
		}})
		poke(t, l)
		wait(t, "the errand is run again", again)
		echoes(t, l)
		close(block)
		if !<-back {
			t.Error("the first one did not lose its duties")
		}
		// On a busy machine the second one may be relieved as well, since it is without a processor.
		if n, c := l.Transport().Stats().TakeOvers, calls.Load(); n < 1 || uint64(c) != n+1 {
			t.Errorf("%d took over, in %d calls", n, c)
		}
		echoes(t, l)
	}
}

// An errand may panic or end its goroutine.
func TestErrandEnds(t *testing.T) {
	for name, end := range map[string]func(){
		"panic":  func() { panic("an errand of a test") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			var once sync.Once
			ran := make(chan struct{})
			l := lender(t, &errandFunc{func(*Duty) {
				once.Do(func() {
					close(ran)
					end()
				})
			}})
			poke(t, l)
			wait(t, "the errand is run", ran)
			echoes(t, l)
			if n := l.Transport().Stats().Panics; (n == 1) != (name == "panic") {
				t.Errorf("%d panics", n)
			}
		})
	}
}

// A Transport can be closed by an errand, and while one blocks.
func TestErrandCloses(t *testing.T) {
	leak.Check(t)
	var l *Listener
	closed := make(chan error, 1)
	var again atomic.Bool
	l = lender(t, &errandFunc{func(*Duty) {
		if !again.Swap(true) {
			closed <- l.Transport().Close()
		}
	}})
	poke(t, l)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// The watch over errands and callbacks ends when there are none any more.
func TestWatchEnds(t *testing.T) {
	w := &worker{t: &Transport{}}
	w.initDuties(func() { t.Error("somebody took over") })
	s := w.duties
	look := func() {
		s.look()
		s.timer.Stop()
	}
	for range 3 {
		s.beginRun()
		c := &Conn{errands: []Errand{&errandFunc{func(*Duty) {}}}}
		c.guard.enter()
		if !w.runErrands(c) {
			t.Fatal("the duties are lost")
		}
		s.timer.Stop()
		if !s.armed.Load() || !s.quick.Load() {
			t.Fatal("nobody watches")
		}
		for range errandQuiet {
			look()
			if !s.quick.Load() {
				t.Fatal("the watch is slow at once")
			}
		}
		for range 3 {
			look()
			if s.quick.Load() || !s.armed.Load() {
				t.Fatal("the watch does not become slow, or ends while turns are run")
			}
		}
		s.endRun()
		look()
		if !s.armed.Load() {
			t.Error("the watch ends at once")
		}
		look()
		if s.armed.Load() {
			t.Error("the watch does not end")
		}
	}
}
