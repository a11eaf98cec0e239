package quic

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

func TestPendingJoin(t *testing.T) {
	e := newTestServer(t)
	initial := epInitial(epDst, epSrc, nil)
	in := epIncoming(t, e, epStart, epClient, initial)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, initial)), DropPending)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epLong(wire.Packet0RTT, Version1, epDst, epSrc, nil, 300))), DropPending)
	if len(in.datagrams) != 3 || in.ReceivedBytes() != 2700 {
		t.Fatalf("%d datagrams of %d bytes, want 3 of 2700", len(in.datagrams), in.ReceivedBytes())
	}
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epLong(wire.PacketInitial, Version1, epDst, epSrc, nil, 300))), DropTooSmall)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epLong(wire.PacketHandshake, Version1, epDst, epSrc, nil, 300))), DropUnknownID)

	// Another address, on either end, is another client.
	if epIncoming(t, e, epStart, epOther, initial) == in {
		t.Error("joined a flight from another address")
	}
	d := epFrom(epClient, initial)
	d.Local = netip.MustParseAddr("198.51.100.2")
	if v := e.Handle(epStart, d); v.Kind != VerdictIncoming {
		t.Errorf("verdict is %v for another local address, want incoming", v.Kind)
	}
	// So is another ID.
	epIncoming(t, e, epStart, epClient, epInitial([]byte{8, 8, 8, 8, 8, 8, 8, 8}, epSrc, nil))
	if c := e.Counts(); c.Pending != 4 || len(in.datagrams) != 3 {
		t.Errorf("%d flights are pending, want 4", c.Pending)
	}
}

func TestAdmit(t *testing.T) {
	e := newTestServer(t)
	initial := epInitial(epDst, epSrc, nil)
	in := epIncoming(t, e, epStart, epClient, initial)
	if !e.Admit(in, "conn") {
		t.Fatal("not admitted")
	}
	if e.Admit(in, "again") {
		t.Error("admitted twice")
	}
	if _, err := e.Retry(epStart, in); err == nil {
		t.Error("Retry after Admit")
	}
	if e.Refuse(in) != nil {
		t.Error("Refuse after Admit")
	}
	if c := e.Counts(); c.Pending != 0 || c.PendingBytes != 0 {
		t.Errorf("counts are %+v", c)
	}
	wantRoute(t, e.Handle(epStart, epFrom(epClient, initial)), "conn")
	wantRoute(t, e.Handle(epStart, epFrom(epClient, epLong(wire.PacketHandshake, Version1, epDst, epSrc, nil, 100))), "conn")
	if in.ReceivedBytes() != 1200 {
		t.Error("a datagram joined after Admit")
	}
	// The ID is the client's choice: another client may have the same.
	other := epIncoming(t, e, epStart, epOther, initial)
	if !e.Admit(other, "other") {
		t.Fatal("not admitted")
	}
	id := NewConnID(epDst)
	e.Apply(&RouteChanges{Route: "conn", Removed: []ConnID{id}})
	if v := e.Handle(epStart, epFrom(epClient, initial)); v.Kind != VerdictIncoming {
		t.Errorf("verdict is %v after the ID was removed, want incoming", v.Kind)
	}
	wantRoute(t, e.Handle(epStart, epFrom(epOther, initial)), "other")
	e.Ignore(other) // Accept has failed
	if v := e.Handle(epStart, epFrom(epOther, initial)); v.Kind != VerdictIncoming {
		t.Errorf("verdict is %v after Ignore, want incoming", v.Kind)
	}
	if len(e.flightOf) != 0 {
		t.Error("flights are left")
	}
}

func TestIgnore(t *testing.T) {
	e := newTestServer(t)
	in := epIncoming(t, e, epStart, epClient, epInitial(epDst, epSrc, nil))
	e.Ignore(in)
	e.Ignore(in)
	if e.Admit(in, "conn") {
		t.Error("admitted after Ignore")
	}
	if c := e.Counts(); c.Ignored != 1 || c.Pending != 0 || c.PendingBytes != 0 || len(e.flights) != 0 {
		t.Errorf("counts are %+v", c)
	}
}

func TestPendingAge(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{Server: true, PendingAge: 3 * time.Second})
	if _, ok := e.Deadline(); ok {
		t.Fatal("a deadline with nothing pending")
	}
	a := epIncoming(t, e, epStart, epClient, epInitial(epDst, epSrc, nil))
	b := epIncoming(t, e, epStart.Add(time.Second), epOther, epInitial(epDst, epSrc, nil))
	// A later datagram does not make a flight younger.
	wantDrop(t, e.Handle(epStart.Add(2*time.Second), epFrom(epClient, epInitial(epDst, epSrc, nil))), DropPending)
	if d, ok := e.Deadline(); !ok || !d.Equal(epStart.Add(3*time.Second)) {
		t.Fatalf("the deadline is %v", d)
	}
	e.HandleDeadline(epStart.Add(3*time.Second - 1))
	if c := e.Counts(); c.Pending != 2 {
		t.Fatalf("%d pending, want 2", c.Pending)
	}
	e.HandleDeadline(epStart.Add(3 * time.Second))
	if e.Admit(a, "a") {
		t.Error("admitted after it expired")
	}
	if d, ok := e.Deadline(); !ok || !d.Equal(epStart.Add(4*time.Second)) {
		t.Fatalf("the deadline is %v", d)
	}
	if !e.Admit(b, "b") {
		t.Error("not admitted in time")
	}
	if c := e.Counts(); c.Expired != 1 || c.Pending != 0 || c.PendingBytes != 0 {
		t.Errorf("counts are %+v", c)
	}
	// Time that runs backwards is no younger flight.
	c := epIncoming(t, e, epStart, epClient, epInitial(epDst, epSrc, nil))
	if !c.Received().Equal(epStart.Add(3 * time.Second)) {
		t.Errorf("received at %v", c.Received())
	}
}

func TestPendingFlightLimit(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{Server: true, MaxPendingFlight: 4000})
	in := epIncoming(t, e, epStart, epClient, epInitial(epDst, epSrc, nil))
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(epDst, epSrc, nil))), DropPending)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(epDst, epSrc, nil))), DropPending)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(epDst, epSrc, nil))), DropPendingFull)
	for range 1000 { // small ones count more than their bytes
		e.Handle(epStart, epFrom(epClient, epLong(wire.Packet0RTT, Version1, epDst, epSrc, nil, 0)))
	}
	if n := len(in.datagrams); n > 6 {
		t.Errorf("%d datagrams in one flight", n)
	}
	wantDrop(t, e.Handle(epStart, epFrom(epOther, epLong(wire.PacketInitial, Version1, epDst, epSrc, nil, 5000))), DropPendingFull)
}

func TestPendingTotalLimits(t *testing.T) {
	id := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
	e := newTestEndpoint(t, EndpointConfig{Server: true, MaxPending: 3})
	for i := range 3 {
		epIncoming(t, e, epStart, epClient, epInitial(id(i), epSrc, nil))
	}
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(id(3), epSrc, nil))), DropPendingFull)
	// What has expired makes room, without HandleDeadline too.
	epIncoming(t, e, epStart.Add(time.Minute), epClient, epInitial(id(3), epSrc, nil))

	e = newTestEndpoint(t, EndpointConfig{Server: true, MaxPendingBytes: 3 * (1200 + heldOverhead)})
	epIncoming(t, e, epStart, epClient, epInitial(id(0), epSrc, nil))
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(id(0), epSrc, nil))), DropPending)
	in := epIncoming(t, e, epStart, epClient, epInitial(id(1), epSrc, nil))
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(id(1), epSrc, nil))), DropPendingFull)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(id(2), epSrc, nil))), DropPendingFull)
	e.Ignore(in)
	epIncoming(t, e, epStart, epClient, epInitial(id(2), epSrc, nil))
}

// floodDatagram is an Initial whose ID and address change with i.
func floodDatagram(d *Datagram, i int) {
	binary.BigEndian.PutUint64(d.Data[6:], uint64(i)+1<<40)
	d.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(i)|1)
}

func TestInitialFlood(t *testing.T) {
	const n = 100_000
	e := newTestServer(t)
	id := NewConnID([]byte{1, 1, 1, 1, 1, 1, 1, 1})
	e.Apply(&RouteChanges{Route: "established", Added: []ConnID{id}})
	established := epFrom(epClient, epShort(id.Bytes(), 100))
	d := epFrom(epClient, epInitial(epDst, epSrc, nil))

	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	now := epStart
	for i := range n {
		floodDatagram(d, i)
		e.Handle(now, d)
		if i%100 == 0 {
			now = now.Add(time.Microsecond)
			wantRoute(t, e.Handle(now, established), "established")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	c := e.Counts()
	if c.Pending != defaultMaxPending || c.PendingBytes > defaultMaxPendingBytes {
		t.Errorf("%d flights of %d bytes are pending", c.Pending, c.PendingBytes)
	}
	if c.Drops[DropPendingFull] != n-defaultMaxPending {
		t.Errorf("%d were turned away", c.Drops[DropPendingFull])
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2*defaultMaxPendingBytes {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if a := testing.AllocsPerRun(100, func() { e.Handle(now, d) }); a != 0 {
		t.Errorf("%v allocations for an Initial that is turned away", a)
	}
	e.HandleDeadline(now.Add(defaultPendingAge))
	if c := e.Counts(); c.Pending != 0 || c.PendingBytes != 0 || len(e.flights) != 0 {
		t.Errorf("after the age %+v are left", c)
	}
}

// TestRefusalFlood has every Initial answered: the answers are bounded by their rate.
func TestRefusalFlood(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{Server: true, ReplyRate: 100})
	d := epFrom(epClient, epInitial(epDst, epSrc, nil))
	replies := 0
	for i := range 20_000 { // of one second
		floodDatagram(d, i)
		now := epStart.Add(time.Duration(i) * time.Second / 20_000)
		v := e.Handle(now, d)
		if v.Kind != VerdictIncoming {
			t.Fatalf("verdict is %v", v.Kind)
		}
		if i%2 == 0 {
			if e.Refuse(v.Incoming) != nil {
				replies++
			}
		} else if b, err := e.Retry(now, v.Incoming); err == nil && b != nil {
			replies++
		}
	}
	if replies < 100 || replies > 111 {
		t.Errorf("%d replies in a second, want 100 and a burst of 10", replies)
	}
	if c := e.Counts(); c.Pending != 0 || int(c.Refusals+c.Retries) != replies {
		t.Errorf("counts are %+v", c)
	}
}

func TestKnows(t *testing.T) {
	e := newTestServer(t)
	id := NewConnID([]byte{9, 9, 9, 9, 1, 2, 3, 4})
	e.Apply(&RouteChanges{Route: "conn", Added: []ConnID{id}})
	if !e.Knows(id.Bytes()) || e.Knows(epDst) || e.Knows(nil) || e.Knows(make([]byte, MaxConnIDLen+1)) {
		t.Error("an ID is known that should not be, or the other way round")
	}
	e.Apply(&RouteChanges{Route: "conn", Removed: []ConnID{id}})
	if e.Knows(id.Bytes()) {
		t.Error("an ID that was removed is known")
	}
}
