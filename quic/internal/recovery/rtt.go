package recovery

import "time"

const (
	// initialRTT is kInitialRtt of RFC 9002, Section 6.2.2.
	initialRTT = 333 * time.Millisecond

	// granularity is kGranularity of RFC 9002, Section 6.1.2.
	granularity = time.Millisecond

	// minSample is the least RTT: a sample of zero would make rates infinite.
	minSample = time.Microsecond

	// maxDuration bounds times that the peer has a say in, so that sums and small
	// multiples of them do not overflow.
	maxDuration = 24 * time.Hour
)

// RTT is the estimate of a path's round-trip time (RFC 9002, Section 5). Its
// zero value has no sample.
type RTT struct {
	latest, smoothed, variation, least time.Duration

	initial     time.Duration // instead of initialRTT, if not zero
	firstSample time.Duration // when the first sample came
	sampled     bool
	restart     bool // the next sample is the minimum, whatever was before
}

// Latest returns the last sample, 0 if there was none.
func (r *RTT) Latest() time.Duration { return r.latest }

// Smoothed returns the smoothed RTT. Before the first sample that is the
// initial RTT, 333 ms unless SetInitial said otherwise.
func (r *RTT) Smoothed() time.Duration {
	switch {
	case r.sampled:
		return r.smoothed
	case r.initial > 0:
		return r.initial
	}
	return initialRTT
}

// Min returns the least sample, 0 if there was none.
func (r *RTT) Min() time.Duration { return r.least }

// Var returns the mean deviation of the samples.
func (r *RTT) Var() time.Duration {
	if !r.sampled {
		return r.Smoothed() / 2
	}
	return r.variation
}

// HasSample tells whether there was a sample.
func (r *RTT) HasSample() bool { return r.sampled }

// SetInitial sets the RTT to assume until the first sample comes: that of an
// earlier connection, or the time that the validation of a new path took (RFC
// 9002, Section 6.2.2).
func (r *RTT) SetInitial(d time.Duration) {
	r.initial = min(max(d, minSample), maxDuration)
}

// PTO returns the probe timeout without backoff (RFC 9002, Section 6.2.1).
func (r *RTT) PTO(maxAckDelay time.Duration) time.Duration {
	return r.Smoothed() + max(4*r.Var(), granularity) + maxAckDelay
}

// lossDelay is how long after it was sent a packet is lost, if one that was
// sent later was acknowledged (RFC 9002, Section 6.1.2).
func (r *RTT) lossDelay() time.Duration {
	d := max(r.latest, r.Smoothed())
	return max(d+d/8, granularity)
}

// restartMin forgets the minimum once another sample is there: after persistent
// congestion the path may be another one (RFC 9002, Section 5.2).
func (r *RTT) restartMin() { r.restart = true }

// update takes a sample (RFC 9002, Section 5.3). ackDelay is what the peer says
// of how long it held the acknowledgment back.
func (r *RTT) update(now, sample, ackDelay time.Duration) {
	sample = min(max(sample, minSample), maxDuration)
	r.latest = sample
	if !r.sampled {
		r.sampled, r.firstSample = true, now
		r.least, r.smoothed, r.variation = sample, sample, sample/2
		return
	}
	if r.restart {
		r.least, r.restart = sample, false
	}
	r.least = min(r.least, sample)
	// The delay must not bring the sample below the minimum.
	if sample-r.least >= ackDelay {
		sample -= ackDelay
	}
	r.variation += ((r.smoothed - sample).Abs() - r.variation) / 4
	r.smoothed += (sample - r.smoothed) / 8
}
