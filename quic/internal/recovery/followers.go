package recovery

import "time"

const (
	// aloneRounds and aloneLost are in how many round trips, and how many of them, the followers of
	// trains have to be lost before the path is taken for one that loses them all. With
	// loss at random of 30 % that happens once in 10^8 times.
	aloneRounds = 8
	aloneLost   = 16
)

// followers finds out whether trains arrive. Some network interfaces and tunnels
// take a train and send its first datagram alone, and there is no error: what tells is
// that first ones are acknowledged, and of those that follow, which are no larger, none.
//
// A round is of packets that were sent after the round before had ended, so that it lasts a round trip at least.
type followers struct {
	arrived bool // one was acknowledged, ever
	alone   bool // so many were lost that there are to be no more trains

	since time.Duration // what was sent before tells nothing

	// Since one was acknowledged: rounds in which some were lost, and how many were.
	rounds uint8
	lost   uint32

	// The round.
	begun     time.Duration
	lostSize  uint32 // the largest follower that was lost
	firstSize uint32 // the largest of the others that was acknowledged
}

// onAcked takes a packet that was acknowledged, and tells whether the path lost all followers.
func (f *followers) onAcked(p *packet, now time.Duration) bool {
	if p.follower {
		f.onArrived(p.sent)
		return false
	}
	if f.alone || p.sent < f.begun || p.size <= f.firstSize {
		return false
	}
	f.firstSize = p.size
	return f.judge(now)
}

// onArrived takes it that a follower arrived.
func (f *followers) onArrived(sent time.Duration) {
	if sent >= f.since {
		*f = followers{arrived: true, alone: f.alone, since: f.since, begun: f.begun}
	}
}

// onLost takes a follower that was lost, and tells whether the path lost all of them.
func (f *followers) onLost(p *packet, now time.Duration) bool {
	if f.alone || p.sent < f.since {
		return false
	}
	f.lost++
	if p.sent >= f.begun {
		f.lostSize = max(f.lostSize, p.size)
	}
	return f.judge(now)
}

// judge ends the round if it tells anything.
func (f *followers) judge(now time.Duration) bool {
	if f.lostSize > 0 && f.firstSize >= f.lostSize {
		f.rounds = min(f.rounds+1, aloneRounds)
		f.begun, f.lostSize, f.firstSize = now, 0, 0
	}
	f.alone = f.rounds >= aloneRounds && f.lost >= aloneLost
	return f.alone
}

// Alone tells that packets are not to be sent in trains on the path, as all but the first of each are lost.
func (p *Path) Alone() bool { return p.followers.alone }

// RetryTrains forgets what was found out: packets that are sent after now tell anew.
func (p *Path) RetryTrains(now time.Duration) {
	p.followers = followers{since: now + 1, begun: now + 1}
}

// Arrived tells whether a packet was ever acknowledged that was not the first of its train.
func (p *Path) Arrived() bool { return p.followers.arrived }
