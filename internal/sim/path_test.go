package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// Directions of a transfer.
var directions = []struct {
	name          string
	client, serve Peer
}{
	{name: "up", client: Peer{Streams: 1, Size: full}},
	{name: "down", serve: Peer{Streams: 1, Size: full, Dir: quic.Uni}},
	{name: "both", client: Peer{Streams: 2, Size: full / 2}, serve: Peer{Streams: 2, Size: full / 2}},
}

// moved tells whether all streams arrived that the two have to send.
func (d *duo) moved(client, serve *Peer) func() bool {
	return func() bool {
		return d.peer != nil && d.peer.Received == client.Streams && d.app.Received == serve.Streams
	}
}

// halfway tells whether half of the bytes arrived.
func (d *duo) halfway() bool { return d.peer != nil && d.peer.Bytes+d.app.Bytes > full/2 }

func TestMTUShrinks(t *testing.T) {
	for _, dir := range directions {
		t.Run(dir.name, func(t *testing.T) {
			m1, m2 := &MTU{Max: 1500}, &MTU{Max: 1500}
			l := &link{up: chain(func() Node { return &Rate{BytesPerSecond: 5e6} }, func() Node { return m1 }, func() Node { return delay(10) }),
				down: chain(func() Node { return &Rate{BytesPerSecond: 5e6} }, func() Node { return m2 }, func() Node { return delay(10) })}
			d := newDuo(t, l, dir.client, dir.serve, nil)
			d.Until("half of the transfer", time.Minute, d.halfway)
			m1.Max, m2.Max = 1250, 1250
			from := d.Elapsed()
			d.Until("transfer", 20*time.Second, d.moved(&dir.client, &dir.serve))
			for _, c := range []*Conn{d.conn, d.serverConn()} {
				if got := c.Q.Stats().PathMTU; got > 1250 && c.Q.Stats().StreamBytesSent > full/8 {
					t.Errorf("path MTU is %d", got)
				}
			}
			t.Logf("second half in %v", d.Elapsed()-from)
			d.finish()
		})
	}
}

func TestRebinding(t *testing.T) {
	for _, kind := range []string{"port", "address"} {
		for _, dir := range directions {
			t.Run(kind+" "+dir.name, func(t *testing.T) {
				nat := NewNAT("203.0.113.9:5000")
				l := &link{up: func() []Node { return []Node{&Rate{BytesPerSecond: 5e6}, delay(10)} }}
				d := newDuo(t, l, dir.client, dir.serve, func(c, s *HostConfig) {
					c.NAT = nat
					// A receiver has nothing to say when nothing comes any more: the server
					// learns of the new address by its keep-alive.
					k := FakeConfig()
					k.KeepAlive = 500 * time.Millisecond
					c.Config = k
				})
				d.Until("half of the transfer", time.Minute, d.halfway)
				if kind == "port" {
					nat.RebindPort()
				} else {
					nat.RebindAddr()
				}
				d.Until("transfer", 20*time.Second, d.moved(&dir.client, &dir.serve))
				s := d.serverConn()
				if got := s.Q.RemoteAddr(); got != nat.Outside() {
					t.Errorf("the server sends to %v, the client is at %v", got, nat.Outside())
				}
				if got := s.Q.Stats().PathChanges; got != 1 {
					t.Errorf("%d changes of path", got)
				}
				d.finish()
			})
		}
	}
}

func TestRebindingAgainAndAgain(t *testing.T) {
	nat := NewNAT("203.0.113.9:5000")
	l := &link{up: func() []Node { return []Node{&Rate{BytesPerSecond: 2e6}, &Loss{P: 0.01}, delay(20)} }}
	client, serve := Peer{Streams: 1, Size: full}, Peer{Streams: 1, Size: full}
	d := newDuo(t, l, client, serve, func(c, _ *HostConfig) { c.NAT = nat })
	for i := range 12 {
		d.After(time.Duration(300+400*i)*time.Millisecond, func() {
			if s := d.serverConn(); s == nil || !s.Confirmed() || !d.conn.Confirmed() {
				return // a server follows its peer once the handshake is confirmed
			}
			if i%3 == 2 {
				nat.RebindAddr()
			} else {
				nat.RebindPort()
			}
		})
	}
	d.Until("transfer", 5*time.Minute, d.moved(&client, &serve))
	if got := d.serverConn().Q.Stats().PathChanges; got < 8 {
		t.Errorf("%d changes of path", got)
	}
	d.finish()
}

// A link of 100 Mbit/s and 100 ms has to be filled.
func TestHighBandwidthDelayProduct(t *testing.T) {
	if raceEnabled {
		t.Skip("moves hundreds of megabytes")
	}
	const rate = 12.5e6
	for _, dir := range []string{"up", "down"} {
		t.Run(dir, func(t *testing.T) {
			l := &link{up: func() []Node { return []Node{&Rate{BytesPerSecond: rate, Queue: 1250000}, delay(50)} }}
			big := Peer{Streams: 1, Size: 1 << 40, Dir: quic.Uni}
			client, serve := big, Peer{}
			if dir == "down" {
				client, serve = Peer{}, big
			}
			d := newDuo(t, l, client, serve, func(c, s *HostConfig) { c.CheckEvery, s.CheckEvery = 64, 64 })
			d.Pass(5 * time.Second)
			before := d.peer.Bytes + d.app.Bytes
			const span = 20
			d.Pass(span * time.Second)
			share := float64(d.peer.Bytes+d.app.Bytes-before) / span / rate
			t.Logf("%.3f of the link, %.3f in the first 5 s", share, float64(before)/5/rate)
			if share < 0.8 {
				t.Errorf("%.2f of the link's rate", share)
			}
			if s := float64(before) / 5 / rate; s < 0.6 {
				t.Errorf("%.2f of the link's rate in the first 5 s", s)
			}
		})
	}
}

func TestCoDelWithECN(t *testing.T) {
	if raceEnabled {
		t.Skip("moves tens of megabytes")
	}
	const rate = 5e6
	up, down := &Rate{BytesPerSecond: rate, Queue: 1 << 20, CoDel: true}, &Rate{BytesPerSecond: rate, Queue: 1 << 20, CoDel: true}
	l := &link{up: func() []Node { return []Node{up, delay(15)} }, down: func() []Node { return []Node{down, delay(15)} }}
	size := uint64(40 * mb)
	d := newDuo(t, l, Peer{Streams: 1, Size: size}, Peer{}, func(c, s *HostConfig) { c.CheckEvery, s.CheckEvery = 16, 16 })
	d.Until("slow start", time.Minute, func() bool { return d.peer != nil && d.peer.Bytes > full/2 })
	lost, from, before := d.conn.Q.Stats().PacketsLost, d.Elapsed(), d.peer.Bytes
	worst := time.Duration(0)
	d.Until("transfer", time.Minute, func() bool {
		worst = max(worst, d.conn.Q.Stats().SmoothedRTT)
		return d.app.Finished == 1
	})
	s := d.conn.Q.Stats()
	share := float64(size-before) / (d.Elapsed() - from).Seconds() / rate
	t.Logf("%.2f of the link, %d marked, %d lost by the queue, smoothed RTT up to %v", share, up.Marked, up.Lost, worst)
	if up.Marked == 0 {
		t.Error("nothing was marked")
	}
	if s.PacketsLost != lost {
		t.Errorf("%d packets lost beside the marks", s.PacketsLost-lost)
	}
	if share < 0.75 {
		t.Errorf("%.2f of the link's rate", share)
	}
	if worst > 100*time.Millisecond {
		t.Errorf("smoothed RTT up to %v: the marks are not heeded", worst)
	}
	d.finish()
}

// A network that clears the marks must not keep packets from being acknowledged.
func TestBleachedECN(t *testing.T) {
	l := &link{up: func() []Node { return []Node{lan(), Bleach{}, delay(10)} }}
	client, serve := Peer{Streams: 1, Size: full / 2}, Peer{Streams: 1, Size: full / 2}
	d := newDuo(t, l, client, serve, nil)
	d.Until("transfer", 20*time.Second, d.moved(&client, &serve))
	d.finish()
}

// A client whose address changes all the time, and an end that takes few connection IDs: whatever is lost
// on the way, a window full of packets that went nowhere must not keep the two from finding each other. With
// rotate the client changes its ID with each address, and so has the server use up what it has of the client's.
func TestRebindingWithFewConnIDs(t *testing.T) {
	seeds := 12
	if raceEnabled {
		seeds = 3
	}
	for _, limit := range []int{2, 3} {
		for _, rotate := range []bool{false, true} {
			for i := range seeds {
				t.Run(fmt.Sprintf("limit %d rotate %v %d", limit, rotate, i), func(t *testing.T) {
					nat := NewNAT("203.0.113.9:5000")
					l := &link{
						up:   func() []Node { return []Node{&Rate{BytesPerSecond: 1e6}, &Loss{P: 0.05}, delay(60)} },
						down: func() []Node { return []Node{&Rate{BytesPerSecond: 2e5, Queue: 16000}, &Loss{P: 0.3}, delay(60)} },
					}
					client, serve := Peer{Streams: 1, Size: 200_000}, Peer{Streams: 1, Size: 50_000}
					d := newDuo(t, l, client, serve, func(c, s *HostConfig) {
						c.NAT = nat
						c.Config, s.Config = FakeConfig(), FakeConfig()
						for _, k := range []*quic.Config{c.Config, s.Config} {
							k.ActiveConnIDLimit = limit
							k.MaxIdleTimeout, k.HandshakeTimeout, k.KeepAlive = 10*time.Minute, 10*time.Minute, 2*time.Second
						}
					})
					d.Until("handshake", time.Minute, func() bool { return d.conn.Confirmed() && d.serverConn() != nil && d.serverConn().Confirmed() })
					for n := range 40 {
						d.After(time.Duration(50+300*n)*time.Millisecond, func() {
							if n%3 == 0 {
								nat.RebindPort()
							} else {
								nat.RebindAddr()
							}
							if rotate && d.conn.Q.RotateConnID() {
								d.conn.Wake()
							}
						})
					}
					d.Until("transfer", 5*time.Minute, d.moved(&client, &serve))
					if n := d.serverConn().Q.Stats().PathChanges; n == 0 {
						t.Error("the server never followed its client")
					}
					// If the close is lost, and nobody asks in time, the server is left with its idle timeout.
					d.finishIn(11 * time.Minute)
				})
			}
		}
	}
}
