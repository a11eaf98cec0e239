package qpack

import (
	"bytes"
	"testing"
)

// naiveHuffman decodes bit by bit. ok is false for what is invalid.
func naiveHuffman(src []byte) (out []byte, ok bool) {
	type key struct {
		code uint32
		len  uint8
	}
	symbols := make(map[key]byte)
	for s := range 256 {
		symbols[key{huffmanCodes[s], huffmanLens[s]}] = byte(s)
	}
	var k key
	for _, b := range src {
		for i := 7; i >= 0; i-- {
			k.code = k.code<<1 | uint32(b>>i&1)
			k.len++
			if s, ok := symbols[k]; ok {
				out = append(out, s)
				k = key{}
			}
			if k.len >= huffmanMaxBits {
				return nil, false
			}
		}
	}
	return out, k.len < 8 && k.code == 1<<k.len-1
}

// TestHuffmanCode: the code is complete but for EOS, 30 ones.
func TestHuffmanCode(t *testing.T) {
	sum := uint64(1)
	for s := range 256 {
		sum += 1 << (huffmanMaxBits - huffmanLens[s])
		if huffmanCodes[s]>>huffmanLens[s] != 0 {
			t.Errorf("code of %d is longer than its length", s)
		}
	}
	if sum != 1<<huffmanMaxBits {
		t.Errorf("codes fill %d of %d", sum, 1<<huffmanMaxBits)
	}
}

func TestHuffmanAllBytes(t *testing.T) {
	var all []byte
	for s := range 256 {
		all = append(all, byte(s))
		one := []byte{byte(s)}
		got, err := appendHuffmanDecoded(nil, appendHuffman(nil, one), 1)
		if err != nil || !bytes.Equal(got, one) {
			t.Errorf("%d came back as %v, %v", s, got, err)
		}
	}
	enc := appendHuffman(nil, all)
	if len(enc) != huffmanLen(all) {
		t.Errorf("length %d, announced %d", len(enc), huffmanLen(all))
	}
	got, err := appendHuffmanDecoded([]byte("x"), enc, 256)
	if err != nil || !bytes.Equal(got[1:], all) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := appendHuffmanDecoded(nil, enc, 255); err != errTooLong {
		t.Errorf("error %v, want errTooLong", err)
	}
}

// TestHuffmanPadding: RFC 7541, Section 5.2.
func TestHuffmanPadding(t *testing.T) {
	for _, c := range []struct {
		b  []byte
		ok bool
	}{
		{nil, true},
		{[]byte{0x07}, true},                    // '0', ones
		{[]byte{0x06}, false},                   // '0', padding that is not ones
		{[]byte{0x00}, false},                   // '0', zeros
		{[]byte{0xff}, false},                   // a byte of padding
		{[]byte{0x07, 0xff}, false},             // more than 7 bits
		{[]byte{0xff, 0xff, 0xff, 0xff}, false}, // EOS
		{[]byte{0xff, 0xff, 0xff, 0xfc}, false}, // EOS, and more
		{[]byte{0xf8, 0xff}, false},             // '&', 8 bits of padding
		{[]byte{0xf8}, true},                    // '&', 8 bits long
	} {
		if got, err := appendHuffmanDecoded(nil, c.b, 100); (err == nil) != c.ok {
			t.Errorf("%x: %q, %v", c.b, got, err)
		}
		if _, ok := naiveHuffman(c.b); ok != c.ok {
			t.Errorf("%x: the model says %v", c.b, ok)
		}
	}
}

func FuzzHuffman(f *testing.F) {
	f.Add([]byte{0x07, 0xff})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add(appendHuffman(nil, "www.example.com"))
	f.Add(appendHuffman(nil, "\x00\xff{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := appendHuffmanDecoded(nil, b, 2*len(b))
		want, ok := naiveHuffman(b)
		if (err == nil) != ok || ok && !bytes.Equal(got, want) {
			t.Fatalf("%x: %q, %v; the model says %q, %v", b, got, err, want, ok)
		}
		if ok {
			if back := appendHuffman(nil, got); !bytes.Equal(back, b) {
				t.Fatalf("%x: encoded again %x", b, back)
			}
		}
		back, err := appendHuffmanDecoded(nil, appendHuffman(nil, b), len(b))
		if err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%x came back as %x, %v", b, back, err)
		}
	})
}
