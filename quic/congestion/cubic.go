package congestion

import (
	"math"
	"time"
)

const (
	cubicBeta = 0.7 // what remains of the window after a congestion event (RFC 9438, Section 4.6)
	cubicC    = 0.4 // aggressiveness, in segments per second³ (RFC 9438, Section 5.1)

	// cubicAlpha makes the Reno-friendly region as fast as Reno on average,
	// despite the larger beta (RFC 9438, Section 4.3).
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)

	// cubicMaxGrowth bounds the target by so many windows (RFC 9438, Section 4.2).
	cubicMaxGrowth = 1.5
)

// cubic is RFC 9438. Windows are in bytes, times in seconds where a float.
type cubic struct {
	window
	hystart hystart
	useHyst bool
	c       cubicState
	saved   cubicState // c before the last congestion event

	carry   float64       // of the window's growth, less than a byte
	counted time.Duration // up to when time counts for the epoch, or was taken out of it
}

// cubicState is what an undone congestion event brings back (RFC 9438, Section 4.9.2).
type cubicState struct {
	wMax   float64 // the window before the last reduction
	k      float64 // seconds until the window is wMax again
	wEst   float64 // what Reno would have
	prior  float64 // cwnd_prior
	epoch  time.Duration
	begun  bool // a congestion avoidance stage has begun; epoch, k and wEst are valid
	noWMax bool // no loss precedes the stage: wMax becomes the window at its beginning
}

// NewCUBIC returns the controller of RFC 9438, with fast convergence, HyStart++
// (RFC 9406), and the undoing of congestion events all of whose losses turn out
// spurious.
func NewCUBIC(cfg Config) Controller {
	c := &cubic{}
	c.init(&cfg)
	c.useHyst = !cfg.DisableHyStart
	return c
}

func (c *cubic) Name() string { return "cubic" }

func (c *cubic) OnSent(s *Sent) {
	c.hystart.onSent(s.Now)
	if s.InFlight <= s.Size {
		// The path was idle.
		c.skipTime(s.Now)
	}
}

// skipTime moves the epoch on by the time that has not been counted yet: t must not
// include periods without growth for want of data (RFC 9438, Section 4.2).
func (c *cubic) skipTime(now time.Duration) {
	if d := now - c.counted; d > 0 && c.c.begun {
		c.c.epoch = min(c.c.epoch+d, now)
	}
	c.counted = max(c.counted, now)
}

func (c *cubic) OnAck(a *Ack) {
	if !c.mayGrow(a) {
		if a.AppLimited {
			c.skipTime(a.Now)
		}
		c.counted = max(c.counted, a.Now)
		return
	}
	c.counted = max(c.counted, a.Now)
	if !c.InSlowStart() {
		c.avoid(a)
		return
	}
	if !c.useHyst || c.ssthresh != noThreshold {
		c.slowStart(a.Bytes)
		return
	}
	divisor, over := c.hystart.onAck(a)
	c.slowStart(a.Bytes / divisor)
	if over {
		c.ssthresh = c.cwnd
		c.c = cubicState{noWMax: true, prior: float64(c.cwnd)}
	}
}

// avoid grows the window in congestion avoidance (RFC 9438, Sections 4.2 to 4.5).
func (c *cubic) avoid(a *Ack) {
	s, mss, cwnd := &c.c, float64(c.mss), float64(c.cwnd)
	if !s.begun {
		s.begun, s.epoch, s.wEst = true, a.Now, cwnd
		if s.noWMax || s.wMax < cwnd {
			s.wMax, s.k = cwnd, 0
		} else {
			s.k = math.Cbrt((s.wMax - cwnd) / mss / cubicC)
		}
		s.noWMax = false
	}
	share := min(float64(a.Bytes)/cwnd, 1)
	alpha := cubicAlpha
	if s.wEst >= s.prior {
		alpha = 1
	}
	s.wEst = min(s.wEst+alpha*share*mss, maxWindow)

	t := (a.Now - s.epoch).Seconds()
	next := cwnd
	if c.cubicWindow(t) < s.wEst {
		next = max(cwnd, s.wEst)
	} else {
		target := c.cubicWindow(t + a.SmoothedRTT.Seconds())
		target = min(max(target, cwnd), cubicMaxGrowth*cwnd)
		next = cwnd + (target-cwnd)*share + c.carry
	}
	n := math.Floor(min(next, maxWindow))
	c.carry = max(0, min(next-n, 1))
	c.set(int(n))
}

// cubicWindow is W_cubic(t) of RFC 9438, Section 4.2, in bytes.
func (c *cubic) cubicWindow(t float64) float64 {
	d := t - c.c.k
	return min(cubicC*d*d*d*float64(c.mss)+c.c.wMax, 2*maxWindow)
}

// congestionEvent reduces the window (RFC 9438, Sections 4.6 and 4.7).
func (c *cubic) congestionEvent(now time.Duration) {
	w := float64(c.cwnd)
	wMax := w
	if w < c.c.wMax && !c.cfg.DisableFastConvergence {
		wMax = w * (1 + cubicBeta) / 2
	}
	c.c = cubicState{wMax: wMax, prior: w}
	c.carry = 0
	c.reduce(now, cubicBeta)
}

func (c *cubic) OnLoss(l *Loss) {
	if !c.inRecovery(l.LargestSent) {
		c.saveUndo(l.Now)
		c.saved = c.c
		c.congestionEvent(l.Now)
	}
	c.undo.lost += l.Packets
	if l.PersistentCongestion {
		// RFC 9002, Section 7.6.2, and RFC 9438, Section 4.8.
		c.undo.valid = false
		c.recoveryStart, c.recovering = noTime, false
		c.c = cubicState{noWMax: true, prior: c.c.prior}
		c.set(0)
	}
}

func (c *cubic) OnECN(e *ECN) {
	c.undo.valid = false
	if c.inRecovery(e.LargestSent) {
		return
	}
	c.congestionEvent(e.Now)
}

func (c *cubic) OnSpurious(s *Spurious) {
	if !c.spurious(s) {
		return
	}
	c.restore()
	c.c = c.saved
	if c.c.begun {
		// The time of the false recovery was one without growth.
		c.c.epoch = min(c.c.epoch+max(s.Now-c.undo.since, 0), s.Now)
	}
}
