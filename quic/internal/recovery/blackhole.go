package recovery

import "time"

// blackHoleLosses is how many times in a row large packets are lost, while smaller ones pass, until that is their size's fault. With
// loss at random of 20 % it is not in one of 3000 cases.
const blackHoleLosses = 5

// blackHole finds out whether the path does not take large packets any more (RFC 8899, Section 4.3). Where small ones
// pass in between there are never many probe timeouts in a row to tell.
type blackHole struct {
	least uint32        // what every path takes
	size  uint32        // the largest packet that was lost, since one of that size was acknowledged
	times uint8         // at which packets were lost that were sent after the time before
	since time.Duration // of the last of them
}

// onLost takes a packet that was lost.
func (b *blackHole) onLost(p *packet, now time.Duration) {
	if p.size <= b.least {
		return
	}
	b.size = max(b.size, p.size)
	if p.sent >= b.since {
		b.times, b.since = min(b.times+1, blackHoleLosses), now
	}
}

// onArrived takes it that a packet of that size arrived.
func (b *blackHole) onArrived(size uint32) {
	if size >= b.size {
		b.size, b.times = 0, 0
	}
}

// BlackHole tells, once, that the path takes large packets no more.
func (p *Path) BlackHole() bool {
	if p.blackHole.times < blackHoleLosses {
		return false
	}
	p.blackHole.size, p.blackHole.times = 0, 0
	return true
}
