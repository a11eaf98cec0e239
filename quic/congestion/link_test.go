package congestion

import (
	"math/rand/v2"
	"time"
)

const (
	ms  = time.Millisecond
	mss = 1200
)

// link is a path in virtual time: a bottleneck with a queue, and a receiver
// that acknowledges some packets at a time. It drives a controller as a sender
// that always has data would.
type link struct {
	cc    Controller
	rate  float64       // bytes per second
	delay time.Duration // both ways together, without queue
	queue int           // bytes
	every int           // packets for one ACK
	noise func(now time.Duration) time.Duration

	now      time.Duration
	free     time.Duration // when the bottleneck is done with all that it has
	flight   []flying
	inFlight int
	min      time.Duration
	srtt     time.Duration

	delivered, lost int
}

type flying struct {
	sent, acked time.Duration
	dropped     bool
}

// run runs for a time.
func (l *link) run(d time.Duration) {
	end := l.now + d
	if l.every == 0 {
		l.every = 2
	}
	for l.now < end {
		for l.inFlight+mss <= l.cc.Window() {
			l.send()
		}
		// The next ACK tells of so many packets that arrived.
		n, got := 0, 0
		for n < len(l.flight) && got < l.every {
			if !l.flight[n].dropped {
				got++
			}
			n++
		}
		if got == 0 {
			// All that is in flight was dropped: a probe shows it.
			l.now += l.delay
			l.declareLost(len(l.flight))
			continue
		}
		l.ack(n)
	}
}

func (l *link) send() {
	l.inFlight += mss
	f := flying{sent: l.now}
	start := max(l.free, l.now)
	if float64(start-l.now)/1e9*l.rate > float64(l.queue) {
		f.dropped = true
	} else {
		l.free = start + time.Duration(mss/l.rate*1e9)
		f.acked = l.free + l.delay
		if l.noise != nil {
			f.acked += l.noise(l.free)
		}
		if n := len(l.flight); n > 0 {
			f.acked = max(f.acked, l.flight[n-1].acked)
		}
	}
	l.flight = append(l.flight, f)
	l.cc.OnSent(&Sent{Now: l.now, Size: mss, InFlight: l.inFlight})
}

// ack acknowledges what arrived of the first n packets; the rest of them is lost.
func (l *link) ack(n int) {
	var last flying
	got, dropped := 0, 0
	for _, f := range l.flight[:n] {
		if f.dropped {
			dropped++
		} else {
			last = f
			got++
		}
	}
	l.now = max(l.now, last.acked)
	rtt := l.now - last.sent
	if l.srtt == 0 {
		l.srtt, l.min = rtt, rtt
	}
	l.srtt += (rtt - l.srtt) / 8
	l.min = min(l.min, rtt)
	prior := l.inFlight
	if dropped > 0 {
		l.loss(dropped, last.sent, prior)
	}
	l.inFlight -= n * mss
	l.delivered += got * mss
	l.flight = l.flight[n:]
	l.cc.OnAck(&Ack{
		Now: l.now, Bytes: got * mss, Packets: got, LargestSent: last.sent,
		RTTSample: true, LatestRTT: rtt, MinRTT: l.min, SmoothedRTT: l.srtt,
		PriorInFlight: prior, InFlight: l.inFlight,
	})
}

func (l *link) declareLost(n int) {
	l.loss(n, l.flight[n-1].sent, l.inFlight)
	l.inFlight -= n * mss
	l.flight = l.flight[n:]
}

func (l *link) loss(n int, sent time.Duration, prior int) {
	l.lost += n * mss
	l.cc.OnLoss(&Loss{Now: l.now, Bytes: n * mss, Packets: n, LargestSent: sent, PriorInFlight: prior, InFlight: prior - n*mss})
}

// share is what fraction of the bottleneck the sender got in the next d.
func (l *link) share(d time.Duration) float64 {
	before := l.delivered
	l.run(d)
	return float64(l.delivered-before) / (l.rate * d.Seconds())
}

// hiccups returns a noise in which now and then everything stands still for up
// to max, as on a machine whose scheduler is busy.
func hiccups(seed uint64, each, longest time.Duration) func(time.Duration) time.Duration {
	rng := rand.New(rand.NewPCG(seed, 1))
	var from, to time.Duration
	return func(now time.Duration) time.Duration {
		for now >= to {
			from = to + time.Duration(rng.Int64N(int64(2*each)))
			to = from + time.Duration(rng.Int64N(int64(longest)))
		}
		if now >= from {
			return to - now
		}
		return 0
	}
}
