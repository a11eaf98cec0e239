package recovery

import (
	"fmt"
	"slices"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// CheckInvariants returns what is wrong inside, for tests.
func (r *Recovery[S]) CheckInvariants() error {
	type flight struct{ bytes, packets int }
	paths := make(map[*Path]flight)
	if r.active != nil {
		paths[r.active] = flight{}
	}
	for i := range r.spaces {
		sp := &r.spaces[i]
		if err := sp.check(); err != nil {
			return fmt.Errorf("space %d: %w", i, err)
		}
		for j := range sp.packets.n {
			p := sp.packets.at(j)
			f := paths[p.path]
			if p.state == packetUnsettled && p.inFlight {
				f.bytes += int(p.size)
				f.packets++
			}
			paths[p.path] = f
			if wire.Space(i) == wire.SpaceApp && r.skips.has(p.pn) {
				return fmt.Errorf("packet %d was skipped and sent", p.pn)
			}
		}
	}
	for p, f := range paths {
		if p.InFlight != f.bytes || p.packets != f.packets {
			return fmt.Errorf("path has %d bytes in %d packets in flight, its packets sum up to %d in %d", p.InFlight, p.packets, f.bytes, f.packets)
		}
		if p.batch.begun || p.batch.newest != nil {
			return fmt.Errorf("path has a batch that was not ended")
		}
	}
	if r.touched != nil {
		return fmt.Errorf("paths were not flushed")
	}
	if !slices.IsSorted(r.skips.pn) || r.skips.at < r.spaces[wire.SpaceApp].next {
		return fmt.Errorf("skipped numbers out of order")
	}
	if r.threshold < packetThreshold || r.threshold > maxPacketThreshold {
		return fmt.Errorf("packet threshold is %d", r.threshold)
	}
	if r.outstanding() > 0 && r.confirmed && !r.limited && r.active != nil {
		if _, ok := r.Deadline(); !ok {
			return fmt.Errorf("packets outstanding and no timer")
		}
	}
	return nil
}

func (sp *space[S]) check() error {
	eliciting, plain, early := 0, 0, 0
	q := &sp.packets
	frame := sp.frames.head
	for i := range q.n {
		p := q.at(i)
		if i == 0 && p.state != packetUnsettled {
			return fmt.Errorf("first packet %d is settled", p.pn)
		}
		if i > 0 && q.at(i-1).pn >= p.pn || p.pn >= sp.next {
			return fmt.Errorf("packet %d out of order", p.pn)
		}
		if j := q.search(p.pn); j != i {
			return fmt.Errorf("packet %d is found at %d and not %d", p.pn, j, i)
		}
		if p.frame != frame {
			return fmt.Errorf("packet %d has frames at %d and not %d", p.pn, p.frame, frame)
		}
		frame += uint32(p.frames)
		if p.state != packetUnsettled {
			continue
		}
		if p.eliciting {
			eliciting++
		} else {
			plain++
		}
		if p.inFlight && sp.hasAcked && p.pn < sp.largestAcked {
			early++
		}
	}
	if q.n == 0 {
		frame = sp.frames.end
	}
	if frame != sp.frames.end {
		return fmt.Errorf("frames end at %d and not %d", sp.frames.end, frame)
	}
	if eliciting != sp.eliciting || plain != sp.plain {
		return fmt.Errorf("%d ack-eliciting and %d other packets, counted as %d and %d", eliciting, plain, sp.eliciting, sp.plain)
	}
	if (early > 0) != (sp.lossTime != 0) {
		return fmt.Errorf("%d packets before the largest acknowledged, and the loss time is %v", early, sp.lossTime)
	}
	if len(sp.late) > maxLate || !slices.IsSortedFunc(sp.late, func(a, b latePacket) int { return int(int64(a.pn) - int64(b.pn)) }) {
		return fmt.Errorf("%d late packets, or out of order", len(sp.late))
	}
	return nil
}
