package quic

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	// maxTokenKeys bounds the keys that open tokens: the newest, and those of
	// the last three rotations.
	maxTokenKeys = 4
	// tokenKeyIDLen is the length in bytes of a key's name in front of a token. A
	// token under no known name, as one of another server, costs no cryptography.
	tokenKeyIDLen = 4
	tokenNonceLen = chacha20poly1305.NonceSizeX
	tokenTagLen   = chacha20poly1305.Overhead

	// retryTokenKind is the first byte of what is sealed. Another kind of token
	// under the same keys would have another one.
	retryTokenKind = 1
	// Of a Retry token's plain text: kind, time, port, address and both IDs, each
	// with its length.
	minTokenPlain = 1 + 8 + 2 + 1 + 4 + 1 + 1
	maxTokenPlain = 1 + 8 + 2 + 1 + 16 + 1 + MaxConnIDLen + 1 + MaxConnIDLen

	minTokenLen = tokenKeyIDLen + tokenNonceLen + minTokenPlain + tokenTagLen
	maxTokenLen = tokenKeyIDLen + tokenNonceLen + maxTokenPlain + tokenTagLen
)

// TokenKeys seals and opens the tokens of Retry packets. Processes that share a
// key open each other's tokens; their clocks have to agree to within
// EndpointConfig.TokenLifetime. A TokenKeys never changes, so it may be shared:
// to rotate keys make another one by With.
type TokenKeys struct {
	keys []tokenKey // the first seals
}

type tokenKey struct {
	id   [tokenKeyIDLen]byte
	aead cipher.AEAD
}

// NewTokenKeys makes TokenKeys of secret random keys. The first seals, all
// open; at most four are kept. Without a key it returns nil.
func NewTokenKeys(keys ...[32]byte) *TokenKeys {
	if len(keys) == 0 {
		return nil
	}
	k := &TokenKeys{}
	for i := range keys[:min(len(keys), maxTokenKeys)] {
		k.keys = append(k.keys, newTokenKey(&keys[i]))
	}
	return k
}

// With returns TokenKeys in which key seals, and that key and the newest three
// of k open. k may be nil.
func (k *TokenKeys) With(key [32]byte) *TokenKeys {
	n := &TokenKeys{keys: []tokenKey{newTokenKey(&key)}}
	if k != nil {
		n.keys = append(n.keys, k.keys[:min(len(k.keys), maxTokenKeys-1)]...)
	}
	return n
}

func newTokenKey(key *[32]byte) (t tokenKey) {
	// One way, and of another domain than anything else that is made of the key.
	sum := sha256.Sum256(append([]byte("frittata token key name\x00"), key[:]...))
	copy(t.id[:], sum[:])
	// The long nonce of XChaCha20 may be drawn at random for as many tokens as
	// there will ever be, by any number of processes, under one key.
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic("BUG: XChaCha20-Poly1305 with a key of 32 bytes: " + err.Error())
	}
	t.aead = aead
	return t
}

// retryToken is what a Retry token says.
type retryToken struct {
	issued     time.Time
	remote     netip.AddrPort // as tokenAddr makes it
	origDstID  ConnID
	retrySrcID ConnID
}

// tokenAddr is the form of an address that goes into a token. A zone is this
// host's name for an interface and no part of it.
func tokenAddr(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// seal appends the token to dst.
func (k *TokenKeys) seal(dst []byte, rng *rand.ChaCha8, t *retryToken) []byte {
	var nonce [tokenNonceLen]byte
	_, _ = rng.Read(nonce[:]) // never fails
	var buf [maxTokenPlain]byte
	p := append(buf[:0], retryTokenKind)
	p = binary.BigEndian.AppendUint64(p, uint64(t.issued.UnixMilli()))
	p = binary.BigEndian.AppendUint16(p, t.remote.Port())
	if a := t.remote.Addr(); a.Is4() {
		b := a.As4()
		p = append(append(p, 4), b[:]...)
	} else {
		b := a.As16()
		p = append(append(p, 16), b[:]...)
	}
	p = append(append(p, t.origDstID.n), t.origDstID.Bytes()...)
	p = append(append(p, t.retrySrcID.n), t.retrySrcID.Bytes()...)
	key := &k.keys[0]
	dst = append(append(dst, key.id[:]...), nonce[:]...)
	return key.aead.Seal(dst, nonce[:], p, key.id[:])
}

// open tells whether token is one that seal has made with one of the keys, and
// what it says. It does not judge whether that holds now.
func (k *TokenKeys) open(token []byte, t *retryToken) bool {
	// Nothing below reads past these lengths.
	if len(token) < minTokenLen || len(token) > maxTokenLen {
		return false
	}
	id, nonce, sealed := token[:tokenKeyIDLen], token[tokenKeyIDLen:tokenKeyIDLen+tokenNonceLen], token[tokenKeyIDLen+tokenNonceLen:]
	var buf [maxTokenPlain]byte
	for i := range k.keys {
		key := &k.keys[i]
		if string(key.id[:]) != string(id) {
			continue
		}
		if p, err := key.aead.Open(buf[:0], nonce, sealed, id); err == nil {
			return t.parse(p)
		}
	}
	return false
}

// parse reads the plain text. Whoever has a key could have sealed anything, so
// lengths are checked all the same.
func (t *retryToken) parse(p []byte) bool {
	if len(p) < minTokenPlain || p[0] != retryTokenKind {
		return false
	}
	t.issued = time.UnixMilli(int64(binary.BigEndian.Uint64(p[1:])))
	port := binary.BigEndian.Uint16(p[9:])
	p = p[11:]
	addr, p, ok := cutField(p, 16)
	if !ok {
		return false
	}
	a, ok := netip.AddrFromSlice(addr)
	if !ok {
		return false
	}
	t.remote = netip.AddrPortFrom(a, port)
	orig, p, ok := cutField(p, MaxConnIDLen)
	if !ok {
		return false
	}
	src, p, ok := cutField(p, MaxConnIDLen)
	if !ok || len(p) != 0 {
		return false
	}
	t.origDstID, t.retrySrcID = NewConnID(orig), NewConnID(src)
	return true
}

// cutField takes a field of at most most bytes, whose length comes first.
func cutField(p []byte, most int) (field, rest []byte, ok bool) {
	if len(p) == 0 || int(p[0]) > most || int(p[0]) > len(p)-1 {
		return nil, nil, false
	}
	n := int(p[0])
	return p[1 : 1+n], p[1+n:], true
}
