package quic

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// epUnknownVersion builds a datagram of a version with IDs of any length.
func epUnknownVersion(version uint32, dst, src []byte, size int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0x80}, version)
	b = append(append(b, byte(len(dst))), dst...)
	b = append(append(b, byte(len(src))), src...)
	return append(b, make([]byte, size-len(b))...)
}

func TestVersionNegotiation(t *testing.T) {
	for _, n := range []int{0, 1, 8, 20, 21, 255} {
		e := newTestServer(t)
		dst, src := bytes.Repeat([]byte{1}, n), bytes.Repeat([]byte{2}, n)
		const version = 0x1a2a3a4a
		v := e.Handle(epStart, epFrom(epClient, epUnknownVersion(version, dst, src, 1200)))
		if v.Kind != VerdictReply {
			t.Fatalf("IDs of %d bytes: verdict is %v (%v)", n, v.Kind, v.Drop)
		}
		inv, err := wire.ParseInvariant(v.Reply, 8)
		if err != nil || !inv.Long || inv.Version != 0 || !bytes.Equal(inv.DstID, src) || !bytes.Equal(inv.SrcID, dst) {
			t.Fatalf("IDs of %d bytes: not the right header: %+v, %v", n, inv, err)
		}
		if v.Reply[0]&0x40 == 0 {
			t.Error("the fixed bit is not set")
		}
		list := v.Reply[7+2*n:]
		if len(list) == 0 || len(list)%4 != 0 {
			t.Fatalf("a list of %d bytes", len(list))
		}
		own, grease := false, false
		for ; len(list) > 0; list = list[4:] {
			switch o := binary.BigEndian.Uint32(list); {
			case o == Version1:
				own = true
			case o == version:
				t.Error("the list has the client's version")
			case o&0x0f0f0f0f == 0x0a0a0a0a:
				grease = true
			}
		}
		if !own || !grease {
			t.Errorf("the list lacks version 1 or a reserved version: %x", v.Reply)
		}
		if c := e.Counts(); c.VersionNegotiations != 1 {
			t.Errorf("counts are %+v", c)
		}
	}
}

func TestVersionNegotiationNeverOwnVersion(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{Server: true, ReplyRate: 1e9})
	for i := range uint32(1 << 12) {
		version := 0x0a0a0a0a | i<<4&0xf0 | i<<8&0xf000 | i<<12&0xf00000
		v := e.Handle(epStart, epFrom(epClient, epUnknownVersion(version, epDst, epSrc, 1200)))
		for list := v.Reply[7+len(epDst)+len(epSrc):]; len(list) > 0; list = list[4:] {
			if binary.BigEndian.Uint32(list) == version {
				t.Fatalf("offers the client's own version %#x", version)
			}
		}
	}
}

func TestVersionNegotiationRate(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{Server: true, ReplyRate: -1})
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epUnknownVersion(77, epDst, epSrc, 1200))), DropRateLimited)
}

func TestStatelessReset(t *testing.T) {
	e := newTestServer(t)
	sizes := map[int]bool{}
	for n := 22; n <= 1500; n++ {
		now := epStart.Add(time.Duration(n) * time.Second)
		v := e.Handle(now, epFrom(epClient, epShort(epDst, n)))
		if v.Kind != VerdictReply {
			t.Fatalf("%d bytes: verdict is %v (%v)", n, v.Kind, v.Drop)
		}
		b := v.Reply
		if len(b) >= n || len(b) < minResetSize {
			t.Fatalf("a reset of %d bytes for a packet of %d", len(b), n)
		}
		if b[0]&0xc0 != 0x40 {
			t.Fatalf("first byte is %#x", b[0])
		}
		want := statelessResetToken(&epReset, epDst)
		if !bytes.Equal(b[len(b)-16:], want[:]) {
			t.Fatal("not the token of that ID")
		}
		sizes[len(b)] = true
	}
	if len(sizes) < 40 {
		t.Errorf("only %d sizes", len(sizes))
	}
	if statelessResetToken(&epReset, epDst) == statelessResetToken(&epReset, epDst[:7]) {
		t.Error("two IDs have the same token")
	}
}

func TestStatelessResetRate(t *testing.T) {
	e := newTestServer(t)
	sent := 0
	for i := range 10_000 {
		v := e.Handle(epStart.Add(time.Duration(i)*time.Second/10_000), epFrom(epClient, epShort(epDst, 100)))
		if v.Kind == VerdictReply {
			sent++
		} else {
			wantDrop(t, v, DropRateLimited)
		}
	}
	if sent < 100 || sent > 111 {
		t.Errorf("%d resets in a second, want 100 and a burst of 10", sent)
	}
}

func TestStatelessResetLoopEnds(t *testing.T) {
	a := newTestEndpoint(t, EndpointConfig{StatelessResetKey: &epReset, ResetRate: 1e9})
	b := newTestEndpoint(t, EndpointConfig{StatelessResetKey: &[32]byte{4}, ResetRate: 1e9, Rand: &epRand{n: 9}})
	pkt := epShort(epDst, 1400)
	for n := 0; ; n++ {
		if n > 60 {
			t.Fatal("two endpoints go on resetting each other")
		}
		v := a.Handle(epStart, epFrom(epClient, pkt))
		if v.Kind != VerdictReply {
			wantDrop(t, v, DropUnknownID)
			break
		}
		if len(v.Reply) >= len(pkt) {
			t.Fatal("a reset is not smaller than its cause")
		}
		pkt = bytes.Clone(v.Reply)
		a, b = b, a
	}
}

func TestStatelessResetReceived(t *testing.T) {
	e := newTestServer(t)
	token := [16]byte{1, 2, 3, 4}
	e.Apply(&RouteChanges{Route: "conn", AddedResets: [][16]byte{token}})
	reset := append([]byte{0x40, 1, 2, 3, 4}, token[:]...)
	wantRoute(t, e.Handle(epStart, epFrom(epOther, reset[:])), "conn")
	if c := e.Counts(); c.ResetsReceived != 1 || c.ResetTokens != 1 {
		t.Errorf("counts are %+v", c)
	}
	reset[len(reset)-1] ^= 1
	wantDrop(t, e.Handle(epStart, epFrom(epOther, reset)), DropUnknownID)
	reset[len(reset)-1] ^= 1
	wantDrop(t, e.Handle(epStart, epFrom(epOther, append([]byte{0x40}, reset[len(reset)-19:]...))), DropUnknownID) // 20 bytes
	e.Apply(&RouteChanges{Route: "conn", RemovedResets: [][16]byte{token}})
	wantDrop(t, e.Handle(epStart, epFrom(epOther, reset)), DropUnknownID)
}

// epOpenClose decrypts an Initial of the server as the client would that chose
// dst, and returns the code of its CONNECTION_CLOSE.
func epOpenClose(t *testing.T, b, dst, src []byte) TransportErrorCode {
	t.Helper()
	b = bytes.Clone(b)
	var h wire.Header
	if err := wire.ParseHeader(b, 8, &h); err != nil {
		t.Fatal(err)
	}
	if h.Type != wire.PacketInitial || h.End != len(b) || !bytes.Equal(h.DstID, src) || len(h.Token) != 0 {
		t.Fatalf("not the Initial that it should be: %+v", h)
	}
	_, open := protect.InitialKeys(Version1, dst, true)
	_, payload, err := open.Open(b, h.PNOffset, 0)
	if err != nil || b[0]&0x0c != 0 {
		t.Fatalf("does not open, or has reserved bits: %v, first byte %#x", err, b[0])
	}
	if len(payload) < 4 || payload[0] != byte(wire.FrameConnectionClose) {
		t.Fatalf("payload is %x", payload)
	}
	return TransportErrorCode(payload[1])
}

func TestRefuse(t *testing.T) {
	e := newTestServer(t)
	for range 3 { // the buffer is used again
		in := epIncoming(t, e, epStart, epClient, epInitial(epDst, epSrc, nil))
		b := e.Refuse(in)
		if code := epOpenClose(t, b, epDst, epSrc); code != ConnectionRefused {
			t.Errorf("code is %v", code)
		}
		if e.Refuse(in) != nil {
			t.Error("refused twice")
		}
	}
	if c := e.Counts(); c.Refusals != 3 || c.Pending != 0 || c.PendingBytes != 0 {
		t.Errorf("counts are %+v", c)
	}
}

func TestTokenBucket(t *testing.T) {
	var b tokenBucket
	b.init(math.MaxInt)
	for range 1000 {
		if !b.take(epStart.Add(time.Second)) {
			t.Fatal("an endless rate has an end")
		}
	}
	b = tokenBucket{}
	b.init(1)
	if !b.take(epStart) || b.take(epStart) || b.take(epStart.Add(time.Second-1)) {
		t.Error("more than one a second")
	}
	if !b.take(epStart.Add(time.Second)) {
		t.Error("credit is lost")
	}
	if !b.take(epStart.Add(math.MaxInt64)) || b.take(epStart) {
		t.Error("time that jumps is more than one burst")
	}
}
