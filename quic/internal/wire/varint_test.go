package wire

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex decodes hexadecimal digits, between which there may be blanks.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// wantPanic checks that f panics for a bug of its caller.
func wantPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if s, ok := recover().(string); !ok || !strings.HasPrefix(s, "BUG: ") {
			t.Errorf("%s: does not panic with BUG", name)
		}
	}()
	f()
}

// readVarint is the sample algorithm of RFC 9000, Appendix A.1. It returns false if b is cut off.
func readVarint(b *[]byte) (uint64, bool) {
	next := func() (c byte, ok bool) {
		if len(*b) == 0 {
			return 0, false
		}
		c, *b = (*b)[0], (*b)[1:]
		return c, true
	}
	c, ok := next()
	v := uint64(c & 0x3f)
	for range 1<<(c>>6) - 1 {
		if c, ok = next(); !ok {
			break
		}
		v = v<<8 + uint64(c)
	}
	return v, ok
}

func TestVarintVectors(t *testing.T) {
	// RFC 9000, Appendix A.1. The last is not in its shortest encoding.
	for _, tc := range []struct {
		hex string
		v   uint64
	}{
		{"c2197c5eff14e88c", 151_288_809_941_952_652},
		{"9d7f3e7d", 494_878_333},
		{"7bbd", 15_293},
		{"25", 37},
		{"4025", 37},
	} {
		b := unhex(tc.hex)
		v, n := ConsumeVarint(append(b[:len(b):len(b)], 0xff))
		if v != tc.v || n != len(b) {
			t.Errorf("%s: %d in %d bytes", tc.hex, v, n)
		}
		for i := range b {
			if _, n := ConsumeVarint(b[:i]); n != 0 {
				t.Errorf("%s cut to %d bytes: length is %d", tc.hex, i, n)
			}
		}
		if out := AppendVarint(nil, v); tc.hex != "4025" && !bytes.Equal(out, b) {
			t.Errorf("%d is encoded as %x", v, out)
		}
	}
}

func TestVarintBounds(t *testing.T) {
	for _, tc := range []struct {
		v   uint64
		len int
	}{
		{0, 1}, {63, 1}, {64, 2}, {16383, 2}, {16384, 4}, {1<<30 - 1, 4}, {1 << 30, 8}, {MaxVarint, 8},
	} {
		b := AppendVarint([]byte{1}, tc.v)[1:]
		v, n := ConsumeVarint(b)
		if len(b) != tc.len || n != tc.len || VarintLen(tc.v) != tc.len || v != tc.v {
			t.Errorf("%d: %x, read as %d in %d bytes, VarintLen %d", tc.v, b, v, n, VarintLen(tc.v))
		}
		for l := tc.len; l <= 8; l *= 2 {
			b := make([]byte, l)
			putVarint(b, tc.v)
			if v, n := ConsumeVarint(b); v != tc.v || n != l {
				t.Errorf("%d in %d bytes: %x, read as %d in %d bytes", tc.v, l, b, v, n)
			}
		}
	}
	wantPanic(t, "2^62", func() { AppendVarint(nil, MaxVarint+1) })
	wantPanic(t, "2^64-1", func() { AppendVarint(nil, 1<<64-1) })
	wantPanic(t, "3 bytes", func() { putVarint(make([]byte, 3), 0) })
}

func FuzzVarint(f *testing.F) {
	for _, s := range []string{"", "25", "4025", "7bbd", "9d7f3e7d", "c2197c5eff14e88c", "c2197c5eff14e8", "80000000", "ffffffffffffffff00"} {
		f.Add(unhex(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, n := ConsumeVarint(b)
		rest := b
		want, ok := readVarint(&rest)
		if ok != (n > 0) {
			t.Fatalf("length is %d, cut off %v", n, !ok)
		}
		if !ok {
			return
		}
		if v != want || n != len(b)-len(rest) {
			t.Fatalf("%d in %d bytes, want %d", v, n, want)
		}
		out := AppendVarint(nil, v)
		if len(out) != VarintLen(v) || len(out) > n {
			t.Fatalf("%d is encoded as %x, read from %x", v, out, b[:n])
		}
		if len(out) == n && !bytes.Equal(out, b[:n]) {
			t.Fatalf("%d is encoded as %x, read from %x", v, out, b[:n])
		}
	})
}

func BenchmarkConsumeVarint(b *testing.B) {
	for name, v := range map[string]uint64{"1": 5, "2": 500, "4": 1 << 20, "8": 1 << 40} {
		b.Run(name, func(b *testing.B) {
			buf := AppendVarint(nil, v)
			for b.Loop() {
				if _, n := ConsumeVarint(buf); n == 0 {
					b.Fatal("cut off")
				}
			}
		})
	}
}
