package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// SeedVariable names the environment variable that sets the seed of all worlds:
// a number, or "random".
const SeedVariable = "FRITTATA_SIM_SEED"

// TB is what a World needs of a testing.TB.
type TB interface {
	Name() string
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// epoch is when all worlds begin.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// World is a network in virtual time. It is not safe for concurrent use.
type World struct {
	tb      TB
	seed    uint64
	rng     *rand.Rand
	now     time.Duration
	events  eventHeap
	hosts   []*Host
	routes  map[netip.AddrPort]func(*Packet)
	free    []*Packet
	trace   hash.Hash
	log     bool
	err     error
	counts  Counts
	buffers quic.BufferPool
}

// Counts are what happened to the datagrams of a world.
type Counts struct {
	Sent, Delivered, Dropped uint64
	Bytes                    uint64 // of those sent
	Steps                    uint64 // events
}

// New makes a world whose seed is that of the environment or, without, made of
// the test's name.
func New(tb TB) *World {
	tb.Helper()
	return NewSeeded(tb, Seed(tb.Name()))
}

// Seed returns the environment's seed or, without, one made of name.
func Seed(name string) uint64 {
	switch s := os.Getenv(SeedVariable); {
	case s == "random":
		return rand.Uint64()
	case s != "":
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			panic("sim: " + SeedVariable + " is not a number: " + err.Error())
		}
		return n
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// NewSeeded makes a world of that seed.
func NewSeeded(tb TB, seed uint64) *World {
	tb.Helper()
	tb.Logf("sim: %s=%#x", SeedVariable, seed)
	return &World{
		tb: tb, seed: seed, rng: rand.New(rand.NewPCG(seed, 0x66726974)),
		routes: make(map[netip.AddrPort]func(*Packet)),
		log:    os.Getenv(LogVariable) != "",
	}
}

// Now returns the virtual time.
func (w *World) Now() time.Time { return epoch.Add(w.now) }

// Elapsed returns the virtual time since the world began.
func (w *World) Elapsed() time.Duration { return w.now }

// Rand returns the world's randomness, for whoever composes one.
func (w *World) Rand() *rand.Rand { return w.rng }

// Counts returns what happened so far.
func (w *World) Counts() Counts { return w.counts }

// After has run called when d has passed.
func (w *World) After(d time.Duration, run func()) { w.events.push(w.now+max(d, 0), run) }

// Trace begins to hash all datagrams that hosts send from now on.
func (w *World) Trace() { w.trace = sha256.New() }

// TraceSum returns the hash of all datagrams that were sent since Trace, with
// their times, addresses and ECN marks.
func (w *World) TraceSum() [sha256.Size]byte { return [sha256.Size]byte(w.trace.Sum(nil)) }

// Fail ends the run at hand with an error. The first one counts.
func (w *World) Fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// Err returns what went wrong, nil if nothing did.
func (w *World) Err() error { return w.err }

// Step lets the next event happen. False: nothing will happen any more.
func (w *World) Step() bool {
	if len(w.events.list) == 0 {
		return false
	}
	e := w.events.pop()
	w.now = max(w.now, e.at)
	w.counts.Steps++
	e.run()
	return true
}

// Run lets time pass until goal holds, at most for limit. It returns what went
// wrong: an invariant, an application's complaint, or that time is up.
func (w *World) Run(limit time.Duration, goal func() bool) error {
	end := w.now + limit
	for w.err == nil && !goal() {
		if len(w.events.list) == 0 {
			return fmt.Errorf("nothing will happen any more after %v\n%s", w.now, w.Describe())
		}
		if w.events.list[0].at > end {
			w.now = end
			return fmt.Errorf("not within %v of virtual time\n%s", limit, w.Describe())
		}
		w.Step()
	}
	if w.err != nil {
		return fmt.Errorf("at %v: %w\n%s", w.now, w.err, w.Describe())
	}
	return nil
}

// Until is Run for tests: it fails them.
func (w *World) Until(what string, limit time.Duration, goal func() bool) {
	w.tb.Helper()
	if err := w.Run(limit, goal); err != nil {
		w.tb.Fatalf("%s: %v\n%s=%#x", what, err, SeedVariable, w.seed)
	}
}

// Pass lets d of virtual time pass.
func (w *World) Pass(d time.Duration) {
	w.tb.Helper()
	over := false
	w.After(d, func() { over = true })
	w.Until("time passes", d, func() bool { return over })
}

// Describe tells how all connections fare, for failures.
func (w *World) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "at %v: %d datagrams sent, %d delivered, %d dropped", w.now, w.counts.Sent, w.counts.Delivered, w.counts.Dropped)
	for _, h := range w.hosts {
		for _, c := range h.conns {
			s := c.Q.Stats()
			fmt.Fprintf(&b, "\n%v: connected %v, confirmed %v, error %v, next timer %v; sent %d, received %d, lost %d, spurious %d, dropped %d; PTOs %d, RTT %v, window %d, in flight %d, MTU %d, streams %d, paths changed %d",
				h.addr, c.Q.Connected(), c.Q.Confirmed(), c.Q.Err(), c.timer, s.PacketsSent, s.PacketsReceived, s.PacketsLost, s.PacketsSpuriousLost,
				s.PacketsDropped, s.PTOs, s.SmoothedRTT, s.CongestionWindow, s.BytesInFlight, s.PathMTU, c.Q.OpenStreams(), s.PathChanges)
		}
	}
	return b.String()
}

// packet takes a packet out of the pool and copies data to it.
func (w *World) packet(data []byte) *Packet {
	var p *Packet
	if n := len(w.free); n > 0 {
		p = w.free[n-1]
		w.free = w.free[:n-1]
	} else {
		p = new(Packet)
	}
	p.Data = append(p.Data[:0], data...)
	return p
}

// Clone copies a packet, for nodes that duplicate.
func (w *World) Clone(p *Packet) *Packet {
	q := w.packet(p.Data)
	q.Src, q.Dst, q.ECN, q.Follower = p.Src, p.Dst, p.ECN, p.Follower
	return q
}

// Drop loses a packet.
func (w *World) Drop(p *Packet) {
	w.counts.Dropped++
	w.logPacket("lost", p)
	w.free = append(w.free, p)
}

// send enters a datagram of a host.
func (w *World) send(src netip.AddrPort, dst netip.AddrPort, ecn quic.ECN, follower bool, data []byte, up []Node) {
	w.counts.Sent++
	w.counts.Bytes += uint64(len(data))
	if w.trace != nil {
		var head [20]byte
		binary.BigEndian.PutUint64(head[:], uint64(w.now))
		binary.BigEndian.PutUint64(head[8:], uint64(len(data)))
		head[16] = byte(ecn)
		binary.BigEndian.PutUint16(head[17:], dst.Port())
		w.trace.Write(head[:])
		w.trace.Write(data)
	}
	p := w.packet(data)
	p.Src, p.Dst, p.ECN, p.Follower = src, dst, ecn, follower
	w.logPacket("sent", p)
	w.pass(p, up, w.route)
}

// route hands a packet to whoever has its destination.
func (w *World) route(p *Packet) {
	if to, ok := w.routes[p.Dst]; ok {
		to(p)
		return
	}
	w.Drop(p)
}
