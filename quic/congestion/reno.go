package congestion

// renoBeta is what remains of the window after a congestion event
// (kLossReductionFactor; RFC 9002, Appendix B.1).
const renoBeta = 0.5

// reno is the controller of RFC 9002, Section 7, much like TCP NewReno.
type reno struct {
	window
	acked int // bytes in congestion avoidance that the window has not grown for yet
}

// NewReno returns the controller of RFC 9002, Section 7: it halves the window
// on a congestion event and adds a datagram a round trip. A congestion event
// all of whose losses turn out spurious is taken back.
func NewReno(cfg Config) Controller {
	r := &reno{}
	r.init(&cfg)
	return r
}

func (r *reno) Name() string { return "reno" }

func (r *reno) OnSent(*Sent) {}

func (r *reno) OnAck(a *Ack) {
	if !r.mayGrow(a) {
		return
	}
	if r.InSlowStart() {
		r.slowStart(a.Bytes)
		return
	}
	// RFC 9002, Section 7.3.3: at most one datagram for each window that is acknowledged.
	r.acked = min(r.acked+a.Bytes, 2*r.cwnd)
	if r.acked >= r.cwnd {
		r.acked -= r.cwnd
		r.set(r.cwnd + r.mss)
	}
}

func (r *reno) OnLoss(l *Loss) {
	if !r.inRecovery(l.LargestSent) {
		r.saveUndo(l.Now)
		r.acked = 0
		r.reduce(l.Now, renoBeta)
	}
	r.undo.lost += l.Packets
	if l.PersistentCongestion {
		// RFC 9002, Section 7.6.2.
		r.undo.valid = false
		r.recoveryStart, r.recovering = noTime, false
		r.set(0)
	}
}

func (r *reno) OnECN(e *ECN) {
	if r.inRecovery(e.LargestSent) {
		// The mark alone would have reduced the window too.
		r.undo.valid = false
		return
	}
	r.undo.valid = false
	r.acked = 0
	r.reduce(e.Now, renoBeta)
}

func (r *reno) OnSpurious(s *Spurious) {
	if r.spurious(s) {
		r.restore()
	}
}
