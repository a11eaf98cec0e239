package sim

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// requests runs a Client against a Responder.
func requests(t testing.TB, l *link, a *Client, edit func(c, s *HostConfig)) (*World, *Conn, *Host) {
	t.Helper()
	w := New(t)
	up, down := l.nodes()
	sc := HostConfig{Addr: serverAddr, Serve: NewResponder}
	cc := HostConfig{Addr: clientAddr, Up: up, Down: down}
	if edit != nil {
		edit(&cc, &sc)
	}
	server, client := w.NewHost(sc), w.NewHost(cc)
	return w, client.Dial(server, a), server
}

func TestThousandStreams(t *testing.T) {
	for name, loss := range map[string]float64{"clean": 0, "loss": 0.02} {
		t.Run(name, func(t *testing.T) {
			n := 3000
			if raceEnabled {
				n = 1500
			}
			a := &Client{Requests: n, Concurrent: 1000, Request: 300, Response: 5000}
			l := &link{up: func() []Node { return []Node{lan(), &Loss{P: loss}, delay(10)} }}
			w, c, server := requests(t, l, a, func(cc, sc *HostConfig) {
				sc.Config = FakeConfig()
				sc.Config.MaxStreamsBidi = 1000
				cc.CheckEvery, sc.CheckEvery = 16, 16
			})
			most := 0
			w.Until("answers", 2*time.Minute, func() bool {
				most = max(most, a.Opened-a.Answered)
				return a.Done()
			})
			if most < 1000 {
				t.Errorf("only %d at a time", most)
			}
			w.Pass(time.Second)
			if n, m := c.Q.OpenStreams(), server.conns[0].Q.OpenStreams(); n != 0 || m != 0 {
				t.Errorf("%d and %d streams are left", n, m)
			}
		})
	}
}

// heap returns the bytes of live memory.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Streams one after the other leave nothing behind.
func TestStreamsOneAfterTheOther(t *testing.T) {
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 5_000
	}
	churn(t, n)
}

func TestMillionStreams(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("takes long")
	}
	churn(t, 1_000_000)
}

func churn(t *testing.T, n int) {
	a := &Client{Requests: n, Concurrent: 4, Request: 50, Response: 50}
	l := &link{up: func() []Node { return []Node{&Delay{Base: 100 * time.Microsecond}} }}
	w, c, server := requests(t, l, a, nil)
	w.Until("a tenth", time.Hour, func() bool { return a.Answered >= n/10 })
	before := heap()
	w.Until("answers", 24*time.Hour, a.Done)
	after := heap()
	t.Logf("%d kB before, %d kB after %d more streams; %v of virtual time", before>>10, after>>10, n-n/10, w.Elapsed())
	if after > before+before/4+512<<10 {
		t.Errorf("%d bytes are left of %d streams", after-before, n-n/10)
	}
	w.Pass(time.Second)
	if n, m := c.Q.OpenStreams(), server.conns[0].Q.OpenStreams(); n != 0 || m != 0 {
		t.Errorf("%d and %d streams are left", n, m)
	}
}

// Under a bottleneck the urgent go first, and those of one urgency one after
// the other or in turn (RFC 9218).
func TestPriorities(t *testing.T) {
	const n, size = 8, 500_000
	for _, tc := range []struct {
		name        string
		urgency     func(i int) uint8
		incremental bool
	}{
		{"the last is the most urgent", func(i int) uint8 { return uint8(n - 1 - i) }, false},
		{"all alike, one after the other", func(int) uint8 { return 3 }, false},
		{"all alike, in turn", func(int) uint8 { return 3 }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var order []quic.StreamID // of completion
			done := make(map[quic.StreamID]uint64)
			others := make([]uint64, 0, n) // bytes of the others when one is complete
			serve := Peer{}
			l := &link{up: func() []Node { return []Node{&Rate{BytesPerSecond: 1e6, Queue: 20000}, delay(10)} }}
			client := Peer{Streams: n, Size: size, Dir: quic.Uni, Prioritize: func(c *Conn, i int, id quic.StreamID) {
				if err := c.Q.SetStreamPriority(id, tc.urgency(i), tc.incremental); err != nil {
					t.Error(err)
				}
			}}
			serve.OnRead = func(id quic.StreamID, off uint64, k int) {
				if done[id] += uint64(k); done[id] == size {
					order = append(order, id)
					sum := uint64(0)
					for _, v := range done {
						if v < size {
							sum += v
						}
					}
					others = append(others, sum)
				}
			}
			d := newDuo(t, l, client, serve, func(c, s *HostConfig) {
				// All of the streams' data is there to choose from.
				c.Config, s.Config = FakeConfig(), FakeConfig()
				c.Config.SendBuffer = size
			})
			d.Until("transfer", time.Minute, func() bool { return d.peer != nil && d.peer.Received == n })
			for i, id := range order {
				want := i
				if tc.urgency(0) != tc.urgency(1) {
					want = n - 1 - i
				}
				if !tc.incremental && int(id>>2) != want {
					t.Errorf("stream %d was complete as number %d", id, i)
				}
			}
			if tc.incremental && others[0] < (n-1)*size*8/10 {
				t.Errorf("the others had %d bytes when the first was complete: they do not take turns", others[0])
			}
			if !tc.incremental && others[0] > size/2 {
				t.Errorf("the others had %d bytes when the first was complete", others[0])
			}
			d.finish()
		})
	}
}

// A reader that stops holds up the sender, and goes on where it was.
func TestFlowControl(t *testing.T) {
	for _, size := range []uint64{1 << 10, 64 << 10, 0} {
		l := &link{up: func() []Node { return []Node{lan(), &Loss{P: 0.01}, delay(10)} }}
		d := newDuo(t, l, Peer{Streams: 3, Size: 3 * mb, Dir: quic.Uni}, Peer{}, func(c, s *HostConfig) {
			s.Config = FakeConfig()
			s.Config.StreamWindow, s.Config.ConnWindow = size, 2*size
			s.Config.MaxStreamWindow, s.Config.MaxConnWindow = 16*size, 16*size
		})
		d.connect(10 * time.Second)
		d.peer.Paused = true
		d.Pass(20 * time.Second)
		sent := d.conn.Q.Stats().StreamBytesSent
		got := d.peer.Bytes
		d.Pass(2 * time.Second)
		if now := d.conn.Q.Stats().StreamBytesSent; now != sent || sent >= 9*mb {
			t.Fatalf("the sender goes on while nothing is read: %d, then %d bytes", sent, now)
		}
		limit := 2 * size
		if size == 0 {
			limit = 24 << 20
		}
		if sent-got > 16*limit {
			t.Errorf("%d bytes sent beyond what was read", sent-got)
		}
		before := d.Counts().Sent
		d.Pass(5 * time.Second)
		if n := d.Counts().Sent - before; n > 20 {
			t.Errorf("%d datagrams while nothing can be sent", n)
		}
		d.peer.Paused = false
		d.serverConn().Wake()
		d.Until("transfer", 5*time.Minute, func() bool { return d.peer.Received == 3 })
		d.finish()
	}
}

// stopper asks the sender to stop after some bytes, or resets what it sends.
type stopper struct {
	None
	stop    bool
	stopped int
	reset   int
}

func (a *stopper) Turn(c *Conn) {
	var buf [1000]byte
	for {
		id, ok := c.Q.NextReadable()
		if !ok {
			return
		}
		n, fin, err := c.Q.StreamRead(id, buf[:])
		var re *quic.StreamResetError
		switch {
		case errors.As(err, &re):
			if re.Code != 9 {
				c.complain("reset with code %d", re.Code)
			}
			a.reset++
		case err != nil:
			c.complain("read: %w", err)
		case n > 0 && !fin && a.stop:
			if err := c.Q.StopSending(id, 8); err != nil {
				c.complain("stop: %w", err)
			}
			a.stopped++
		default:
			c.Q.RearmRead(id)
			if n == 0 {
				return
			}
		}
	}
}

// writer opens streams and writes until it is stopped, or resets them.
type writer struct {
	streams int
	reset   bool

	opened, stopped, resets int
	started                 bool
}

func (a *writer) Event(_ *Conn, e quic.Event) {
	if e.Kind == quic.EventConnected {
		a.started = true
	}
}

func (a *writer) Turn(c *Conn) {
	var buf [8000]byte
	for a.started && a.opened < a.streams {
		id, err := c.Q.OpenStream(quic.Uni)
		if err != nil {
			break
		}
		a.opened++
		if _, err := c.Q.StreamWrite(id, buf[:], false); err != nil {
			c.complain("write: %w", err)
		}
		if a.reset {
			if err := c.Q.ResetStream(id, 9); err != nil {
				c.complain("reset: %w", err)
			}
			a.resets++
		}
	}
	for {
		id, ok := c.Q.NextWritable()
		if !ok {
			return
		}
		var se *quic.StreamStoppedError
		switch _, err := c.Q.StreamWrite(id, buf[:], false); {
		case errors.As(err, &se):
			if se.Code != 8 {
				c.complain("stopped with code %d", se.Code)
			}
			a.stopped++
		case err != nil:
			c.complain("write: %w", err)
		}
	}
}

func TestStopAndReset(t *testing.T) {
	for _, stop := range []bool{true, false} {
		w := New(t)
		rx := &stopper{stop: stop}
		tx := &writer{streams: 500, reset: !stop}
		server := w.NewHost(HostConfig{Addr: serverAddr, Serve: func() App { return rx }})
		client := w.NewHost(HostConfig{Addr: clientAddr, Up: []Node{lan(), &Loss{P: 0.05}, delay(10)}, Down: []Node{lan(), &Loss{P: 0.05}, delay(10)}})
		c := client.Dial(server, tx)
		w.Until("all streams", 5*time.Minute, func() bool {
			if tx.opened < tx.streams || c.Q.OpenStreams() > 0 {
				return false
			}
			return true
		})
		if stop && (tx.stopped != tx.streams || rx.stopped != tx.streams) {
			t.Errorf("%d stopped, %d told so, of %d", rx.stopped, tx.stopped, tx.streams)
		}
		if !stop && rx.reset != tx.streams {
			t.Errorf("%d of %d resets came", rx.reset, tx.streams)
		}
		w.Pass(5 * time.Second)
		if n := server.conns[0].Q.OpenStreams(); n != 0 {
			t.Errorf("%d streams are left at the receiver", n)
		}
	}
}

func TestEcho(t *testing.T) {
	w := New(t)
	server := w.NewHost(HostConfig{Addr: serverAddr, Serve: NewEcho})
	client := w.NewHost(HostConfig{Addr: clientAddr, Up: []Node{lan(), &Loss{P: 0.01}, delay(10)}, Down: []Node{lan(), &Loss{P: 0.01}, delay(10)}})
	p := &Peer{Streams: 20, Size: full / 10}
	client.Dial(server, p)
	w.Until("echo", time.Minute, func() bool { return p.Finished == 20 })
	if p.Bytes != 20*(full/10) {
		t.Errorf("%d bytes came back", p.Bytes)
	}
}

func TestDatagrams(t *testing.T) {
	for name, loss := range map[string]float64{"clean": 0, "loss": 0.1} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			cfg := FakeConfig()
			cfg.EnableDatagrams = true
			server := w.NewHost(HostConfig{Addr: serverAddr, Serve: NewEcho, Config: cfg})
			client := w.NewHost(HostConfig{
				Addr: clientAddr, Config: cfg,
				Up: []Node{&Loss{P: loss}, &Duplicate{P: 0.1}, delay(10)}, Down: []Node{&Loss{P: loss}, &Duplicate{P: 0.1}, delay(10)},
			})
			a := &Datagrams{Count: 5000, Size: 900}
			c := client.Dial(server, a)
			w.Until("sent", time.Minute, func() bool { return a.Sent == a.Count && c.Q.Stats().DatagramsSent == uint64(a.Count) })
			w.Pass(5 * time.Second)
			s := server.conns[0].Q.Stats()
			there, back := float64(s.DatagramsReceived-s.DatagramsDropped)/float64(a.Count), float64(a.Received)/float64(s.DatagramsSent)
			t.Logf("%.3f arrived, %.3f of the answers", there, back)
			if least := (1 - loss) * 0.97; there < least || back < least {
				t.Errorf("%.3f of the datagrams arrived, and %.3f of the answers", there, back)
			}
		})
	}
}
