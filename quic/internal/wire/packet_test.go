package wire

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestPacketNumberLen(t *testing.T) {
	for _, tc := range []struct {
		pn, acked uint64
		hasAcked  bool
		want      int
	}{
		// RFC 9000, Appendix A.2.
		{0xac5c02, 0xabe8b3, true, 2},
		{0xace8fe, 0xabe8b3, true, 3},
		// Without an acknowledgment all of the number is there.
		{0, 0, false, 1},
		{126, 0, false, 1},
		{127, 0, false, 2},
		{1<<15 - 2, 0, false, 2},
		{1<<15 - 1, 0, false, 3},
		{1<<23 - 2, 0, false, 3},
		{1<<23 - 1, 0, false, 4},
		{1, 0, true, 1},
		{1000, 999, true, 1},
		{1000 + 127, 1000, true, 1},
		{1000 + 128, 1000, true, 2},
		{MaxVarint, MaxVarint - 1, true, 1},
		{MaxVarint, 0, true, 4},
	} {
		if got := PacketNumberLen(tc.pn, tc.acked, tc.hasAcked); got != tc.want {
			t.Errorf("%d with %d acknowledged (%v): %d bytes, want %d", tc.pn, tc.acked, tc.hasAcked, got, tc.want)
		}
	}
}

// TestPacketNumberRange checks what RFC 9000, Section 17.1, asks for: more than
// twice the range of what is unacknowledged.
func TestPacketNumberRange(t *testing.T) {
	const acked = 1 << 40
	for shift := range 31 {
		for d := uint64(1) << shift; d <= 1<<shift+1; d++ {
			n := PacketNumberLen(acked+d, acked, true)
			if n < 4 && uint64(1)<<(8*n) <= 2*d {
				t.Errorf("%d packets unacknowledged: %d bytes are too few", d, n)
			}
			if n > 1 && uint64(1)<<(8*(n-1)) > 2*d {
				t.Errorf("%d packets unacknowledged: %d bytes are too many", d, n)
			}
		}
	}
}

func TestNames(t *testing.T) {
	var all []string
	for s := Space(0); s <= NumSpaces; s++ {
		all = append(all, s.String())
	}
	for p := PacketInitial; p <= Packet1RTT+1; p++ {
		all = append(all, p.String())
	}
	want := "initial handshake app space 3 Initial 0-RTT Handshake Retry Version Negotiation 1-RTT packet type 6"
	if got := strings.Join(all, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestConnID(t *testing.T) {
	for n := range MaxConnIDLen + 1 {
		b := bytes.Repeat([]byte{byte(n)}, n)
		c := NewConnID(b)
		if c.Len() != n || !bytes.Equal(c.Bytes(), b) || c != NewConnID(bytes.Clone(b)) {
			t.Errorf("%d bytes: %x", n, c.Bytes())
		}
		if n > 0 {
			b[0]++
			if c.Bytes()[0] == b[0] {
				t.Error("the ID is not a copy")
			}
		}
	}
	if NewConnID([]byte{0}) == NewConnID(nil) {
		t.Error("IDs of different lengths are equal")
	}
	wantPanic(t, "21 bytes", func() { NewConnID(make([]byte, 21)) })
}

func TestErrorName(t *testing.T) {
	for code, want := range map[uint64]string{
		0:              "NO_ERROR",
		0x0a:           "PROTOCOL_VIOLATION",
		0x10:           "NO_VIABLE_PATH",
		0x11:           "error 0x11",
		0xff:           "error 0xff",
		0x100:          "CRYPTO_ERROR 0x100 (close notify)",
		0x12a:          "CRYPTO_ERROR 0x12a (bad certificate)",
		0x178:          "CRYPTO_ERROR 0x178 (no application protocol)",
		0x1ff:          "CRYPTO_ERROR 0x1ff (alert(255))",
		0x200:          "error 0x200",
		math.MaxUint64: "error 0xffffffffffffffff",
	} {
		if got := ErrorName(code); got != want {
			t.Errorf("%#x: %q, want %q", code, got, want)
		}
	}
	for code, name := range errorNames {
		if name == "" {
			t.Errorf("%#x has no name", code)
		}
	}
	e := Error{Code: ErrFrameEncodingError, FrameType: FrameCrypto, Reason: "frame is cut off"}
	if got, want := e.Error(), "quic: FRAME_ENCODING_ERROR: frame is cut off (frame type 0x6)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	e.FrameType = 0
	if got, want := e.Error(), "quic: FRAME_ENCODING_ERROR: frame is cut off"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
