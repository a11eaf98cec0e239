package protect

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"math/rand/v2"
	"testing"
)

var hashes = []struct {
	name string
	alg  hashAlg
	std  func() hash.Hash
}{{"SHA-256", hashSHA256, sha256.New}, {"SHA-384", hashSHA384, sha512.New384}}

// The standard library is the model.
func TestExpandLabel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, h := range hashes {
		size, _ := h.alg.sizes()
		for range 1000 {
			secret := make([]byte, size)
			for i := range secret {
				secret[i] = byte(rng.Uint32())
			}
			label := []string{"client in", "server in", "quic key", "quic iv", "quic hp", "quic ku", "quicv2 key", ""}[rng.IntN(8)]
			got := make([]byte, rng.IntN(size+1))
			h.alg.expandLabel(got, secret, label)

			info := binary.BigEndian.AppendUint16(nil, uint16(len(got)))
			info = append(info, byte(6+len(label)))
			info = append(info, "tls13 "+label+"\x00"...)
			want, err := hkdf.Expand(h.std, secret, string(info), len(got))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s, %q, %d bytes: %x, not %x", h.name, label, len(got), got, want)
			}
		}
	}
}

func TestHMAC(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, h := range hashes {
		size, block := h.alg.sizes()
		for range 1000 {
			key, msg := make([]byte, rng.IntN(block+1)), make([]byte, rng.IntN(size+1))
			for i := range key {
				key[i] = byte(rng.Uint32())
			}
			for i := range msg {
				msg[i] = byte(rng.Uint32())
			}
			m := hmac.New(h.std, key)
			m.Write(msg)
			got := h.alg.hmac(key, msg)
			if want := m.Sum(nil); !bytes.Equal(got[:size], want) {
				t.Fatalf("%s, key of %d, message of %d bytes: %x, not %x", h.name, len(key), len(msg), got[:size], want)
			}
		}
	}
}

func TestExpandLabelAllocates(t *testing.T) {
	secret, out := make([]byte, 32), make([]byte, 32)
	if n := testing.AllocsPerRun(100, func() { hashSHA256.expandLabel(out, secret, "quic key") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkExpandLabel(b *testing.B) {
	for _, h := range hashes {
		b.Run(h.name, func(b *testing.B) {
			size, _ := h.alg.sizes()
			secret, out := make([]byte, size), make([]byte, 16)
			b.ReportAllocs()
			for b.Loop() {
				h.alg.expandLabel(out, secret, "quic key")
			}
		})
	}
}
