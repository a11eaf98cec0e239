package frittata

import (
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// counted is a Socket that counts what is sent to each address.
type counted struct {
	*udp.Conn
	mu   sync.Mutex
	sent map[netip.AddrPort]sentTrains
}

type sentTrains struct{ trains, packets int }

func (s *counted) WriteTrain(t *udp.Train) (int, error) {
	s.mu.Lock()
	n := s.sent[t.Remote]
	n.trains++
	n.packets += t.Count()
	s.sent[t.Remote] = n
	s.mu.Unlock()
	return s.Conn.WriteTrain(t)
}

// take returns what was sent to one address since the call before.
func (s *counted) take(to netip.AddrPort) sentTrains {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.sent[to]
	delete(s.sent, to)
	return n
}

// listenCounted has a server whose router leaves nothing to runners while it is awake, however long the load lasts, so that
// what it does is the same on a machine that is slow or busy.
func listenCounted(t *testing.T) (*counted, *Listener) {
	t.Helper()
	leak.Check(t)
	u, err := udp.Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &counted{Conn: u, sent: make(map[netip.AddrPort]sentTrains)}
	tr, err := newTransport(s, serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	tr.queue.init(1, tr.startRunner)
	tr.queue.lag = math.MaxInt64
	tr.start()
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := tr.Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

// greedy is a server's connection that always has something to do.
type greedy struct {
	app
	conn      *Conn
	turns     atomic.Int64 // of the router
	begun     bool
	functions int // since the turn before
	// The most of a turn.
	mostFunctions, mostTrains, mostPackets atomic.Int64
}

func newGreedy(s *counted, work func(g *greedy, c *quic.Conn) error) *greedy {
	g := new(greedy)
	g.app.established = func(_ *quic.Conn, info HandshakeInfo) error { g.conn = info.Conn; return nil }
	g.app.writes = func(c *quic.Conn) error {
		if g.conn.w.router {
			g.turns.Add(1)
		}
		sent := s.take(g.conn.RemoteAddr())
		g.mostFunctions.Store(max(g.mostFunctions.Load(), int64(g.functions)))
		g.mostTrains.Store(max(g.mostTrains.Load(), int64(sent.trains)))
		g.mostPackets.Store(max(g.mostPackets.Load(), int64(sent.packets)))
		g.functions = 0
		return work(g, c)
	}
	return g
}

// A connection that always has something to do leaves others theirs: the router serves each once
// in a round, and gives none more than its budget.
func TestFairness(t *testing.T) {
	for _, test := range []struct {
		name   string
		work   func(g *greedy, c *quic.Conn) error
		client func() Application // of the greedy connection; nil: it is idle
		trains int64              // that are sent in some turn at least
	}{
		{name: "wakes itself", work: func(g *greedy, _ *quic.Conn) error {
			g.conn.Wake()
			return nil
		}},
		{name: "functions without end", work: func(g *greedy, _ *quic.Conn) error {
			if g.begun {
				return nil
			}
			g.begun = true
			var fn func(*quic.Conn)
			fn = func(*quic.Conn) {
				g.functions++
				_ = g.conn.Do(fn)
			}
			for range 5 * turnCommands {
				_ = g.conn.Do(fn)
			}
			return nil
		}},
		{name: "a stream without end", trains: 1, client: func() Application { return drain() }, work: func(_ *greedy, c *quic.Conn) error {
			return pour(c)
		}},
		{name: "datagrams without end", trains: 1, client: func() Application { return drain() }, work: func(g *greedy, c *quic.Conn) error {
			for range 10 * turnPackets {
				if c.SendDatagram(make([]byte, 1000)) != nil {
					break
				}
			}
			g.conn.Wake()
			return nil
		}},
		{name: "is sent a stream without end", trains: 1, work: func(_ *greedy, c *quic.Conn) error {
			return discard(c)
		}, client: func() Application { return &app{established: opener().established, writes: pour} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, l := listenCounted(t)
			g := newGreedy(s, test.work)
			server := one(t, l, g)
			var client Application = opener()
			if test.client != nil {
				client = test.client()
			}
			ccfg := clientConfig()
			ccfg.QUIC.EnableDatagrams = true
			greedyClient := dial(t, l, ccfg, client)
			<-server

			// The other one is woken in each of its turns, so that the router never rests.
			const goal = 300 // turns of either
			done := make(chan struct{})
			var conn *Conn
			finished, same := false, false // same: the turn before was the router's too
			n, before, most, blocked := 0, int64(0), int64(0), uint64(0)
			other := one(t, l, &app{
				established: func(_ *quic.Conn, info HandshakeInfo) error { conn = info.Conn; return nil },
				writes: func(*quic.Conn) error {
					turns := g.turns.Load()
					if finished {
						return nil
					}
					conn.Wake()
					if !conn.w.router || turns == 0 {
						// Not until both have left the handshake's goroutine, and the runner that came after it.
						same = false
						return nil
					}
					if n := conn.t.stats.blocked.Load(); n != blocked {
						// On a machine that is busy a callback may be without a processor for so long that its turn
						// goes on apart.
						same, blocked = false, n
					}
					if same {
						most = max(most, turns-before)
					}
					same, before = true, turns
					if n++; n > goal && turns > goal {
						finished = true
						close(done)
					}
					return nil
				},
			})
			otherClient := dial(t, l, clientConfig(), opener())
			<-other
			// A runner may have both of them, and the router has them with the next packet.
			var pinging sync.WaitGroup
			for _, c := range []*Conn{greedyClient, otherClient} {
				pinging.Go(func() { ping(c, done) })
			}
			pinging.Wait()
			wait(t, "the other connection has had its turns", done)
			trains, functions := g.mostTrains.Load(), g.mostFunctions.Load()
			t.Logf("%d turns of the greedy one, at most %d between two of the other; in a turn at most %d trains of %d packets, %d functions",
				g.turns.Load(), most, trains, g.mostPackets.Load(), functions)
			// One in the round of the one, one in the round of the other.
			if most > 2 {
				t.Errorf("%d turns of the greedy connection between two turns of the other", most)
			}
			if trains > turnTrains || trains < test.trains {
				t.Errorf("%d trains in a turn", trains)
			}
			if functions > turnCommands {
				t.Errorf("%d functions in a turn", functions)
			}
		})
	}
}

// rouse sends what is no QUIC each millisecond, until done is closed.
func rouse(t *testing.T, to netip.AddrPort, done <-chan struct{}) {
	c, err := net.Dial("udp4", to.String())
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	againAndAgain(done, func() bool {
		if _, err := c.Write([]byte{0}); err != nil {
			t.Error(err)
			return false
		}
		return true
	})
}

// ping has c send a packet each millisecond, until done is closed, or c.
func ping(c *Conn, done <-chan struct{}) {
	againAndAgain(done, func() bool { return c.Do(func(qc *quic.Conn) { qc.Ping() }) == nil })
}

// againAndAgain calls f each millisecond, until done is closed or f returns false.
func againAndAgain(done <-chan struct{}, f func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.After(testTime); ; {
		select {
		case <-done:
			return
		case <-limit:
			return
		case <-tick.C:
			if !f() {
				return
			}
		}
	}
}

// pour writes as much as is taken, on a stream that it opens.
func pour(c *quic.Conn) error {
	id, ok := c.NextWritable()
	if !ok {
		if c.Stats().StreamBytesSent > 1000 {
			return nil // it is full
		}
		var err error
		if id, err = c.OpenStream(quic.Uni); err != nil {
			return err
		}
	}
	for {
		n, err := c.StreamWrite(id, make([]byte, 32<<10), false)
		if n < 32<<10 || err != nil {
			return err
		}
	}
}

// discard reads all that there is.
func discard(c *quic.Conn) error {
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		for {
			b, _, err := c.StreamReadBuf(id, 64<<10)
			if err != nil {
				return err
			}
			if b == nil {
				break
			}
			b.Release()
		}
	}
}

// drain is a client that reads all that comes.
func drain() *app {
	a := opener()
	buf := make([]byte, 2000)
	a.reads = func(c *quic.Conn) error {
		for {
			if _, ok := c.ReadDatagram(buf); !ok {
				break
			}
		}
		return discard(c)
	}
	return a
}

// What waits for a strand is taken in portions, in its order.
func TestBudgetOfInbox(t *testing.T) {
	tr := &Transport{cfg: Config{InboxBytes: 64 << 20}, buffers: &sharedBuffers, load: new(load)}
	c := newConn(tr, &app{}, netip.AddrPort{})
	const each, all = 3, turnDatagrams // datagrams of a run, and runs
	for i := range all {
		r := run{data: make([]byte, 10*each-1), segment: 10}
		r.data[0] = byte(i)
		c.keep(&r)
	}
	taken := 0
	for turns := 1; taken < all; turns++ {
		c.budget = budget{turnDatagrams, turnCommands}
		box := c.takeBox()
		if got := len(box) * each; len(c.box) > 0 && got < turnDatagrams || got > turnDatagrams+each || turns > each+1 {
			t.Fatalf("%d datagrams in a turn", got)
		}
		for i := range box {
			if box[i].data[0] != byte(taken) {
				t.Fatal("not in their order")
			}
			taken++
			box[i].buf.Release()
		}
		if left := (all - taken) * sharedBuffers.Get(10*each).Size(); c.boxBytes != left {
			t.Fatalf("%d bytes are said to be left, not %d", c.boxBytes, left)
		}
		if more := c.takeBox(); len(more) > 0 {
			t.Fatal("more than the budget")
		}
	}
}
