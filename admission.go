package frittata

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// Admission says when a server asks new clients to prove their address, and when it
// drops what they say, so that a flood of them starves no established
// connection. The decision comes before any cryptography is done for the client, be it
// the opening of a token. A client whose first flight was dropped says it again after a
// second or so. Besides what is here, [Config.MaxHandshakes] and [Config.MaxPending] count.
//
// A zero field means its default, a negative one: no limit.
type Admission struct {
	// RetryHandshakes is from how many half-open connections on, first flights
	// that wait for Accept included, clients get a Retry. Default: a quarter
	// of Config.MaxHandshakes, rounded up.
	RetryHandshakes int

	// RetryDelay and MaxDelay are about the time that handshakes wait for a
	// processor: from RetryDelay on clients get a Retry, default 100 ms;
	// from MaxDelay on their first flights are dropped, default 1 s. Time that
	// callbacks of tls.Config take is not of this kind.
	RetryDelay, MaxDelay time.Duration

	// RetryMemory and MaxMemory are about what half-open connections occupy,
	// in bytes: an estimate of 60 kB for each handshake, first flights that
	// wait, and packets that wait while a handshake is computed. From
	// RetryMemory on clients get a Retry, default a quarter of
	// MaxMemory; from MaxMemory on their first flights are dropped, default 128 MiB.
	RetryMemory, MaxMemory int
}

const (
	defaultRetryDelay    = 100 * time.Millisecond
	defaultMaxDelay      = time.Second
	defaultMaxMemory     = 128 << 20
	defaultRetryFraction = 4
	handshakeMemory      = 60_000   // of one handshake, mostly of crypto/tls
	halfOpenInboxBytes   = 64 << 10 // of one: a client that hears nothing has sent no more than its first window

)

// AdmissionCounts are what became of first flights, and why.
type AdmissionCounts struct {
	Accepted uint64 // they waited for Accept

	RetriedAlways     uint64 // RetryAlways
	RetriedHandshakes uint64 // Admission.RetryHandshakes
	RetriedDelay      uint64 // Admission.RetryDelay
	RetriedMemory     uint64 // Admission.RetryMemory

	DroppedHandshakes uint64 // Config.MaxHandshakes
	DroppedDelay      uint64 // Admission.MaxDelay
	DroppedMemory     uint64 // Admission.MaxMemory
	DroppedPending    uint64 // Config.MaxPending
	DroppedReplies    uint64 // a Retry was due, but there were too many replies in this second
}

// rung is a step of the ladder.
type rung uint8

const (
	rungAccept rung = iota
	rungRetry
	rungDrop
)

// admissionCause is why it is no lower one.
type admissionCause uint8

const (
	causePolicy admissionCause = iota
	causeHandshakes
	causeDelay
	causeMemory

	numAdmissionCauses
)

// pressure is what the ladder goes by.
type pressure struct {
	halfOpen int
	delay    time.Duration
	memory   int
}

// ladder has the limits of a Config: which pressure leads to which rung.
type ladder struct {
	policy      RetryPolicy
	retry, drop pressure
}

func newLadder(c *Config) ladder {
	a := c.Admission
	setDefault(&a.RetryHandshakes, (c.MaxHandshakes+defaultRetryFraction-1)/defaultRetryFraction)
	setDefault(&a.RetryDelay, defaultRetryDelay)
	setDefault(&a.MaxDelay, defaultMaxDelay)
	setDefault(&a.MaxMemory, defaultMaxMemory)
	unlimited(&a.MaxMemory, math.MaxInt)
	setDefault(&a.RetryMemory, a.MaxMemory/defaultRetryFraction)
	unlimited(&a.RetryHandshakes, math.MaxInt)
	unlimited(&a.RetryMemory, math.MaxInt)
	unlimited(&a.RetryDelay, math.MaxInt64)
	unlimited(&a.MaxDelay, math.MaxInt64)
	return ladder{
		policy: c.Retry,
		retry:  pressure{halfOpen: a.RetryHandshakes, delay: a.RetryDelay, memory: a.RetryMemory},
		drop:   pressure{halfOpen: c.MaxHandshakes, delay: a.MaxDelay, memory: a.MaxMemory},
	}
}

// unlimited makes a negative limit most, which is never reached.
func unlimited[T ~int | ~int64](p *T, most T) {
	if *p < 0 {
		*p = most
	}
}

// reached tells whether p has come to one of the limits, and to which.
func (limit *pressure) reached(p pressure) (admissionCause, bool) {
	switch {
	case p.halfOpen >= limit.halfOpen:
		return causeHandshakes, true
	case p.memory >= limit.memory:
		return causeMemory, true
	case p.delay >= limit.delay:
		return causeDelay, true
	}
	return 0, false
}

// decide tells what to do with a first flight. A client that is validated has
// answered a Retry and gets no other.
func (l *ladder) decide(p pressure, validated bool) (rung, admissionCause) {
	if cause, ok := l.drop.reached(p); ok {
		return rungDrop, cause
	}
	switch {
	case validated || l.policy == RetryNever:
		return rungAccept, 0
	case l.policy == RetryAlways:
		return rungRetry, causePolicy
	}
	if cause, ok := l.retry.reached(p); ok {
		return rungRetry, cause
	}
	return rungAccept, 0
}

// load is what the Transports of a group have in common: the limits of their Config are for all of them.
type load struct {
	conns      atomic.Int64 // that are not gone
	handshakes atomic.Int64 // of servers, under way
	flights    atomic.Int64 // first flights that wait for a decision
	pending    atomic.Int64 // their bytes
	inbox      atomic.Int64 // bytes that wait for handshakes
}

// memory is what half-open connections occupy, in bytes.
func (l *load) memory() int {
	return int(l.handshakes.Load()*handshakeMemory + l.pending.Load() + l.inbox.Load())
}

// pressure is what there is at the moment. It is called with epMu held.
func (t *Transport) pressure(now time.Time) pressure {
	return pressure{
		halfOpen: int(t.load.handshakes.Load() + t.load.flights.Load()),
		delay:    handshakeSlots.delay(now),
		memory:   t.load.memory(),
	}
}

// notePending brings the number of first flights and their memory up to date. It is called with epMu held.
func (t *Transport) notePending() {
	c := t.ep.Counts()
	flights, bytes := int64(c.Pending), int64(c.PendingBytes)
	t.load.flights.Add(flights - t.pendingFlights)
	t.load.pending.Add(bytes - t.pendingBytes)
	t.pendingFlights, t.pendingBytes = flights, bytes
}

// watch tells the endpoint what becomes of first flights at the moment, before it looks
// at datagrams that may begin connections: but for those that are accepted they are then decided on
// before anything is kept of them. It is called with epMu held.
func (t *Transport) watch(now time.Time) {
	l := t.listener
	t.flightCause, t.repliesHeld = 0, false
	switch {
	case l == nil && t.refusing, l != nil && t.full():
		t.flights = quic.RefuseFlights
	case l == nil:
		t.flights = quic.DropFlights
	default:
		var r rung
		r, t.flightCause = t.ladder.decide(t.pressure(now), false)
		t.flights = rungPolicies[r]
	}
	t.ep.SetFlights(t.flights)
}

var rungPolicies = [...]quic.FlightPolicy{rungAccept: quic.AskFlights, rungRetry: quic.RetryFlights, rungDrop: quic.DropFlights}

// holdReplies has first flights dropped that would be answered, for the rest of a batch that has had
// enough answers. It is called with epMu held.
func (t *Transport) holdReplies() {
	t.repliesHeld = true
	t.ep.SetFlights(quic.DropFlights)
}

// full tells whether Config.MaxConns is reached.
func (t *Transport) full() bool {
	return t.cfg.MaxConns > 0 && t.load.conns.Load() >= int64(t.cfg.MaxConns)
}

// noteDropped counts what the endpoint has dropped at once. It is called with epMu held.
func (t *Transport) noteDropped(now time.Time, remote netip.AddrPort, v *quic.Verdict) {
	switch v.Drop {
	case quic.DropPendingFull, quic.DropBusy, quic.DropRateLimited:
		t.turnedAway(now)
	default:
		return
	}
	switch {
	case v.Drop == quic.DropPendingFull:
		t.noteFlight(remote, FlightDropped)
	case v.Drop == quic.DropBusy && t.listener == nil:
		t.noteFlight(remote, FlightIgnored)
	case v.Drop == quic.DropBusy && t.repliesHeld:
		t.stats.droppedReplies.Add(1)
		t.noteFlight(remote, FlightDropped)
	case v.Drop == quic.DropBusy:
		t.dropped(t.flightCause)
		t.noteFlight(remote, FlightDropped)
	case v.Drop == quic.DropRateLimited && v.Answer == quic.AnswerRetry:
		t.stats.droppedReplies.Add(1)
		t.noteFlight(remote, FlightDropped)
	case v.Drop == quic.DropRateLimited && v.Answer == quic.AnswerRefusal:
		t.noteRefused()
		t.noteFlight(remote, FlightDropped)
	}
}

// noteAnswered counts what the endpoint has answered. It is called with epMu held.
func (t *Transport) noteAnswered(remote netip.AddrPort, v *quic.Verdict) {
	switch v.Answer {
	case quic.AnswerRetry:
		t.stats.retriedFlights[t.flightCause].Add(1)
		t.noteFlight(remote, FlightRetried)
	case quic.AnswerRefusal:
		t.noteRefused()
		t.noteFlight(remote, FlightRefused)
	}
}

// noteRefused counts a connection that Config.MaxConns has kept out.
func (t *Transport) noteRefused() {
	if t.listener != nil {
		t.stats.tooManyConns.Add(1)
	}
}

// dropped counts a first flight that the ladder dropped.
func (t *Transport) dropped(cause admissionCause) {
	t.stats.tooManyHandshakes.Add(1)
	t.stats.droppedFlights[cause].Add(1)
}

// incoming takes in a first flight that the endpoint does not decide about: that of a client which
// may be accepted. It is called with epMu held.
func (t *Transport) incoming(now time.Time, in *quic.Incoming, originalDst netip.AddrPort) {
	defer t.notePending()
	l := t.listener
	if l == nil { // it was closed since watch
		t.noteFlight(in.RemoteAddr(), FlightIgnored)
		t.ep.Ignore(in)
		return
	}
	p := t.pressure(now)
	t.notePending() // its bytes count, it does not
	p.memory = t.load.memory()
	r, cause := t.ladder.decide(p, in.Validated())
	switch {
	case r == rungDrop:
		// Its own bytes were too many. The client tries again, and later there may be room.
		t.dropped(cause)
	case l.push(now, t, in, originalDst):
		t.stats.acceptedFlights.Add(1)
		t.noteFlight(in.RemoteAddr(), FlightQueued)
		t.armPending(now)
		return
	default:
		t.stats.tooManyHandshakes.Add(1)
		t.stats.droppedPending.Add(1)
	}
	t.noteFlight(in.RemoteAddr(), FlightDropped)
	t.ep.Ignore(in)
}

// admission returns what the ladder has done.
func (n *counters) admission() AdmissionCounts {
	return AdmissionCounts{
		Accepted:          n.acceptedFlights.Load(),
		RetriedAlways:     n.retriedFlights[causePolicy].Load(),
		RetriedHandshakes: n.retriedFlights[causeHandshakes].Load(),
		RetriedDelay:      n.retriedFlights[causeDelay].Load(),
		RetriedMemory:     n.retriedFlights[causeMemory].Load(),
		DroppedHandshakes: n.droppedFlights[causeHandshakes].Load(),
		DroppedDelay:      n.droppedFlights[causeDelay].Load(),
		DroppedMemory:     n.droppedFlights[causeMemory].Load(),
		DroppedPending:    n.droppedPending.Load(),
		DroppedReplies:    n.droppedReplies.Load(),
	}
}
