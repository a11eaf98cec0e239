package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// The worlds of this file have a server whose processor takes 5 µs for a packet,
// 5 µs for an answer that needs no connection, and 300 µs for a handshake, some connections that were there before, and a
// flood. What is asked for is that those connections go on as if nothing was.

const (
	floodConns = 4
	floodQuiet = time.Second
	floodSpan  = 2 * time.Second
	floodKeeps = 0.9  // of the goodput before
	retryRate  = 9000 // a second: a little less than the default of EndpointConfig.ReplyRate
)

// floodRate is the rate of each connection's link, in bytes a second.
var floodRate = scaled(5_000_000)

// scaled makes less of a number where the race detector makes all much slower.
func scaled(n int) int {
	if raceEnabled {
		return n / 10
	}
	return n
}

// ladder admits as package frittata does: first flights are accepted while few
// handshakes are under way, then only with a proof of the address, and dropped
// when there are too many.
type ladder struct {
	w             *World
	server        *Host
	maxHandshakes int
	seen          int           // of server.conns
	half          []*Conn       // handshakes under way
	peak          int           // most of those
	credit        float64       // Retries that may be sent
	credited      time.Duration // when that was
	accepted      int
	retried       int
	ignored       int
}

func (l *ladder) admit(in *quic.Incoming) Admission {
	l.half = append(l.half, l.server.conns[l.seen:]...)
	l.seen = len(l.server.conns)
	l.half = slices.DeleteFunc(l.half, func(c *Conn) bool { return c.Q.Err() != nil || !c.Q.IO().Handshaking() })
	l.peak = max(l.peak, len(l.half))
	switch {
	case len(l.half) >= l.maxHandshakes:
		l.ignored++
		return Ignore
	case len(l.half) >= (l.maxHandshakes+3)/4 && !in.Validated():
		// The Endpoint would send so many, and no more.
		l.credit = min(l.credit+(l.w.now-l.credited).Seconds()*retryRate, retryRate/20)
		l.credited = l.w.now
		if l.credit < 1 {
			l.ignored++
			return Ignore
		}
		l.credit--
		l.retried++
		return Retry
	}
	l.accepted++
	return Accept
}

// flooded is a world with a server, connections that are busy, and a flood to come.
type flooded struct {
	*World
	server *Host
	ladder *ladder
	conns  []*Conn
	peers  []*Peer // the clients'
	serve  []*Peer // the server's
	rng    *rand.Rand
	sent   int // datagrams of the flood
}

// newFlooded makes the connections: half of them send, the other half receive, and
// each has a link of its own.
func newFlooded(t *testing.T) *flooded {
	w := New(t)
	f := &flooded{World: w, rng: w.Rand(), ladder: &ladder{w: w, maxHandshakes: 256}}
	f.server = w.NewHost(HostConfig{
		Addr: serverAddr, CheckEvery: 256,
		Serve: func() App {
			p := &Peer{}
			p.OnConnected = func(*Conn) { f.serve = append(f.serve, p) }
			return p
		},
		Admit: f.ladder.admit,
	})
	f.ladder.server = f.server
	for i := range floodConns {
		p := &Peer{Streams: 1, Size: 1 << 40, Dir: quic.Uni}
		c := w.NewHost(HostConfig{
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 1000).String(), CheckEvery: 256,
			Up:   []Node{&Rate{BytesPerSecond: floodRate, Queue: floodRate / 20}, delay(10)},
			Down: []Node{&Rate{BytesPerSecond: floodRate, Queue: floodRate / 20}, delay(10)},
		})
		if i%2 == 1 {
			p = &Peer{}
		}
		f.peers = append(f.peers, p)
		f.conns = append(f.conns, c.Dial(f.server, p))
		w.Until("handshake", time.Second, func() bool { return len(f.serve) == i+1 })
		if i%2 == 1 {
			s := f.serve[i]
			s.Streams, s.Size, s.Dir = 1, 1<<40, quic.Uni
		}
	}
	// Slow start is over, and its losses are made good.
	w.Pass(2 * time.Second)
	return f
}

// moved is what each connection brought so far.
func (f *flooded) moved() (b [floodConns]uint64) {
	for i := range b {
		b[i] = f.peers[i].Bytes + f.serve[i].Bytes
	}
	return b
}

// flood has a datagram come rate times a second, whose bytes and source make
// makes. It goes to the server's own link, like all from the world.
func (f *flooded) flood(rate int, make func() (src netip.AddrPort, data []byte)) (stop func()) {
	stopped := false
	var next func()
	next = func() {
		if stopped {
			return
		}
		src, data := make()
		f.sent++
		p := f.packet(data)
		p.Src, p.Dst = src, f.server.addr
		f.route(p)
		f.After(time.Second/time.Duration(rate), next)
	}
	f.After(0, next)
	return func() { stopped = true }
}

// check compares what the connections bring without the flood and within it.
func (f *flooded) check(t *testing.T, rate int, make func() (netip.AddrPort, []byte)) {
	t.Helper()
	rate0 := f.goodput(floodQuiet)
	stop := f.flood(rate, make)
	rate1 := f.goodput(floodSpan)
	stop()
	dropped := f.server.InboxDropped
	for i := range rate0 {
		kept := rate1[i] / rate0[i]
		t.Logf("connection %d: %.2f MB/s before, %.2f within: %.3f", i, rate0[i]/1e6, rate1[i]/1e6, kept)
		if kept < floodKeeps {
			t.Errorf("connection %d keeps %.2f of its goodput", i, kept)
		}
		if rate0[i] < 0.6*float64(floodRate) {
			t.Errorf("connection %d brings only %.2f MB/s before the flood", i, rate0[i]/1e6)
		}
		if f.conns[i].Closed() {
			t.Errorf("connection %d: %v", i, f.conns[i].Q.Err())
		}
	}
	n := f.server.endpoint.Counts()
	t.Logf("%d datagrams of the flood; %d found the socket's buffer full; accepted %d, retried %d, ignored %d, at most %d handshakes at once; %+v",
		f.sent, dropped, f.ladder.accepted, f.ladder.retried, f.ladder.ignored, f.ladder.peak, n)
	if f.sent < rate*int(floodSpan/time.Second)*9/10 {
		t.Errorf("the flood was of %d datagrams", f.sent)
	}
	if n.Pending > 0 || n.PendingBytes > 0 {
		t.Errorf("%d first flights of %d bytes wait, after each was decided on", n.Pending, n.PendingBytes)
	}
	if f.ladder.peak > f.ladder.maxHandshakes {
		t.Errorf("%d handshakes under way", f.ladder.peak)
	}
}

// ebb checks that nothing is left of a flood when its handshakes have timed out.
func (f *flooded) ebb(t *testing.T) {
	t.Helper()
	for _, c := range f.conns {
		c.Close(0)
	}
	f.Until("the end of all connections", time.Minute, func() bool {
		return !slices.ContainsFunc(f.server.conns, func(c *Conn) bool { return !c.Gone() })
	})
	if n := f.server.endpoint.Counts(); n.Routes != 0 || n.ResetTokens != 0 || n.Pending != 0 {
		t.Errorf("%d routes, %d reset tokens and %d first flights are left", n.Routes, n.ResetTokens, n.Pending)
	}
}

// goodput lets d pass and returns the bytes a second of each connection.
func (f *flooded) goodput(d time.Duration) (rate [floodConns]float64) {
	from := f.moved()
	f.Pass(d)
	to := f.moved()
	for i := range rate {
		rate[i] = float64(to[i]-from[i]) / d.Seconds()
	}
	return rate
}

// spoofed is an address that does not answer.
func (f *flooded) spoofed() netip.AddrPort {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|f.rng.Uint32()>>8)
	return netip.AddrPortFrom(netip.AddrFrom4(a), uint16(1024+f.rng.IntN(60000)))
}

// junk is n random bytes, behind a given first one.
func (f *flooded) junk(first byte, n int) []byte {
	b := make([]byte, n)
	_, _ = randReader{f.rng}.Read(b)
	b[0] = first
	return b
}

// firstFlight is the first datagram of a client's own making.
func (f *flooded) firstFlight() []byte {
	cfg := *FakeConfig()
	cfg.Rand = randReader{f.rng}
	c, err := quic.Connect(f.Now(), &cfg, f.server.addr, "sim.example")
	if err != nil {
		f.tb.Fatalf("connect: %v", err)
	}
	buf := make([]byte, 2048)
	tr, ok := c.IO().Transmit(f.Now(), buf, 1)
	if !ok {
		f.tb.Fatalf("a client has nothing to send")
	}
	return buf[:tr.N]
}

func TestFloodOfJunk(t *testing.T) {
	for _, kind := range []string{"short", "long", "tiny", "any"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newFlooded(t)
			f.check(t, scaled(100_000), func() (netip.AddrPort, []byte) {
				b := f.junk(byte(f.rng.Uint32()), 1+f.rng.IntN(300))
				switch kind {
				case "short":
					b[0] &^= 0x80 // also to IDs that no connection has
				case "long":
					b[0] |= 0x80
				case "tiny":
					b = b[:min(len(b), 20)]
				}
				return f.spoofed(), b
			})
			n := f.server.endpoint.Counts()
			if most := uint64(100 * (floodSpan + floodQuiet).Seconds()); n.StatelessResets > most {
				t.Errorf("%d stateless resets", n.StatelessResets)
			}
			if got := len(f.server.conns); got != floodConns {
				t.Errorf("%d connections", got)
			}
			f.ebb(t)
		})
	}
}

// Packets with the IDs of live connections, which only decryption finds out.
func TestFloodOfForgedPackets(t *testing.T) {
	f := newFlooded(t)
	var ids [][]byte
	f.server.cfg.Down = []Node{Func(func(_ *World, p *Packet, next Next) {
		if len(ids) < 100 && p.Data[0]&0x80 == 0 {
			ids = append(ids, slices.Clone(p.Data[1:9]))
		}
		next(p)
	})}
	f.Pass(100 * time.Millisecond)
	f.check(t, scaled(50_000), func() (netip.AddrPort, []byte) {
		b := f.junk(0x40|byte(f.rng.Uint32())&0x3f, 40+f.rng.IntN(100))
		copy(b[1:], ids[f.rng.IntN(len(ids))])
		return f.spoofed(), b
	})
	for _, c := range f.server.conns {
		if got := c.Q.Stats().PathChanges; got > 0 {
			t.Errorf("%d changes of path", got)
		}
	}
	f.ebb(t)
}

// Unknown versions are answered, but at a bounded rate, and no more is sent than came.
func TestFloodOfUnknownVersions(t *testing.T) {
	f := newFlooded(t)
	f.check(t, scaled(100_000), func() (netip.AddrPort, []byte) {
		b := f.junk(0xc0, 1200)
		binary.BigEndian.PutUint32(b[1:], 0xbabababa)
		b[5], b[14] = 8, 8
		return f.spoofed(), b
	})
	n := f.server.endpoint.Counts()
	if n.VersionNegotiations == 0 {
		t.Error("no Version Negotiation was sent")
	}
	if most := uint64(10_000*floodSpan.Seconds()) + 1000; n.VersionNegotiations > most {
		t.Errorf("%d Version Negotiations", n.VersionNegotiations)
	}
	f.ebb(t)
}

// First flights from addresses that do not answer.
func TestFloodOfInitials(t *testing.T) {
	for kind, rate := range map[string]int{"all new": 20_000, "copies of one": 100_000} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newFlooded(t)
			one := f.firstFlight()
			f.check(t, scaled(rate), func() (netip.AddrPort, []byte) {
				if kind == "all new" {
					return f.spoofed(), f.firstFlight()
				}
				return f.spoofed(), one
			})
			if f.ladder.accepted > floodConns+f.ladder.maxHandshakes {
				t.Errorf("%d handshakes for addresses that nobody has", f.ladder.accepted)
			}
			f.ebb(t)
		})
	}
}

// A client that receives at its address gets in while others flood.
func TestConnectWithinFlood(t *testing.T) {
	f := newFlooded(t)
	stop := f.flood(scaled(4000), func() (netip.AddrPort, []byte) { return f.spoofed(), f.firstFlight() })
	f.Pass(time.Second)
	p := &Peer{Streams: 1, Size: 100_000}
	f.NewHost(HostConfig{Addr: "192.0.2.77:1000", Up: []Node{delay(10)}, Down: []Node{delay(10)}}).Dial(f.server, p)
	f.Until("a transfer of a new client", 10*time.Second, func() bool { return p.Finished == 1 })
	stop()
	if f.ladder.retried == 0 {
		t.Error("nobody had to prove an address")
	}
	f.ebb(t)
}

// Many clients that do receive at their addresses begin a handshake and leave
// it at that: they hold as many handshakes as there may be.
func TestFloodOfSlowHandshakes(t *testing.T) {
	f := newFlooded(t)
	n := 0
	begin := func() {
		n++
		// Once without a token and once with one, and nothing more.
		first, answered := true, false
		up := Func(func(w *World, p *Packet, next Next) {
			token := hasToken(p.Data)
			if !first && (!token || answered) {
				w.Drop(p)
				return
			}
			first, answered = false, answered || token
			next(p)
		})
		f.NewHost(HostConfig{
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, byte(n >> 8), byte(n)}), 1000).String(), CheckEvery: 256,
			Up: []Node{up, delay(5)}, Down: []Node{delay(5)},
		}).Dial(f.server, None{})
	}
	stopped := false
	var next func()
	next = func() {
		if !stopped {
			begin()
			f.After(time.Second/time.Duration(scaled(2000)), next)
		}
	}
	before := f.goodput(floodQuiet)
	f.After(0, next)
	within := f.goodput(floodSpan)
	stopped = true
	for i := range before {
		if kept := within[i] / before[i]; kept < floodKeeps {
			t.Errorf("connection %d keeps %.2f of its goodput", i, kept)
		}
	}
	l := f.ladder
	t.Logf("before %.0f, within %.0f; %d clients, accepted %d, retried %d, ignored %d, at most %d handshakes at once",
		before, within, n, l.accepted, l.retried, l.ignored, l.peak)
	if l.peak > l.maxHandshakes {
		t.Errorf("%d handshakes under way", l.peak)
	}
	if l.retried == 0 || l.ignored == 0 && !raceEnabled {
		t.Errorf("%d Retries, %d ignored: the flood was too small", l.retried, l.ignored)
	}
	f.ebb(t)
}

// hasToken tells whether a datagram begins with an Initial that has a token.
func hasToken(b []byte) bool {
	if b[0]&0xf0 != 0xc0 {
		return false
	}
	at := 6 + int(b[5])
	at += 1 + int(b[at])
	return b[at] != 0
}
