package sim

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestEventsAreInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h eventHeap
	type key struct {
		at time.Duration
		n  int
	}
	var want, got []key
	for i := range 2000 {
		k := key{time.Duration(r.IntN(50)), i}
		want = append(want, k)
		h.push(k.at, func() { got = append(got, k) })
	}
	slices.SortStableFunc(want, func(a, b key) int { return int(a.at - b.at) })
	for len(h.list) > 0 {
		e := h.pop()
		e.run()
	}
	if !slices.Equal(got, want) {
		t.Error("events out of order")
	}
}

// arrival is when a packet came out of nodes.
type arrival struct {
	at   time.Duration
	n    byte
	size int
	ecn  quic.ECN
}

// through sends packets of size bytes through nodes, one each gap.
func through(t *testing.T, nodes []Node, n, size int, gap time.Duration) (out []arrival, w *World) {
	w = New(t)
	for i := range n {
		w.After(time.Duration(i)*gap, func() {
			p := w.packet(make([]byte, size))
			p.Data[0], p.ECN = byte(i), quic.ECT0
			w.pass(p, nodes, func(p *Packet) {
				out = append(out, arrival{w.now, p.Data[0], len(p.Data), p.ECN})
				w.free = append(w.free, p)
			})
		})
	}
	for w.Step() {
	}
	return out, w
}

func TestNodes(t *testing.T) {
	const ms = time.Millisecond
	t.Run("loss", func(t *testing.T) {
		if out, w := through(t, []Node{&Loss{P: 0.3}}, 10000, 100, ms); len(out) < 6700 || len(out) > 7300 || int(w.counts.Dropped) != 10000-len(out) {
			t.Errorf("%d of 10000 came through", len(out))
		}
	})
	t.Run("burst loss", func(t *testing.T) {
		// Bad for a fifth of the time, in runs of ten.
		out, _ := through(t, []Node{&BurstLoss{ToBad: 0.025, ToGood: 0.1, LossBad: 1}}, 20000, 100, ms)
		runs := 0
		for i := 1; i < len(out); i++ {
			if out[i].at-out[i-1].at > ms {
				runs++
			}
		}
		lost := 20000 - len(out)
		if lost < 3000 || lost > 5000 || lost/runs < 8 || lost/runs > 12 {
			t.Errorf("%d of 20000 were lost in %d runs", lost, runs)
		}
	})
	t.Run("delay", func(t *testing.T) {
		out, _ := through(t, []Node{&Delay{Base: 10 * ms, Jitter: 5 * ms}}, 200, 100, ms)
		for i, a := range out {
			if d := a.at - time.Duration(i)*ms; a.n != byte(i) || d < 10*ms || d > 15*ms {
				t.Fatalf("packet %d came as number %d after %v", a.n, i, d)
			}
		}
	})
	t.Run("reorder", func(t *testing.T) {
		out, _ := through(t, []Node{&Reorder{P: 0.1, By: 3500 * time.Microsecond}}, 200, 100, ms)
		late := 0
		for i := 1; i < len(out); i++ {
			if out[i].n < out[i-1].n {
				late++
			}
		}
		if len(out) != 200 || late < 8 || late > 35 {
			t.Errorf("%d of %d came late", late, len(out))
		}
	})
	t.Run("duplicate", func(t *testing.T) {
		if out, _ := through(t, []Node{&Duplicate{P: 0.5}}, 1000, 100, ms); len(out) < 1400 || len(out) > 1600 {
			t.Errorf("%d came of 1000", len(out))
		}
	})
	t.Run("corrupt", func(t *testing.T) {
		changed := 0
		seen := Func(func(_ *World, p *Packet, next Next) {
			for _, b := range p.Data[1:] {
				if b != 0 {
					changed++
					break
				}
			}
			next(p)
		})
		if through(t, []Node{&Corrupt{P: 0.5}, seen}, 1000, 100, ms); changed < 400 || changed > 600 {
			t.Errorf("%d changed of 1000", changed)
		}
	})
	t.Run("MTU", func(t *testing.T) {
		for size, want := range map[int]int{1200: 10, 1201: 0} {
			if out, _ := through(t, []Node{&MTU{Max: 1200}}, 10, size, ms); len(out) != want {
				t.Errorf("%d packets of %d bytes came through", len(out), size)
			}
		}
	})
	t.Run("blackout", func(t *testing.T) {
		out, _ := through(t, []Node{&Blackout{From: 20 * ms, For: 10 * ms, Every: 40 * ms}}, 100, 100, ms)
		if len(out) != 80 || slices.ContainsFunc(out, func(a arrival) bool { return a.n >= 20 && a.n < 30 || a.n >= 60 && a.n < 70 }) {
			t.Errorf("%d came through", len(out))
		}
	})
	t.Run("rate", func(t *testing.T) {
		// A burst of 20 packets of 1000 bytes into a queue of 10.
		n := &Rate{BytesPerSecond: 1e6, Queue: 10000}
		out, _ := through(t, []Node{n}, 20, 1000-ipOverhead, 0)
		if len(out) != 11 || n.Lost != 9 || n.Peak() != 10000 {
			t.Fatalf("%d came through, %d lost, at most %d bytes waited", len(out), n.Lost, n.Peak())
		}
		for i, a := range out {
			if a.at != time.Duration(i+1)*ms {
				t.Errorf("packet %d after %v", i, a.at)
			}
		}
	})
	t.Run("CoDel", func(t *testing.T) {
		// Ten percent more than the link takes: the queue stands, and packets are marked ever more often.
		n := &Rate{BytesPerSecond: 1e6, Queue: 1 << 20, CoDel: true}
		out, _ := through(t, []Node{n}, 3000, 1000-ipOverhead, 909*time.Microsecond)
		first := slices.IndexFunc(out, func(a arrival) bool { return a.ecn == quic.CE })
		if len(out) != 3000 || n.Marked < 20 || n.Lost != 0 || out[first].at < codelInterval {
			t.Errorf("%d came through, %d marked, the first at %v", len(out), n.Marked, out[first].at)
		}
		// Less than the link takes: nothing is marked.
		n = &Rate{BytesPerSecond: 1e6, CoDel: true}
		if through(t, []Node{n}, 3000, 1000-ipOverhead, 1010*time.Microsecond); n.Marked != 0 {
			t.Errorf("%d marked without a queue", n.Marked)
		}
	})
	t.Run("bleach", func(t *testing.T) {
		if out, _ := through(t, []Node{Bleach{}}, 1, 100, ms); out[0].ecn != quic.NotECT {
			t.Error("the mark is still there")
		}
	})
}

func TestNAT(t *testing.T) {
	w := New(t)
	nat := NewNAT("203.0.113.9:5000")
	h := w.NewHost(HostConfig{Addr: clientAddr, NAT: nat})
	var from netip.AddrPort
	server := netip.MustParseAddrPort(serverAddr)
	w.routes[server] = func(p *Packet) { from = p.Src }
	back := func(to netip.AddrPort) bool {
		p := w.packet([]byte{1})
		p.Src, p.Dst = server, to
		n := len(h.inbox)
		w.route(p)
		return len(h.inbox) == n+1 && h.inbox[n].Dst == h.addr
	}
	if back(nat.Outside()) {
		t.Error("a packet came in before one went out")
	}
	w.send(h.addr, server, 0, false, []byte{1}, h.cfg.Up)
	if from != nat.Outside() || !back(nat.Outside()) {
		t.Errorf("came from %v", from)
	}
	old := nat.Outside()
	nat.RebindAddr()
	w.send(h.addr, server, 0, false, []byte{1}, h.cfg.Up)
	if from == old || from != nat.Outside() || !back(from) || back(old) {
		t.Errorf("after rebinding it came from %v", from)
	}
}

// What comes while the processor is busy waits, and each packet takes its time.
func TestProcessor(t *testing.T) {
	w := New(t)
	h := w.NewHost(HostConfig{Addr: serverAddr, Serve: Sink, PacketCost: 100 * time.Microsecond})
	for range 3 * batchSize {
		p := w.packet(make([]byte, 50)) // no QUIC: dropped, but read
		p.Dst = h.addr
		w.route(p)
	}
	for w.Step() {
	}
	// The third batch is read when two were processed.
	if least := 2 * batchSize * 100 * time.Microsecond; w.Elapsed() < least || w.Elapsed() > least+10*time.Millisecond {
		t.Errorf("the last batch was read at %v", w.Elapsed())
	}
	if h.busy < 3*batchSize*100*time.Microsecond {
		t.Errorf("the processor was busy until %v", h.busy)
	}
}

func TestSummary(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		b := make([]byte, r.IntN(60))
		for i := range b {
			b[i] = byte(r.Uint64())
		}
		if len(b) > 5 && r.IntN(2) == 0 {
			b[0] |= 0x80
			copy(b[1:], []byte{0, 0, 0, 1})
		}
		Summary(b) // of whatever: no panic, and it ends
	}
}
