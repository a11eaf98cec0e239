package frittata

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// until waits until a counter says that it is so.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTime); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// statsOf returns a connection's counters, the zero Stats once it is gone.
func statsOf(c *Conn) quic.Stats {
	s, _ := c.Stats(context.Background())
	return s
}

// streamFlood is a client that writes to as many streams as it may open, each as much as it can.
func streamFlood() *app {
	data := make([]byte, 16<<10)
	ids := map[quic.StreamID]bool{}
	return &app{writes: func(c *quic.Conn) error {
		for {
			id, err := c.OpenStream(quic.Uni)
			if err != nil {
				break
			}
			ids[id] = true
		}
		for {
			if _, ok := c.NextWritable(); !ok {
				break
			}
		}
		for id := range ids {
			for {
				if n, err := c.StreamWrite(id, data, false); err != nil || n < len(data) {
					break
				}
			}
		}
		return nil
	}}
}

// datagramFlood is a client that sends total bytes in datagrams of size.
func datagramFlood(size, total int) *app {
	data := make([]byte, size)
	left := total / (size + 64)
	return &app{writes: func(c *quic.Conn) error {
		for ; left > 0; left-- {
			if err := c.SendDatagram(data); err != nil {
				if errors.Is(err, quic.ErrDatagramQueueFull) {
					return nil
				}
				return err
			}
		}
		return nil
	}}
}

// slowReader is an Application that takes one thing each time somebody says so, and little of it.
func slowReader(read *int) *app {
	var id quic.StreamID
	have := false
	b := make([]byte, 1000)
	return &app{reads: func(c *quic.Conn) error {
		if n, ok := c.ReadDatagram(b); ok {
			*read += n
		}
		if !have {
			id, have = c.NextReadable()
		}
		if have {
			n, fin, err := c.StreamRead(id, b)
			if err != nil || fin {
				have = false
			}
			*read += n
		}
		return nil
	}}
}

// TestDeadAndSlowConsumers: whatever an Application or a goroutine has to take, when it takes nothing, or little, the peer
// cannot make this end hold more than the documented bound; other connections go on, and all of it closes.
func TestDeadAndSlowConsumers(t *testing.T) {
	const bound = 256 << 10 // of each of the limits
	const sent = 64 * bound
	config := func() *Config {
		c := serverConfig()
		c.InboxBytes, c.MaxPending = bound, 64
		c.PendingAge = testTime
		q := &c.QUIC
		q.StreamWindow, q.MaxStreamWindow, q.ConnWindow, q.MaxConnWindow = bound/4, bound/2, bound, bound
		q.DatagramQueue = 4 * bound
		q.MaxStreamsUni, q.EnableDatagrams = 20, true
		q.GlitchLimit = -1 // which empty datagrams would meet before
		return c
	}
	// All that is at work besides: the client's buffers, two sets of receive buffers, what pools keep for each processor.
	rest := int64(2<<20 + runtime.GOMAXPROCS(0)*(512<<10))
	streams := func(c *Conn) bool { return statsOf(c).StreamBytesReceived >= bound }
	datagrams := func(c *Conn) bool { return statsOf(c).DatagramsDropped > 0 }
	for _, test := range []struct {
		name   string
		client func() *app
		held   func(server *Conn) bool // the bound was met
		most   int64
	}{
		{"streams", func() *app { return streamFlood() }, streams, 2 * bound},
		{"large datagrams", func() *app { return datagramFlood(1100, sent) }, datagrams, 8 * bound},
		{"small datagrams", func() *app { return datagramFlood(1, sent) }, datagrams, 8 * bound},
		{"empty datagrams", func() *app { return datagramFlood(0, sent/4) }, datagrams, 8 * bound},
	} {
		for _, consumer := range []string{"dead", "paused", "slow", "blocked"} {
			t.Run(test.name+" "+consumer, func(t *testing.T) {
				leak.Check(t)
				l := listen(t, config())
				// Another connection, for comparison.
				other := make(chan *Conn, 1)
				accept := func(start func(in *IncomingConn) (*Conn, error)) {
					in, err := l.Accept(testContext(t))
					if err != nil {
						t.Error(err)
						return
					}
					c, err := start(in)
					if err != nil {
						t.Error(err)
					}
					other <- c
				}
				go accept(func(in *IncomingConn) (*Conn, error) { return in.Start(newEcho()) })
				echoes := newUpload(1, 100_000)
				dial(t, l, clientConfig(), echoes)
				<-other
				wait(t, "the echo came back", echoes.done)

				release := make(chan struct{})
				entered := make(chan struct{})
				read := 0
				var consume *app
				switch consumer {
				case "dead", "paused":
					consume = &app{}
				case "slow":
					consume = slowReader(&read)
				case "blocked":
					first := true
					consume = &app{reads: func(*quic.Conn) error {
						if first {
							first = false
							close(entered)
							<-release
						}
						return nil
					}}
				}
				go accept(func(in *IncomingConn) (*Conn, error) {
					if consumer == "paused" {
						return in.Handshake(testContext(t), consume)
					}
					return in.Start(consume)
				})
				before := leak.Heap()
				ccfg := clientConfig()
				ccfg.QUIC.EnableDatagrams, ccfg.QUIC.SendBuffer = true, 16<<10
				c := dial(t, l, ccfg, test.client())
				server := <-other
				if consumer == "blocked" {
					wait(t, "the callback blocks", entered)
					until(t, "the client has sent all it may", func() bool {
						s := statsOf(c)
						return s.PTOs > 0 || s.DatagramsSent > 0 && s.BytesSent > 4*bound || l.Stats().InboxDropped > 0
					})
				} else {
					until(t, "the bound is met", func() bool { server.Wake(); return test.held(server) })
				}
				leak.CheckHeap(t, before, test.most+rest)
				if consumer == "slow" {
					until(t, "something was read", func() bool {
						got := 0
						_ = server.Call(testContext(t), func(*quic.Conn) { got = read })
						server.Wake()
						return got > 1000 || test.name == "empty datagrams" || test.name == "small datagrams" && got > 0
					})
				}
				// Others go on: a new one, at that.
				go accept(func(in *IncomingConn) (*Conn, error) { return in.Start(newEcho()) })
				more := newUpload(1, 100_000)
				dial(t, l, clientConfig(), more)
				<-other
				wait(t, "another connection's echo came back", more.done)
				if consumer == "blocked" {
					_ = server.Close() // it waits for the callback; nothing else does
					close(release)
				}
				_ = l.Close() // with the consumer as dead as ever
				wait(t, "gone", server.Done())
			})
		}
	}
}

// TestNobodyAccepts: first flights that nobody takes are bounded in number, and so is their memory; closing needs nobody.
func TestNobodyAccepts(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	cfg.MaxPending = 32
	cfg.PendingAge = testTime
	l := listen(t, cfg)
	firstFlight(t, l.Addr())
	until(t, "there is one", func() bool { return l.Stats().Endpoint.Pending == 1 })
	before := leak.Heap()
	for i := range 20 * cfg.MaxPending {
		firstFlight(t, l.Addr())
		if n := l.Stats().Endpoint.Pending; n > cfg.MaxPending {
			t.Fatalf("%d wait after %d", n, i)
		}
	}
	until(t, "the bound is met", func() bool { return l.Stats().Endpoint.Pending == cfg.MaxPending })
	leak.CheckHeap(t, before, 2<<20)
	l.mu.Lock()
	n := len(l.queue)
	l.mu.Unlock()
	if n > cfg.MaxPending {
		t.Errorf("%d in the queue", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(testContext(t)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// TestNobodyReadsTunnel: what comes out of the outer connection, with nobody to read the Tunnel, is bounded, small
// datagrams included, and the outer connection does not notice.
func TestNobodyReadsTunnel(t *testing.T) {
	for _, size := range []int{1, 100, 1200} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			leak.Check(t)
			client, server, outer := tunnels(t)
			until(t, "the tunnel is open", func() bool { return client.Limit() >= 1200 && server.Limit() >= 1200 })
			before := leak.Heap()
			train := &udp.Train{Data: make([]byte, tunnelTrain*size), Segment: size}
			until(t, "the queue is full", func() bool {
				for range 20 {
					if _, err := client.WriteTrain(train); err != nil {
						t.Fatal(err)
					}
				}
				return server.Dropped() > 1000
			})
			leak.CheckHeap(t, before, 6<<20)
			server.mu.Lock()
			m := server.in.list.Memory()
			server.mu.Unlock()
			if m > 2*tunnelQueue {
				t.Errorf("%d bytes wait for a reader", m)
			}
			if statsOf(outer).BytesSent == 0 {
				t.Error("the outer connection does not answer")
			}
			_ = server.Close()
		})
	}
}

// TestNobodyRunsAttached: what is fed while a callback blocks is bounded, and Feed never waits.
func TestNobodyRunsAttached(t *testing.T) {
	leak.Check(t)
	qcfg := clientConfig().QUIC
	qc, err := quic.Connect(time.Now(), &qcfg, innerServer, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	block, entered := make(chan struct{}), make(chan struct{})
	a, err := Attach(qc, &app{}, AttachConfig{Send: func(*udp.Train) error { return nil }, Config: &Config{InboxBytes: 100_000}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Do(func(*quic.Conn) { close(entered); <-block }); err != nil {
		t.Fatal(err)
	}
	// A connection in its handshake is run by its own goroutine, which takes functions too.
	wait(t, "the strand is stuck", entered)
	before := leak.Heap()
	for i := range 50_000 {
		b := make([]byte, 1+i%1400)
		a.Feed(&udp.Message{Buf: b, N: len(b), Remote: innerServer})
	}
	leak.CheckHeap(t, before, 1<<20)
	if err := a.Do(func(c *quic.Conn) { c.IO().Abort(net.ErrClosed) }); err != nil { // it would wait for an answer
		t.Fatal(err)
	}
	_ = a.Close()
	close(block)
	wait(t, "gone", a.Done())
}
