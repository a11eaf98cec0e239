package recovery

import (
	"math/rand/v2"
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// Skeleton of the exported API: the signatures are the contract. All times are durations since the connection began.

// RTT is RFC 9002, Section 5.
type RTT struct{}

func (r *RTT) Latest() time.Duration   { panic("skeleton") }
func (r *RTT) Smoothed() time.Duration { panic("skeleton") } // 333 ms before the first sample
func (r *RTT) Min() time.Duration      { panic("skeleton") }
func (r *RTT) Var() time.Duration      { panic("skeleton") }
func (r *RTT) HasSample() bool         { panic("skeleton") }

// PTO is smoothed + max(4 var, 1 ms) + maxAckDelay.
func (r *RTT) PTO(maxAckDelay time.Duration) time.Duration { panic("skeleton") }

// Path is what recovery knows of one network path: RTT, congestion controller, pacer, bytes in flight, ECN validation (RFC 9000, Section 13.4.2), delivery rate.
type Path struct {
	RTT      RTT
	CC       congestion.Controller
	InFlight int // bytes
	// unexported
}

func (p *Path) Init(cc congestion.Controller, mtu int, pacing, ecn bool) { panic("skeleton") }

// SetMTU tells the controller and the pacer the size of full datagrams.
func (p *Path) SetMTU(size int) { panic("skeleton") }

// Window is how many bytes may be sent now by congestion control: max(0, CC.Window - InFlight).
func (p *Path) Window() int { panic("skeleton") }

// Release is when the pacer lets the next train go; 0 or <= now: at once. PacerBudget is how many bytes it lets go in one train now (at least one datagram if Release allows). Quantum: clamp(rate x 2 ms, 2 packets, 64 KiB); never waits while CC.Window <= quantum.
func (p *Path) Release(now time.Duration) time.Duration { panic("skeleton") }
func (p *Path) PacerBudget(now time.Duration) int       { panic("skeleton") }
func (p *Path) PacingRate() uint64                      { panic("skeleton") } // bytes per second, 0 unlimited

// ECT tells whether packets on the path are to be marked ECT(0) now.
func (p *Path) ECT() bool { panic("skeleton") }

// SetAppLimited tells that nothing more was there to send although the window allowed it.
func (p *Path) SetAppLimited() { panic("skeleton") }

// Frame is what is remembered of one frame of a packet. Kind's meaning is the caller's.
type Frame[S any] struct {
	Kind   uint8
	Fin    bool
	Len    uint32
	Off    uint64 // or a sequence number, a limit
	Stream S
}

// Sent describes a packet for OnSent.
type Sent struct {
	Now          time.Duration
	PN           uint64
	Size         int // bytes of UDP payload that it takes
	AckEliciting bool
	InFlight     bool // ack-eliciting or has PADDING
	MTUProbe     bool // its loss says nothing about congestion
	ECT          bool
	Path         *Path
	LargestAcked uint64 // that the ACK frame in it acknowledged, if HasAck
	HasAck       bool
}

// Handler learns what became of frames. Its methods must not call the Recovery, but for getters.
type Handler[S any] interface {
	OnFrameAcked(space wire.Space, pn uint64, f *Frame[S])
	OnFrameLost(space wire.Space, pn uint64, f *Frame[S])
	OnPacketAcked(space wire.Space, pn uint64, s *Acked) // once for each newly acked packet, before its frames
	OnMTUProbeLost(p *Path, size int)
}

// Acked tells of a packet.
type Acked struct {
	Size         int
	MTUProbe     bool
	Path         *Path
	LargestAcked uint64
	HasAck       bool
}

// Recovery is loss detection of the three packet number spaces (RFC 9002, Section 6 and Appendix A): packet and time threshold, PTO, persistent congestion, spurious losses undone, packet numbers skipped against optimistic ACKs. Sent packets are in a ring and frames in an arena: the steady state allocates nothing.
type Recovery[S any] struct{}

func (r *Recovery[S]) Init(client bool, rng *rand.Rand) { panic("skeleton") }

// SetActive tells the path whose RTT the timers use.
func (r *Recovery[S]) SetActive(p *Path)              { panic("skeleton") }
func (r *Recovery[S]) SetMaxAckDelay(d time.Duration) { panic("skeleton") } // the peer's
func (r *Recovery[S]) SetAckDelayExponent(e uint64)   { panic("skeleton") } // the peer's
func (r *Recovery[S]) SetHandshakeKeys()              { panic("skeleton") }
func (r *Recovery[S]) SetHandshakeComplete()          { panic("skeleton") }
func (r *Recovery[S]) SetHandshakeConfirmed()         { panic("skeleton") }

// SetPeerValidated: a client's peer has validated our address (RFC 9002, Section 6.2.2.1); a server sets SetAmplificationLimited while it cannot send: no PTO then.
func (r *Recovery[S]) SetAmplificationLimited(b bool, now time.Duration) { panic("skeleton") }

// NextPN returns the number for the space's next packet; PNLen in how many bytes to write it. In the App space it skips a number now and then; acking that is a violation.
func (r *Recovery[S]) NextPN(space wire.Space) uint64        { panic("skeleton") }
func (r *Recovery[S]) PNLen(space wire.Space, pn uint64) int { panic("skeleton") }

// AddFrame remembers a frame of the packet that is being built; ResetFrames forgets those of a packet that is not sent after all; OnSent ends the packet.
func (r *Recovery[S]) AddFrame(space wire.Space, f Frame[S]) { panic("skeleton") }
func (r *Recovery[S]) ResetFrames(space wire.Space)          { panic("skeleton") }
func (r *Recovery[S]) OnSent(space wire.Space, s *Sent)      { panic("skeleton") }

// HandleAck takes an ACK frame. Work is bounded by what is outstanding, not by the frame. Errors are *wire.Error (PROTOCOL_VIOLATION for packets never sent, or skipped).
func (r *Recovery[S]) HandleAck(space wire.Space, now time.Duration, a *wire.Ack, h Handler[S]) error {
	panic("skeleton")
}

// Deadline is the earliest of loss time and PTO; ok false: none. HandleTimeout, at or after it, declares losses, or makes probes due.
func (r *Recovery[S]) Deadline() (time.Duration, bool) { panic("skeleton") }

// HandleTimeout returns ptoSpace and true if a probe timeout fired: Probes(space) is then 2 (1 in Initial and Handshake), and the caller sends that many ack-eliciting packets beyond the window, new data, or what Requeue gives, or PING.
func (r *Recovery[S]) HandleTimeout(now time.Duration, h Handler[S]) (space wire.Space, pto bool) {
	panic("skeleton")
}
func (r *Recovery[S]) Probes(space wire.Space) int { panic("skeleton") } // decremented by OnSent of ack-eliciting packets
func (r *Recovery[S]) PTOCount() int               { panic("skeleton") } // in a row

// Requeue reports the frames of the oldest unacked ack-eliciting packets (up to n) by OnFrameLost, without declaring the packets lost: for probes that have nothing new to carry.
func (r *Recovery[S]) Requeue(space wire.Space, n int, h Handler[S]) { panic("skeleton") }

// Discard forgets the space (keys dropped): its bytes leave InFlight, nothing is reported.
func (r *Recovery[S]) Discard(space wire.Space) { panic("skeleton") }

// ResetForRetry forgets the Initial space's packets, reporting their frames as lost, and keeps counting packet numbers (RFC 9000, Section 17.2.5.3).
func (r *Recovery[S]) ResetForRetry(h Handler[S]) { panic("skeleton") }

// Outstanding is the number of ack-eliciting packets in flight in the space.
func (r *Recovery[S]) Outstanding(space wire.Space) int             { panic("skeleton") }
func (r *Recovery[S]) LargestAcked(space wire.Space) (uint64, bool) { panic("skeleton") }
func (r *Recovery[S]) LastAckElicitingSent() time.Duration          { panic("skeleton") }

// Counts of packets, all spaces.
type Counts struct{ Lost, LostBytes, SpuriousLost, PTOs, PersistentCongestion uint64 }

func (r *Recovery[S]) Counts() Counts { panic("skeleton") }

// CheckInvariants returns what is wrong inside (InFlight of each path is the sum of its packets, ...), for tests. S.
func (r *Recovery[S]) CheckInvariants() error { panic("skeleton") }

// AckTracker is what one packet number space received and has to acknowledge (RFC 9000, Section 13.2). It keeps at most 64 ranges, the newest.
type AckTracker struct{}

func (a *AckTracker) Init(space wire.Space, maxAckDelay time.Duration) { panic("skeleton") }

// Duplicate tells whether pn was received before, or is older than what is remembered.
func (a *AckTracker) Duplicate(pn uint64) bool { panic("skeleton") }

// OnReceived takes a packet that was processed. ecn is the mark of its datagram. outOfOrder packets and CE marks are acked at once; else every second ack-eliciting packet makes an ACK due, or maxAckDelay; Initial and Handshake: at once.
func (a *AckTracker) OnReceived(pn uint64, now time.Duration, ackEliciting bool, ecn uint8) {
	panic("skeleton")
}

// Next is one more than the largest packet number received.
func (a *AckTracker) Next() uint64 { panic("skeleton") }

// Pending tells whether there is anything that could be acked (an ack-eliciting packet since the last ACK); Due whether it has to be now.
func (a *AckTracker) Pending() bool                   { panic("skeleton") }
func (a *AckTracker) Due(now time.Duration) bool      { panic("skeleton") }
func (a *AckTracker) Deadline() (time.Duration, bool) { panic("skeleton") }

// Ranges are ascending, newest last. Delay is how long the largest waits, ECN the counts (nil if no marks came).
func (a *AckTracker) Ranges() []ranges.Range                { panic("skeleton") }
func (a *AckTracker) Delay(now time.Duration) time.Duration { panic("skeleton") }
func (a *AckTracker) ECN() *wire.ECNCounts                  { panic("skeleton") }

// OnAckSent: an ACK frame went out. OnAckAcked: the peer has one that acknowledged up to largest: older ranges need not be told again.
func (a *AckTracker) OnAckSent()                { panic("skeleton") }
func (a *AckTracker) OnAckAcked(largest uint64) { panic("skeleton") }
