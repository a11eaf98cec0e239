package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// The headers of RFC 9001, Appendix A, before protection.
const (
	sampleClientInitial = "c300000001088394c8f03e5157080000449e00000002"
	sampleServerInitial = "c1000000010008f067a5502a4262b50040750001"
	sampleRetry         = "ff000000010008f067a5502a4262b574 6f6b656e04a265ba2eff4d829058fb3f 0f2496ba"
	sampleShort         = "4200bff4"
)

func TestLongHeaderVectors(t *testing.T) {
	for _, tc := range []struct {
		name, hex string
		dst, src  string
		pn        uint64
		pnLen     int
		length    int
	}{
		{"client", sampleClientInitial, "8394c8f03e515708", "", 2, 4, 1182},
		{"server", sampleServerInitial, "", "f067a5502a4262b5", 1, 2, 117},
	} {
		want := unhex(tc.hex)
		b, off := AppendLongHeader([]byte{0xee}, PacketInitial, Version1, unhex(tc.dst), unhex(tc.src), nil, tc.pn, tc.pnLen)
		SetLength(b, off, tc.length)
		if !bytes.Equal(b[1:], want) {
			t.Errorf("%s: %x, want %x", tc.name, b[1:], want)
		}
		end := len(want) - tc.pnLen + tc.length
		datagram := append(want, make([]byte, end+100-len(want))...)
		var h Header
		if err := ParseHeader(datagram, 8, &h); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if h.Type != PacketInitial || h.Version != Version1 || !bytes.Equal(h.DstID, unhex(tc.dst)) || !bytes.Equal(h.SrcID, unhex(tc.src)) ||
			len(h.Token) != 0 || h.PNOffset != len(want)-tc.pnLen || h.End != end {
			t.Errorf("%s: %+v", tc.name, h)
		}
	}
}

func TestRetryVector(t *testing.T) {
	b := unhex(sampleRetry)
	var h Header
	if err := ParseHeader(b, 8, &h); err != nil {
		t.Fatal(err)
	}
	if h.Type != PacketRetry || h.Version != Version1 || len(h.DstID) != 0 || !bytes.Equal(h.SrcID, unhex("f067a5502a4262b5")) ||
		string(h.Token) != "token" || !bytes.Equal(h.Tag, b[len(b)-16:]) || h.PNOffset != 0 || h.End != len(b) {
		t.Errorf("%+v", h)
	}
	if out := AppendRetry(nil, Version1, 0x0f, nil, h.SrcID, h.Token); !bytes.Equal(out, b[:len(b)-16]) {
		t.Errorf("%x, want %x", out, b[:len(b)-16])
	}
}

func TestShortHeaderVector(t *testing.T) {
	b := unhex(sampleShort)
	if out := AppendShortHeader(nil, nil, 654360564, 3, false, false); !bytes.Equal(out, b) {
		t.Errorf("%x, want %x", out, b)
	}
	var h Header
	if err := ParseHeader(b, 0, &h); err != nil {
		t.Fatal(err)
	}
	if h.Type != Packet1RTT || len(h.DstID) != 0 || h.PNOffset != 1 || h.End != 4 {
		t.Errorf("%+v", h)
	}
}

func TestShortHeader(t *testing.T) {
	id := []byte{1, 2, 3, 4, 5}
	for pnLen := 1; pnLen <= 4; pnLen++ {
		b := AppendShortHeader(nil, id, 0x1122334455667788, pnLen, true, true)
		want := append([]byte{0x64 | byte(pnLen-1)}, id...)
		want = append(want, []byte{0x55, 0x66, 0x77, 0x88}[4-pnLen:]...)
		if !bytes.Equal(b, want) {
			t.Errorf("%x, want %x", b, want)
		}
		// What was there before is overwritten.
		h := Header{Type: PacketRetry, Version: 5, SrcID: id, Token: id, Tag: id, Versions: id}
		if err := ParseHeader(b, len(id), &h); err != nil {
			t.Fatal(err)
		}
		if h.Type != Packet1RTT || h.Version != 0 || !bytes.Equal(h.DstID, id) || h.SrcID != nil || h.Token != nil ||
			h.Tag != nil || h.Versions != nil || h.PNOffset != 6 || h.End != len(b) {
			t.Errorf("%+v", h)
		}
	}
	wantPanic(t, "packet number of 5 bytes", func() { AppendShortHeader(nil, nil, 0, 5, false, false) })
	wantPanic(t, "packet number of 0 bytes", func() { AppendShortHeader(nil, nil, 0, 0, false, false) })
}

func TestVersionNegotiation(t *testing.T) {
	for _, n := range []int{0, 1, 20, 21, 255} {
		dst, src := bytes.Repeat([]byte{1}, n), bytes.Repeat([]byte{2}, n)
		// The fixed bit has no meaning here (RFC 9000, Section 17.2.1).
		for _, first := range []byte{0, 0x40, 0xff} {
			b := AppendVersionNegotiation(nil, first, dst, src, []uint32{Version1, 0x1a2a3a4a})
			if b[0] != first|0x80 {
				t.Errorf("first byte is %#x", b[0])
			}
			var h Header
			if err := ParseHeader(b, 8, &h); err != nil {
				t.Fatal(err)
			}
			if h.Type != PacketVersionNegotiation || h.Version != 0 || !bytes.Equal(h.DstID, dst) || !bytes.Equal(h.SrcID, src) ||
				!bytes.Equal(h.Versions, unhex("00000001 1a2a3a4a")) || h.End != len(b) || h.PNOffset != 0 {
				t.Errorf("%+v", h)
			}
		}
	}
	for _, versions := range []int{0, 1, 3, 5, 7} {
		b := AppendVersionNegotiation(nil, 0, nil, nil, nil)
		b = append(b, make([]byte, versions)...)
		if err := ParseHeader(b, 8, new(Header)); err == nil {
			t.Errorf("a list of %d bytes: no error", versions)
		}
	}
	wantPanic(t, "ID of 256 bytes", func() { AppendVersionNegotiation(nil, 0, make([]byte, 256), nil, nil) })
}

func TestLongHeader(t *testing.T) {
	for _, typ := range []PacketType{PacketInitial, Packet0RTT, PacketHandshake} {
		for _, token := range [][]byte{nil, []byte("token"), bytes.Repeat([]byte{7}, 100)} {
			for n := 0; n <= MaxConnIDLen; n += 5 {
				dst, src := bytes.Repeat([]byte{1}, n), bytes.Repeat([]byte{2}, MaxConnIDLen-n)
				pnLen := n%4 + 1
				b, off := AppendLongHeader(nil, typ, Version1, dst, src, token, 0x01020304, pnLen)
				pnOff := len(b) - pnLen
				b = append(b, make([]byte, 50)...)
				SetLength(b, off, len(b)-pnOff)
				first := len(b)
				b = append(b, b...) // a second packet
				var h Header
				if err := ParseHeader(b, 8, &h); err != nil {
					t.Fatal(err)
				}
				want := token
				if typ != PacketInitial {
					want = nil
				}
				if h.Type != typ || h.Version != Version1 || !bytes.Equal(h.DstID, dst) || !bytes.Equal(h.SrcID, src) ||
					!bytes.Equal(h.Token, want) || h.PNOffset != pnOff || h.End != first {
					t.Errorf("%+v", h)
				}
			}
		}
	}
	wantPanic(t, "Retry with a packet number", func() { AppendLongHeader(nil, PacketRetry, 1, nil, nil, nil, 0, 1) })
	wantPanic(t, "length of 16384", func() { SetLength(make([]byte, 2), 0, 16384) })
	wantPanic(t, "negative length", func() { SetLength(make([]byte, 2), 0, -1) })
}

func TestParseHeaderErrors(t *testing.T) {
	long := func(change func(b []byte) []byte) []byte {
		b, off := AppendLongHeader(nil, PacketInitial, Version1, make([]byte, 8), make([]byte, 8), []byte("token"), 0, 1)
		SetLength(b, off, 30)
		return change(append(b, make([]byte, 29)...))
	}
	for _, tc := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, errHeaderCut},
		{"short, cut in its ID", make([]byte, 8), errHeaderCut},
		{"short without fixed bit", make([]byte, 40), errHeaderFixed},
		{"long without fixed bit", long(func(b []byte) []byte { b[0] &^= 0x40; return b }), errHeaderFixed},
		{"version 2", long(func(b []byte) []byte { binary.BigEndian.PutUint32(b[1:], 0x6b3343cf); return b }), errHeaderVers},
		{"length one too large", long(func(b []byte) []byte { return b[:len(b)-1] }), errHeaderLen},
		{"retry without tag", append(AppendRetry(nil, Version1, 0, nil, nil, nil), make([]byte, 15)...), errHeaderCut},
		{"destination of 21 bytes", longIDs(21, 0), errHeaderID},
		{"source of 21 bytes", longIDs(0, 21), errHeaderID},
		{"destination of 255 bytes", longIDs(255, 0), errHeaderID},
		{"token beyond the datagram", append(longIDs(0, 0)[:7], unhex("ffffffffffffffff 00")...), errHeaderCut},
		{"length of 2^62-1", append(longIDs(0, 0)[:7], unhex("00 ffffffffffffffff 00")...), errHeaderLen},
	} {
		if err := ParseHeader(tc.b, 8, new(Header)); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	whole := long(func(b []byte) []byte { return b })
	for n := range whole {
		if err := ParseHeader(whole[:n], 8, new(Header)); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
		if _, err := ParseInvariant(whole[:n], 8); (err != nil) != (n < 23) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

// longIDs makes an Initial with IDs of any length.
func longIDs(dst, src int) []byte {
	b := appendIDs([]byte{0xc0}, Version1, make([]byte, dst), make([]byte, src))
	return append(b, 0, 1, 0)
}

func TestParseInvariant(t *testing.T) {
	inv, err := ParseInvariant([]byte{0, 1, 2, 3, 4}, 3)
	if err != nil || inv.Long || !bytes.Equal(inv.DstID, []byte{1, 2, 3}) || inv.SrcID != nil {
		t.Errorf("%+v, %v", inv, err)
	}
	b := appendIDs([]byte{0x80}, 0xfaceb00c, bytes.Repeat([]byte{1}, 255), bytes.Repeat([]byte{2}, 200))
	inv, err = ParseInvariant(b, 3)
	if err != nil || !inv.Long || inv.Version != 0xfaceb00c || !bytes.Equal(inv.DstID, b[6:261]) || !bytes.Equal(inv.SrcID, b[262:]) {
		t.Errorf("%+v, %v", inv, err)
	}
}

func TestHeaderAllocations(t *testing.T) {
	short := append(AppendShortHeader(nil, make([]byte, 8), 1, 2, false, false), make([]byte, 100)...)
	long, _ := AppendLongHeader(nil, PacketInitial, Version1, make([]byte, 8), make([]byte, 8), nil, 1, 2)
	SetLength(long, len(long)-4, 2)
	buf := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		var h Header
		for _, b := range [][]byte{short, long} {
			if _, err := ParseInvariant(b, 8); err != nil {
				t.Fatal(err)
			}
			if err := ParseHeader(b, 8, &h); err != nil {
				t.Fatal(err)
			}
		}
		if ParseHeader(short[:5], 8, &h) == nil {
			t.Fatal("no error")
		}
		AppendShortHeader(buf, h.DstID, 5, 2, true, false)
		AppendLongHeader(buf, PacketHandshake, Version1, h.DstID, nil, nil, 5, 2)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, s := range []string{sampleClientInitial, sampleServerInitial, sampleRetry, sampleShort, "", "80", "c00000000100000000", "80000000000000 00000001"} {
		f.Add(unhex(s), 8)
		f.Add(append(unhex(s), make([]byte, 1200)...), 0)
	}
	f.Fuzz(func(t *testing.T, b []byte, idLen int) {
		idLen = int(uint(idLen) % (MaxConnIDLen + 1))
		inv, invErr := ParseInvariant(b, idLen)
		if invErr == nil {
			if inv.Long != (b[0]&0x80 != 0) || !inv.Long && len(inv.DstID) != idLen {
				t.Fatalf("%+v of %x", inv, b)
			}
			if inv.Long && !bytes.HasPrefix(b, appendIDs(b[:1:1], inv.Version, inv.DstID, inv.SrcID)) {
				t.Fatalf("%+v of %x", inv, b)
			}
		}
		var h Header
		if ParseHeader(b, idLen, &h) != nil {
			return
		}
		if invErr != nil {
			t.Fatal("a header that has no invariant one")
		}
		if !bytes.Equal(h.DstID, inv.DstID) || !bytes.Equal(h.SrcID, inv.SrcID) || h.Version != inv.Version {
			t.Fatalf("%+v is not %+v", h, inv)
		}
		if h.End <= 0 || h.End > len(b) || h.PNOffset < 0 || h.PNOffset > h.End {
			t.Fatalf("%+v of %d bytes", h, len(b))
		}
		// Each type but for lengths that are in a longer encoding than ours.
		var out []byte
		switch h.Type {
		case PacketVersionNegotiation:
			var versions []uint32
			for v := h.Versions; len(v) > 0; v = v[4:] {
				versions = append(versions, binary.BigEndian.Uint32(v))
			}
			out = AppendVersionNegotiation(nil, b[0], h.DstID, h.SrcID, versions)
		case PacketRetry:
			out = append(AppendRetry(nil, h.Version, b[0], h.DstID, h.SrcID, h.Token), h.Tag...)
		case Packet1RTT:
			if h.End != len(b) || h.PNOffset != 1+idLen {
				t.Fatalf("%+v of %d bytes", h, len(b))
			}
			return
		default:
			if h.End-h.PNOffset > maxLength {
				return
			}
			out, off := AppendLongHeader(nil, h.Type, h.Version, h.DstID, h.SrcID, h.Token, 0, 1)
			SetLength(out, off, h.End-h.PNOffset)
			out = append(out[:len(out)-1], b[h.PNOffset:h.End]...)
			var again Header
			if err := ParseHeader(out, idLen, &again); err != nil {
				t.Fatal(err)
			}
			if again.Type != h.Type || !bytes.Equal(again.Token, h.Token) || !bytes.Equal(out[again.PNOffset:again.End], b[h.PNOffset:h.End]) {
				t.Fatalf("%+v, then %+v", h, again)
			}
			return
		}
		if h.PNOffset != 0 || h.End != len(b) || !bytes.Equal(out, b) {
			t.Fatalf("%+v: %x of %x", h, out, b)
		}
	})
}

func BenchmarkParseInvariant(b *testing.B) {
	short := append(AppendShortHeader(nil, make([]byte, 8), 1, 2, false, false), make([]byte, 100)...)
	long := longIDs(8, 8)
	for name, p := range map[string][]byte{"short": short, "long": long} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseInvariant(p, 8); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseHeader(b *testing.B) {
	short := append(AppendShortHeader(nil, make([]byte, 8), 1, 2, false, false), make([]byte, 100)...)
	long := longIDs(8, 8)
	for name, p := range map[string][]byte{"short": short, "long": long} {
		b.Run(name, func(b *testing.B) {
			var h Header
			b.ReportAllocs()
			for b.Loop() {
				if err := ParseHeader(p, 8, &h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
