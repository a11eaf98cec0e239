package wire

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// frameTable is RFC 9000, Table 3, as it is printed there, and DATAGRAM of RFC
// 9221. The one difference is RETIRE_CONNECTION_ID, which Section 12.5 permits to forbid in 0-RTT.
const frameTable = `
00 IH01 NP
01 IH01
02 IH_1 NC
03 IH_1 NC
04 __01
05 __01
06 IH_1
07 ___1
08 __01 F
09 __01 F
0a __01 F
0b __01 F
0c __01 F
0d __01 F
0e __01 F
0f __01 F
10 __01
11 __01
12 __01
13 __01
14 __01
15 __01
16 __01
17 __01
18 __01 P
19 ___1
1a __01 P
1b ___1 P
1c IH01 N
1d __01 N
1e ___1
30 __01
31 __01
`

// sampleFrames has a frame of each type, as bytes and as they are parsed.
var sampleFrames = []struct {
	name string
	b    []byte
	want Frame
}{
	{"PADDING", unhex("00"), Frame{}},
	{"PING", unhex("01"), Frame{Type: FramePing}},
	{"ACK", unhex("02 0a 05 00 03"), Frame{Type: FrameAck, Ack: Ack{Largest: 10, Delay: 5, raw: unhex("03")}}},
	{"ACK to 0", unhex("02 0a 05 01 03 02 03"), Frame{Type: FrameAck, Ack: Ack{Largest: 10, Delay: 5, raw: unhex("03 02 03")}}},
	{"ACK with ECN", unhex("03 0a 05 01 03 02 02 01 4002 03"), Frame{Type: FrameAckECN,
		Ack: Ack{Largest: 10, Delay: 5, HasECN: true, ECT0: 1, ECT1: 2, CE: 3, raw: unhex("03 02 02")}}},
	{"RESET_STREAM", AppendResetStream(nil, 4, 300, 70000), Frame{Type: FrameResetStream, StreamID: 4, ErrorCode: 300, FinalSize: 70000}},
	{"STOP_SENDING", AppendStopSending(nil, 4, 300), Frame{Type: FrameStopSending, StreamID: 4, ErrorCode: 300}},
	{"CRYPTO", append(AppendCryptoHeader(nil, 100, 3), 1, 2, 3), Frame{Type: FrameCrypto, Offset: 100, Data: []byte{1, 2, 3}}},
	{"empty CRYPTO", AppendCryptoHeader(nil, MaxVarint, 0), Frame{Type: FrameCrypto, Offset: MaxVarint, Data: []byte{}}},
	{"NEW_TOKEN", AppendNewToken(nil, []byte{9}), Frame{Type: FrameNewToken, Data: []byte{9}}},
	{"STREAM", unhex("08 04 010203"), Frame{Type: FrameStream, StreamID: 4, Data: []byte{1, 2, 3}}},
	{"STREAM with FIN", unhex("09 04"), Frame{Type: 0x09, StreamID: 4, Data: []byte{}, Fin: true}},
	{"STREAM with LEN", unhex("0a 04 03 010203"), Frame{Type: 0x0a, StreamID: 4, Data: []byte{1, 2, 3}}},
	{"STREAM with LEN, FIN", unhex("0b 04 00"), Frame{Type: 0x0b, StreamID: 4, Data: []byte{}, Fin: true}},
	{"STREAM with OFF", unhex("0c 04 4100 0102"), Frame{Type: 0x0c, StreamID: 4, Offset: 256, Data: []byte{1, 2}}},
	{"STREAM with OFF, FIN", unhex("0d 04 4100"), Frame{Type: 0x0d, StreamID: 4, Offset: 256, Data: []byte{}, Fin: true}},
	{"STREAM with OFF, LEN", unhex("0e 04 00 02 0102"), Frame{Type: 0x0e, StreamID: 4, Data: []byte{1, 2}}},
	{"STREAM with OFF, LEN, FIN", unhex("0f 04 fffffffffffffffe 01 01"),
		Frame{Type: 0x0f, StreamID: 4, Offset: MaxVarint - 1, Data: []byte{1}, Fin: true}},
	{"MAX_DATA", AppendMaxData(nil, MaxVarint), Frame{Type: FrameMaxData, Limit: MaxVarint}},
	{"MAX_STREAM_DATA", AppendMaxStreamData(nil, 5, 1000), Frame{Type: FrameMaxStreamData, StreamID: 5, Limit: 1000}},
	{"MAX_STREAMS", AppendMaxStreams(nil, false, 1<<60), Frame{Type: FrameMaxStreamsBidi, Limit: 1 << 60}},
	{"MAX_STREAMS, uni", AppendMaxStreams(nil, true, 7), Frame{Type: FrameMaxStreamsUni, Limit: 7}},
	{"DATA_BLOCKED", AppendDataBlocked(nil, 1000), Frame{Type: FrameDataBlocked, Limit: 1000}},
	{"STREAM_DATA_BLOCKED", AppendStreamDataBlocked(nil, 5, 1000), Frame{Type: FrameStreamDataBlocked, StreamID: 5, Limit: 1000}},
	{"STREAMS_BLOCKED", AppendStreamsBlocked(nil, false, 7), Frame{Type: FrameStreamsBlockedBidi, Limit: 7}},
	{"STREAMS_BLOCKED, uni", AppendStreamsBlocked(nil, true, 1<<60), Frame{Type: FrameStreamsBlockedUni, Limit: 1 << 60}},
	{"NEW_CONNECTION_ID", AppendNewConnectionID(nil, 100, 100, []byte{1}, &[16]byte{5}),
		Frame{Type: FrameNewConnectionID, Seq: 100, RetirePriorTo: 100, ConnID: []byte{1}, ResetToken: [16]byte{5}}},
	{"NEW_CONNECTION_ID, 20 bytes", AppendNewConnectionID(nil, 2, 1, make([]byte, 20), &[16]byte{5}),
		Frame{Type: FrameNewConnectionID, Seq: 2, RetirePriorTo: 1, ConnID: make([]byte, 20), ResetToken: [16]byte{5}}},
	{"RETIRE_CONNECTION_ID", AppendRetireConnectionID(nil, 100), Frame{Type: FrameRetireConnectionID, Seq: 100}},
	{"PATH_CHALLENGE", AppendPathChallenge(nil, &[8]byte{1, 2}), Frame{Type: FramePathChallenge, PathData: [8]byte{1, 2}}},
	{"PATH_RESPONSE", AppendPathResponse(nil, &[8]byte{1, 2}), Frame{Type: FramePathResponse, PathData: [8]byte{1, 2}}},
	{"CONNECTION_CLOSE", AppendConnectionClose(nil, false, 10, 6, "why"),
		Frame{Type: FrameConnectionClose, ErrorCode: 10, FrameType: 6, Data: []byte("why")}},
	{"CONNECTION_CLOSE, application", AppendConnectionClose(nil, true, 1000, 6, ""),
		Frame{Type: FrameConnectionCloseApp, ErrorCode: 1000, Data: []byte{}}},
	{"HANDSHAKE_DONE", AppendHandshakeDone(nil), Frame{Type: FrameHandshakeDone}},
	{"DATAGRAM", unhex("30 010203"), Frame{Type: FrameDatagram, Data: []byte{1, 2, 3}}},
	{"DATAGRAM with LEN", append(AppendDatagramHeader(nil, 3), 1, 2, 3), Frame{Type: FrameDatagram + 1, Data: []byte{1, 2, 3}}},
	{"empty DATAGRAM", AppendDatagramHeader(nil, 0), Frame{Type: FrameDatagram + 1, Data: []byte{}}},
}

// toEnd tells whether a frame of a type extends to the end of its packet.
func toEnd(typ byte) bool {
	return typ&^7 == FrameStream && typ&streamLen == 0 || typ == FrameDatagram
}

func TestParseFrame(t *testing.T) {
	for _, tc := range sampleFrames {
		b := tc.b
		if !toEnd(b[0]) {
			b = append(b[:len(b):len(b)], 0xff) // another frame
		}
		var f Frame
		n, err := ParseFrame(b, Packet1RTT, &f)
		if err != nil || n != len(tc.b) {
			t.Errorf("%s: %d bytes of %d, %v", tc.name, n, len(tc.b), err)
		}
		if !reflect.DeepEqual(f, tc.want) {
			t.Errorf("%s: %+v, want %+v", tc.name, f, tc.want)
		}
		// With what an earlier frame left.
		f = dirtyFrame()
		if _, err := ParseFrame(b, Packet1RTT, &f); err != nil {
			t.Error(err)
		}
		if out := appendFrame(nil, &f); !bytes.Equal(out, appendFrame(nil, &tc.want)) {
			t.Errorf("%s into a frame that was used: %x", tc.name, out)
		}
	}
}

// dirtyFrame returns a frame with something in each field.
func dirtyFrame() Frame {
	return Frame{
		Type: 77, StreamID: 77, Offset: 77, Data: []byte("dirty"), Fin: true, Limit: 77, ErrorCode: 77, FinalSize: 77, FrameType: 77,
		Seq: 77, RetirePriorTo: 77, ConnID: []byte("dirty"), ResetToken: [16]byte{77}, PathData: [8]byte{77},
		Ack: Ack{Largest: 77, Delay: 77, HasECN: true, ECT0: 77, ECT1: 77, CE: 77, raw: []byte{77}},
	}
}

// appendFrame encodes f as it was parsed, with minimal integers.
func appendFrame(b []byte, f *Frame) []byte {
	n := len(f.Data)
	switch f.Type {
	case FramePadding, FramePing, FrameHandshakeDone:
		return append(b, byte(f.Type))
	case FrameAck, FrameAckECN:
		var ecn *ECNCounts
		if f.Ack.HasECN {
			ecn = &ECNCounts{f.Ack.ECT0, f.Ack.ECT1, f.Ack.CE}
		}
		rs := ackRanges(&f.Ack)
		slices.Reverse(rs)
		return AppendAck(b, rs, f.Ack.Delay, ecn, 1<<20)
	case FrameResetStream:
		return AppendResetStream(b, f.StreamID, f.ErrorCode, f.FinalSize)
	case FrameStopSending:
		return AppendStopSending(b, f.StreamID, f.ErrorCode)
	case FrameCrypto:
		return append(AppendCryptoHeader(b, f.Offset, n), f.Data...)
	case FrameNewToken:
		return AppendNewToken(b, f.Data)
	case FrameMaxData:
		return AppendMaxData(b, f.Limit)
	case FrameMaxStreamData:
		return AppendMaxStreamData(b, f.StreamID, f.Limit)
	case FrameMaxStreamsBidi, FrameMaxStreamsUni:
		return AppendMaxStreams(b, f.Type == FrameMaxStreamsUni, f.Limit)
	case FrameDataBlocked:
		return AppendDataBlocked(b, f.Limit)
	case FrameStreamDataBlocked:
		return AppendStreamDataBlocked(b, f.StreamID, f.Limit)
	case FrameStreamsBlockedBidi, FrameStreamsBlockedUni:
		return AppendStreamsBlocked(b, f.Type == FrameStreamsBlockedUni, f.Limit)
	case FrameNewConnectionID:
		return AppendNewConnectionID(b, f.Seq, f.RetirePriorTo, f.ConnID, &f.ResetToken)
	case FrameRetireConnectionID:
		return AppendRetireConnectionID(b, f.Seq)
	case FramePathChallenge:
		return AppendPathChallenge(b, &f.PathData)
	case FramePathResponse:
		return AppendPathResponse(b, &f.PathData)
	case FrameConnectionClose, FrameConnectionCloseApp:
		return AppendConnectionClose(b, f.Type == FrameConnectionCloseApp, f.ErrorCode, f.FrameType, string(f.Data))
	case FrameDatagram:
		return append(append(b, FrameDatagram), f.Data...)
	case FrameDatagram + 1:
		return append(AppendDatagramHeader(b, n), f.Data...)
	}
	if f.Type&^7 != FrameStream {
		panic("no such frame")
	}
	at := len(b)
	b = AppendStreamHeader(b, f.StreamID, f.Offset, n, f.Type&streamFin != 0, f.Type&streamLen != 0)
	if f.Type&streamOff != 0 && f.Offset == 0 {
		b[at] |= streamOff // which AppendStreamHeader never writes
		b = slices.Insert(b, at+1+VarintLen(f.StreamID), 0)
	}
	return append(b, f.Data...)
}

// frameError parses a frame that must have an error.
func frameError(t *testing.T, b []byte, p PacketType) *Error {
	t.Helper()
	f := new(Frame)
	n, err := ParseFrame(b, p, f)
	var e *Error
	if !errors.As(err, &e) || n != 0 {
		t.Fatalf("%x in %v: %d bytes, error %v", b, p, n, err)
	}
	return e
}

func TestFrameTable(t *testing.T) {
	known := map[byte]bool{}
	for line := range strings.Lines(strings.TrimSpace(frameTable)) {
		fields := strings.Fields(line)
		typ, pkts, spec := unhex(fields[0])[0], fields[1], strings.Join(fields[2:], "")
		known[typ] = true
		if got := AckEliciting(uint64(typ)); got == strings.Contains(spec, "N") {
			t.Errorf("AckEliciting(%#x) is %v", typ, got)
		}
		if got := Probing(uint64(typ)); got != strings.Contains(spec, "P") {
			t.Errorf("Probing(%#x) is %v", typ, got)
		}
		tested := false
		for _, s := range sampleFrames {
			if s.b[0] != typ {
				continue
			}
			tested = true
			for p := PacketInitial; p <= Packet1RTT; p++ {
				letter := map[PacketType]string{PacketInitial: "I", PacketHandshake: "H", Packet0RTT: "0", Packet1RTT: "1"}[p]
				if letter != "" && strings.Contains(pkts, letter) {
					if _, err := ParseFrame(s.b, p, new(Frame)); err != nil {
						t.Errorf("%s in %v: %v", s.name, p, err)
					}
				} else if e := frameError(t, s.b, p); e.Code != ErrProtocolViolation || e.FrameType != uint64(typ) {
					t.Errorf("%s in %v: %v", s.name, p, e)
				}
			}
		}
		if !tested {
			t.Errorf("there is no sample of type %#x", typ)
		}
	}
	for typ := range byte(numFrameType) {
		if known[typ] {
			continue
		}
		if e := frameError(t, append([]byte{typ}, make([]byte, 50)...), Packet1RTT); e.Code != ErrFrameEncodingError || e.FrameType != uint64(typ) {
			t.Errorf("unknown type %#x: %v", typ, e)
		}
		if AckEliciting(uint64(typ)) || Probing(uint64(typ)) {
			t.Errorf("the unknown type %#x is ack-eliciting or probing", typ)
		}
	}
	if AckEliciting(MaxVarint) || Probing(numFrameType) {
		t.Error("unknown types are ack-eliciting or probing")
	}
}

func TestFramesCut(t *testing.T) {
	for _, tc := range sampleFrames {
		if toEnd(tc.b[0]) {
			continue
		}
		for n := 1; n < len(tc.b); n++ {
			if e := frameError(t, tc.b[:n:n], Packet1RTT); e.Code != ErrFrameEncodingError || e.FrameType != tc.want.Type {
				t.Errorf("%s cut to %d bytes: %v", tc.name, n, e)
			}
		}
	}
}

func TestFrameErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		hex  string
		code uint64
		typ  uint64
	}{
		{"no frame", "", ErrProtocolViolation, 0},
		{"PING in 2 bytes", "4001", ErrProtocolViolation, 1},
		{"PING in 8 bytes", "c000000000000001", ErrProtocolViolation, 1},
		{"unknown type in too many bytes", "80000040", ErrProtocolViolation, 0x40},
		{"unknown type in 2 bytes", "4040", ErrFrameEncodingError, 0x40},
		{"unknown type in 8 bytes", "ffffffffffffffff", ErrFrameEncodingError, MaxVarint},
		{"type cut off", "40", ErrFrameEncodingError, 0},
		{"STREAM beyond 2^62-1", "0e 04 ffffffffffffffff 01 01", ErrFrameEncodingError, 0x0e},
		{"STREAM beyond 2^62-1 to the end", "0c 04 fffffffffffffffe 0102", ErrFrameEncodingError, 0x0c},
		{"STREAM of 2^62-1 bytes", "0a 04 ffffffffffffffff 01", ErrFrameEncodingError, 0x0a},
		{"CRYPTO beyond 2^62-1", "06 ffffffffffffffff 01 01", ErrFrameEncodingError, FrameCrypto},
		{"CRYPTO of 2^62-1 bytes", "06 00 ffffffffffffffff 01", ErrFrameEncodingError, FrameCrypto},
		{"DATAGRAM of 2^62-1 bytes", "31 ffffffffffffffff 01", ErrFrameEncodingError, FrameDatagram + 1},
		{"NEW_TOKEN without token", "07 00", ErrFrameEncodingError, FrameNewToken},
		{"MAX_STREAMS above 2^60", "12 d000000000000001", ErrFrameEncodingError, FrameMaxStreamsBidi},
		{"MAX_STREAMS above 2^60, uni", "13 ffffffffffffffff", ErrFrameEncodingError, FrameMaxStreamsUni},
		{"STREAMS_BLOCKED above 2^60", "16 d000000000000001", ErrFrameEncodingError, FrameStreamsBlockedBidi},
		{"STREAMS_BLOCKED above 2^60, uni", "17 ffffffffffffffff", ErrFrameEncodingError, FrameStreamsBlockedUni},
		{"NEW_CONNECTION_ID without ID", "18 01 01 00" + strings.Repeat("00", 16), ErrFrameEncodingError, FrameNewConnectionID},
		{"NEW_CONNECTION_ID of 21 bytes", "18 01 01 15" + strings.Repeat("00", 21+16), ErrFrameEncodingError, FrameNewConnectionID},
		{"NEW_CONNECTION_ID that retires itself", "18 01 02 01 00" + strings.Repeat("00", 16), ErrFrameEncodingError, FrameNewConnectionID},
		{"CONNECTION_CLOSE with a long reason", "1c 00 00 ffffffffffffffff 00", ErrFrameEncodingError, FrameConnectionClose},
		{"ACK below 0", "02 0a 00 00 0b", ErrFrameEncodingError, FrameAck},
		{"ACK with a gap below 0", "02 0a 00 01 03 06 00", ErrFrameEncodingError, FrameAck},
		{"ACK with a second range below 0", "02 0a 00 01 03 02 04", ErrFrameEncodingError, FrameAck},
		{"ACK with the greatest gap", "02 0a 00 01 03 ffffffffffffffff ffffffffffffffff", ErrFrameEncodingError, FrameAck},
		{"ACK of 2^62-1 ranges", "02 0a 00 ffffffffffffffff 00 00 00", ErrFrameEncodingError, FrameAck},
		{"ACK with fewer ranges than it tells", "02 4100 00 02 00 00 00 00", ErrFrameEncodingError, FrameAck},
		{"ACK without counts", "03 0a 00 00 00 00 00", ErrFrameEncodingError, FrameAckECN},
	} {
		e := frameError(t, unhex(tc.hex), Packet1RTT)
		if e.Code != tc.code || e.FrameType != tc.typ || e.Reason == "" {
			t.Errorf("%s: %v", tc.name, e)
		}
	}
}

func TestPadding(t *testing.T) {
	b := make([]byte, 1200)
	for n := 1; n <= 40; n++ {
		for end := range 9 {
			p := append(b[:n:n], bytes.Repeat([]byte{1}, end)...)
			var f Frame
			if got, err := ParseFrame(p, PacketInitial, &f); got != n || err != nil || f.Type != FramePadding {
				t.Errorf("%d bytes of padding and %d others: %d, %v", n, end, got, err)
			}
		}
	}
	if n, err := ParseFrame(b, PacketInitial, new(Frame)); n != len(b) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestFrameHeaderLens(t *testing.T) {
	for _, id := range []uint64{0, 63, 64, MaxVarint} {
		for _, off := range []uint64{0, 1, 64, 1 << 20, 1 << 40} {
			for _, n := range []int{0, 1, 63, 64, 1200, 16383} {
				b := AppendStreamHeader(nil, id, off, n, n%2 == 0, true)
				if len(b) != StreamHeaderLen(id, off, n) {
					t.Errorf("STREAM %d, %d, %d: %d bytes", id, off, n, len(b))
				}
				if short := AppendStreamHeader(nil, id, off, n, n%2 == 0, false); len(short) != len(b)-VarintLen(uint64(n)) || short[0] != b[0]&^2 {
					t.Errorf("STREAM without length: %x, with it %x", short, b)
				}
				if b := AppendCryptoHeader(nil, off, n); len(b) != CryptoHeaderLen(off, n) {
					t.Errorf("CRYPTO %d, %d: %d bytes", off, n, len(b))
				}
				if b := AppendDatagramHeader(nil, n); len(b) != DatagramHeaderLen(n) {
					t.Errorf("DATAGRAM %d: %d bytes", n, len(b))
				}
			}
		}
	}
}

func TestAppendBugs(t *testing.T) {
	wantPanic(t, "STREAM of 16384 bytes", func() { AppendStreamHeader(nil, 0, 0, 16384, false, true) })
	wantPanic(t, "CRYPTO of -1 bytes", func() { AppendCryptoHeader(nil, 0, -1) })
	wantPanic(t, "DATAGRAM of 16384 bytes", func() { AppendDatagramHeader(nil, 16384) })
	wantPanic(t, "MAX_STREAMS above 2^60", func() { AppendMaxStreams(nil, false, 1<<60+1) })
	wantPanic(t, "STREAMS_BLOCKED above 2^60", func() { AppendStreamsBlocked(nil, true, 1<<60+1) })
	wantPanic(t, "NEW_CONNECTION_ID without ID", func() { AppendNewConnectionID(nil, 0, 0, nil, new([16]byte)) })
	wantPanic(t, "NEW_CONNECTION_ID of 21 bytes", func() { AppendNewConnectionID(nil, 0, 0, make([]byte, 21), new([16]byte)) })
	wantPanic(t, "NEW_CONNECTION_ID that retires itself", func() { AppendNewConnectionID(nil, 0, 1, make([]byte, 8), new([16]byte)) })
	wantPanic(t, "NEW_TOKEN without token", func() { AppendNewToken(nil, nil) })
	wantPanic(t, "ranges that touch", func() { AppendAck(nil, []Range{{Start: 1, End: 2}, {Start: 2, End: 3}}, 0, nil, 100) })
}

func TestFrameAllocations(t *testing.T) {
	var all []byte
	for _, tc := range sampleFrames {
		if !toEnd(tc.b[0]) {
			all = append(all, tc.b...)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		var f Frame
		for b := all; len(b) > 0; {
			n, err := ParseFrame(b, Packet1RTT, &f)
			if err != nil {
				t.Fatal(err)
			}
			b = b[n:]
			if f.Type == FrameAck {
				sumAcked(&f.Ack)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var f Frame
	if n := testing.AllocsPerRun(100, func() { ParseFrame(all[:1], PacketRetry, &f) }); n > 1 {
		t.Errorf("%v allocations for an error", n)
	}
	buf := make([]byte, 0, 1200)
	rs := []Range{{Start: 1, End: 2}, {Start: 4, End: 8}, {Start: 10, End: 20}}
	ecn := ECNCounts{1, 2, 3}
	if n := testing.AllocsPerRun(100, func() {
		b := AppendAck(buf, rs, 100, &ecn, 500)
		b = AppendStreamHeader(b, 4, 1<<20, 1000, true, true)
		b = AppendCryptoHeader(b, 1<<20, 100)
		AppendDatagramHeader(b, 100)
	}); n != 0 {
		t.Errorf("%v allocations to append", n)
	}
}

// FuzzParseFrame parses a payload, writes each frame again, and parses that.
func FuzzParseFrame(f *testing.F) {
	for _, tc := range sampleFrames {
		f.Add(tc.b, uint8(Packet1RTT))
		f.Add(append(unhex("4001"), tc.b...), uint8(PacketInitial))
	}
	f.Add(unhex("0000000000000000 01 12 00 1e"), uint8(Packet1RTT))
	f.Fuzz(func(t *testing.T, b []byte, typ uint8) {
		p := PacketType(typ)
		g := dirtyFrame() // as a connection uses one for all
		for len(b) > 0 {
			var f Frame
			n, err := ParseFrame(b, p, &f)
			if n2, err2 := ParseFrame(b, p, &g); n2 != n || (err2 == nil) != (err == nil) {
				t.Fatalf("%d, %v; then into a frame that was used %d, %v", n, err, n2, err2)
			}
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || n != 0 || e.Reason == "" || e.Code != ErrFrameEncodingError && e.Code != ErrProtocolViolation {
					t.Fatalf("%d, %v", n, err)
				}
				return
			}
			if n <= 0 || n > len(b) {
				t.Fatalf("%d bytes of %d", n, len(b))
			}
			if len(f.Data) > maxFrameData {
				return // we write none as long
			}
			out := appendFrame(nil, &f)
			if used := appendFrame(nil, &g); !bytes.Equal(used, out) {
				t.Fatalf("%x, and from a frame that was used %x", out, used)
			}
			if f.Type != FramePadding && len(out) > n {
				t.Fatalf("%x is longer than %x", out, b[:n])
			}
			if len(out) == n && !bytes.Equal(out, b[:n]) {
				t.Fatalf("%x of %x", out, b[:n])
			}
			var again Frame
			if m, err := ParseFrame(out, p, &again); m != len(out) || err != nil {
				t.Fatalf("%x of %x: %d, %v", out, b[:n], m, err)
			}
			if !slices.Equal(ackRanges(&f.Ack), ackRanges(&again.Ack)) {
				t.Fatalf("%x of %x has other ranges", out, b[:n])
			}
			f.Ack.raw, again.Ack.raw = nil, nil
			if !reflect.DeepEqual(f, again) {
				t.Fatalf("%+v, then %+v", f, again)
			}
			b = b[n:]
		}
	})
}

func BenchmarkParseStream(b *testing.B) {
	p := append(AppendStreamHeader(nil, 400, 1<<20, 1100, false, true), make([]byte, 1100)...)
	var f Frame
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFrame(p, Packet1RTT, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseMaxStreamData(b *testing.B) {
	p := AppendMaxStreamData(nil, 400, 1<<20)
	var f Frame
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFrame(p, Packet1RTT, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePadding(b *testing.B) {
	p := make([]byte, 1000)
	var f Frame
	for b.Loop() {
		if _, err := ParseFrame(p, Packet1RTT, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendStreamHeader(b *testing.B) {
	buf := make([]byte, 0, 100)
	b.ReportAllocs()
	for b.Loop() {
		AppendStreamHeader(buf, 400, 1<<20, 1100, false, true)
	}
}
