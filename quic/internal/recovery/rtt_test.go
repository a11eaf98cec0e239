package recovery

import (
	"math"
	"testing"
	"time"
)

func TestRTT(t *testing.T) {
	var r RTT
	wantEqual(t, "initial RTT", r.Smoothed(), 333*ms)
	wantEqual(t, "initial PTO", r.PTO(0), 999*ms)
	if r.HasSample() {
		t.Fatal("sample before the first")
	}

	r.update(time.Second, 100*ms, 50*ms) // the delay does not count in the first sample
	wantEqual(t, "smoothed", r.Smoothed(), 100*ms)
	wantEqual(t, "variation", r.Var(), 50*ms)
	wantEqual(t, "min", r.Min(), 100*ms)
	wantEqual(t, "PTO", r.PTO(25*ms), 325*ms)

	r.update(2*time.Second, 200*ms, 20*ms)
	wantEqual(t, "latest", r.Latest(), 200*ms)
	wantEqual(t, "min", r.Min(), 100*ms)
	wantEqual(t, "smoothed", r.Smoothed(), 110*ms)
	wantEqual(t, "variation", r.Var(), 57500*time.Microsecond)

	// A delay that brings the sample below the minimum is not believed.
	r.update(3*time.Second, 110*ms, 20*ms)
	wantEqual(t, "smoothed", r.Smoothed(), 110*ms)

	// After persistent congestion the next sample is the minimum.
	r.restartMin()
	r.update(4*time.Second, 300*ms, 0)
	wantEqual(t, "min", r.Min(), 300*ms)
}

func TestRTTExtremes(t *testing.T) {
	var r RTT
	r.update(0, 0, 0)
	wantEqual(t, "min", r.Min(), minSample)
	r.update(0, math.MaxInt64, math.MaxInt64)
	r.update(0, math.MaxInt64, 0)
	r.update(0, -5, 0)
	if p := r.PTO(math.MaxInt16 * ms); p <= 0 || r.lossDelay() < granularity || r.Smoothed() <= 0 {
		t.Fatalf("PTO %v, loss delay %v, smoothed %v", p, r.lossDelay(), r.Smoothed())
	}
	r = RTT{}
	r.SetInitial(20 * ms)
	wantEqual(t, "initial RTT", r.Smoothed(), 20*ms)
	wantEqual(t, "initial variation", r.Var(), 10*ms)
	wantEqual(t, "loss delay", r.lossDelay(), 22500*time.Microsecond)
}
