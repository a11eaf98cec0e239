package frittata

import (
	"math/bits"
	"sync"
	"time"
)

const (
	// wheelTick is the unit of the wheel's time: a timer fires up to that much late. It is
	// less than the millisecond by which the system's timers are late anyway.
	wheelTick = 1 << 18 * time.Nanosecond

	// A level has as many slots as a word has bits, each of them as long as all of
	// the level below. All levels together are as long as a time.Duration can be.
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 8

	// wheelEnd is the last tick, after 146 years: times stay far from overflow.
	wheelEnd = 1 << 44
)

// wheel has the timers of a Transport's connections. There is one of Go's timers for all
// of them, so setting one costs the same however many there are, and what is due at
// about the same time is done by one goroutine. (Go's own timers look through
// all there are once some were set to an earlier time.)
//
// It is a hierarchy: a timer is at the level of the highest digit, of wheelBits
// each, in which its tick differs from the present one, in the slot of that
// digit. When time comes to a slot, its timers move to lower levels.
type wheel struct {
	mu    sync.Mutex // a leaf
	base  time.Time  // the time of tick 0
	now   uint64     // all ticks up to here have been dealt with
	used  [wheelLevels]uint64
	slots [wheelLevels][wheelSlots]*Conn // lists
	timer *time.Timer
	armed uint64  // the tick that timer is set for; 0: none
	spare []*Conn // for fire
}

// wheelEntry is a connection's place in the wheel, under its mutex.
type wheelEntry struct {
	next, prev  *Conn
	tick        uint64
	level, slot uint8
	set         bool
}

func (w *wheel) init() { w.base = time.Now() }

// ticks is how many ticks of the wheel are over at a time.
func (w *wheel) ticks(at time.Time) uint64 { return uint64(max(at.Sub(w.base), 0) / wheelTick) }

// set sets the timer of a connection, or moves it.
func (w *wheel) set(c *Conn, now, at time.Time) {
	tick := min(w.ticks(at)+1, wheelEnd)
	w.mu.Lock()
	w.unlink(c)
	if next := w.next(); next == 0 || next > w.ticks(now) {
		// Without this, what is set now would be at a higher level than it need be.
		w.now = max(w.now, w.ticks(now))
	}
	c.wheel.tick = max(tick, w.now+1)
	w.link(c)
	w.arm(now)
	w.mu.Unlock()
}

// stop sees to it that the timer of a connection does not fire.
func (w *wheel) stop(c *Conn) {
	w.mu.Lock()
	w.unlink(c)
	if w.timer != nil && w.next() == 0 {
		// It would keep the Transport in memory.
		w.timer.Stop()
		w.armed = 0
	}
	w.mu.Unlock()
}

// link puts a connection where its tick, which is later than now, belongs.
func (w *wheel) link(c *Conn) {
	e := &c.wheel
	level := (bits.Len64(e.tick^w.now) - 1) / wheelBits
	slot := e.tick >> (wheelBits * level) % wheelSlots
	e.level, e.slot, e.set = uint8(level), uint8(slot), true
	first := &w.slots[level][slot]
	e.prev, e.next = nil, *first
	if e.next != nil {
		e.next.wheel.prev = c
	}
	*first = c
	w.used[level] |= 1 << slot
}

func (w *wheel) unlink(c *Conn) {
	e := &c.wheel
	if !e.set {
		return
	}
	if e.next != nil {
		e.next.wheel.prev = e.prev
	}
	if e.prev != nil {
		e.prev.wheel.next = e.next
	} else if w.slots[e.level][e.slot] = e.next; e.next == nil {
		w.used[e.level] &^= 1 << e.slot
	}
	e.next, e.prev, e.set = nil, nil, false
}

// next returns the tick at which there is something to do, 0 if there is nothing: where the
// first slot begins that has timers.
func (w *wheel) next() uint64 {
	for level, used := range w.used {
		if used != 0 {
			// All slots of a level that are used are later than the present one, and
			// those of the level above are later than all of them.
			shift := wheelBits * level
			return w.now>>(shift+wheelBits)<<(shift+wheelBits) | uint64(bits.TrailingZeros64(used))<<shift
		}
	}
	return 0
}

// arm sets Go's timer for what is next, unless it is set for that or earlier.
func (w *wheel) arm(now time.Time) {
	next := w.next()
	if next == 0 || w.armed != 0 && w.armed <= next {
		return
	}
	w.armed = next
	wait := max(w.base.Add(time.Duration(next)*wheelTick).Sub(now), 0)
	if w.timer == nil {
		w.timer = time.AfterFunc(wait, w.fire)
		return
	}
	w.timer.Reset(wait)
}

// advance comes to a tick, takes the timers up to it off the wheel and adds their
// connections to due.
func (w *wheel) advance(to uint64, due []*Conn) []*Conn {
	for next := w.next(); next != 0 && next <= to; next = w.next() {
		w.now = next
		for level := range w.used {
			shift := wheelBits * level
			if next&(1<<shift-1) != 0 {
				break // no slot of this level begins here
			}
			slot := next >> shift % wheelSlots
			for c := w.slots[level][slot]; c != nil; c = w.slots[level][slot] {
				w.unlink(c)
				if c.wheel.tick <= next {
					due = append(due, c)
				} else {
					w.link(c)
				}
			}
		}
	}
	w.now = max(w.now, to)
	return due
}

// fire runs on a goroutine of its own. There may be several of it.
func (w *wheel) fire() {
	now := time.Now()
	w.mu.Lock()
	w.armed = 0
	due := w.advance(w.ticks(now), w.spare[:0])
	w.spare = nil
	w.arm(now)
	w.mu.Unlock()
	if len(due) == 0 {
		return
	}
	q := &due[0].t.queue
	turns := due[:0]
	for _, c := range due {
		if c.onTimer(now) {
			turns = append(turns, c)
		}
	}
	if len(turns) > 0 {
		q.push(turns...)
	}
	clear(due)
	w.mu.Lock()
	w.spare = due
	w.mu.Unlock()
}
