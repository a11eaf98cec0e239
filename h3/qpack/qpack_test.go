package qpack

import (
	"encoding/hex"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAppendixB1 is RFC 9204, Appendix B.1.
func TestAppendixB1(t *testing.T) {
	var d Decoder
	got, err := d.Decode(nil, unhex(t, "0000 510b 2f69 6e64 6578 2e68 746d 6c"), 100)
	if want := []Field{{Name: ":path", Value: "/index.html"}}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, %v", got, err)
	}
}

// TestAppendixBDynamic: what of RFC 9204, Appendix B.2 to B.5 uses a dynamic
// table is refused where the capacity is 0.
func TestAppendixBDynamic(t *testing.T) {
	for _, s := range []string{
		"3fbd01", // Set Dynamic Table Capacity=220
		"c00f 7777 772e 6578 616d 706c 652e 636f 6d",                  // Insert With Name Reference, static
		"4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565", // Insert With Literal Name
		"02",                                    // Duplicate
		"810d 6375 7374 6f6d 2d76 616c 7565 32", // Insert With Name Reference, dynamic
	} {
		var d Decoder
		var e *Error
		if err := d.HandleEncoderStream(unhex(t, s)); !errors.As(err, &e) || e.Code != CodeEncoderStreamError {
			t.Errorf("encoder stream %s: %v", s, err)
		}
	}
	for _, s := range []string{"0381 10 11", "0500 80 c1 81", "0000 80", "0000 10", "0000 40 00", "0000 00 00"} {
		var d Decoder
		var e *Error
		if _, err := d.Decode(nil, unhex(t, s), 1000); !errors.As(err, &e) || e.Code != CodeDecompressionFailed {
			t.Errorf("section %s: %v", s, err)
		}
	}
	for _, s := range []string{"84", "01", "00"} { // Section Acknowledgment, Insert Count Increment 1 and 0
		var enc Encoder
		var e *Error
		if err := enc.HandleDecoderStream(unhex(t, s)); !errors.As(err, &e) || e.Code != CodeDecoderStreamError {
			t.Errorf("decoder stream %s: %v", s, err)
		}
	}
}

// TestInstructionsInPieces: capacity 0 and stream cancellations are fine, however they are cut.
func TestInstructionsInPieces(t *testing.T) {
	var d Decoder
	var e Encoder
	for _, b := range []byte{0x20, 0x20, 0x3f, 0x80, 0x00} {
		err := d.HandleEncoderStream([]byte{b})
		if (err != nil) != (b == 0x00) { // 0x3f 0x80 0x00 is 31
			t.Fatalf("byte %#x: %v", b, err)
		}
	}
	for _, b := range []byte{0x48, 0x7f, 0x80, 0x80, 0x01, 0x40} { // cancellations of 8, a large one, 0
		if err := e.HandleDecoderStream([]byte{b}); err != nil {
			t.Fatalf("byte %#x: %v", b, err)
		}
	}
}

// TestPrefix: RFC 9204, Section 4.5.1.
func TestPrefix(t *testing.T) {
	for s, ok := range map[string]bool{
		"":           false,
		"00":         false,
		"0000":       true,
		"0005":       true,  // a base that nothing refers to
		"0080":       false, // negative base
		"0100":       false,
		"ff8001 00":  false,
		"007f 8000":  true,
		"007f 80":    false,
		"0000 c0":    true,
		"0000 ff23":  true,  // 98
		"0000 ff24":  false, // 99: the table ends
		"0000 ff":    false,
		"0000 5f":    false,
		"0000 5f 53": false, // index 98, no value
	} {
		var d Decoder
		if _, err := d.Decode(nil, unhex(t, s), 1<<10); (err == nil) != ok {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestEncoding(t *testing.T) {
	for _, c := range []struct {
		f    Field
		want string
	}{
		{Field{Name: ":method", Value: "GET"}, "d1"},
		{Field{Name: ":status", Value: "404"}, "db"},
		{Field{Name: ":status", Value: "500"}, "ff08"},
		{Field{Name: "X-Frame-Options", Value: "sameorigin"}, "ff23"},
		{Field{Name: ":path", Value: "/index.html"}, "51 88 60d5485f2bce9a68"},
		{Field{Name: "age", Value: "{"}, "52 01 7b"}, // Huffman coding would be longer
		{Field{Name: "age", Value: "0", Sensitive: true}, "72 01 30"},
		{Field{Name: "a", Value: ""}, "21 61 00"},
		{Field{Name: "A", Value: "", Sensitive: true}, "31 61 00"},
	} {
		var e Encoder
		want := append([]byte{0, 0}, unhex(t, c.want)...)
		got := e.AppendSection(nil, []Field{c.f})
		if string(got) != string(want) {
			t.Errorf("%v: %x, want %x", c.f, got, want)
		}
		var d Decoder
		back, err := d.Decode(nil, got, 1000)
		c.f.Name = strings.ToLower(c.f.Name)
		if err != nil || len(back) != 1 || back[0] != c.f {
			t.Errorf("%v came back as %v, %v", c.f, back, err)
		}
	}
	e := Encoder{KeepCase: true, Plain: true}
	if got := e.AppendSection(nil, []Field{{Name: "Age", Value: "0"}}); string(got) != "\x00\x00\x23Age\x010" {
		t.Errorf("plain: %x", got)
	}
}

func TestIntLimits(t *testing.T) {
	for _, n := range []uint{3, 4, 5, 6, 7, 8} {
		for _, v := range []uint64{0, 1, 1<<n - 2, 1<<n - 1, 1 << n, 1<<n + 126, 1<<n + 127, 1<<32 + 5, maxInt - 1, maxInt} {
			b := appendInt(nil, 0, n, v)
			got, rest, ok := consumeInt(append(b, 0xaa), n)
			if !ok || got != v || len(rest) != 1 {
				t.Errorf("prefix %d: %d came back as %d, %v", n, v, got, ok)
			}
			for i := range b {
				if _, _, ok := consumeInt(b[:i], n); ok {
					t.Errorf("prefix %d: %d decoded from %d bytes of %d", n, v, i, len(b))
				}
			}
		}
		if _, _, ok := consumeInt(appendInt(nil, 0, n, maxInt+1), n); ok {
			t.Errorf("prefix %d: 2^62 accepted", n)
		}
		over := []byte{1<<n - 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
		if _, _, ok := consumeInt(over, n); ok {
			t.Errorf("prefix %d: overflow accepted", n)
		}
		padded := []byte{1<<n - 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}
		if _, _, ok := consumeInt(padded, n); ok {
			t.Errorf("prefix %d: endless padding accepted", n)
		}
	}
}

// TestExpansionAttack: what is small on the wire and large when decoded stops
// at the limit, and takes no memory beyond it.
func TestExpansionAttack(t *testing.T) {
	const limit = 4 << 10
	static := append([]byte{0, 0}, slices.Repeat([]byte{0xff, 0x17}, 100_000)...)      // index 86: 43 bytes each
	empty := append([]byte{0, 0}, slices.Repeat([]byte{0x20, 0x00}, 100_000)...)       // 32 bytes each, by the overhead alone
	huffman := append([]byte{0, 0}, appendInt([]byte{0x21, 'a'}, 0x80, 7, 100_000)...) // '0' of 5 bits
	huffman = append(huffman, make([]byte, 100_000)...)
	for name, section := range map[string][]byte{"static": static, "empty": empty, "huffman": huffman} {
		d := new(Decoder)
		fields := make([]Field, 0, limit/FieldOverhead)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := d.Decode(fields, section, limit)
		runtime.ReadMemStats(&after)
		if err != ErrTooLarge || len(got) != 0 {
			t.Errorf("%s: %d fields, %v", name, len(got), err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 8*limit {
			t.Errorf("%s: allocated %d bytes for a limit of %d", name, n, limit)
		}
	}
}

// TestTruncated: no beginning of a section is taken for a longer one, and none panics.
func TestTruncated(t *testing.T) {
	var e Encoder
	var d Decoder
	fields := []Field{{Name: "custom", Value: strings.Repeat("value", 100)}, {Name: ":path", Value: "/~~~"}}
	b := e.AppendSection(nil, fields)
	whole := 0
	for i := range b {
		if got, err := d.Decode(nil, b[:i], 10_000); err == nil {
			whole++
			if len(got) > 1 {
				t.Errorf("%d fields of %d bytes", len(got), i)
			}
		}
	}
	if whole != 2 { // the prefix, and the first line
		t.Errorf("%d beginnings were complete", whole)
	}
}

func TestAllocs(t *testing.T) {
	var e Encoder
	var d Decoder
	fields := []Field{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "example.com"},
		{Name: ":path", Value: "/index.html"}, {Name: "User-Agent", Value: "frittata"}, {Name: "X-Custom", Value: "value"}}
	var b []byte
	var out []Field
	if n := testing.AllocsPerRun(100, func() { b = e.AppendSection(b[:0], fields) }); n > 0 {
		t.Errorf("encoding allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { out, _ = d.Decode(out[:0], b, 10_000) }); n > 1 {
		t.Errorf("decoding allocates %v times", n)
	}
	b = e.AppendSection(b[:0], []Field{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "text/css"}})
	if n := testing.AllocsPerRun(100, func() { out, _ = d.Decode(out[:0], b, 10_000) }); n > 0 {
		t.Errorf("decoding from the static table allocates %v times", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	lists := readQIF(b, "testdata/qif/netbsd.qif")
	var e Encoder
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = e.AppendSection(out[:0], lists[0])
	}
}

func BenchmarkDecode(b *testing.B) {
	lists := readQIF(b, "testdata/qif/netbsd.qif")
	var e Encoder
	var d Decoder
	section := e.AppendSection(nil, lists[0])
	var out []Field
	b.ReportAllocs()
	b.SetBytes(int64(len(section)))
	for b.Loop() {
		out, _ = d.Decode(out[:0], section, 1<<20)
	}
}
