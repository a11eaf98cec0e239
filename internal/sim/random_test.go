package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// randomWorld composes a world and has it move what it shall. limit bounds the
// virtual time; a world that is not through by then has failed.
func randomWorld(t testing.TB, seed uint64, c Choices, scale int, limit time.Duration) *duo {
	nat := NewNAT("203.0.113.9:5000")
	l := &link{up: func() []Node { return RandomNodes(c) }}
	peer := func() Peer {
		return Peer{
			Streams: c.IntN(12), Size: uint64(c.IntN(scale)), Dir: quic.Dir(c.IntN(2)),
			Concurrent: c.IntN(4), Buffers: c.IntN(2) == 0,
		}
	}
	config := func() *quic.Config {
		k := FakeConfig()
		k.StreamWindow = 1 << (10 + c.IntN(10))
		k.ConnWindow = 1 << (11 + c.IntN(10))
		k.MaxStreamsBidi, k.MaxStreamsUni = 1+c.IntN(20), 1+c.IntN(20)
		k.DisablePacing = c.IntN(8) == 0
		k.DisableECN = c.IntN(8) == 0
		k.KeepAlive = 2 * time.Second
		k.MaxIdleTimeout, k.HandshakeTimeout = 10*time.Minute, 10*time.Minute
		k.MaxAckDelay = time.Duration(1+c.IntN(100)) * time.Millisecond
		k.SendBuffer = 1 << (8 + c.IntN(12))
		return k
	}
	client, serve := peer(), peer()
	retry := c.IntN(4) == 0
	cc, sc := config(), config()
	w := NewSeeded(t, seed)
	d := &duo{World: w}
	up, down := l.nodes()
	server := HostConfig{Addr: serverAddr, Config: sc, Serve: d.serve(serve)}
	if retry {
		server.Admit = func(*quic.Incoming) Admission { return Retry }
	}
	host := HostConfig{Addr: clientAddr, Config: cc, Up: up, Down: down, TimerGrain: time.Duration(c.IntN(3)) * 500 * time.Microsecond}
	if c.IntN(3) == 0 {
		host.NAT = nat
		for range c.IntN(6) {
			port := c.IntN(2) == 0
			w.After(time.Duration(c.IntN(6000))*time.Millisecond, func() {
				// A server follows its peer once the handshake is confirmed, and not before (RFC 9000, Section 9).
				if s := d.serverConn(); s == nil || !s.Confirmed() || !d.conn.Confirmed() {
					return
				}
				if port {
					nat.RebindPort()
				} else {
					nat.RebindAddr()
				}
			})
		}
	}
	for range c.IntN(4) {
		side := c.IntN(2)
		w.After(time.Duration(c.IntN(3000))*time.Millisecond, func() {
			k := d.conn
			if side == 1 {
				k = d.serverConn()
			}
			if k != nil && k.Q.UpdateKeys() == nil {
				k.Wake()
			}
		})
	}
	d.server, d.client = w.NewHost(server), w.NewHost(host)
	d.app = &client
	d.conn = d.client.Dial(d.server, d.app)
	if err := w.Run(limit, d.moved(&client, &serve)); err != nil {
		t.Fatalf("seed %#x: %v\nup %s\ndown %s", seed, err, describe(up), describe(down))
	}
	return d
}

func describe(nodes []Node) (s string) {
	for _, n := range nodes {
		switch n := n.(type) {
		case *Rate:
			s += fmt.Sprintf(" Rate{%d, queue %d, CoDel %v}", n.BytesPerSecond, n.Queue, n.CoDel)
		case Func:
			s += " Func"
		default:
			s += fmt.Sprintf(" %T%+v", n, n)
		}
	}
	return s
}

func TestRandomWorlds(t *testing.T) {
	n, scale := 60, 300_000
	if testing.Short() || raceEnabled {
		n, scale = 15, 100_000
	}
	seed := Seed(t.Name())
	for i := range n {
		s := seed + uint64(i)
		t.Run(fmt.Sprintf("%#x", s), func(t *testing.T) {
			d := randomWorld(t, s, FromRand(rand.New(rand.NewPCG(s, 1))), scale, time.Hour)
			if d.serverConn() == nil {
				t.Skip("nothing to move")
			}
		})
	}
}

// FuzzWorld lets a fuzzer choose the composition and the schedule of a world.
func FuzzWorld(f *testing.F) {
	f.Add(uint64(1), []byte{})
	f.Add(uint64(2), []byte("a quiche without the crust"))
	for i := range 8 {
		b := make([]byte, 120)
		r := rand.New(rand.NewPCG(uint64(i), 2))
		for j := range b {
			b[j] = byte(r.Uint64())
		}
		f.Add(uint64(i), b)
	}
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		randomWorld(t, seed, FromBytes(b), 20_000, time.Hour)
	})
}

// The same seed gives the same world, to the byte.
func TestDeterminism(t *testing.T) {
	run := func(seed uint64) [32]byte {
		w := NewSeeded(t, seed)
		w.Trace()
		nodes := func() []Node {
			return []Node{&Rate{BytesPerSecond: 2e6, Queue: 30000, CoDel: true}, &Loss{P: 0.02}, &Reorder{P: 0.05, By: 5 * time.Millisecond},
				&Duplicate{P: 0.02}, &Corrupt{P: 0.01}, &Delay{Base: 15 * time.Millisecond, Jitter: 3 * time.Millisecond}}
		}
		server := w.NewHost(HostConfig{Addr: serverAddr, Serve: NewResponder, Admit: func(*quic.Incoming) Admission { return Retry }})
		var apps []*Client
		for i, addr := range []string{clientAddr, "192.0.2.2:2000", "192.0.2.3:3000"} {
			a := &Client{Requests: 40, Concurrent: 1 + 5*i, Request: 100 << i, Response: 20000}
			apps = append(apps, a)
			w.NewHost(HostConfig{Addr: addr, Up: nodes(), Down: nodes()}).Dial(server, a)
		}
		w.Until("answers", time.Minute, func() bool { return apps[0].Done() && apps[1].Done() && apps[2].Done() })
		return w.TraceSum()
	}
	seed := Seed(t.Name())
	first := run(seed)
	for range 3 {
		if run(seed) != first {
			t.Fatalf("seed %#x: another trace", seed)
		}
	}
	if run(seed+1) == first {
		t.Error("another seed gives the same trace")
	}
}

// Many clients share a server whose processor is slow.
func TestBusyServer(t *testing.T) {
	w := New(t)
	server := w.NewHost(HostConfig{Addr: serverAddr, Serve: NewResponder, PacketCost: 50 * time.Microsecond, HandshakeCost: 3 * time.Millisecond})
	var apps []*Client
	var conns []*Conn
	for i := range 100 {
		a := &Client{Requests: 5, Response: 20000}
		h := w.NewHost(HostConfig{Addr: fmt.Sprintf("192.0.2.%d:1000", i+1), Up: []Node{delay(5 + i%20)}, Down: []Node{delay(5 + i%20)}})
		apps, conns = append(apps, a), append(conns, h.Dial(server, a))
	}
	w.Until("answers", time.Minute, func() bool {
		for _, a := range apps {
			if !a.Done() {
				return false
			}
		}
		return true
	})
	for _, c := range conns {
		c.Close(0)
	}
	w.Until("close", time.Minute, func() bool {
		for _, c := range append(conns, server.conns...) {
			if !c.Gone() {
				return false
			}
		}
		return true
	})
	for _, c := range server.conns {
		var ae *quic.ApplicationError
		if !errors.As(c.Q.Err(), &ae) {
			t.Errorf("error: %v", c.Q.Err())
		}
	}
	if n := server.endpoint.Counts(); n.Routes != 0 || n.Pending != 0 {
		t.Errorf("%d routes, %d first flights are left", n.Routes, n.Pending)
	}
}
