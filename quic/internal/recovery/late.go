package recovery

import (
	"slices"
	"time"
)

// maxLate bounds how many lost packets are remembered in a space.
const maxLate = 128

// latePacket is a packet that was declared lost, and may be acknowledged yet.
type latePacket struct {
	pn         uint64
	sent, lost time.Duration
	path       *Path
	size       int
	follower   bool
}

// lateList has the lost packets in ascending order of their numbers. They are
// forgotten when acknowledged, when too old, or when there are too many.
type lateList []latePacket

func (l *lateList) add(p *packet, now time.Duration) {
	s := *l
	if len(s) == maxLate {
		copy(s, s[1:])
		s = s[:maxLate-1]
	}
	i := len(s)
	for i > 0 && s[i-1].pn > p.pn {
		i--
	}
	*l = slices.Insert(s, i, latePacket{pn: p.pn, sent: p.sent, lost: now, path: p.path, size: int(p.size), follower: p.follower})
}

// expire forgets the packets that were lost before a time.
func (l *lateList) expire(before time.Duration) {
	*l = slices.DeleteFunc(*l, func(p latePacket) bool { return p.lost < before })
}
