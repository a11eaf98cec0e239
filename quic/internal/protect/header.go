package protect

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"golang.org/x/crypto/chacha20"
)

// A headerKey protects headers (RFC 9001, Section 5.4). It outlives key updates.
type headerKey struct {
	key   [maxKeyLen]byte
	block cipher.Block // AES; nil with ChaCha20, and if it is not built

	// The newest mask: a field, since an array on the stack would escape into the cipher's interface.
	mask [sampleLen]byte
}

// derive derives the key from a secret. It is to be built before it is used.
func (h *headerKey) derive(v *version, s *suite, secret []byte) {
	s.hash.expandLabel(h.key[:s.keyLen], secret, v.hp)
}

// build makes what is computed from the key.
func (h *headerKey) build(s *suite) (err error) {
	if !s.chacha {
		h.block, err = aes.NewCipher(h.key[:s.keyLen])
	}
	return err
}

// setMask computes the mask of a packet that is long enough for a sample.
func (h *headerKey) setMask(b []byte, pnOff int) {
	sample := b[pnOff+maxPNLen : pnOff+maxPNLen+sampleLen]
	if h.block != nil {
		h.block.Encrypt(h.mask[:], sample) // RFC 9001, Section 5.4.3
		return
	}
	// RFC 9001, Section 5.4.4. Neither call can fail: the lengths are constant, and one block overflows no counter.
	c, err := chacha20.NewUnauthenticatedCipher(h.key[:], sample[4:])
	if err != nil {
		panic("BUG: ChaCha20: " + err.Error())
	}
	c.SetCounter(binary.LittleEndian.Uint32(sample))
	clear(h.mask[:])
	c.XORKeyStream(h.mask[:1+maxPNLen], h.mask[:1+maxPNLen])
}

// maskFirst applies the mask to the first byte: to 4 bits of a long header, to 5 of a short one. It is its own inverse.
func (h *headerKey) maskFirst(b []byte) {
	if b[0]&0x80 != 0 {
		b[0] ^= h.mask[0] & 0x0f
	} else {
		b[0] ^= h.mask[0] & 0x1f
	}
}

// maskNumber applies the mask to the packet number. It is its own inverse.
func (h *headerKey) maskNumber(pn []byte) {
	for i := range pn {
		pn[i] ^= h.mask[1+i]
	}
}

// protect protects the header of a packet whose payload is encrypted.
func (h *headerKey) protect(b []byte, pnOff, pnLen int) {
	h.setMask(b, pnOff)
	h.maskFirst(b)
	h.maskNumber(b[pnOff : pnOff+pnLen])
}

// unprotect removes the protection. It reports false, and changes nothing, if the packet is too short for a sample.
// A packet that is not has room for the longest packet number and a tag behind it.
func (h *headerKey) unprotect(b []byte, pnOff int) (pnLen int, ok bool) {
	if pnOff < 1 || len(b)-pnOff < maxPNLen+sampleLen {
		return 0, false
	}
	h.setMask(b, pnOff)
	h.maskFirst(b)
	pnLen = int(b[0]&3) + 1
	h.maskNumber(b[pnOff : pnOff+pnLen])
	return pnLen, true
}

// restore puts the protection that unprotect removed on again.
func (h *headerKey) restore(b []byte, pnOff, pnLen int) {
	h.maskNumber(b[pnOff : pnOff+pnLen])
	h.maskFirst(b)
}

// decodeNumber finds the packet number that is nearest to next, the one that is expected, and ends in the bytes of trunc (RFC 9000, Section 17.1 and Appendix A.3).
func decodeNumber(trunc []byte, next uint64) uint64 {
	const limit = 1 << 62
	var low uint64
	for _, c := range trunc {
		low = low<<8 | uint64(c)
	}
	win := uint64(1) << (8 * len(trunc))
	next = min(next, limit-1)
	pn := next&^(win-1) | low
	switch {
	case pn+win/2 <= next && pn < limit-win:
		return pn + win
	case pn > next+win/2 && pn >= win:
		return pn - win
	}
	return pn
}
