package frittata

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// Wherever a callback blocks, other connections of the socket go on, and its own does when it returns.
func TestCallbackBlocks(t *testing.T) {
	for _, where := range []string{"ProcessReads", "ProcessWrites", "Do", "OnClose"} {
		t.Run(where, func(t *testing.T) {
			leak.Check(t)
			l := listen(t, serverConfig())
			blocks, release, again, closed := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
			var conn *Conn
			armed, passed := false, false
			block := func(in string) {
				if in != where || !armed || passed {
					return
				}
				passed = true
				conn.Yield()
				close(blocks)
				<-release
				conn.Yield()
				if conn.Lend(&errandFunc{func(*Duty) { t.Error("an errand was run") }}) {
					t.Error("an errand was taken of somebody who is late")
				}
			}
			var once sync.Once
			serve(t, l, func() Application {
				e := newEcho()
				var own atomic.Bool
				once.Do(func() { own.Store(true) })
				if !own.Load() {
					return e
				}
				return &app{
					established: func(_ *quic.Conn, info HandshakeInfo) error { conn = info.Conn; return nil },
					reads: func(c *quic.Conn) error {
						if id, ok := c.NextReadable(); ok && !armed {
							// The turns of the handshake are over when this is run.
							_, _ = c.StreamWrite(id, []byte("hello"), true)
							go func() {
								for conn.strand.word.Load()&strandOwned != 0 {
									runtime.Gosched()
								}
								_ = conn.Do(func(c *quic.Conn) {
									armed = true
									if where == "OnClose" {
										c.Close(quic.CloseError{})
									}
									block("Do")
								})
							}()
						}
						block("ProcessReads")
						if passed && where != "OnClose" {
							select {
							case <-again:
							default:
								close(again)
							}
						}
						return nil
					},
					writes: func(*quic.Conn) error { block("ProcessWrites"); return nil },
					closed: func(*quic.Conn, error) { block("OnClose"); close(closed) },
				}
			})
			c := dial(t, l, clientConfig(), opener())
			wait(t, "the callback blocks", blocks)
			for range 3 {
				echoes(t, l)
			}
			// On a runner it holds nobody up, until it is relieved all the same.
			until(t, "somebody takes over", func() bool { return l.Transport().Stats().CallbacksBlocked > 0 })
			close(release)
			if where != "OnClose" {
				_ = conn.Do(func(*quic.Conn) {})
				wait(t, "it has another turn", again)
				_ = c.Close()
			}
			wait(t, "it has closed", closed)
			echoes(t, l)
		})
	}
}

// exits makes Applications of which one callback ends its goroutine, in a handshake's turn or in a later one.
type exits struct {
	where  string
	late   bool
	conn   chan *Conn
	closed chan error
	exited atomic.Int32
}

func (e *exits) app() Application {
	exit := func(in string) {
		if in == e.where && !e.late {
			e.exited.Add(1)
			runtime.Goexit()
		}
	}
	return &app{
		established: func(_ *quic.Conn, info HandshakeInfo) error {
			e.conn <- info.Conn
			if e.where == "Do" && !e.late {
				_ = info.Conn.Do(func(*quic.Conn) { exit("Do") })
			}
			exit("OnEstablished")
			return nil
		},
		reads: func(c *quic.Conn) error {
			if !e.late && e.where == "OnClose" {
				c.Close(quic.CloseError{})
			}
			exit("ProcessReads")
			return nil
		},
		writes: func(*quic.Conn) error { exit("ProcessWrites"); return nil },
		closed: func(_ *quic.Conn, err error) {
			e.closed <- err
			exit("OnClose")
		},
	}
}

// arm has the callback do so once the handshake's own turns are over.
func (e *exits) arm(conn *Conn) {
	for conn.strand.word.Load()&strandOwned != 0 {
		runtime.Gosched()
	}
	_ = conn.Do(func(c *quic.Conn) {
		e.late = false
		switch e.where {
		case "OnClose":
			c.Close(quic.CloseError{})
		case "Do":
			e.exited.Add(1)
			runtime.Goexit()
		}
	})
}

// A callback that ends its goroutine closes its connection, and harms no other one.
func TestCallbackExits(t *testing.T) {
	tests, blocked := 0, 0
	for _, late := range []bool{false, true} {
		for _, where := range []string{"OnEstablished", "ProcessReads", "ProcessWrites", "Do", "OnClose"} {
			if late && where == "OnEstablished" {
				continue
			}
			t.Run(fmt.Sprintf("%s late=%v", where, late), func(t *testing.T) {
				leak.Check(t)
				e := &exits{where: where, late: late, conn: make(chan *Conn, 1), closed: make(chan error, 1)}
				l := listen(t, serverConfig())
				var once sync.Once
				serve(t, l, func() Application {
					a := Application(newEcho())
					once.Do(func() { a = e.app() })
					return a
				})
				// The server may have closed it before Dial returns.
				c, clientErr := Dial(testContext(t), l.Addr().String(), clientConfig(), &app{})
				conn := <-e.conn
				if late {
					e.arm(conn)
				}
				if clientErr == nil {
					t.Cleanup(func() { _ = c.Transport().Close() })
					wait(t, "the client is told", c.Closed())
					clientErr = c.Err()
				}
				err := <-e.closed
				if where != "OnClose" {
					te, ok := errors.AsType[*quic.TransportError](clientErr)
					if !errors.Is(err, ErrGoexit) || !ok || !te.Remote || te.Code != quic.InternalError {
						t.Errorf("the server's error is %v, the client's %v", err, clientErr)
					}
				}
				wait(t, "it has closed", conn.Closed())
				for range 3 {
					echoes(t, l)
				}
				wait(t, "it is gone", conn.Done())
				st := l.Transport().Stats()
				if e.exited.Load() != 1 || st.Panics != 1 {
					t.Errorf("%d goroutines were ended, %d counted", e.exited.Load(), st.Panics)
				}
				if tests++; st.CallbacksBlocked > 0 {
					blocked++
				}
			})
		}
	}
	// Now and then one is without a processor for as long as if it blocked.
	if tests > 1 && blocked > tests/2 {
		t.Errorf("in %d of %d a callback was taken for one that blocks", blocked, tests)
	}
}

// A callback may end its goroutine when it has blocked before, and OnClose that of another one; and the last
// ProcessReads after the peer has closed may.
func TestCallbackExitsLate(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	closed := make(chan error, 1)
	server := one(t, l, &app{closed: func(_ *quic.Conn, err error) {
		closed <- err
		runtime.Goexit()
	}})
	dial(t, l, clientConfig(), &app{})
	conn := <-server
	for conn.strand.word.Load()&strandOwned != 0 {
		runtime.Gosched()
	}
	_ = conn.Do(func(*quic.Conn) {
		for !conn.out.Lost() {
			runtime.Gosched()
		}
		runtime.Goexit()
	})
	if err := <-closed; !errors.Is(err, ErrGoexit) {
		t.Errorf("closed with %v", err)
	}
	wait(t, "it is gone", conn.Done())

	server = one(t, l, &app{
		reads: func(c *quic.Conn) error {
			if c.Err() != nil {
				runtime.Goexit()
			}
			return nil
		},
		closed: func(_ *quic.Conn, err error) { closed <- err },
	})
	c := dial(t, l, clientConfig(), &app{})
	conn = <-server
	_ = c.CloseWithError(quic.CloseError{Application: true, Code: 7})
	err := <-closed
	if ae, ok := errors.AsType[*quic.ApplicationError](err); !ok || ae.Code != 7 {
		t.Errorf("closed with %v", err)
	}
	wait(t, "it is gone", conn.Done())

	serve(t, l, func() Application { return newEcho() })
	echoes(t, l)
}

// While callbacks of many connections end their goroutines, all over the place, each connection ends and the others go on.
func TestExitsUnderStress(t *testing.T) {
	leak.Check(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 4} {
		runtime.GOMAXPROCS(procs)
		l := listen(t, serverConfig())
		var made atomic.Int32
		serve(t, l, func() Application {
			if n := int(made.Add(1)); n%2 == 0 {
				turns := 0
				exit := func(*quic.Conn) error {
					if turns++; turns == 1+n%7 {
						runtime.Goexit()
					}
					return nil
				}
				a := &app{reads: exit}
				if n%4 == 0 {
					a = &app{writes: exit}
				}
				a.established = func(_ *quic.Conn, info HandshakeInfo) error {
					go func() {
						for info.Conn.Do(func(*quic.Conn) {}) == nil {
							runtime.Gosched()
						}
					}()
					return nil
				}
				return a
			}
			return newEcho()
		})
		var clients sync.WaitGroup
		for range 3 {
			clients.Go(func() {
				for range 8 {
					u := newUpload(1, 10_000)
					c, err := Dial(testContext(t), l.Addr().String(), clientConfig(), u)
					if err != nil {
						continue // it was the first turn
					}
					select {
					case <-u.done:
					case <-c.Closed():
					}
					_ = c.Transport().Close()
				}
			})
		}
		clients.Wait()
		if n := l.Transport().Stats().Panics; n < 10 {
			t.Errorf("%d goroutines were ended", n)
		}
		_ = l.Transport().Close()
	}
}

// Callbacks that block in the turns of handshakes hold no slot of those that compute.
func TestCallbackBlocksInHandshake(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	release := make(chan struct{})
	n := 2*runtime.GOMAXPROCS(0) + 1
	blocked := make(chan struct{}, n)
	var served atomic.Int32
	serve(t, l, func() Application {
		if int(served.Add(1)) > n {
			return newEcho()
		}
		return &app{established: func(*quic.Conn, HandshakeInfo) error {
			blocked <- struct{}{}
			<-release
			return nil
		}}
	})
	var clients sync.WaitGroup
	for range n {
		clients.Go(func() {
			c, err := Dial(testContext(t), l.Addr().String(), clientConfig(), opener())
			if err != nil {
				t.Error(err)
				return
			}
			<-release
			_ = c.Transport().Close()
		})
	}
	for range n {
		<-blocked
	}
	echoes(t, l)
	close(release)
	clients.Wait()
}

// While some callbacks block, panic, wake their connection or have functions run, at random
// places and with as many processors as there are, turns stay one at a time and no wake-up is lost.
func TestTurnsUnderStress(t *testing.T) {
	leak.Check(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 4, 8} {
		runtime.GOMAXPROCS(procs)
		l := listen(t, serverConfig())
		const conns, wakes = 6, 300
		var handles [conns]*Conn
		var made [conns]atomic.Int64
		var all sync.WaitGroup
		all.Add(conns)
		for i := range conns {
			turns, complete, blocks := 0, false, 0
			var conn *Conn
			a := &app{
				established: func(_ *quic.Conn, info HandshakeInfo) error { conn = info.Conn; return nil },
				reads: func(*quic.Conn) error {
					turns++ // the race detector finds two at a time
					n := made[i].Load()
					if n == wakes && !complete {
						complete = true
						all.Done()
					}
					if d := conn.out; i%2 == 0 && blocks < 3 && d != nil && turns%5 == 0 {
						blocks++
						for !d.Lost() {
							runtime.Gosched()
						}
					}
					return nil
				},
			}
			server := one(t, l, a)
			dial(t, l, clientConfig(), opener())
			handles[i] = <-server
		}
		for i := range conns {
			all.Go(func() {
				for k := range wakes {
					made[i].Add(1)
					switch k % 3 {
					case 0:
						_ = handles[i].Do(func(*quic.Conn) {})
					case 1:
						_ = handles[i].Do(func(*quic.Conn) { handles[(i+1)%conns].Wake() })
					default:
						handles[i].Wake()
					}
					if k%10 == 0 {
						_ = handles[i].Call(testContext(t), func(*quic.Conn) {})
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { all.Wait(); close(done) }()
		wait(t, "a turn has seen the last change of each", done)
		st := l.Transport().Stats()
		t.Logf("GOMAXPROCS %d: %d turns, %d blocked", procs, st.Turns, st.CallbacksBlocked)
		if st.CallbacksBlocked == 0 {
			t.Error("nobody took over")
		}
	}
}

// TestAttend: the timer is due after each wait, so that the scheduler has to be told only after long ones.
func TestAttend(t *testing.T) {
	w := &worker{t: new(Transport)}
	w.initDuties(func() { t.Error("it was relieved") })
	s := w.duties
	defer s.end()
	if s.attend() {
		t.Error("a timer was due before the first wait")
	}
	for range 3 {
		if !s.attend() || !s.armed.Load() || !s.timer.Stop() {
			t.Error("no timer is due after a wait")
		}
		s.look() // as when it is
	}
	s.timer.Stop()
	s.look() // without a wait
	if s.armed.Load() || s.timer.Stop() || s.attend() {
		t.Error("a timer is due, and there are no waits")
	}
}
