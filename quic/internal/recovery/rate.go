package recovery

import (
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
)

// rate estimates the rate at which a path delivers, by the delivery rate
// samples of the BBR draft (draft-ietf-ccwg-bbr-03, Section 4.1).
type rate struct {
	delivered, lost uint64        // bytes in all
	deliveredAt     time.Duration // when delivered grew last
	firstSent       time.Duration // when the packet was sent that was delivered last
	appLimited      uint64        // until that much is delivered the application limits; 0 if it does not
}

// rateSnapshot is the state of a path's rate when a packet was sent.
type rateSnapshot struct {
	delivered, lost        uint64
	deliveredAt, firstSent time.Duration
	inFlight               uint32 // bytes, with the packet
	appLimited             bool
}

// onSent takes the snapshot for a packet after which inFlight bytes are in flight.
func (r *rate) onSent(s *rateSnapshot, now time.Duration, size, inFlight int) {
	if inFlight <= size {
		r.firstSent, r.deliveredAt = now, now
	}
	s.delivered, s.lost = r.delivered, r.lost
	s.deliveredAt, s.firstSent = r.deliveredAt, r.firstSent
	s.inFlight, s.appLimited = uint32(inFlight), r.appLimited != 0
}

// markAppLimited tells that what is in flight now is all that there was to send.
func (r *rate) markAppLimited(inFlight int) {
	r.appLimited = max(r.delivered+uint64(inFlight), 1)
}

// sample fills in s, when delivered was updated for an ACK of which p is the newest packet.
func (r *rate) sample(s *congestion.RateSample, now time.Duration, p *packet, minRTT time.Duration) {
	q := &p.snapshot
	r.deliveredAt = now
	*s = congestion.RateSample{
		Interval:   max(p.sent-q.firstSent, now-q.deliveredAt),
		Delivered:  r.delivered,
		Prior:      q.delivered,
		Lost:       r.lost,
		PriorLost:  q.lost,
		TxInFlight: int(q.inFlight),
		AppLimited: q.appLimited,
	}
	r.firstSent = max(r.firstSent, p.sent)
	if r.appLimited != 0 && r.delivered > r.appLimited {
		r.appLimited = 0
	}
	// A shorter interval gives no reliable rate.
	if s.Interval > 0 && s.Interval >= minRTT {
		s.Rate = uint64(float64(s.Delivered-s.Prior) / s.Interval.Seconds())
	}
}
