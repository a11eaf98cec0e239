package congestion

import (
	"testing"
	"time"
)

// In congestion avoidance the window grows by a datagram for each window (RFC
// 9002, Section 7.3.3).
func TestRenoCongestionAvoidance(t *testing.T) {
	c := NewReno(Config{InitialWindow: 100})
	if c.Name() != "reno" {
		t.Error(c.Name())
	}
	lose(c, 100*ms, 50*ms, 1)
	wantWindow(t, c, 50*mss)
	for i := range 10 {
		ackWindow(c, time.Second+time.Duration(i)*100*ms, 100*ms)
		wantWindow(t, c, float64(51+i)*mss)
	}
	// One ACK of a lot is not more than one of a window.
	c.OnAck(&Ack{Now: 3 * time.Second, Bytes: 1000 * mss, Packets: 1000, LargestSent: 2900 * ms})
	wantWindow(t, c, 61*mss)
}
