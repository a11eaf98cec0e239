package recovery

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// modelPacket is a packet as the model knows it.
type modelPacket struct {
	pn        uint64
	space     wire.Space
	sent      time.Duration
	path      *Path
	size      int
	eliciting bool
	inFlight  bool
	probe     bool // of the MTU
	reported  bool // its frame was reported as lost
	acked     bool
	lost      bool
	gone      bool // with its space
}

// model is loss detection by the letter of RFC 9002, Appendix A, over a list of
// all packets that were ever sent.
type model struct {
	*world
	paths   []*Path
	packets []*modelPacket
	largest [wire.NumSpaces]*modelPacket
	dropped [wire.NumSpaces]bool
	nacked  int // packets that OnPacketAcked told of
}

func (m *model) find(space wire.Space, pn uint64) *modelPacket {
	for _, p := range m.packets {
		if p.space == space && p.pn == pn {
			return p
		}
	}
	m.t.Fatalf("packet %d of space %d was never sent", pn, space)
	return nil
}

func (m *model) OnFrameAcked(space wire.Space, pn uint64, f *Frame[int]) {
	m.world.OnFrameAcked(space, pn, f)
	if p := m.find(space, pn); !p.acked || p.lost {
		m.t.Fatalf("frame of packet %d acked: %+v", pn, p)
	}
}

func (m *model) OnFrameLost(space wire.Space, pn uint64, f *Frame[int]) {
	m.world.OnFrameLost(space, pn, f)
	p := m.find(space, pn)
	if p.acked || p.reported {
		m.t.Fatalf("frame of packet %d lost: %+v", pn, p)
	}
	p.reported = true
}

func (m *model) OnPacketAcked(space wire.Space, pn uint64, a *Acked) {
	p := m.find(space, pn)
	if p.acked || p.lost || p.gone || a.Size != p.size || a.Path != p.path {
		m.t.Fatalf("packet %d acked: %+v, %+v", pn, p, a)
	}
	p.acked = true
	m.nacked++
}

func (m *model) send(space wire.Space, path *Path, size int, eliciting, padded, probe bool) {
	if m.dropped[space] {
		return
	}
	p := &modelPacket{
		space: space, pn: m.rec.NextPN(space), sent: m.now, path: path, size: size,
		eliciting: eliciting, inFlight: eliciting || padded, probe: probe,
	}
	m.sendAs(space, Sent{Size: size, AckEliciting: eliciting, InFlight: p.inFlight, MTUProbe: probe, Path: path, HasAck: !eliciting})
	m.packets = append(m.packets, p)
}

// outstanding returns the packets of a space that are neither acked nor lost.
func (m *model) outstanding(space wire.Space) (ps []*modelPacket) {
	for _, p := range m.packets {
		if p.space == space && !p.acked && !p.lost && !p.gone {
			ps = append(ps, p)
		}
	}
	return ps
}

// ackSome acknowledges the packets that choose picks among those ever sent.
func (m *model) ackSome(space wire.Space, choose func(p *modelPacket) bool) {
	if m.dropped[space] {
		return
	}
	var pns []uint64
	var want []*modelPacket
	for _, p := range m.packets {
		if p.space == space && choose(p) {
			pns = append(pns, p.pn)
			if !p.acked && !p.lost && p.inFlight {
				want = append(want, p)
			}
		}
	}
	if len(pns) == 0 {
		return
	}
	before, grown := m.nacked, false
	last := m.find(space, pns[len(pns)-1])
	if l := m.largest[space]; l == nil || last.pn > l.pn {
		m.largest[space], grown = last, true
	}
	m.ackVia(space, pns)
	for _, p := range want {
		if !p.acked {
			m.t.Fatalf("packet %d was not acked", p.pn)
		}
	}
	if grown || m.nacked > before {
		m.detectLost(space)
	}
}

func (m *model) ackVia(space wire.Space, pns []uint64) {
	a := &ackFrame{}
	var rs []uint64
	rs = append(rs, pns...)
	w := m.world
	w.rec.ranges = w.rec.ranges[:0]
	for i := len(rs) - 1; i >= 0; i-- {
		n := len(w.rec.ranges)
		if n > 0 && w.rec.ranges[n-1].Start == rs[i]+1 {
			w.rec.ranges[n-1].Start = rs[i]
			continue
		}
		w.rec.ranges = append(w.rec.ranges, struct{ Start, End uint64 }{rs[i], rs[i] + 1})
	}
	a.largest = rs[len(rs)-1]
	if err := w.rec.handleAck(space, m.now, a, m); err != nil {
		m.t.Fatal(err)
	}
}

// detectLost is DetectAndRemoveLostPackets, with a packet threshold that does not count
// skipped numbers and holds for packets of one path. It believes the RTT.
func (m *model) detectLost(space wire.Space) {
	l := m.largest[space]
	if l == nil {
		return
	}
	for _, p := range m.outstanding(space) {
		if p.pn > l.pn || !p.inFlight {
			continue
		}
		d := l.pn - p.pn
		if space == wire.SpaceApp {
			for _, s := range m.rec.skips.pn {
				if s > p.pn && s < l.pn {
					d--
				}
			}
		}
		if d >= m.rec.threshold && p.path == l.path || p.sent+p.path.RTT.lossDelay() <= m.now {
			p.lost = true
			if p.eliciting && !p.reported {
				m.t.Fatalf("packet %d is lost, and its frame was not reported: %d behind, sent %v ago", p.pn, d, m.now-p.sent)
			}
		}
	}
}

// compare checks what is outstanding.
func (m *model) compare() {
	m.t.Helper()
	m.check()
	inFlight := map[*Path]int{}
	for space := range wire.Space(wire.NumSpaces) {
		eliciting := 0
		for _, p := range m.outstanding(space) {
			if p.eliciting {
				eliciting++
			}
			if p.inFlight {
				inFlight[p.path] += p.size
			}
		}
		if got := m.rec.Outstanding(space); got != eliciting {
			m.t.Fatalf("%d packets outstanding in space %d, want %d", got, space, eliciting)
		}
	}
	for _, p := range m.paths {
		if p.InFlight != inFlight[p] {
			m.t.Fatalf("%d bytes in flight, want %d", p.InFlight, inFlight[p])
		}
	}
}

// run does what the bytes say.
func (m *model) run(ops []byte) {
	next := func() byte {
		if len(ops) == 0 {
			return 0
		}
		b := ops[0]
		ops = ops[1:]
		return b
	}
	for len(ops) > 0 {
		op, arg := next(), next()
		space := wire.Space(arg % wire.NumSpaces)
		path := m.paths[int(arg>>2)%len(m.paths)]
		switch op % 16 {
		case 0, 1, 2, 3:
			for range arg%16 + 1 {
				m.send(wire.SpaceApp, path, 30+int(arg)*5, true, false, false)
			}
		case 4:
			m.send(space, path, 1200, true, false, false)
		case 5:
			m.send(space, path, 40, false, false, false)
		case 6:
			m.send(wire.SpaceApp, path, 1400, true, false, arg&16 != 0)
			m.send(wire.SpaceApp, path, 60, false, true, false)
		case 7: // an ACK of all
			m.ackSome(wire.SpaceApp, func(*modelPacket) bool { return true })
		case 8, 9: // an ACK with holes
			seed := uint32(next()) | 1
			m.ackSome(wire.SpaceApp, func(p *modelPacket) bool {
				return (uint32(p.pn)*2654435761*seed)>>28 >= uint32(arg%16)
			})
		case 10: // an ACK of an older state
			ps := m.packets
			if len(ps) > 0 {
				to := ps[int(arg)%len(ps)].pn
				m.ackSome(space, func(p *modelPacket) bool { return p.pn <= to })
			}
		case 11: // a few of the newest
			if l := m.rec.NextPN(wire.SpaceApp); l > uint64(arg%8) {
				m.ackSome(wire.SpaceApp, func(p *modelPacket) bool { return p.pn >= l-uint64(arg%8) })
			}
		case 12:
			m.now += time.Duration(arg) * time.Millisecond
		case 13:
			if d, ok := m.rec.Deadline(); ok && d < m.now+time.Hour {
				m.now = max(m.now, d)
			}
			m.timeout()
		case 14:
			m.rec.Requeue(wire.SpaceApp, int(arg%4), m)
		case 15:
			switch {
			case arg == 255 && space != wire.SpaceApp:
				m.rec.Discard(space)
				m.drop(space)
				m.dropped[space] = true
			case arg >= 250:
				m.rec.Abandon(space, m)
				m.drop(space)
				m.largest[space] = nil
			case arg == 0:
				m.rec.SetHandshakeConfirmed()
			case arg < 10:
				m.timeout()
			}
		}
		m.compare()
	}
	// In the end all is either acknowledged or lost.
	m.rec.SetHandshakeConfirmed()
	for space := range wire.Space(wire.NumSpaces) {
		m.ackSome(space, func(*modelPacket) bool { return true })
		m.compare()
		if n := m.rec.Outstanding(space); n > 0 {
			m.t.Fatalf("%d packets outstanding after all was acked", n)
		}
	}
	for range 2 { // memory may be let go of
		if d, ok := m.rec.Deadline(); ok {
			m.now = max(m.now, d)
			m.timeout()
		}
	}
	if d, ok := m.rec.Deadline(); ok {
		m.t.Fatalf("deadline %v with nothing outstanding", d)
	}
}

func (m *model) drop(space wire.Space) {
	for _, p := range m.packets {
		if p.space == space && !p.acked && !p.lost {
			p.gone = true
		}
	}
	// What is gone can be acknowledged, but that tells nothing.
	for _, p := range m.packets {
		if p.space == space {
			p.lost = p.lost || p.gone
		}
	}
}

// timeout calls HandleTimeout, due or not.
func (m *model) timeout() {
	m.t.Helper()
	d, ok := m.rec.Deadline()
	var due [wire.NumSpaces]bool
	loss := false
	for i := range m.rec.spaces {
		if l := m.rec.spaces[i].lossTime; l != 0 {
			loss = true
			due[i] = l <= m.now
		}
	}
	space, pto := m.rec.HandleTimeout(m.now, m)
	if pto && (!ok || d > m.now || loss) {
		m.t.Fatalf("PTO at %v of deadline %v, %v", m.now, d, ok)
	}
	if pto && m.rec.Probes(space) == 0 {
		m.t.Fatal("PTO without probes")
	}
	for i := range due {
		if due[i] {
			m.detectLost(wire.Space(i))
		}
	}
}

func newModel(t testing.TB, client bool) *model {
	m := &model{world: newWorld(t, client)}
	m.cc.quiet, m.quiet = true, true
	m.paths = []*Path{m.path, m.newPath(&fakeCC{window: 50 * mtu, quiet: true})}
	return m
}

func FuzzRecovery(f *testing.F) {
	f.Add(true, []byte{0, 15, 12, 100, 7, 0})
	f.Add(false, []byte{0, 15, 0, 15, 12, 50, 8, 3, 1, 12, 200, 13, 0, 8, 0, 3, 7, 0})
	f.Add(true, []byte{4, 0, 4, 1, 12, 255, 13, 0, 10, 0, 15, 255, 15, 0, 0, 15, 14, 2, 13, 0, 11, 1})
	f.Add(false, []byte{0, 15, 0, 11, 0, 6, 5, 2, 6, 16, 12, 30, 11, 2, 12, 90, 13, 0, 15, 251, 7, 0})
	for i := range uint64(20) {
		rng := rand.New(rand.NewPCG(i, 5))
		b := make([]byte, 300)
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		f.Add(i&1 == 0, b)
	}
	f.Fuzz(func(t *testing.T, client bool, ops []byte) {
		newModel(t, client).run(ops[:min(len(ops), 2000)])
	})
}
