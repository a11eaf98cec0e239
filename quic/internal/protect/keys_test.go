package protect

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

var suites = []struct {
	name string
	id   uint16
	len  int
}{
	{"AES128", tls.TLS_AES_128_GCM_SHA256, 32},
	{"AES256", tls.TLS_AES_256_GCM_SHA384, 48},
	{"ChaCha", tls.TLS_CHACHA20_POLY1305_SHA256, 32},
}

func secretOf(n int, fill byte) []byte { return bytes.Repeat([]byte{fill}, n) }

func newPair(t testing.TB, id uint16, secretLen int) (*Sealer, *Opener) {
	t.Helper()
	seal, err := NewSealer(version1, id, secretOf(secretLen, 7))
	if err != nil {
		t.Fatal(err)
	}
	open, err := NewOpener(version1, id, secretOf(secretLen, 7))
	if err != nil {
		t.Fatal(err)
	}
	return seal, open
}

// appendPacket appends a packet that is not yet sealed, with a header of idLen more bytes than the first.
func appendPacket(b []byte, first byte, idLen, pnLen int, pn uint64, payload []byte) []byte {
	b = append(b, first|byte(pnLen-1))
	for i := range idLen {
		b = append(b, byte(i))
	}
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], pn)
	b = append(b, be[8-pnLen:]...)
	return append(b, payload...)
}

func TestSealOpen(t *testing.T) {
	for _, s := range suites {
		for _, first := range []byte{0x40, 0xc0} {
			for pnLen := 1; pnLen <= 4; pnLen++ {
				for _, size := range []int{4 - pnLen, 5, 100, 1400} {
					t.Run(fmt.Sprintf("%s/%x/%d/%d", s.name, first, pnLen, size), func(t *testing.T) {
						seal, open := newPair(t, s.id, s.len)
						payload := bytes.Repeat([]byte{0xab}, size)
						const idLen = 8
						pn := uint64(1)<<40 + 77
						plain := appendPacket(make([]byte, 0, 2000), first, idLen, pnLen, pn, payload)
						header := bytes.Clone(plain[:1+idLen+pnLen])
						b := seal.Seal(plain, 1+idLen, pnLen, pn)
						if len(b) != len(plain)+Overhead || &b[0] != &plain[0] {
							t.Fatal("not sealed in place")
						}
						gotPN, got, err := open.Open(b, 1+idLen, pn-3)
						if err != nil || gotPN != pn || !bytes.Equal(got, payload) {
							t.Fatalf("opened %d, %x, %v", gotPN, got, err)
						}
						if !bytes.Equal(b[:len(header)], header) {
							t.Errorf("header %x, want %x", b[:len(header)], header)
						}
					})
				}
			}
		}
	}
}

// checkUnopened checks what the package promises of a packet that did not open.
func checkUnopened(t *testing.T, got, was []byte, pnOff int) {
	t.Helper()
	n := min(pnOff+maxPNLen, len(was))
	if !bytes.Equal(got[:pnOff], was[:pnOff]) {
		t.Fatalf("header %x, was %x", got[:n], was[:n])
	}
	tail := max(len(was)-16, 0)
	if !bytes.Equal(got[tail:], was[tail:]) {
		t.Fatalf("last bytes %x, were %x", got[tail:], was[tail:])
	}
}

func TestOpenFailure(t *testing.T) {
	for _, s := range suites {
		seal, open := newPair(t, s.id, s.len)
		sealed := seal.Seal(appendPacket(make([]byte, 0, 100), 0x40, 8, 2, 5, make([]byte, 40)), 9, 2, 5)
		for i := range sealed {
			b := bytes.Clone(sealed)
			b[i] ^= 0x10
			was := bytes.Clone(b)
			if _, _, err := open.Open(b, 9, 5); err != ErrDecrypt {
				t.Fatalf("%s: byte %d changed: %v", s.name, i, err)
			}
			checkUnopened(t, b, was, 9)
		}
		if open.failed != uint64(len(sealed)) {
			t.Errorf("%s: %d failures counted, want %d", s.name, open.failed, len(sealed))
		}
		for n := range 9 + maxPNLen + sampleLen {
			b := bytes.Clone(sealed[:n])
			if _, _, err := open.Open(b, 9, 5); err != ErrDecrypt || !bytes.Equal(b, sealed[:n]) {
				t.Fatalf("%s: %d bytes: %v, %x", s.name, n, err, b)
			}
		}
	}
}

// TestStatelessReset: what arrives may be a reset, whose token is in its last 16 bytes, so these have to survive (RFC 9000, Section 10.3).
func TestStatelessReset(t *testing.T) {
	token := []byte("0123456789abcdef")
	for _, s := range suites {
		var k AppKeys
		if err := k.SetReadSecret(version1, s.id, secretOf(s.len, 7)); err != nil {
			t.Fatal(err)
		}
		for n := 21; n < 60; n++ {
			b := make([]byte, n)
			b[0] = 0x5f
			copy(b[n-16:], token)
			was := bytes.Clone(b)
			if _, _, _, err := k.Open(b, 1, 0, 0, 0); err != ErrDecrypt {
				t.Fatal(err)
			}
			checkUnopened(t, b, was, 1)
		}
	}
}

func TestIntegrityLimit(t *testing.T) {
	for _, s := range suites {
		_, open := newPair(t, s.id, s.len)
		want := uint64(1) << 52
		if s.name == "ChaCha" {
			want = 1 << 36
		}
		if open.limit != want {
			t.Errorf("%s: integrity limit %d, want %d", s.name, open.limit, want)
		}
		var k AppKeys
		if err := k.SetReadSecret(version1, s.id, secretOf(s.len, 7)); err != nil {
			t.Fatal(err)
		}
		open.failed, k.read.failed = want-2, want-2
		for i, wantErr := range []error{ErrDecrypt, ErrLimit, ErrLimit} {
			if _, _, err := open.Open(make([]byte, 50), 9, 0); err != wantErr {
				t.Errorf("%s: failure %d: Opener says %v, want %v", s.name, i, err, wantErr)
			}
			if _, _, _, err := k.Open(make([]byte, 50), 9, 0, 0, 0); err != wantErr {
				t.Errorf("%s: failure %d: AppKeys say %v, want %v", s.name, i, err, wantErr)
			}
		}
	}
}

func TestBadSecrets(t *testing.T) {
	if _, err := NewSealer(version1, tls.TLS_AES_128_GCM_SHA256, make([]byte, 48)); err == nil {
		t.Error("a secret of the wrong length was accepted")
	}
	if _, err := NewOpener(version1, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, make([]byte, 32)); err == nil {
		t.Error("a suite of TLS 1.2 was accepted")
	}
	var k AppKeys
	if k.SetReadSecret(version1, 0, nil) == nil || k.SetWriteSecret(version1, 0, nil) == nil {
		t.Error("suite 0 was accepted")
	}
	if k.CanRead() || k.CanWrite() {
		t.Error("failing set keys")
	}
	if _, _, _, err := k.Open(make([]byte, 100), 1, 0, 0, 0); !errors.Is(err, ErrDecrypt) {
		t.Errorf("opening without keys: %v", err)
	}
	if err := k.Update(0); err == nil {
		t.Error("update without keys")
	}
}

// TestChaChaCounter: the peer picks the sample, and so the block counter of ChaCha20: the last one too.
func TestChaChaCounter(t *testing.T) {
	_, open := newPair(t, tls.TLS_CHACHA20_POLY1305_SHA256, 32)
	b := bytes.Repeat([]byte{0xff}, 40)
	if _, _, err := open.Open(b, 1, 0); err != ErrDecrypt {
		t.Fatal(err)
	}
}

func TestDecodeNumber(t *testing.T) {
	// RFC 9000, Appendix A.3.
	if got := decodeNumber([]byte{0x9b, 0x32}, 0xa82f30ea+1); got != 0xa82f9b32 {
		t.Errorf("got %#x, want 0xa82f9b32", got)
	}
}

// FuzzDecodeNumber: the result ends in the bytes given, is a packet number, and is as near to what is expected as any.
func FuzzDecodeNumber(f *testing.F) {
	for _, next := range []uint64{0, 1, 127, 128, 129, 255, 256, 0xa82f30eb, 1<<62 - 1, 1 << 62, 1<<62 - 200} {
		for n := byte(1); n <= 4; n++ {
			f.Add(next, uint32(0), n)
			f.Add(next, uint32(0xffffffff), n)
			f.Add(next, uint32(0x80808080), n)
		}
	}
	f.Fuzz(func(t *testing.T, next uint64, bits uint32, n byte) {
		var be [4]byte
		binary.BigEndian.PutUint32(be[:], bits)
		trunc := be[4-(n%4+1):]
		next = min(next, 1<<62)
		win := uint64(1) << (8 * len(trunc))
		pn := decodeNumber(trunc, next)
		if pn >= 1<<62 || pn%win != uint64(bits)%win {
			t.Fatalf("decodeNumber(%x, %d) = %d", trunc, next, pn)
		}
		next = min(next, 1<<62-1)
		dist := max(pn, next) - min(pn, next)
		for _, other := range []uint64{pn - win, pn + win} {
			if other < 1<<62 && max(other, next)-min(other, next) < dist {
				t.Fatalf("decodeNumber(%x, %d) = %d, but %d is nearer", trunc, next, pn, other)
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	for i := range suites {
		seal, _ := newPair(f, suites[i].id, suites[i].len)
		f.Add(byte(i), uint8(9), uint64(5), seal.Seal(appendPacket(make([]byte, 0, 100), 0x40, 8, 2, 5, make([]byte, 40)), 9, 2, 5))
		f.Add(byte(i), uint8(1), uint64(0), bytes.Repeat([]byte{0xff}, 30))
		f.Add(byte(i), uint8(200), uint64(1<<62-1), []byte{})
	}
	f.Fuzz(func(t *testing.T, i byte, pnOff uint8, next uint64, b []byte) {
		s := suites[int(i)%len(suites)]
		_, open := newPair(t, s.id, s.len)
		was := bytes.Clone(b)
		if _, _, err := open.Open(b, int(pnOff), next); err != nil {
			if err != ErrDecrypt {
				t.Fatal(err)
			}
			checkUnopened(t, b, was, min(int(pnOff), len(b)))
		}
	})
}

func TestAllocs(t *testing.T) {
	for _, s := range suites {
		seal, open := newPair(t, s.id, s.len)
		plain := appendPacket(nil, 0x40, 8, 2, 0, make([]byte, 1400))
		buf := make([]byte, 0, 1500)
		pn := uint64(0)
		if n := testing.AllocsPerRun(100, func() {
			b := seal.Seal(append(buf[:0], plain...), 9, 2, 0)
			if _, _, err := open.Open(b, 9, 0); err != nil {
				t.Fatal(err)
			}
			if _, _, err := open.Open(b, 9, 0); err != ErrDecrypt {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", s.name, n)
		}
		k := newAppPair(t, s.id, s.len)
		if n := testing.AllocsPerRun(100, func() {
			b := k.a.Seal(append(buf[:0], plain...), 9, 2, pn)
			binary.BigEndian.PutUint16(plain[9:], uint16(pn+1))
			if _, _, _, err := k.b.Open(b, 9, pn, 0, 0); err != nil {
				t.Fatal(err)
			}
			pn++
		}); n != 0 {
			t.Errorf("%s: %v allocations with AppKeys", s.name, n)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, s := range suites {
		b.Run(s.name, func(b *testing.B) {
			seal, _ := newPair(b, s.id, s.len)
			buf := appendPacket(make([]byte, 0, 1452), 0x40, 8, 2, 0, make([]byte, 1452-11-Overhead))
			b.SetBytes(1452)
			b.ReportAllocs()
			for b.Loop() {
				buf = seal.Seal(buf[:1452-Overhead], 9, 2, 0)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, s := range suites {
		b.Run(s.name, func(b *testing.B) {
			seal, open := newPair(b, s.id, s.len)
			sealed := seal.Seal(appendPacket(make([]byte, 0, 1452), 0x40, 8, 2, 0, make([]byte, 1452-11-Overhead)), 9, 2, 0)
			buf := make([]byte, len(sealed))
			b.SetBytes(1452)
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, sealed)
				if _, _, err := open.Open(buf, 9, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkInitialKeys(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		InitialKeys(version1, sampleID, false)
	}
}

func BenchmarkUpdate(b *testing.B) {
	k := newAppPair(b, tls.TLS_AES_128_GCM_SHA256, 32)
	b.ReportAllocs()
	for b.Loop() {
		k.a.write.advance(k.a.version)
	}
}
