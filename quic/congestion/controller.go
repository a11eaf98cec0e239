package congestion

import (
	"math"
	"time"
)

// Controller decides how much may be in flight on one path, and how fast it is
// sent. Its methods are called by the connection that owns the path, never at
// the same time. The pointers it is given are valid during the call alone, and
// point to values that are used again.
type Controller interface {
	// Name returns the algorithm's name, such as "cubic".
	Name() string

	// OnSent is called for every packet that counts as in flight.
	OnSent(s *Sent)

	// OnAck is called once for an ACK frame that newly acknowledges packets
	// that were in flight, after OnLoss for the losses that the same frame showed.
	OnAck(a *Ack)

	// OnLoss is called once for all packets that were declared lost at one time.
	OnLoss(l *Loss)

	// OnECN is called when the peer reports more packets with the ECN-CE mark
	// (RFC 9002, Section 7.1), on a path that passed validation.
	OnECN(e *ECN)

	// OnSpurious is called for each packet that is acknowledged after it was
	// declared lost.
	OnSpurious(s *Spurious)

	// OnMTU is called when the size of full datagrams changes, in bytes of UDP payload.
	OnMTU(size int)

	// Window returns the congestion window in bytes.
	Window() int

	// PacingRate returns the rate at which to send in bytes per second. With 0
	// the rate follows from the window and the smoothed RTT: twice their
	// quotient in slow start, and 1.25 times else (RFC 9002, Section 7.7).
	PacingRate() uint64

	// InSlowStart tells whether the window grows exponentially.
	InSlowStart() bool

	// State returns a snapshot for statistics and logs.
	State() State
}

// Sent tells of a packet that was sent and counts as in flight.
type Sent struct {
	Now      time.Duration
	Size     int // bytes of UDP payload
	InFlight int // bytes, with this packet
}

// Ack tells what an ACK frame newly acknowledged on the path.
type Ack struct {
	Now     time.Duration
	Bytes   int // newly acknowledged, of packets that were in flight until now
	Packets int // their number

	// LargestSent is when the newest of these packets was sent.
	LargestSent time.Duration

	// RTTSample tells whether the frame gave an RTT sample, which is LatestRTT.
	RTTSample                      bool
	LatestRTT, MinRTT, SmoothedRTT time.Duration
	PriorInFlight, InFlight        int // bytes, before and after
	// AppLimited tells that the window was not used up because there was
	// nothing to send: it must not grow (RFC 9002, Section 7.8).
	AppLimited bool

	Rate RateSample
}

// RateSample is an estimate of the rate at which the path delivers, made at the
// arrival of an ACK, in the manner of the BBR draft's delivery rate samples.
type RateSample struct {
	Rate       uint64        // bytes per second; 0 if the ACK gave no sample
	Interval   time.Duration // what the rate was measured over
	Delivered  uint64        // bytes that the path has delivered in all
	Prior      uint64        // Delivered at the time when the newest acked packet was sent: a round is over when it reaches the Delivered of the round's start
	Lost       uint64        // bytes that the path has lost in all
	PriorLost  uint64        // Lost at the time when the newest acked packet was sent
	TxInFlight int           // bytes in flight just after the newest acked packet was sent, with it
	AppLimited bool          // the application did not fill the path during the interval: the true rate may be higher
}

// Loss tells of packets that were declared lost at one time. Path MTU probes
// are not among them.
type Loss struct {
	Now     time.Duration
	Bytes   int
	Packets int

	// LargestSent is when the newest of the lost packets was sent.
	LargestSent             time.Duration
	PriorInFlight, InFlight int // bytes, before and after

	// PersistentCongestion tells that everything sent for a long time was lost
	// (RFC 9002, Section 7.6).
	PersistentCongestion bool
}

// ECN tells that the peer received more packets with a congestion mark.
type ECN struct {
	Now time.Duration
	// LargestSent is when the newest packet was sent that the ACK frame with the mark acknowledged.
	LargestSent time.Duration
	CE          uint64 // marks that are new
	InFlight    int
}

// Spurious tells of one packet that was acknowledged though it had been declared lost.
type Spurious struct {
	Now, Sent, Lost time.Duration // Lost is when it was declared lost
	Bytes           int
}

// Phase is what a controller is doing, in the terms of RFC 9002, Section 7.3.
type Phase uint8

// The phases.
const (
	SlowStart Phase = iota
	CongestionAvoidance
	Recovery
)

// String returns the phase's name as qlog has it.
func (p Phase) String() string {
	switch p {
	case SlowStart:
		return "slow_start"
	case CongestionAvoidance:
		return "congestion_avoidance"
	case Recovery:
		return "recovery"
	}
	return "unknown"
}

// State is a snapshot of a controller.
type State struct {
	Phase Phase
	// SlowStartThreshold is in bytes; 0 means that none was set yet.
	SlowStartThreshold int
	// CongestionEvents counts reductions of the window, SpuriousEvents those that were taken back.
	CongestionEvents, SpuriousEvents uint64
}

const (
	// DefaultInitialWindow is the initial window in packets. RFC 9002, Section
	// 7.2, recommends 10; servers of the large operators send 30 and more since
	// the late 2010s, and pacing after the first round trip takes the edge off.
	DefaultInitialWindow = 32

	// DefaultMinWindow is the least window in packets (RFC 9002, Section 7.2).
	DefaultMinWindow = 2

	// minDatagramSize is what every QUIC path carries, in bytes (RFC 9000, Section 14).
	minDatagramSize = 1200

	// maxWindow bounds a window, in bytes: more than 100 Gbit/s over 80 ms.
	// It keeps all arithmetic on windows from overflow: two of them are an int of 32 bits.
	maxWindow = 1<<30 - 1
)

// Config sets up a controller. The zero value is usable.
type Config struct {
	// InitialWindow is in packets of MaxDatagramSize. Default 32; RFC 9002
	// recommends 10.
	InitialWindow int

	// MinWindow is the least window in packets. Default and minimum 2.
	MinWindow int

	// MaxWindow is the largest window in bytes. Default and maximum 1 GiB.
	MaxWindow int

	// MaxDatagramSize is the size of full datagrams at first, in bytes of UDP
	// payload. Default 1200.
	MaxDatagramSize int

	// DisableHyStart has CUBIC leave slow start by loss alone, and not when the RTT
	// grows (HyStart++, RFC 9406).
	DisableHyStart bool

	// DisableFastConvergence has CUBIC not release more of the path than it
	// must when flows are added (RFC 9438, Section 4.7).
	DisableFastConvergence bool
}

func (c *Config) withDefaults() Config {
	d := *c
	if d.InitialWindow <= 0 {
		d.InitialWindow = DefaultInitialWindow
	}
	d.MinWindow = max(d.MinWindow, DefaultMinWindow)
	if d.MaxWindow <= 0 || d.MaxWindow > maxWindow {
		d.MaxWindow = maxWindow
	}
	if d.MaxDatagramSize <= 0 {
		d.MaxDatagramSize = minDatagramSize
	}
	d.MaxDatagramSize = min(d.MaxDatagramSize, math.MaxUint16)
	d.InitialWindow = min(max(d.InitialWindow, d.MinWindow), maxWindow/math.MaxUint16)
	d.MinWindow = min(d.MinWindow, d.InitialWindow)
	return d
}

// window is what the window-based controllers have in common.
type window struct {
	cfg      Config
	cwnd     int // bytes
	ssthresh int // bytes; noThreshold at first
	mss      int // the size of full datagrams

	// recoveryStart is when the last congestion event was; noTime if none
	// was or persistent congestion ended it.
	recoveryStart time.Duration
	recovering    bool // nothing sent after recoveryStart was acked yet
	pristine      bool // the window is the initial one still

	undo           undoState
	events, undone uint64
}

// undoState is what to go back to when all losses of a congestion event turn
// out to have been reordering.
type undoState struct {
	valid          bool
	since          time.Duration // of the event
	lost           int           // packets that the event still accounts for
	cwnd, ssthresh int
}

const (
	noThreshold = math.MaxInt
	noTime      = time.Duration(-1)
)

func (w *window) init(cfg *Config) {
	w.cfg = cfg.withDefaults()
	w.mss = w.cfg.MaxDatagramSize
	w.ssthresh = noThreshold
	w.recoveryStart = noTime
	w.pristine = true
	w.set(w.cfg.InitialWindow * w.mss)
}

func (w *window) minimum() int { return w.cfg.MinWindow * w.mss }

func (w *window) set(n int) { w.cwnd = max(min(n, w.cfg.MaxWindow), w.minimum()) }

func (w *window) Window() int        { return w.cwnd }
func (w *window) PacingRate() uint64 { return 0 }
func (w *window) InSlowStart() bool  { return w.cwnd < w.ssthresh }

func (w *window) State() State {
	s := State{Phase: CongestionAvoidance, CongestionEvents: w.events, SpuriousEvents: w.undone}
	if w.ssthresh != noThreshold {
		s.SlowStartThreshold = w.ssthresh
	}
	switch {
	case w.recovering:
		s.Phase = Recovery
	case w.InSlowStart():
		s.Phase = SlowStart
	}
	return s
}

func (w *window) OnMTU(size int) {
	w.mss = min(max(size, minDatagramSize), math.MaxUint16)
	if w.pristine {
		// RFC 9002, Section 7.2: the initial window follows the size.
		w.set(w.cfg.InitialWindow * w.mss)
		return
	}
	w.set(w.cwnd)
}

// inRecovery tells whether a packet sent at that time belongs to the recovery
// period or to what was before it (RFC 9002, Section 7.3.2).
func (w *window) inRecovery(sent time.Duration) bool {
	return w.recoveryStart != noTime && sent <= w.recoveryStart
}

// mayGrow begins the treatment of an ACK.
func (w *window) mayGrow(a *Ack) bool {
	if w.inRecovery(a.LargestSent) {
		return false
	}
	w.recovering = false
	// RFC 9002, Section 7.8: an underused window does not grow.
	return !a.AppLimited && a.Bytes > 0
}

// slowStart grows the window by n bytes, no further than to the threshold.
func (w *window) slowStart(n int) {
	w.pristine = false
	if w.ssthresh != noThreshold {
		n = min(n, w.ssthresh-w.cwnd)
	}
	w.set(w.cwnd + min(n, maxWindow))
}

// reduce begins a recovery period with a window of beta times the present one.
func (w *window) reduce(now time.Duration, beta float64) {
	w.events++
	w.pristine = false
	w.recoveryStart, w.recovering = now, true
	w.ssthresh = max(int(float64(w.cwnd)*beta), w.minimum())
	w.set(w.ssthresh)
}

// saveUndo is called before reduce when packets were lost.
func (w *window) saveUndo(now time.Duration) {
	w.undo = undoState{valid: true, since: now, cwnd: w.cwnd, ssthresh: w.ssthresh}
}

// spurious tells whether this packet was the last one that justified the last congestion event.
func (w *window) spurious(s *Spurious) bool {
	u := &w.undo
	if !u.valid || s.Lost < u.since {
		return false
	}
	if u.lost--; u.lost > 0 {
		return false
	}
	u.valid = false
	return w.cwnd < u.cwnd
}

// restore takes the last reduction back.
func (w *window) restore() {
	w.undone++
	w.recovering = false
	w.recoveryStart = noTime
	w.ssthresh = w.undo.ssthresh
	w.set(w.undo.cwnd)
}
