package quic

import (
	"net/netip"
	"time"
)

// heldOverhead is what a kept datagram counts besides its bytes: slice header,
// allocator rounding, its share of the Incoming. Without it tiny datagrams
// would pass the limits in any number.
const heldOverhead = 64

// flightKey is what the datagrams of a client's first flight have in common.
// The destination ID alone would let one client into the flight of another.
type flightKey struct {
	remote netip.AddrPort
	local  netip.Addr
	id     ConnID
}

// flight is either pending (in is set) or admitted (route is).
type flight struct {
	in    *Incoming
	route any
}

func makeFlightKey(d *Datagram, id []byte) flightKey {
	return flightKey{remote: d.Remote, local: d.Local, id: NewConnID(id)}
}

// pendingList has the first flights that wait, in the order of their arrival.
// All may grow equally old, so the first is always the next to expire.
type pendingList struct {
	first, last *Incoming
	n           int
}

func (l *pendingList) push(in *Incoming) {
	in.prev = l.last
	if l.last != nil {
		l.last.next = in
	} else {
		l.first = in
	}
	l.last = in
	l.n++
}

func (l *pendingList) remove(in *Incoming) {
	if in.prev != nil {
		in.prev.next = in.next
	} else {
		l.first = in.next
	}
	if in.next != nil {
		in.next.prev = in.prev
	} else {
		l.last = in.prev
	}
	in.prev, in.next = nil, nil
	l.n--
}

// pendingRoom tells whether one more first flight may wait that begins with n bytes.
func (e *Endpoint) pendingRoom(n int) bool {
	e.expire()
	n += heldOverhead
	return e.pending.n < e.cfg.MaxPending && n <= e.cfg.MaxPendingFlight && e.pendingBytes+n <= e.cfg.MaxPendingBytes
}

// insertPending keeps a new first flight. The caller has asked pendingRoom.
func (e *Endpoint) insertPending(in *Incoming, d *Datagram) {
	e.flights[in.key] = flight{in: in}
	e.pending.push(in)
	e.hold(in, d)
}

// join adds a datagram to a first flight that waits.
func (e *Endpoint) join(in *Incoming, d *Datagram) Verdict {
	n := len(d.Data) + heldOverhead
	if in.size+n > e.cfg.MaxPendingFlight || e.pendingBytes+n > e.cfg.MaxPendingBytes {
		return drop(DropPendingFull)
	}
	e.hold(in, d)
	return drop(DropPending)
}

func (e *Endpoint) hold(in *Incoming, d *Datagram) {
	data := make([]byte, len(d.Data))
	copy(data, d.Data)
	in.datagrams = append(in.datagrams, heldDatagram{data: data, ecn: d.ECN})
	n := len(d.Data) + heldOverhead
	in.size += n
	e.pendingBytes += n
}

// unlink takes a flight that waits out of all that holds it.
func (e *Endpoint) unlink(in *Incoming, to incomingState) {
	if in.state != incomingPending {
		panic("BUG: unlinking a first flight that does not wait")
	}
	delete(e.flights, in.key)
	e.pending.remove(in)
	e.pendingBytes -= in.size
	in.state = to
}

// expire forgets the flights that waited too long.
func (e *Endpoint) expire() {
	for in := e.pending.first; in != nil && e.now.Sub(in.received) >= e.cfg.PendingAge; in = e.pending.first {
		e.unlink(in, incomingGone)
		e.counts.Expired++
	}
}

// Deadline tells when HandleDeadline is to be called next, if at all.
func (e *Endpoint) Deadline() (time.Time, bool) {
	if e.pending.first == nil {
		return time.Time{}, false
	}
	return e.pending.first.received.Add(e.cfg.PendingAge), true
}

// HandleDeadline forgets the first flights that waited too long for a decision.
func (e *Endpoint) HandleDeadline(now time.Time) {
	e.setNow(now)
	e.expire()
}

// Admit lets a first flight in: from now on its later datagrams are for route.
// Call it before [Accept], which may then run on another goroutine. It returns
// false, and does nothing, when in does not wait any more: it has expired, or
// was decided on already.
//
// The client's own destination ID leads to route until a RouteChanges of that
// route removes it, which the connection sees to; if Accept fails, call Ignore.
func (e *Endpoint) Admit(in *Incoming, route any) bool {
	if in.state != incomingPending {
		return false
	}
	e.unlink(in, incomingAdmitted)
	if old, ok := e.flightOf[route]; ok {
		delete(e.flights, old) // a route has one flight
	}
	in.route = route
	e.flights[in.key] = flight{route: route}
	e.flightOf[route] = in.key
	e.counts.Admitted++
	return true
}

// Ignore forgets a first flight, at no cost. After Admit it takes back the
// route, for when Accept has failed.
func (e *Endpoint) Ignore(in *Incoming) {
	switch in.state {
	case incomingPending:
		e.unlink(in, incomingGone)
	case incomingAdmitted:
		e.removeFlight(in.route, in.key.id)
		in.state = incomingGone
	case incomingGone:
		return
	}
	e.counts.Ignored++
}

// removeFlight ends that the ID of a client's own choice leads to route.
func (e *Endpoint) removeFlight(route any, id ConnID) {
	if key, ok := e.flightOf[route]; ok && key.id == id {
		delete(e.flights, key)
		delete(e.flightOf, route)
	}
}
