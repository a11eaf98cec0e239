package protect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Overhead is what sealing adds to a packet, in bytes: the tag, which has this length in each AEAD that QUIC uses.
const Overhead = 16

const (
	nonceLen  = 12 // of all AEADs of QUIC
	maxKeyLen = 32 // of the suites of TLS 1.3
	sampleLen = 16 // of both kinds of header protection (RFC 9001, Section 5.4.2)
	maxPNLen  = 4  // the sample begins that far behind the start of the packet number
)

// ErrDecrypt tells that a packet is not authentic, or too short. It is one static value: failing costs no allocation.
var ErrDecrypt = errors.New("protect: packet cannot be decrypted")

// ErrLimit tells that the integrity limit of the AEAD was reached (RFC 9001, Section 6.6). The connection has to be closed with AEAD_LIMIT_REACHED.
var ErrLimit = errors.New("protect: AEAD limit reached")

// suite describes a cipher suite of TLS 1.3.
type suite struct {
	hash      hashAlg
	secretLen int // the length of the hash, bytes
	keyLen    int // of packet protection and of header protection, bytes
	aead      func(key []byte) (cipher.AEAD, error)
	chacha    bool // header protection is ChaCha20's, not AES's

	// The limits of RFC 9001, Section 6.6, in packets.
	confidentiality uint64
	integrity       uint64
}

var (
	aes128 = suite{
		hash: hashSHA256, secretLen: sha256.Size, keyLen: 16, aead: newGCM,
		confidentiality: 1 << 23, integrity: 1 << 52,
	}
	aes256 = suite{
		hash: hashSHA384, secretLen: sha512.Size384, keyLen: 32, aead: newGCM,
		confidentiality: 1 << 23, integrity: 1 << 52,
	}
	// The confidentiality limit of ChaCha20-Poly1305 is above the number of packets that there can be.
	chachaPoly = suite{
		hash: hashSHA256, secretLen: sha256.Size, keyLen: 32, aead: chacha20poly1305.New, chacha: true,
		confidentiality: 1 << 62, integrity: 1 << 36,
	}
)

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func suiteByID(id uint16) (*suite, error) {
	switch id {
	case tls.TLS_AES_128_GCM_SHA256:
		return &aes128, nil
	case tls.TLS_AES_256_GCM_SHA384:
		return &aes256, nil
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return &chachaPoly, nil
	}
	return nil, fmt.Errorf("protect: unknown cipher suite %#04x", id)
}

// A version is what the key schedule of a version of QUIC has of its own.
type version struct {
	salt       [20]byte // of Initial secrets
	key        string   // labels
	iv         string
	hp         string
	ku         string
	retryKey   [16]byte
	retryNonce [nonceLen]byte
}

const (
	version1 = 0x00000001
	version2 = 0x6b3343cf
)

var (
	// RFC 9001, Sections 5.1, 5.2, 5.8 and 6.1.
	v1 = version{
		salt: [20]byte{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a},
		key:  "quic key", iv: "quic iv", hp: "quic hp", ku: "quic ku",
		retryKey:   [16]byte{0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e},
		retryNonce: [nonceLen]byte{0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb},
	}
	// RFC 9369, Section 3.3.
	v2 = version{
		salt: [20]byte{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
		key:  "quicv2 key", iv: "quicv2 iv", hp: "quicv2 hp", ku: "quicv2 ku",
		retryKey:   [16]byte{0x8f, 0xb4, 0xb0, 0x1b, 0x56, 0xac, 0x48, 0xe2, 0x60, 0xfb, 0xcb, 0xce, 0xad, 0x7c, 0xcc, 0x92},
		retryNonce: [nonceLen]byte{0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a},
	}
)

// versionByNumber returns version 1's constants for a version that it does not know: which versions are spoken was decided before.
func versionByNumber(n uint32) *version {
	if n == version2 {
		return &v2
	}
	return &v1
}
