package stream

import (
	"math/rand/v2"
	"testing"
)

// script is fuzz input that is read as a sequence of operations.
type script []byte

func (s *script) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

// size returns a length: many are small, some are several chunks or pages.
func (s *script) size() int {
	b := int(s.byte())
	switch b & 3 {
	case 0:
		return b >> 2
	case 1:
		return b >> 2 << 5
	case 2:
		return 1400
	}
	return b>>2<<9 | int(s.byte())
}

// addSeeds adds random scripts of several lengths.
func addSeeds(f *testing.F) {
	r := rand.New(rand.NewChaCha8([32]byte{}))
	for n := range 40 {
		b := make([]byte, 1<<(n%11+2))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
}

// pattern returns n bytes that tell where they are from.
func pattern(off uint64, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		x := off + uint64(i)
		p[i] = byte(x ^ x>>8*7 ^ x>>16*13)
	}
	return p
}
