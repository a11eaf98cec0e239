package frittata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// Lanes get connections evenly, keep them while the load lasts, and forget them after it.
func TestLanes(t *testing.T) {
	const lanes = 3
	var q runQueue
	started := 0
	q.init(lanes, func(*lane) { started++ })
	cs := make([]*Conn, 4*lanes)
	for i := range cs {
		cs[i] = new(Conn)
	}
	first := len(cs) / 2
	q.push(cs[:2]...)
	q.push(cs[1])
	if started != 0 || len(q.list) != 2 {
		t.Fatal("not for the router, which is awake")
	}
	q.beginSpread()
	q.scatter(cs[:first], time.Now())
	if started != lanes || len(q.lanes) != lanes || len(q.list) != 0 {
		t.Fatalf("%d runners, and %d strands in the router's list", started, len(q.list))
	}
	homes := make(map[*Conn]*lane)
	taken := func(l *lane, want int) {
		t.Helper()
		got := q.next(l, nil)
		if len(got) != want {
			t.Fatalf("%d strands from a lane, not %d", len(got), want)
		}
		for _, c := range got {
			if c.inQueue || c.home != l {
				t.Error("it is in the queue, or another's")
			}
			homes[c] = l
		}
	}
	for _, l := range q.lanes {
		taken(l, first/lanes)
	}
	if len(homes) != first {
		t.Errorf("%d of %d strands were taken", len(homes), first)
	}
	q.push(cs[:first]...) // again, and in another way
	for _, c := range cs[:first] {
		if c.home != homes[c] {
			t.Error("it has moved")
		}
	}
	q.scatter(cs[first:], time.Now())
	for _, l := range q.lanes {
		taken(l, len(cs)/lanes)
	}

	// What goes on stays, behind what came.
	own := q.lanes[0]
	var mine []*Conn
	for _, c := range cs {
		if c.home == own {
			mine = append(mine, c)
		}
	}
	q.push(mine[0])
	if got := q.next(own, []*Conn{mine[1], mine[0]}); len(got) != 2 || got[0] != mine[0] || got[1] != mine[1] {
		t.Error("not in the order of coming")
	}

	// The next load is another one.
	q.spread = false
	q.beginSpread()
	for _, c := range cs {
		if c.load == q.loads {
			t.Error("a home is left of the load before")
		}
	}
	for _, l := range q.lanes {
		for _, c := range l.list[:cap(l.list)] {
			if c != nil {
				t.Error("a lane holds a connection that it has nothing of")
			}
		}
	}
}

// A runner with nothing to do takes half of what waits for a busy one, and keeps it.
func TestLanesSteal(t *testing.T) {
	var q runQueue
	started := 0
	q.init(2, func(*lane) { started++ })
	q.beginSpread()
	cs := make([]*Conn, 1+2*laneTake)
	for i := range cs {
		cs[i] = new(Conn)
		cs[i].load = q.loads
	}
	a := q.vacant()
	for _, c := range cs {
		c.home = a
	}
	q.scatter(cs[:3], time.Now())
	if started != 1 || len(a.list) != 3 {
		t.Fatalf("%d runners, and %d strands wait for the first", started, len(a.list))
	}
	b := &lane{ready: sync.Cond{L: &q.mu}}
	q.lanes, q.count[laneEmpty] = append(q.lanes, b), 1
	if got := q.steal(b, nil); len(got) != 0 {
		t.Fatal("stolen from one who has been called")
	}
	// There is one who could have some of it.
	if got := q.next(a, nil); len(got) != 2 || started != 2 || b.state != laneCalled {
		t.Fatalf("%d of 3 strands taken, and %d runners", len(got), started)
	}
	if got := q.next(b, nil); len(got) != 1 || got[0].home != b || q.stolen != 1 {
		t.Fatalf("%d strands stolen", len(got))
	}
	// Both are busy: nobody is called, and each takes no more than so many.
	q.scatter(cs[3:], time.Now())
	if b.state != laneBusy || len(a.list) != 2*laneTake-2 {
		t.Fatalf("%d strands wait", len(a.list))
	}
	q.next(a, nil)
	if got := q.next(b, nil); len(got) != laneTake/2-1 || len(a.list) != laneTake/2-1 {
		t.Fatalf("%d strands stolen, %d left", len(got), len(a.list))
	}
	q.scatter(cs[2:3], time.Now())
	if len(b.list) != 1 || b.list[0] != cs[2] {
		t.Error("what was stolen once has gone back")
	}
	q.set(b, laneIdle)
	q.scatter(cs[:1], time.Now())
	if b.state != laneCalled {
		t.Error("a lane falls behind, and who has nothing to do is not called")
	}
}

// The load is over when the router has to wait and one runner at most has something to do, many times in a row,
// or for long and with none.
func TestSpreadEnds(t *testing.T) {
	start := func() (*runQueue, *Conn, *lane) {
		q, c := new(runQueue), new(Conn)
		q.init(2, func(*lane) {})
		q.beginSpread()
		q.scatter([]*Conn{c, new(Conn)}, time.Now())
		return q, c, q.lanes[1]
	}
	wait := func(q *runQueue, pause time.Duration) bool {
		if !q.sleep() {
			t.Error("the router has something to do")
		}
		q.wake(q.seen.Add(pause))
		return q.spread
	}
	q, c, other := start()
	for range 3 * calmWaits {
		if !wait(q, time.Hour) {
			t.Fatal("over while two runners work")
		}
	}
	q.set(other, laneIdle)
	for i := range calmWaits {
		if i == calmWaits/2 {
			q.set(other, laneBusy)
			wait(q, 0)
			q.set(other, laneIdle)
			for range calmWaits - 1 {
				if !wait(q, time.Hour) {
					t.Fatal("over too soon")
				}
			}
			break
		}
		wait(q, 0)
	}
	if wait(q, 0) {
		t.Error("not over")
	}
	if q.push(c); !c.inQueue || c.home.list[0] != c {
		t.Error("what waits in a lane was lost")
	}

	q, _, other = start()
	q.set(other, laneIdle)
	q.set(q.lanes[0], laneIdle)
	if !wait(q, routerLag) || wait(q, routerLag+1) {
		t.Error("not over after a pause, or before")
	}

	q, _, _ = start()
	if q.leave(); q.spread {
		t.Error("not over, though there is no router any more")
	}
}

// A model of the runtime around a queue: a router, runners, and others that wake strands. None is in two places, and none is
// forgotten, as the load begins to last and ends again and again.
func TestRunQueueLosesNothing(t *testing.T) {
	leak.Check(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 4, 8} {
		for _, lag := range []time.Duration{-1, math.MaxInt64} {
			runtime.GOMAXPROCS(procs)
			const members, wakers, wakes, rounds = 20, 4, 2000, 3000
			type member struct {
				Conn
				made, seen atomic.Int64 // changes, and those that a turn has seen
				turns      int          // no atomic: the race detector finds two turns at a time
			}
			var q runQueue
			ms := make([]member, members)
			of := make(map[*Conn]*member)
			for i := range ms {
				of[&ms[i].Conn] = &ms[i]
			}
			turn := func(c *Conn) (requeue bool) {
				m := of[c]
				m.turns++
				m.seen.Store(m.made.Load())
				if m.turns%3 == 0 {
					runtime.Gosched()
				}
				if c.strand.takeMark() {
					m.seen.Store(m.made.Load())
				}
				return c.strand.finish(m.turns%5 == 0)
			}
			run := func(cs []*Conn) (due []*Conn) {
				for _, c := range cs {
					if c.strand.tryRun() && turn(c) {
						due = append(due, c)
					}
				}
				return due
			}
			wake := func(m *member) {
				m.made.Add(1)
				if enqueue, _ := m.strand.mark(); enqueue {
					q.push(&m.Conn)
				}
			}
			var all, others sync.WaitGroup
			q.init(max(procs-1, 1), func(l *lane) {
				all.Go(func() {
					var due []*Conn
					for {
						got := q.next(l, due)
						if len(got) == 0 {
							return
						}
						due = run(got)
						switch {
						case len(due) > 0 && q.handBack(due, time.Now()):
							due = nil
						case len(due) > 3:
							q.shed(l, due[3:])
							due = due[:3]
						}
					}
				})
			})
			q.lag = lag
			poke, routed, done := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
			all.Go(func() { // the router
				defer q.leave()
				rng := rand.New(rand.NewPCG(1, 2))
				var due []*Conn
				for i := 0; ; i++ {
					if i < rounds {
						m := &ms[rng.IntN(members)]
						m.made.Add(1)
						if q.spread {
							if enqueue, _ := m.strand.mark(); enqueue {
								due = append(due, &m.Conn)
							}
						} else if m.strand.tryRun() && turn(&m.Conn) {
							due = append(due, &m.Conn)
						} else {
							wake(m)
						}
					}
					if i < rounds && i%100 == 50 && !q.spread && q.max > 1 {
						q.beginSpread()
					}
					if q.spread {
						q.scatter(due, time.Now())
						due = nil
						if i%100 == 99 {
							q.mu.Lock()
							q.endSpread() // whatever the runners do
							q.mu.Unlock()
						}
					} else {
						due = run(q.poll(due, time.Now()))
					}
					if i == rounds {
						close(routed)
					}
					if len(due) == 0 && q.sleep() {
						if i < rounds {
							runtime.Gosched()
						} else {
							select {
							case <-poke:
							case <-done:
								return
							}
						}
						q.wake(time.Now())
					}
				}
			})
			for w := range wakers {
				others.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(w), 3))
					for range wakes {
						wake(&ms[rng.IntN(members)])
						select {
						case poke <- struct{}{}:
						default:
						}
					}
				})
			}
			others.Wait()
			<-routed
			until(t, "a turn has seen the last change of each", func() bool {
				select {
				case poke <- struct{}{}:
				default:
				}
				for i := range ms {
					if m := &ms[i]; m.made.Load() != m.seen.Load() || m.strand.word.Load() != strandIdle {
						return false
					}
				}
				return true
			})
			close(done)
			q.close(true)
			all.Wait()
			for i := range ms {
				if ms[i].inQueue {
					t.Error("a strand is left in a queue")
				}
			}
			if q.runners() != 0 || len(q.list) != 0 || (procs > 2) != (q.loads > 1) {
				t.Errorf("%d runners and %d strands are left; the load lasted %d times", q.runners(), len(q.list), q.loads)
			}
			t.Logf("GOMAXPROCS %d: %d times, %d stolen", procs, q.loads, q.stolen)
		}
	}
}

// Those of a runner's turns that are late are left to whoever has nothing to do, if there is somebody.
func TestRunnerSheds(t *testing.T) {
	tr := new(Transport)
	tr.queue.init(2, func(*lane) {})
	tr.queue.lag = -1
	q := &tr.queue
	q.beginSpread()
	cs := []*Conn{new(Conn), new(Conn), new(Conn)}
	l := q.vacant()
	for _, c := range cs {
		c.home, c.load = l, q.loads
	}
	w := &worker{t: tr, lane: l}
	q.scatter(cs, time.Now())
	other := q.vacant()
	if other == nil {
		t.Fatal("two runners")
	}
	q.set(other, laneBusy)
	w.due = q.next(l, nil)
	w.take()
	w.now = time.Now()
	if w.lateIn() {
		t.Error("the first turn is late")
	}
	if w.pos = 1; !w.lateIn() {
		t.Error("the second is not")
	}
	if w.spill(true) || len(w.list) != 3 || !w.read.Equal(w.now) {
		t.Error("turns are left to nobody")
	}
	q.set(other, laneIdle)
	if !w.spill(true) || other.state != laneCalled || len(l.list) != 2 || tr.stats.spilled.Load() != 2 {
		t.Error("turns are not left to somebody who has nothing to do")
	}
	for i, c := range cs[1:] {
		if c.strand.word.Load() != strandQueued || l.list[i] != c || w.list[i+1] != nil {
			t.Error("it is not due, or still here")
		}
	}
	tr.queue.max = 1
	if w.lateIn() {
		t.Error("late, with nobody to leave it to")
	}
}

// While the load lasts the router keeps packets for the runners; those of whom much waits it runs itself.
func TestScatter(t *testing.T) {
	leak.Check(t)
	a, _ := newWire()
	tr, err := newTransport(a, &Config{InboxBytes: 4000})
	if err != nil {
		t.Fatal(err)
	}
	tr.queue.init(2, func(*lane) {})
	r := tr.router
	idle, running, full := newConn(tr, &app{}, netip.AddrPort{}), newConn(tr, &app{}, netip.AddrPort{}), newConn(tr, &app{}, netip.AddrPort{})
	running.strand.tryRun()
	tr.queue.beginSpread()
	for _, c := range []*Conn{idle, running, full} {
		r.add(c, &udp.Message{}, make([]byte, 1000), 1000)
	}
	for range 2 {
		r.add(running, &udp.Message{}, make([]byte, 1000), 1000)
		r.add(full, &udp.Message{}, make([]byte, 1000), 1000)
	}
	r.gather()
	if len(r.list) != 1 || r.list[0] != full || len(r.due) != 0 || len(r.touched) != 0 {
		t.Errorf("the router has %d turns to run", len(r.list))
	}
	for c, word := range map[*Conn]uint32{idle: strandQueued, running: strandAgain, full: strandRunning} {
		if c.strand.word.Load() != word || c.inQueue != (c == idle) || len(c.box) == 0 || c.firstRun != 0 {
			t.Errorf("state %d, in a queue %v, %d packets", c.strand.word.Load(), c.inQueue, len(c.box))
		}
	}
	for _, c := range []*Conn{idle, running, full} {
		for _, b := range c.shutBox() {
			b.buf.Release()
		}
	}
}

// busyBees are connections of a server that always have something to do while they work.
type busyBees struct {
	l     *Listener
	tr    *Transport // of the clients
	conns []*Conn
	works atomic.Bool
	calm  func() // has nobody wake the server's router any more

	routers atomic.Int64   // turns of theirs that the router ran
	runners atomic.Int64   // and others
	turns   []atomic.Int64 // of each
}

// newBees has a server on procs processors, and n bees. Others that connect are echoed.
func newBees(t *testing.T, procs, n int, lag time.Duration) *busyBees {
	t.Helper()
	leak.Check(t)
	before := runtime.GOMAXPROCS(procs)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	open := func(cfg *Config) *Transport {
		u, err := udp.Listen("udp4", "127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := newTransport(u, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	b := &busyBees{tr: open(clientConfig()), turns: make([]atomic.Int64, n)}
	server := open(serverConfig())
	server.queue.lag = lag
	for _, tr := range []*Transport{b.tr, server} {
		tr.start()
		t.Cleanup(func() {
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	var err error
	if b.l, err = server.Listen(nil); err != nil {
		t.Fatal(err)
	}
	b.works.Store(true)
	for i := range n {
		var conn *Conn
		accepted := one(t, b.l, &app{
			established: func(_ *quic.Conn, info HandshakeInfo) error { conn = info.Conn; return nil },
			writes: func(*quic.Conn) error {
				if conn.w.router {
					b.routers.Add(1)
				} else {
					b.runners.Add(1)
				}
				b.turns[i].Add(1)
				if b.works.Load() {
					conn.Wake()
				}
				return nil
			},
		})
		if _, err := b.tr.Dial(testContext(t), server.LocalAddr(), "localhost", nil, opener()); err != nil {
			t.Fatal(err)
		}
		b.conns = append(b.conns, <-accepted)
	}
	serve(t, b.l, func() Application { return newEcho() })
	// The router has to be woken to see that there is something to do.
	done := make(chan struct{})
	var rousing sync.WaitGroup
	rousing.Go(func() { rouse(t, b.l.Addr(), done) })
	b.calm = sync.OnceFunc(func() { close(done); rousing.Wait() })
	t.Cleanup(b.calm)
	return b
}

func (b *busyBees) spread() bool {
	q := &b.l.Transport().queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.spread
}

func (b *busyBees) runnersLeft() int {
	q := &b.l.Transport().queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.runners()
}

func (b *busyBees) loads() uint64 { return b.l.Stats().Spreads }

// whilePinged calls f, and has one of the bees draw packets meanwhile: the router gets that one, and as long as it has
// turns to run, runners hand theirs back to it.
func (b *busyBees) whilePinged(f func()) {
	done := make(chan struct{})
	var pinging sync.WaitGroup
	pinging.Go(func() { ping(b.conns[0], done) })
	defer pinging.Wait()
	defer close(done)
	f()
}

// work has the bees work, or rest.
func (b *busyBees) work(on bool) {
	b.works.Store(on)
	for _, c := range b.conns {
		c.Wake()
	}
}

// When the load lasts and there are processors for it, the router leaves all turns to runners, until the load is over.
func TestSpread(t *testing.T) {
	for _, procs := range []int{3, 4, 8} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d", procs), func(t *testing.T) {
			b := newBees(t, procs, 6, math.MaxInt64)
			for load := range uint64(2) {
				b.whilePinged(func() {
					until(t, "the load lasts", func() bool { return b.loads() == load+1 })
				})
				router, runners := b.routers.Load(), b.runners.Load()
				until(t, "runners have many turns", func() bool { return b.runners.Load() > runners+1000 })
				if n := b.routers.Load() - router; n > 0 {
					t.Errorf("%d turns by the router", n)
				}
				if n := b.loads(); n != load+1 || !b.spread() {
					t.Errorf("the load was over, and lasts for the %d. time", n)
				}
				b.work(false)
				until(t, "the load is over", func() bool { return !b.spread() })
				until(t, "no more than one runner is left", func() bool { return b.runnersLeft() <= 1 })
				router = b.routers.Load()
				until(t, "the router has turns again", func() bool { b.conns[0].Wake(); return b.routers.Load() > router })
				b.work(true)
			}
			if s := b.l.Stats(); s.RunnerTurns < 2000 || s.RunnerTurns > s.Turns {
				t.Errorf("%d turns, of these %d by runners", s.Turns, s.RunnerTurns)
			}
		})
	}
}

// With no more than two processors, or a single connection, the router goes on by itself.
func TestNoSpread(t *testing.T) {
	for _, test := range []struct{ procs, bees int }{{1, 6}, {2, 6}, {4, 1}} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d bees=%d", test.procs, test.bees), func(t *testing.T) {
			b := newBees(t, test.procs, test.bees, math.MaxInt64)
			until(t, "the router has many turns", func() bool { return b.routers.Load() > 2000 })
			if n := b.loads(); n != 0 {
				t.Errorf("turns were left to runners %d times", n)
			}
		})
	}
}

// A callback that blocks a runner stops its own connection and no other one.
func TestCallbackBlocksRunner(t *testing.T) {
	b := newBees(t, 4, 6, math.MaxInt64)
	until(t, "the load lasts", func() bool { return b.loads() > 0 })
	blocks, release := make(chan struct{}), make(chan struct{})
	if err := b.conns[0].Do(func(*quic.Conn) {
		if b.conns[0].w.lane == nil {
			t.Error("not a runner's turn")
		}
		close(blocks)
		<-release
	}); err != nil {
		t.Fatal(err)
	}
	wait(t, "the callback blocks", blocks)
	for i := range b.conns[1:] {
		before := b.turns[i+1].Load()
		until(t, "others go on", func() bool { return b.turns[i+1].Load() > before+100 })
	}
	until(t, "somebody takes over", func() bool { return b.l.Stats().CallbacksBlocked > 0 })
	echoes(t, b.l)
	before := b.turns[0].Load()
	close(release)
	until(t, "it goes on itself", func() bool { return b.turns[0].Load() > before+100 })
	if !b.spread() {
		t.Error("the load is over")
	}
}

// Every byte comes through, many connections at a time, as the load begins to last and ends.
func TestSpreadUnderStress(t *testing.T) {
	for _, test := range []struct {
		procs int
		lag   time.Duration // -1: everybody is late, always
	}{{4, routerLag}, {8, routerLag}, {8, -1}} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d lag=%v", test.procs, test.lag), func(t *testing.T) {
			b := newBees(t, test.procs, 3, test.lag)
			until(t, "the load lasts", func() bool { return b.loads() > 0 })
			clients, size := 24, 300_000
			if raceEnabled {
				clients, size = 8, 50_000
			}
			var all sync.WaitGroup
			stop, toggled := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(toggled)
				for on := false; ; on = !on {
					loads := b.loads()
					b.work(on)
					for on && b.loads() == loads || !on && b.spread() {
						select {
						case <-stop:
							return
						case <-time.After(time.Millisecond):
						}
					}
				}
			}()
			for range clients {
				all.Go(func() {
					for range 2 {
						u := newUpload(4, size)
						c, err := b.tr.Dial(testContext(t), b.l.Addr(), "localhost", nil, u)
						if err != nil {
							t.Error(err)
							return
						}
						wait(t, "all came back", u.done)
						if u.err != nil {
							t.Error(u.err)
						}
						_ = c.Close()
						wait(t, "the connection was closed", c.Closed())
					}
				})
			}
			all.Wait()
			close(stop)
			<-toggled
			s := b.l.Stats()
			t.Logf("%d times, %d turns, %d by runners, %d stolen, %d spilled, %d bytes dropped", s.Spreads, s.Turns, s.RunnerTurns, s.TurnsStolen, s.Spilled, s.InboxDropped)
			if s.RunnerTurns == 0 {
				t.Error("no turns by runners")
			}
		})
	}
}

// refill writes as much as is taken, on streams that there are.
func refill(c *quic.Conn) error {
	for {
		id, ok := c.NextWritable()
		if !ok {
			return nil
		}
		if _, err := c.StreamWrite(id, make([]byte, 32<<10), false); err != nil {
			return err
		}
	}
}

// A Transport may be closed while runners have all the turns.
func TestCloseWhileSpread(t *testing.T) {
	for _, procs := range []int{4, 8} {
		b := newBees(t, procs, 4, routerLag)
		for range 8 {
			c, err := b.tr.Dial(testContext(t), b.l.Addr(), "localhost", nil, &app{established: opener().established, reads: discard, writes: refill})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { wait(t, "the client's connection has closed", c.Closed()) }()
		}
		until(t, "the load lasts", func() bool { return b.spread() })
		b.calm()
		tr := b.l.Transport()
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
		for _, c := range b.conns {
			wait(t, "the connection is gone", c.Done())
		}
		q := &tr.queue
		if len(q.list) != 0 || q.runners() != 0 || q.spread {
			t.Errorf("%d strands, %d runners are left", len(q.list), q.runners())
		}
		for _, l := range q.lanes {
			if len(l.list) != 0 {
				t.Errorf("%d strands are left in a lane", len(l.list))
			}
		}
	}
}

// wire is one end of a link between two Sockets that keeps the order of what it does not lose.
type wire struct {
	local, remote netip.AddrPort
	in, out       chan dealt
	end           chan struct{}
	round         func() // is told of each read that does not wait, by the router; may be nil
}

func newWire() (a, b *wire) {
	x, y := make(chan dealt, 64), make(chan dealt, 64)
	ip := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	p, q := netip.AddrPortFrom(ip, 4001), netip.AddrPortFrom(ip, 4002)
	return &wire{p, q, x, y, make(chan struct{}), nil}, &wire{q, p, y, x, make(chan struct{}), nil}
}

func (w *wire) put(m *udp.Message, d dealt) {
	buf := m.Buf
	*m = d.Message
	m.Buf = buf
	copy(buf, d.data)
}

func (w *wire) TryReadBatch(m []udp.Message) (n int, err error) {
	if w.round != nil {
		w.round()
	}
	for n < len(m) {
		select {
		case d := <-w.in:
			w.put(&m[n], d)
			n++
		default:
			return n, nil
		}
	}
	return n, nil
}

func (w *wire) ReadBatch(m []udp.Message) (int, error) {
	select {
	case d := <-w.in:
		w.put(&m[0], d)
		return 1, nil
	case <-w.end:
		return 0, net.ErrClosed
	}
}

func (w *wire) WriteTrain(t *udp.Train) (int, error) {
	select {
	case w.out <- dealt{udp.Message{N: len(t.Data), Segment: t.Segment, Remote: w.local}, append([]byte(nil), t.Data...)}:
	default: // it is lost
	}
	return t.Count(), nil
}

func (w *wire) Close() error                  { close(w.end); return nil }
func (w *wire) LocalAddr() netip.AddrPort     { return w.local }
func (*wire) SetReadDeadline(time.Time) error { return nil }
func (*wire) Caps() udp.Caps                  { return udp.Caps{MaxSegments: 8} }

// Packets stay in their order, whoever runs the turns and as that changes.
func TestSpreadKeepsOrder(t *testing.T) {
	for _, procs := range []int{4, 8} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d", procs), func(t *testing.T) {
			leak.Check(t)
			before := runtime.GOMAXPROCS(procs)
			defer runtime.GOMAXPROCS(before)
			a, z := newWire()
			var ts [2]*Transport
			for i, cfg := range []*Config{serverConfig(), clientConfig()} {
				cfg.QUIC.EnableDatagrams = true
				cfg.QUIC.DatagramQueue = 16 << 20
				var err error
				if ts[i], err = newTransport([]Socket{a, z}[i], cfg); err != nil {
					t.Fatal(err)
				}
			}
			q := &ts[0].queue
			rounds := 0
			a.round = func() {
				if rounds++; rounds%10 != 0 {
					return
				}
				if !q.spread {
					q.beginSpread()
					return
				}
				q.mu.Lock()
				q.endSpread() // with whatever waits in lanes and inboxes
				q.mu.Unlock()
			}
			for _, tr := range ts {
				tr.start()
				defer tr.Close()
			}
			l, err := ts[0].Listen(nil)
			if err != nil {
				t.Fatal(err)
			}
			const conns = 4
			goal := 2000
			if raceEnabled {
				goal = 500
			}
			var done atomic.Bool
			var all sync.WaitGroup
			all.Add(conns)
			serve(t, l, func() Application {
				last, n := uint64(0), 0
				buf := make([]byte, 2000)
				var conn *Conn
				return &app{
					established: func(c *quic.Conn, info HandshakeInfo) error {
						conn = info.Conn
						return opener().established(c, info)
					},
					reads: func(c *quic.Conn) error {
						for {
							if _, ok := c.ReadDatagram(buf); !ok {
								break
							}
							m := binary.BigEndian.Uint64(buf)
							if m <= last {
								t.Errorf("%d after %d", m, last)
							}
							last = m
							if n++; n == goal {
								all.Done()
							}
						}
						if n%10 == 0 && !done.Load() {
							conn.Wake() // it may be in a lane then, as more comes
						}
						return nil
					},
				}
			})
			for range conns {
				var n uint64
				var conn *Conn
				begun := false
				b := make([]byte, 1000)
				c, err := ts[1].Dial(testContext(t), ts[0].LocalAddr(), "localhost", nil, &app{
					established: func(_ *quic.Conn, info HandshakeInfo) error { conn = info.Conn; return nil },
					reads: func(c *quic.Conn) error {
						// The server has its keys by now, and keeps no early packets for later.
						if _, ok := c.NextReadable(); ok {
							begun = true
						}
						return nil
					},
					writes: func(c *quic.Conn) error {
						if !begun {
							return nil
						}
						for range 20 {
							binary.BigEndian.PutUint64(b, n+1)
							if err := c.SendDatagram(b); err != nil {
								if errors.Is(err, quic.ErrDatagramQueueFull) {
									break
								}
								return err
							}
							n++
						}
						if !done.Load() {
							conn.Wake()
						}
						return nil
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			finished := make(chan struct{})
			go func() { all.Wait(); close(finished) }()
			wait(t, "all came", finished)
			done.Store(true)
			s := l.Stats()
			t.Logf("%d times, %d turns, %d by runners, %d stolen, %d bytes dropped", s.Spreads, s.Turns, s.RunnerTurns, s.TurnsStolen, s.InboxDropped)
			if s.Spreads == 0 {
				t.Error("the load did not last")
			}
		})
	}
}
