package quic

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

var (
	epStart  = time.Unix(1_700_000_000, 0)
	epClient = netip.MustParseAddrPort("192.0.2.1:1234")
	epOther  = netip.MustParseAddrPort("192.0.2.2:1234")
	epLocal  = netip.MustParseAddr("198.51.100.1")
	epReset  = [32]byte{1, 2, 3}
)

// epRand is a source of the same bytes each time.
type epRand struct{ n byte }

func (r *epRand) Read(b []byte) (int, error) {
	for i := range b {
		r.n = r.n*5 + 3
		b[i] = r.n
	}
	return len(b), nil
}

// newTestEndpoint makes an endpoint with deterministic randomness.
func newTestEndpoint(t testing.TB, cfg EndpointConfig) *Endpoint {
	t.Helper()
	if cfg.Rand == nil {
		cfg.Rand = new(epRand)
	}
	e, err := NewEndpoint(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newTestServer(t testing.TB) *Endpoint {
	return newTestEndpoint(t, EndpointConfig{Server: true, StatelessResetKey: &epReset})
}

// epLong builds a datagram of size bytes that is one long header packet.
func epLong(typ wire.PacketType, version uint32, dst, src, token []byte, size int) []byte {
	b, off := wire.AppendLongHeader(nil, typ, version, dst, src, token, 0, 2)
	n := len(b) - 2
	if size < len(b)+20 {
		size = len(b) + 20
	}
	b = append(b, make([]byte, size-len(b))...)
	wire.SetLength(b, off, size-n)
	return b
}

func epInitial(dst, src, token []byte) []byte {
	return epLong(wire.PacketInitial, Version1, dst, src, token, 1200)
}

func epShort(dst []byte, size int) []byte {
	b := wire.AppendShortHeader(nil, dst, 0, 2, false, false)
	return append(b, make([]byte, max(size-len(b), 0))...)
}

func epFrom(remote netip.AddrPort, b []byte) *Datagram {
	return &Datagram{Data: b, Remote: remote, Local: epLocal, Socket: 7, ECN: ECT0}
}

var (
	epDst = []byte{1, 2, 3, 4, 5, 6, 7, 8}
	epSrc = []byte{9, 9, 9, 9}
)

// epIncoming has the endpoint take a first flight.
func epIncoming(t testing.TB, e *Endpoint, now time.Time, remote netip.AddrPort, b []byte) *Incoming {
	t.Helper()
	v := e.Handle(now, epFrom(remote, b))
	if v.Kind != VerdictIncoming || v.Incoming == nil {
		t.Fatalf("verdict is %v (%v), want incoming", v.Kind, v.Drop)
	}
	return v.Incoming
}

func wantDrop(t testing.TB, v Verdict, r DropReason) {
	t.Helper()
	if v.Kind != VerdictDrop || v.Drop != r {
		t.Fatalf("verdict is %v (%v), want drop (%v)", v.Kind, v.Drop, r)
	}
}

func wantRoute(t testing.TB, v Verdict, r any) {
	t.Helper()
	if v.Kind != VerdictRoute || v.Route != r {
		t.Fatalf("verdict is %v (%v) to %v, want route to %v", v.Kind, v.Drop, v.Route, r)
	}
}

func TestEndpointDrops(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 21)
	longDst, longSrc := epUnknownVersion(Version1, long, epSrc, 1200), epUnknownVersion(Version1, epDst, long, 1200)
	longDst[0], longSrc[0] = 0xc0, 0xc0
	noFixed := epInitial(epDst, epSrc, nil)
	noFixed[0] &^= 0x40
	truncated := epInitial(epDst, epSrc, nil)[:1200-1]
	vn := wire.AppendVersionNegotiation(nil, 0xc0, epDst, epSrc, []uint32{Version1})
	vn = append(vn, make([]byte, 1200-len(vn))...)
	for _, tc := range []struct {
		name string
		data []byte
		want DropReason
	}{
		{"empty", nil, DropMalformed},
		{"one byte", []byte{0x40}, DropMalformed},
		{"short header cut", []byte{0x40, 1, 2, 3}, DropMalformed},
		{"long header cut", []byte{0xc0, 0, 0, 0, 1, 8, 1}, DropMalformed},
		{"no fixed bit", noFixed, DropMalformed},
		{"length beyond the datagram", truncated, DropMalformed},
		{"destination of 21 bytes", longDst, DropMalformed},
		{"source of 21 bytes", longSrc, DropMalformed},
		{"destination of 7 bytes", epInitial(epDst[:7], epSrc, nil), DropMalformed},
		{"no destination", epInitial(nil, epSrc, nil), DropMalformed},
		{"destination of 7 bytes and a token", epInitial(epDst[:7], epSrc, []byte("token")), DropToken},
		{"initial of 1199 bytes", epLong(wire.PacketInitial, Version1, epDst, epSrc, nil, 1199), DropTooSmall},
		{"handshake", epLong(wire.PacketHandshake, Version1, epDst, epSrc, nil, 1200), DropUnknownID},
		{"0-rtt", epLong(wire.Packet0RTT, Version1, epDst, epSrc, nil, 1200), DropUnknownID},
		{"version negotiation", vn, DropUnknownID},
		{"unknown version, small", epLong(wire.PacketInitial, 0xff00001d, epDst, epSrc, nil, 1199), DropVersion},
		{"short header, too small for a reset", epShort(epDst, 21), DropUnknownID},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newTestServer(t)
			wantDrop(t, e.Handle(epStart, epFrom(epClient, tc.data)), tc.want)
			c := e.Counts()
			if c.Drops[tc.want] != 1 || c.Verdicts[VerdictDrop] != 1 {
				t.Errorf("counts are %+v", c)
			}
			if tc.want.String() == "" || tc.want.String() == "unknown" {
				t.Errorf("reason %d has no name", tc.want)
			}
		})
	}
}

func TestEndpointNotServer(t *testing.T) {
	e, err := NewEndpoint(nil)
	if err != nil {
		t.Fatal(err)
	}
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(epDst, epSrc, nil))), DropNotServer)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epLong(wire.PacketInitial, 77, epDst, epSrc, nil, 1200))), DropNotServer)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epShort(epDst, 100))), DropUnknownID)
}

func TestEndpointIncoming(t *testing.T) {
	e := newTestServer(t)
	data := epInitial(epDst, epSrc, nil)
	orig := bytes.Clone(data)
	in := epIncoming(t, e, epStart, epClient, data)
	clear(data) // the caller reuses its buffer
	if in.RemoteAddr() != epClient || in.LocalAddr() != epLocal || in.Socket() != 7 || in.Version() != Version1 {
		t.Errorf("wrong path or version: %+v", in)
	}
	if in.OriginalDstID() != NewConnID(epDst) || in.dstID != NewConnID(epDst) || in.srcID != NewConnID(epSrc) {
		t.Errorf("wrong IDs: %+v", in)
	}
	if in.Validated() || in.retried || in.ReceivedBytes() != 1200 || !in.Received().Equal(epStart) {
		t.Errorf("wrong state: %+v", in)
	}
	if len(in.datagrams) != 1 || !bytes.Equal(in.datagrams[0].data, orig) || in.datagrams[0].ecn != ECT0 {
		t.Error("the datagram was not kept as it came")
	}
}

func TestEndpointRoutes(t *testing.T) {
	for n := 4; n <= MaxConnIDLen; n++ {
		e := newTestEndpoint(t, EndpointConfig{Server: true, ConnIDs: RandomConnIDs(n)})
		id := bytes.Repeat([]byte{byte(n)}, n)
		e.Apply(&RouteChanges{Route: n, Added: []ConnID{NewConnID(id)}})
		wantRoute(t, e.Handle(epStart, epFrom(epClient, epShort(id, 50))), n)
		wantRoute(t, e.Handle(epStart, epFrom(epOther, epShort(id, 50))), n)
		wantRoute(t, e.Handle(epStart, epFrom(epOther, epLong(wire.PacketHandshake, Version1, id, epSrc, nil, 100))), n)
		// What else is wrong with the packet is the connection's business.
		wantRoute(t, e.Handle(epStart, epFrom(epOther, epLong(wire.PacketInitial, 77, id, epSrc, nil, 100))), n)
		e.Apply(&RouteChanges{Route: n + 1, Removed: []ConnID{NewConnID(id)}})
		wantRoute(t, e.Handle(epStart, epFrom(epClient, epShort(id, 50))), n)
		e.Apply(&RouteChanges{Route: n, Removed: []ConnID{NewConnID(id)}})
		wantDrop(t, e.Handle(epStart, epFrom(epClient, epShort(id, 50))), DropUnknownID)
		if c := e.Counts(); c.Routes != 0 {
			t.Errorf("%d routes are left", c.Routes)
		}
	}
}

func TestEndpointCollision(t *testing.T) {
	e := newTestServer(t)
	id, token := NewConnID(epDst), [16]byte{5}
	e.Apply(&RouteChanges{Route: "a", Added: []ConnID{id}, AddedResets: [][16]byte{token}})
	e.Apply(&RouteChanges{Route: "a", Added: []ConnID{id}, AddedResets: [][16]byte{token}})
	if c := e.Counts(); c.Collisions != 0 || c.Routes != 1 || c.ResetTokens != 1 {
		t.Fatalf("counts after the same again: %+v", c)
	}
	e.Apply(&RouteChanges{Route: "b", Added: []ConnID{id}, AddedResets: [][16]byte{token}})
	if c := e.Counts(); c.Collisions != 2 {
		t.Fatalf("%d collisions, want 2", c.Collisions)
	}
	e.Apply(&RouteChanges{Route: "b", Removed: []ConnID{id}, RemovedResets: [][16]byte{token}})
	wantRoute(t, e.Handle(epStart, epFrom(epClient, epShort(epDst, 50))), "a")
	if c := e.Counts(); c.ResetTokens != 1 {
		t.Error("another connection removed the reset token")
	}
}

func TestEndpointEmptyIDs(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{ConnIDs: RandomConnIDs(0), StatelessResetKey: &epReset})
	var none ConnID
	e.Apply(&RouteChanges{Route: "a", Added: []ConnID{none}, Remote: epClient})
	e.Apply(&RouteChanges{Route: "b", Added: []ConnID{none}, Remote: epOther})
	wantRoute(t, e.Handle(epStart, epFrom(epClient, epShort(nil, 50))), "a")
	wantRoute(t, e.Handle(epStart, epFrom(epOther, epShort(nil, 50))), "b")
	wantRoute(t, e.Handle(epStart, epFrom(epOther, epLong(wire.PacketInitial, Version1, nil, epSrc, nil, 1200))), "b")
	mapped := netip.AddrPortFrom(netip.AddrFrom16(epClient.Addr().As16()), epClient.Port())
	wantRoute(t, e.Handle(epStart, epFrom(mapped, epShort(nil, 50))), "a")
	third := netip.MustParseAddrPort("192.0.2.3:1")
	wantDrop(t, e.Handle(epStart, epFrom(third, epShort(nil, 50))), DropUnknownID)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(epDst, epSrc, nil))), DropNotServer)

	e.Apply(&RouteChanges{Route: "b", Added: []ConnID{none}, Remote: epClient})
	if c := e.Counts(); c.Collisions != 1 {
		t.Errorf("%d collisions, want 1", c.Collisions)
	}
	e.Apply(&RouteChanges{Route: "b", Remote: third}) // its peer has moved
	wantRoute(t, e.Handle(epStart, epFrom(third, epShort(nil, 50))), "b")
	wantDrop(t, e.Handle(epStart, epFrom(epOther, epShort(nil, 50))), DropUnknownID)
	e.Apply(&RouteChanges{Route: "b", Removed: []ConnID{none}, Remote: third})
	wantDrop(t, e.Handle(epStart, epFrom(third, epShort(nil, 50))), DropUnknownID)
	wantRoute(t, e.Handle(epStart, epFrom(epClient, epShort(nil, 50))), "a")
	e.Apply(&RouteChanges{Route: "a", Removed: []ConnID{none}, Remote: epClient})
	if c := e.Counts(); c.Routes != 0 || len(e.addrOf) != 0 {
		t.Errorf("%d routes are left", c.Routes)
	}
}

func TestNewEndpointErrors(t *testing.T) {
	for name, cfg := range map[string]EndpointConfig{
		"short server IDs": {Server: true, ConnIDs: RandomConnIDs(3)},
		"empty server IDs": {Server: true, ConnIDs: RandomConnIDs(0)},
		"long IDs":         {ConnIDs: RandomConnIDs(21)},
		"negative IDs":     {ConnIDs: RandomConnIDs(-1)},
		"negative limit":   {MaxPending: -1},
		"no randomness":    {Rand: bytes.NewReader(make([]byte, 20))},
	} {
		if _, err := NewEndpoint(&cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEndpointDeterministic(t *testing.T) {
	run := func() []byte {
		e := newTestServer(t)
		var out []byte
		in := epIncoming(t, e, epStart, epClient, epInitial(epDst, epSrc, nil))
		retry, err := e.Retry(epStart, in)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, retry...)
		out = append(out, e.Handle(epStart, epFrom(epClient, epShort(epDst, 500))).Reply...)
		out = append(out, e.Handle(epStart, epFrom(epClient, epLong(wire.PacketInitial, 77, epDst, epSrc, nil, 1200))).Reply...)
		return out
	}
	if !bytes.Equal(run(), run()) {
		t.Error("the same calls gave other bytes")
	}
}

func TestEndpointRoutingAllocatesNothing(t *testing.T) {
	e := newTestServer(t)
	conn := new(int)
	id := NewConnID([]byte{8, 7, 6, 5, 4, 3, 2, 1})
	in := epIncoming(t, e, epStart, epClient, epInitial(epDst, epSrc, nil))
	if !e.Admit(in, conn) {
		t.Fatal("not admitted")
	}
	token := [16]byte{3}
	e.Apply(&RouteChanges{Route: conn, Added: []ConnID{id}, AddedResets: [][16]byte{token}})
	reset := append(epShort(epDst, 30), token[:]...)
	for name, d := range map[string]*Datagram{
		"short header": epFrom(epClient, epShort(id.Bytes(), 1200)),
		"long header":  epFrom(epClient, epLong(wire.PacketHandshake, Version1, id.Bytes(), epSrc, nil, 1200)),
		"first flight": epFrom(epClient, epInitial(epDst, epSrc, nil)),
		"reset":        epFrom(epClient, reset),
	} {
		wantRoute(t, e.Handle(epStart, d), conn)
		if n := testing.AllocsPerRun(100, func() { e.Handle(epStart, d) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkEndpointRoute(b *testing.B) {
	e := newTestServer(b)
	var ids []ConnID
	for i := range 1000 {
		id := NewConnID(binary.BigEndian.AppendUint64(nil, uint64(i)*0x9e3779b97f4a7c15))
		ids = append(ids, id)
		e.Apply(&RouteChanges{Route: &ids, Added: []ConnID{id}})
	}
	d := epFrom(epClient, epShort(ids[0].Bytes(), 1200))
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		copy(d.Data[1:], ids[i%len(ids)].Bytes())
		if e.Handle(epStart, d).Kind != VerdictRoute {
			b.Fatal("not routed")
		}
		i++
	}
}
