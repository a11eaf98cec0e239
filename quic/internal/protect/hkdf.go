package protect

import (
	"crypto/sha256"
	"crypto/sha512"
)

// Each end of a handshake derives some twenty keys. crypto/hkdf is general: it has two hashes for each on the heap,
// nine objects and 2 µs. What QUIC derives is never longer than one hash, of a message that is shorter than that, so HKDF (RFC 5869) is
// one HMAC (RFC 2104) of a few bytes on the stack.

const (
	labelPrefix = "tls13 " // RFC 8446, Section 7.1

	maxHashLen   = sha512.Size384
	maxHashBlock = sha512.BlockSize
)

// hashAlg is the hash of a cipher suite.
type hashAlg uint8

const (
	hashSHA256 hashAlg = iota
	hashSHA384
)

// sizes returns the lengths of the hash and of the blocks that it works on, in bytes.
func (h hashAlg) sizes() (size, block int) {
	if h == hashSHA384 {
		return sha512.Size384, sha512.BlockSize
	}
	return sha256.Size, sha256.BlockSize
}

// sum appends the hash of b to dst.
func (h hashAlg) sum(dst, b []byte) []byte {
	if h == hashSHA384 {
		sum := sha512.Sum384(b)
		return append(dst, sum[:]...)
	}
	sum := sha256.Sum256(b)
	return append(dst, sum[:]...)
}

// hmac returns the HMAC of a message that is not longer than a hash, with a key that is not longer than a block.
func (h hashAlg) hmac(key, msg []byte) (mac [maxHashLen]byte) {
	const inner, outer = 0x36, 0x5c
	size, block := h.sizes()
	if len(key) > block || len(msg) > size {
		panic("BUG: HMAC with a long key or message")
	}
	var buf [maxHashBlock + maxHashLen]byte
	b := buf[:block]
	copy(b, key)
	for i := range b {
		b[i] ^= inner
	}
	b = h.sum(b, append(b, msg...)) // the hash takes the place of the message
	for i := range b[:block] {
		b[i] ^= inner ^ outer
	}
	h.sum(mac[:0], b)
	return mac
}

// MAC is HMAC-SHA256 of a message of at most 32 bytes. It allocates nothing.
func MAC(key *[32]byte, msg []byte) [sha256.Size]byte {
	mac := hashSHA256.hmac(key[:], msg)
	return [sha256.Size]byte(mac[:sha256.Size])
}

// extract is HKDF-Extract. Of the result as many bytes count as the hash has.
func (h hashAlg) extract(secret, salt []byte) [maxHashLen]byte { return h.hmac(salt, secret) }

// expandLabel is HKDF-Expand-Label of RFC 8446, Section 7.1, with an empty context. It fills out, which is not longer than a hash.
func (h hashAlg) expandLabel(out, secret []byte, label string) {
	var buf [maxHashLen]byte
	info := append(buf[:0], byte(len(out)>>8), byte(len(out)), byte(len(labelPrefix)+len(label)))
	info = append(info, labelPrefix...)
	info = append(info, label...)
	info = append(info, 0, 1) // no context; the first block of the output
	mac := h.hmac(secret, info)
	if size, _ := h.sizes(); len(out) > size {
		panic("BUG: HKDF-Expand of more than one block")
	}
	copy(out, mac[:])
}

// expandLabel is that of the suite's hash, with n bytes of output.
func (s *suite) expandLabel(secret []byte, label string, n int) []byte {
	out := make([]byte, n)
	s.hash.expandLabel(out, secret, label)
	return out
}
