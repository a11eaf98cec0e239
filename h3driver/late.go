package h3driver

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/quic"
)

// late are the responses that have a deadline to arrive by, though the handler has returned: else a
// client that reads no more would have us hold, for as long as its connection lives, what it asked for. All but due is of the strand.
type late struct {
	list  []lateResponse
	most  int // how long list may become before it is looked through
	timer *time.Timer
	armed time.Time // when timer will fire; zero: it will not
	due   atomic.Bool
}

type lateResponse struct {
	id quic.StreamID
	by time.Time
}

// minLate is how many responses are noted before those are looked for that have arrived.
const minLate = 64

// epoch is what deadlines count from.
var epoch = time.Now()

// watchFinished sees to the deadline of a response whose handler has returned. What is too late already ends.
func (d *Driver) watchFinished(s *Stream) {
	if d.client || s.writeBy.Load() == 0 || !s.finished.Load() {
		return
	}
	if by := s.writeBy.Swap(0); by != 0 {
		d.watch(s.id, epoch.Add(time.Duration(by)))
	}
}

// watch sees to it that a response is reset that has not arrived at its deadline.
func (d *Driver) watch(id quic.StreamID, by time.Time) {
	now := time.Now()
	if !now.Before(by) {
		d.expire(id)
		return
	}
	l := &d.late
	if len(l.list) >= max(l.most, minLate) {
		d.dropArrived()
		l.most = 2 * len(l.list)
	}
	l.list = append(l.list, lateResponse{id, by})
	d.armLate(now, by)
}

// armLate has watchLate called at that time, or earlier.
func (d *Driver) armLate(now, at time.Time) {
	l := &d.late
	if !l.armed.IsZero() && !at.Before(l.armed) {
		return
	}
	l.armed = at
	if l.timer == nil {
		l.timer = time.AfterFunc(at.Sub(now), func() {
			l.due.Store(true)
			d.conn.Wake()
		})
		return
	}
	l.timer.Reset(at.Sub(now))
}

// dropArrived forgets the responses that have been acknowledged.
func (d *Driver) dropArrived() {
	l := &d.late
	n := 0
	for _, r := range l.list {
		if !d.qc.StreamSendDone(r.id) {
			l.list[n] = r
			n++
		}
	}
	l.list = l.list[:n]
}

// watchLate resets what is too late.
func (d *Driver) watchLate() {
	l := &d.late
	l.due.Store(false)
	l.armed = time.Time{}
	d.dropArrived()
	now := time.Now()
	var next time.Time
	n := 0
	for _, r := range l.list {
		if !now.Before(r.by) {
			d.expire(r.id)
			continue
		}
		if next.IsZero() || r.by.Before(next) {
			next = r.by
		}
		l.list[n] = r
		n++
	}
	l.list = l.list[:n]
	if n > 0 {
		d.armLate(now, next)
	}
}

// expire resets a response, wherever it is on its way. That fails only when there is nothing
// to reset any more, be it that the connection has closed.
func (d *Driver) expire(id quic.StreamID) {
	if d.h3.ResetStream(id, h3.CodeRequestCancelled) != nil {
		_ = d.qc.ResetStream(id, uint64(h3.CodeRequestCancelled)) // all of it is QUIC's already
	}
	if s := d.streams[id]; s != nil && !s.sentBody {
		s.out.Stop(os.ErrDeadlineExceeded)
		s.sentBody = true
		d.maybeForget(s)
	}
}

// stopLate is for when the connection has closed.
func (d *Driver) stopLate() {
	if d.late.timer != nil {
		d.late.timer.Stop()
	}
	d.late.list = nil
}
