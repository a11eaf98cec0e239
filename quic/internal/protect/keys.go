package protect

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// A packetKey encrypts and decrypts the payloads of one key phase.
type packetKey struct {
	key  [maxKeyLen]byte
	aead cipher.AEAD // nil if it is not built
	// The nonce is the IV, whose last 8 bytes are XORed with the packet number (RFC 9001, Section 5.3).
	// It is a field, since an array on the stack would escape into the AEAD's interface.
	nonce  [nonceLen]byte
	ivTail uint64
}

// derive derives key and IV from a secret. The key is to be built before it is used.
func (k *packetKey) derive(v *version, s *suite, secret []byte) {
	s.hash.expandLabel(k.key[:s.keyLen], secret, v.key)
	s.hash.expandLabel(k.nonce[:], secret, v.iv)
	k.ivTail = binary.BigEndian.Uint64(k.nonce[nonceLen-8:])
}

// build makes what is computed from the key.
func (k *packetKey) build(s *suite) (err error) {
	k.aead, err = s.aead(k.key[:s.keyLen])
	return err
}

func (k *packetKey) setNonce(pn uint64) []byte {
	binary.BigEndian.PutUint64(k.nonce[nonceLen-8:], k.ivTail^pn)
	return k.nonce[:]
}

// seal encrypts what is behind the header of b, in place, and protects the header.
func (k *packetKey) seal(h *headerKey, b []byte, pnOff, pnLen int, pn uint64) []byte {
	n := pnOff + pnLen
	// The sample needs 4 bytes between the start of the packet number and the tag (RFC 9001, Section 5.4.2).
	if len(b)-pnOff < maxPNLen {
		panic("BUG: packet is too short to be sealed")
	}
	b = k.aead.Seal(b[:n], k.setNonce(pn), b[n:], b[:n])
	h.protect(b, pnOff, pnLen)
	return b
}

// open decrypts what is behind the header of b, in place.
func (k *packetKey) open(b []byte, n int, pn uint64) ([]byte, error) {
	payload, err := k.aead.Open(b[n:n], k.setNonce(pn), b[n:], b[:n])
	if err != nil {
		return nil, ErrDecrypt
	}
	return payload, nil
}

// suiteFor returns what belongs to the numbers of a version and of a cipher suite, if the secret fits.
func suiteFor(num uint32, id uint16, secret []byte) (*version, *suite, error) {
	s, err := suiteByID(id)
	if err == nil && len(secret) != s.secretLen {
		err = fmt.Errorf("protect: secret of %d bytes for cipher suite %#04x, which has %d", len(secret), id, s.secretLen)
	}
	return versionByNumber(num), s, err
}

// deriveKeys derives what protects one direction from a secret of TLS, and builds it.
func deriveKeys(v *version, s *suite, secret []byte, k *packetKey, h *headerKey) {
	k.derive(v, s, secret)
	h.derive(v, s, secret)
	buildKeys(s, k, h)
}

// buildKeys builds the keys of one direction, as far as they are not built.
func buildKeys(s *suite, k *packetKey, h *headerKey) {
	err := k.build(s)
	if err == nil && h.block == nil {
		err = h.build(s)
	}
	if err != nil {
		panic("BUG: keys cannot be built: " + err.Error()) // their lengths are right
	}
}

// A Sealer protects the packets of one direction with keys that do not change: those of the Initial and the Handshake space.
type Sealer struct {
	key packetKey
	hp  headerKey
}

// NewSealer derives key, IV and header protection key (RFC 9001, Section 5.1) from a secret for the TLS cipher suite
// (tls.TLS_AES_128_GCM_SHA256 and so on). It fails for a suite that QUIC does not use and for a secret of the wrong length.
func NewSealer(version uint32, suite uint16, secret []byte) (*Sealer, error) {
	v, s, err := suiteFor(version, suite, secret)
	if err != nil {
		return nil, err
	}
	x := new(Sealer)
	deriveKeys(v, s, secret, &x.key, &x.hp)
	return x, nil
}

// Seal encrypts the packet b in place and protects its header. b begins with the header's first byte; the packet number,
// encoded in pnLen bytes, is at pnOff; the payload follows it. b must have a capacity of [Overhead] bytes more, and the payload has to be
// at least 4-pnLen bytes. Seal returns b with the tag.
func (s *Sealer) Seal(b []byte, pnOff, pnLen int, pn uint64) []byte {
	return s.key.seal(&s.hp, b, pnOff, pnLen, pn)
}

// An Opener is the counterpart of a [Sealer].
type Opener struct {
	key packetKey
	hp  headerKey

	failed uint64 // packets that were not authentic
	limit  uint64 // of failed
}

// NewOpener is the counterpart of [NewSealer].
func NewOpener(version uint32, suite uint16, secret []byte) (*Opener, error) {
	v, s, err := suiteFor(version, suite, secret)
	if err != nil {
		return nil, err
	}
	x := &Opener{limit: s.integrity}
	deriveKeys(v, s, secret, &x.key, &x.hp)
	return x, nil
}

// Open removes header protection and decrypts b, one whole packet, in place; pnOff is where its packet number begins.
// next is the packet number that is expected: one more than the largest that was received. The payload aliases b. b[0] is left without protection, so that the
// caller can check its reserved bits.
//
// Open fails with [ErrDecrypt], or with [ErrLimit] from the packet on that reaches the integrity limit. What is in b then is told in the package's documentation:
// the datagram may be a stateless reset.
func (o *Opener) Open(b []byte, pnOff int, next uint64) (pn uint64, payload []byte, err error) {
	if o.failed >= o.limit {
		return 0, nil, ErrLimit
	}
	pnLen, ok := o.hp.unprotect(b, pnOff)
	if !ok {
		return 0, nil, ErrDecrypt
	}
	pn = decodeNumber(b[pnOff:pnOff+pnLen], next)
	payload, err = o.key.open(b, pnOff+pnLen, pn)
	if err != nil {
		o.hp.restore(b, pnOff, pnLen)
		o.failed++
		if o.failed >= o.limit {
			return 0, nil, ErrLimit
		}
		return 0, nil, err
	}
	return pn, payload, nil
}

// InitialKeys derives the keys of Initial packets from the client's first destination connection ID (RFC 9001, Section 5.2).
// client tells whose keys they are: a client seals with the client's secret and opens with the server's.
// A version that is not known is treated as version 1.
func InitialKeys(version uint32, dstID []byte, client bool) (*Sealer, *Opener) {
	v := versionByNumber(version)
	initial := initialSecret(v, dstID)
	write, read := initialLabels(client)
	seal := &Sealer{}
	open := &Opener{limit: aes128.integrity}
	deriveInitial(v, initial[:aes128.secretLen], write, &seal.key, &seal.hp)
	deriveInitial(v, initial[:aes128.secretLen], read, &open.key, &open.hp)
	return seal, open
}

// InitialSealer derives the Sealer of [InitialKeys] alone.
func InitialSealer(version uint32, dstID []byte, client bool) *Sealer {
	v := versionByNumber(version)
	initial := initialSecret(v, dstID)
	write, _ := initialLabels(client)
	seal := &Sealer{}
	deriveInitial(v, initial[:aes128.secretLen], write, &seal.key, &seal.hp)
	return seal
}

// initialSecret is initial_secret of RFC 9001, Section 5.2.
func initialSecret(v *version, dstID []byte) [maxHashLen]byte {
	return aes128.hash.extract(dstID, v.salt[:])
}

func initialLabels(client bool) (write, read string) {
	if client {
		return "client in", "server in"
	}
	return "server in", "client in"
}

func deriveInitial(v *version, initial []byte, label string, k *packetKey, h *headerKey) {
	var buf [maxHashLen]byte
	secret := buf[:aes128.secretLen]
	aes128.hash.expandLabel(secret, initial, label)
	deriveKeys(v, &aes128, secret, k, h)
}
