package recovery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

const (
	ms  = time.Millisecond
	mtu = 1200
)

// fakeCC is a controller with a fixed window that keeps what it is told.
type fakeCC struct {
	window int
	rate   uint64
	slow   bool

	sent     int
	acks     []congestion.Ack
	losses   []congestion.Loss
	ecn      []congestion.ECN
	spurious []congestion.Spurious
	quiet    bool // keep nothing
}

func (c *fakeCC) Name() string            { return "fake" }
func (c *fakeCC) OnSent(*congestion.Sent) { c.sent++ }
func (c *fakeCC) OnAck(a *congestion.Ack) {
	if !c.quiet {
		c.acks = append(c.acks, *a)
	}
}
func (c *fakeCC) OnLoss(l *congestion.Loss) {
	if !c.quiet {
		c.losses = append(c.losses, *l)
	}
}
func (c *fakeCC) OnECN(e *congestion.ECN)           { c.ecn = append(c.ecn, *e) }
func (c *fakeCC) OnSpurious(s *congestion.Spurious) { c.spurious = append(c.spurious, *s) }
func (c *fakeCC) OnMTU(int)                         {}
func (c *fakeCC) Window() int                       { return c.window }
func (c *fakeCC) PacingRate() uint64                { return c.rate }
func (c *fakeCC) InSlowStart() bool                 { return c.slow }
func (c *fakeCC) State() congestion.State           { return congestion.State{} }

// world drives a Recovery whose frames are numbered: Off is the packet's number.
type world struct {
	t     testing.TB
	rec   Recovery[int]
	cc    *fakeCC
	path  *Path
	now   time.Duration
	acked []uint64 // packets, as OnPacketAcked tells
	lost  []uint64 // packets, as OnFrameLost tells
	probe []int    // sizes of MTU probes lost

	framesAcked int
	quiet       bool // keep nothing
}

func newWorld(t testing.TB, client bool) *world {
	w := &world{t: t, cc: &fakeCC{window: 1 << 20}}
	w.path = w.newPath(w.cc)
	w.rec.Init(client, rand.New(rand.NewPCG(1, 2)))
	w.rec.SetActive(w.path)
	return w
}

// newConfirmed is a world after its handshake, with an RTT of 100 ms, no
// variation, and nothing in flight.
func newConfirmed(t testing.TB) *world {
	w := newWorld(t, false)
	w.rec.SetHandshakeConfirmed()
	w.rec.Discard(wire.SpaceInitial)
	w.rec.Discard(wire.SpaceHandshake)
	w.setRTT(100 * ms)
	return w
}

func (w *world) setRTT(d time.Duration) {
	w.path.RTT = RTT{latest: d, smoothed: d, variation: 0, least: d, sampled: true}
}

func (w *world) newPath(cc congestion.Controller) *Path {
	p := &Path{}
	p.Init(cc, mtu, true, false)
	return p
}

func (w *world) OnFrameAcked(space wire.Space, pn uint64, f *Frame[int]) {
	if f.Off != pn || f.Stream != int(space)+1 {
		w.t.Errorf("frame of packet %d acked as one of %d, stream %d", f.Off, pn, f.Stream)
	}
	w.framesAcked++
}

func (w *world) OnFrameLost(space wire.Space, pn uint64, f *Frame[int]) {
	if f.Off != pn || f.Stream != int(space)+1 {
		w.t.Errorf("frame of packet %d lost as one of %d, stream %d", f.Off, pn, f.Stream)
	}
	if !w.quiet {
		w.lost = append(w.lost, pn)
	}
}

func (w *world) OnPacketAcked(_ wire.Space, pn uint64, _ *Acked) {
	if !w.quiet {
		w.acked = append(w.acked, pn)
	}
}

func (w *world) OnMTUProbeLost(_ *Path, size int) { w.probe = append(w.probe, size) }

// send sends a full ack-eliciting packet with one frame.
func (w *world) send(space wire.Space) uint64 {
	return w.sendAs(space, Sent{AckEliciting: true, InFlight: true, Size: mtu})
}

func (w *world) sendAs(space wire.Space, s Sent) uint64 {
	s.PN = w.rec.NextPN(space)
	s.Now = w.now
	if s.Path == nil {
		s.Path = w.path
	}
	if s.AckEliciting {
		w.rec.AddFrame(space, Frame[int]{Off: s.PN, Stream: int(space) + 1})
	}
	w.rec.OnSent(space, &s)
	return s.PN
}

// sendN sends n packets and returns their numbers.
func (w *world) sendN(space wire.Space, n int) []uint64 {
	pns := make([]uint64, n)
	for i := range pns {
		pns[i] = w.send(space)
	}
	return pns
}

// ack acknowledges packets.
func (w *world) ack(space wire.Space, pns ...uint64) error {
	return w.ackFrame(space, &ackFrame{}, pns...)
}

func (w *world) ackFrame(space wire.Space, a *ackFrame, pns ...uint64) error {
	var set ranges.Set
	for _, pn := range pns {
		set.Add(pn, pn+1)
	}
	a.largest = set[len(set)-1].End - 1
	slices.Reverse(set)
	w.rec.ranges = append(w.rec.ranges[:0], set...)
	err := w.rec.handleAck(space, w.now, a, w)
	w.check()
	return err
}

func (w *world) mustAck(space wire.Space, pns ...uint64) {
	w.t.Helper()
	if err := w.ack(space, pns...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) check() {
	w.t.Helper()
	if err := w.rec.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

// timeout waits for the deadline and handles it.
func (w *world) timeout() (wire.Space, bool) {
	w.t.Helper()
	d, ok := w.rec.Deadline()
	if !ok {
		w.t.Fatal("no deadline")
	}
	w.now = max(w.now, d)
	space, pto := w.rec.HandleTimeout(w.now, w)
	w.check()
	return space, pto
}

func (w *world) wantDeadline(want time.Duration) {
	w.t.Helper()
	if d, ok := w.rec.Deadline(); !ok || d != want {
		w.t.Fatalf("deadline is %v, %v; want %v", d, ok, want)
	}
}

func (w *world) wantLost(pns ...uint64) {
	w.t.Helper()
	if !slices.Equal(w.lost, pns) {
		w.t.Fatalf("lost %v, want %v", w.lost, pns)
	}
}

func wantEqual[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, want %v", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}
