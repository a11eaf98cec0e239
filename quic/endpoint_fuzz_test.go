package quic

import (
	"bytes"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// FuzzEndpointHandle sends a datagram, and once more, and decides on what comes
// of it: whatever the bytes are, no answer is greater than its cause, limits
// hold, and what was decided on leaves nothing behind.
func FuzzEndpointHandle(f *testing.F) {
	for _, b := range [][]byte{
		epInitial(epDst, epSrc, nil),
		epInitial(epDst, epSrc, []byte("token")),
		epInitial(make([]byte, 20), make([]byte, 20), make([]byte, 300)),
		epLong(wire.Packet0RTT, Version1, epDst, epSrc, nil, 100),
		epLong(wire.PacketHandshake, Version1, epDst, epSrc, nil, 100),
		epUnknownVersion(77, make([]byte, 255), make([]byte, 255), 1200),
		epUnknownVersion(0, epDst, epSrc, 1200),
		epShort(epDst, 22), epShort(epDst, 1200), {}, {0x80}, {0x40},
	} {
		for i := range byte(4) {
			f.Add(b, i, byte(8))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, decision, idLen byte) {
		n := int(idLen) % (MaxConnIDLen + 1)
		e := newTestEndpoint(t, EndpointConfig{Server: n >= minServerConnIDLen, ConnIDs: RandomConnIDs(n), StatelessResetKey: &epReset})
		e.Apply(&RouteChanges{Route: "conn", Added: []ConnID{NewConnID(make([]byte, n))}, Remote: epOther, AddedResets: [][16]byte{{}}})
		orig := bytes.Clone(b)
		for i := range 2 {
			v := e.Handle(epStart, epFrom(epClient, b))
			if !bytes.Equal(b, orig) {
				t.Fatal("Handle changed the datagram")
			}
			if (v.Kind == VerdictDrop) != (v.Drop != 0) || (v.Kind == VerdictIncoming) != (v.Incoming != nil) ||
				(v.Kind == VerdictRoute) != (v.Route != nil) || (v.Kind == VerdictReply) != (len(v.Reply) > 0) {
				t.Fatalf("not a verdict: %+v", v)
			}
			if len(v.Reply) > len(b) {
				t.Fatalf("a reply of %d bytes to %d", len(v.Reply), len(b))
			}
			if v.Kind == VerdictReply && len(b) > 0 && b[0]&0x80 == 0 && len(v.Reply) >= len(b) {
				t.Fatal("a reset is not smaller than its cause")
			}
			if v.Kind != VerdictIncoming {
				continue
			}
			if len(b) < minUDPPayload {
				t.Fatal("a first flight of a small datagram")
			}
			var reply []byte
			switch (int(decision) + i) % 5 {
			case 0:
				var err error
				if reply, err = e.Retry(epStart, v.Incoming); err != nil {
					t.Fatal(err)
				}
			case 1:
				if reply = e.Refuse(v.Incoming); reply == nil {
					t.Fatal("no refusal")
				}
			case 2:
				e.Ignore(v.Incoming)
			case 3:
				e.Admit(v.Incoming, "new")
				wantRoute(t, e.Handle(epStart, epFrom(epClient, b)), "new")
				e.Apply(&RouteChanges{Route: "new", Removed: []ConnID{v.Incoming.dstID}})
			}
			if len(reply) > len(b) {
				t.Fatalf("an answer of %d bytes to %d", len(reply), len(b))
			}
		}
		e.HandleDeadline(epStart.Add(time.Hour))
		if c := e.Counts(); c.Pending != 0 || c.PendingBytes != 0 || len(e.flights) != 0 || len(e.flightOf) != 0 || c.Routes != 1 {
			t.Fatalf("left behind: %+v", c)
		}
	})
}
