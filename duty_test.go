package frittata

import (
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
