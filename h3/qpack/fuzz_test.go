package qpack

import (
	"slices"
	"testing"
)

func FuzzInt(f *testing.F) {
	f.Add([]byte{0xff, 0x9a, 0x0a}, uint8(5))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, uint8(8))
	f.Fuzz(func(t *testing.T, b []byte, bits uint8) {
		n := uint(bits%8) + 1
		v, rest, ok := consumeInt(b, n)
		if !ok {
			return
		}
		if v > maxInt {
			t.Fatalf("%d is above the limit", v)
		}
		used := len(b) - len(rest)
		short := appendInt(nil, b[0]&^(1<<n-1), n, v)
		if len(short) > used || len(short) == used && !slices.Equal(short, b[:used]) {
			t.Fatalf("%x decoded to %d, which is %x", b[:used], v, short)
		}
	})
}

// FuzzDecode: what is decoded keeps the limit, survives encoding, and is the same the next time.
func FuzzDecode(f *testing.F) {
	for _, r := range readRecords(f, "testdata/qif/netbsd.ls-qpack.out.0.0.0")[:8] {
		f.Add(r.data)
	}
	f.Add([]byte{0, 0, 0x51, 0xff})
	f.Add([]byte{0, 0, 0x27, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{0, 0, 0x3f, 0x83, 0xff, 0xff, 0xff, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 10
		var d Decoder
		fields, err := d.Decode(nil, b, limit)
		for range 2 {
			if next, nextErr := d.Decode(nil, b, limit); !slices.Equal(next, fields) || (nextErr == nil) != (err == nil) {
				t.Fatalf("%v, %v, and then %v, %v", fields, err, next, nextErr)
			}
		}
		if err != nil {
			if len(fields) != 0 {
				t.Fatal("fields beside an error")
			}
			return
		}
		size := SectionSize(fields)
		if size > limit {
			t.Fatalf("%d bytes of fields", size)
		}
		e := Encoder{KeepCase: true}
		again, err := d.Decode(nil, e.AppendSection(nil, fields), size)
		if err != nil || !slices.Equal(again, fields) {
			t.Fatalf("%v came back as %v, %v", fields, again, err)
		}
	})
}

// FuzzInstructions: the streams may be cut anywhere.
func FuzzInstructions(f *testing.F) {
	f.Add([]byte{0x20, 0x3f, 0x00})
	f.Add([]byte{0x7f, 0x80, 0x01, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d1, d2 Decoder
		var e1, e2 Encoder
		err1, err2 := d1.HandleEncoderStream(b), e1.HandleDecoderStream(b)
		var err3, err4 error
		for i := range b {
			if err3 == nil {
				err3 = d2.HandleEncoderStream(b[i : i+1])
			}
			if err4 == nil {
				err4 = e2.HandleDecoderStream(b[i : i+1])
			}
		}
		if (err1 == nil) != (err3 == nil) || (err2 == nil) != (err4 == nil) {
			t.Fatalf("whole: %v, %v; in pieces: %v, %v", err1, err2, err3, err4)
		}
	})
}
