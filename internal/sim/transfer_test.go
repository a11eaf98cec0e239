package sim

import (
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

const mb = 1 << 20

// full is how much a transfer moves that lasts.
var full = func() uint64 {
	if raceEnabled {
		return 2 * mb
	}
	return 10 * mb
}()

// link makes the nodes of both directions between a client and a server.
type link struct {
	name string
	// up and down are the nodes from the client to the server and back. With
	// down nil, up makes both.
	up, down func() []Node
	limit    time.Duration // for 10 MB
}

func (l *link) nodes() (up, down []Node) {
	up = l.up()
	if l.down == nil {
		return up, l.up()
	}
	return up, l.down()
}

func delay(ms int) *Delay { return &Delay{Base: time.Duration(ms) * time.Millisecond} }

// lan is a link that limits a transfer a little, so that worlds without
// another bottleneck do not send infinitely fast.
func lan() *Rate { return &Rate{BytesPerSecond: 50e6, Queue: 512 << 10} }

func chain(nodes ...func() Node) func() []Node {
	return func() (list []Node) {
		for _, n := range nodes {
			list = append(list, n())
		}
		return list
	}
}

func withLoss(p float64) func() []Node {
	return func() []Node { return []Node{lan(), &Loss{P: p}, delay(10)} }
}

var links = []link{
	{name: "clean", up: func() []Node { return []Node{lan(), delay(10)} }, limit: 3 * time.Second},
	{name: "loss 1%", up: withLoss(0.01), limit: 30 * time.Second},
	{name: "loss 5%", up: withLoss(0.05), limit: 2 * time.Minute},
	{name: "loss 20%", up: withLoss(0.2), limit: 15 * time.Minute},
	{name: "burst loss", up: func() []Node {
		return []Node{lan(), &BurstLoss{ToBad: 0.002, ToGood: 0.1, LossGood: 0.0005, LossBad: 0.7}, delay(10)}
	}, limit: 2 * time.Minute},
	{name: "reordering", up: func() []Node {
		return []Node{lan(), delay(10), &Reorder{P: 0.05, By: 3 * time.Millisecond}, &Reorder{P: 0.01, By: 12 * time.Millisecond}}
	}, limit: 30 * time.Second},
	{name: "jitter", up: func() []Node {
		return []Node{lan(), &Delay{Base: 10 * time.Millisecond, Jitter: 20 * time.Millisecond}}
	}, limit: 30 * time.Second},
	{name: "duplication", up: func() []Node { return []Node{lan(), &Duplicate{P: 0.2}, delay(10)} }, limit: 10 * time.Second},
	{name: "corruption", up: func() []Node { return []Node{lan(), &Corrupt{P: 0.02}, delay(10)} }, limit: time.Minute},
	{name: "MTU 1200", up: func() []Node { return []Node{lan(), &MTU{Max: 1200}, delay(10)} }, limit: 5 * time.Second},
	{name: "MTU 1280", up: func() []Node { return []Node{lan(), &MTU{Max: 1280}, delay(10)} }, limit: 5 * time.Second},
	{name: "MTU 1400", up: func() []Node { return []Node{lan(), &MTU{Max: 1400}, delay(10)} }, limit: 5 * time.Second},
	{name: "tiny queue", up: func() []Node { return []Node{&Rate{BytesPerSecond: 2e6, Queue: 6000}, delay(10)} }, limit: time.Minute},
	{name: "slow", up: func() []Node { return []Node{&Rate{BytesPerSecond: 250e3, Queue: 32 << 10}, delay(30)} }, limit: time.Minute},
	{name: "blackout 0.2 s", up: func() []Node {
		return []Node{&Rate{BytesPerSecond: 2e6}, &Blackout{From: time.Second, For: 200 * time.Millisecond}, delay(10)}
	}, limit: 20 * time.Second},
	{name: "blackout 1 s", up: func() []Node {
		return []Node{&Rate{BytesPerSecond: 2e6}, &Blackout{From: time.Second, For: time.Second}, delay(10)}
	}, limit: 20 * time.Second},
	{name: "blackout 3 s", up: func() []Node {
		return []Node{&Rate{BytesPerSecond: 2e6}, &Blackout{From: time.Second, For: 3 * time.Second}, delay(10)}
	}, limit: 20 * time.Second},
	{name: "blackouts", up: func() []Node {
		return []Node{&Rate{BytesPerSecond: 2e6}, &Blackout{From: 500 * time.Millisecond, For: 300 * time.Millisecond, Every: 2 * time.Second}, delay(10)}
	}, limit: 40 * time.Second},
	{name: "all at once", up: func() []Node {
		return []Node{&Rate{BytesPerSecond: 4e6, Queue: 40 << 10}, &Loss{P: 0.01}, &Corrupt{P: 0.005}, &Duplicate{P: 0.05},
			&Delay{Base: 20 * time.Millisecond, Jitter: 5 * time.Millisecond}, &Reorder{P: 0.02, By: 8 * time.Millisecond}, &MTU{Max: 1350}}
	}, limit: 3 * time.Minute},
}

const (
	serverAddr = "198.51.100.1:443"
	clientAddr = "192.0.2.1:1000"
)

// duo is a client and a server with a link between them.
type duo struct {
	*World
	client, server *Host
	conn           *Conn
	app            *Peer // the client's
	peer           *Peer // the server's, once it is connected
	accepted       *Conn // the connection of peer
}

// newDuo makes a world of two. serve is what the server's Peer shall send.
func newDuo(t testing.TB, l *link, client Peer, serve Peer, edit func(c, s *HostConfig)) *duo {
	t.Helper()
	return newSeededDuo(t, Seed(t.Name()), l, client, serve, edit)
}

func newSeededDuo(t testing.TB, seed uint64, l *link, client Peer, serve Peer, edit func(c, s *HostConfig)) *duo {
	t.Helper()
	d := &duo{World: NewSeeded(t, seed)}
	up, down := l.nodes()
	sc := HostConfig{Addr: serverAddr, Serve: d.serve(serve)}
	cc := HostConfig{Addr: clientAddr, Up: up, Down: down}
	if edit != nil {
		edit(&cc, &sc)
	}
	d.server, d.client = d.NewHost(sc), d.NewHost(cc)
	d.app = &client
	d.conn = d.client.Dial(d.server, d.app)
	return d
}

// serve makes the server's Peers. What a network does to the first datagrams may make
// a server begin connections that lead nowhere: the one that counts is the one that is connected.
func (d *duo) serve(peer Peer) func() App {
	return func() App {
		p := peer
		p.OnConnected = func(c *Conn) { d.peer, d.accepted = &p, c }
		return &p
	}
}

// serverConn is the server's side of the connection.
func (d *duo) serverConn() *Conn {
	if d.accepted != nil {
		return d.accepted
	}
	if n := len(d.server.conns); n > 0 {
		return d.server.conns[n-1]
	}
	return nil
}

func (d *duo) connect(limit time.Duration) {
	d.tb.Helper()
	d.Until("handshake", limit, func() bool {
		return d.conn.Confirmed() && d.serverConn() != nil && d.serverConn().Confirmed()
	})
}

// finish closes the connection and waits until nothing is left of it.
func (d *duo) finish() {
	d.tb.Helper()
	d.finishIn(2 * time.Minute)
}

func (d *duo) finishIn(limit time.Duration) {
	d.tb.Helper()
	s := d.serverConn()
	d.conn.Close(7)
	d.Until("close", limit, func() bool { return d.conn.Gone() && s.Gone() })
	for _, c := range d.server.conns {
		d.Until("all connections are gone", time.Minute, c.Gone)
	}
	if n := d.server.endpoint.Counts(); n.Routes != 0 || n.ResetTokens != 0 || n.Pending != 0 {
		d.tb.Fatalf("%d routes, %d tokens, %d first flights are left", n.Routes, n.ResetTokens, n.Pending)
	}
	if n := d.client.endpoint.Counts(); n.Routes != 0 || n.ResetTokens != 0 {
		d.tb.Fatalf("client: %d routes, %d tokens are left", n.Routes, n.ResetTokens)
	}
}

func TestTransfers(t *testing.T) {
	size := full
	if testing.Short() {
		size = 2 * mb
	}
	for i := range links {
		l := &links[i]
		t.Run(l.name, func(t *testing.T) {
			t.Run("up", func(t *testing.T) {
				d := newDuo(t, l, Peer{Streams: 1, Size: size}, Peer{}, nil)
				d.Until("transfer", l.limit, func() bool { return d.app.Finished == 1 })
				if d.peer.Bytes != size {
					t.Errorf("%d bytes arrived", d.peer.Bytes)
				}
				report(t, d, size)
				d.finish()
			})
			t.Run("down", func(t *testing.T) {
				d := newDuo(t, l, Peer{}, Peer{Streams: 1, Size: size, Dir: quic.Uni, Buffers: true}, nil)
				d.Until("transfer", l.limit, func() bool { return d.app.Received == 1 })
				if d.app.Bytes != size {
					t.Errorf("%d bytes arrived", d.app.Bytes)
				}
				report(t, d, size)
				d.finish()
			})
		})
	}
}

func report(t *testing.T, d *duo, size uint64) {
	t.Helper()
	c := d.Counts()
	t.Logf("%v, %.2f MB/s, %d datagrams, %d dropped, %d steps; %s", d.Elapsed(), float64(size)/1e6/d.Elapsed().Seconds(), c.Sent, c.Dropped, c.Steps, d.Describe())
}
