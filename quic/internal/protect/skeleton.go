package protect

import (
	"errors"
	"time"
)

// Skeleton of the exported API: the signatures are the contract.

// Overhead is what sealing adds to a packet, in bytes.
const Overhead = 16

// ErrDecrypt: the packet is not authentic, or too short. A static error: failing costs no allocation.
var ErrDecrypt = errors.New("protect: packet cannot be decrypted")

// ErrLimit: the integrity limit of the AEAD was reached (RFC 9001, Section 6.6): close with AEAD_LIMIT_REACHED.
var ErrLimit = errors.New("protect: AEAD limit reached")

// ErrKeyUpdate: the peer broke the rules of key updates (RFC 9001, Section 6): close with KEY_UPDATE_ERROR.
var ErrKeyUpdate = errors.New("protect: key update error")

type Sealer struct{}

// NewSealer derives key, IV and header protection key of a secret for TLS cipher suite (tls.TLS_AES_128_GCM_SHA256 ...).
func NewSealer(version uint32, suite uint16, secret []byte) (*Sealer, error) { panic("skeleton") }

// Seal encrypts the packet b in place and protects its header. b begins with the header's first byte; the packet number of pnLen bytes is at pnOff; the payload follows. b must have a capacity of Overhead bytes more. It returns b with the tag. The payload has to be at least 4-pnLen bytes.
func (s *Sealer) Seal(b []byte, pnOff, pnLen int, pn uint64) []byte { panic("skeleton") }

type Opener struct{}

func NewOpener(version uint32, suite uint16, secret []byte) (*Opener, error) { panic("skeleton") }

// Open removes header protection and decrypts b, one whole packet, in place. next is the packet number that is expected: one more than the largest received. The payload aliases b. b[0] is left without protection, so that the caller can check its reserved bits.
// If it fails b is as it was: the datagram may be a stateless reset.
func (o *Opener) Open(b []byte, pnOff int, next uint64) (pn uint64, payload []byte, err error) {
	panic("skeleton")
}

// InitialKeys derives the keys of Initial packets from the client's first destination connection ID (RFC 9001, Section 5.2).
func InitialKeys(version uint32, dstID []byte, client bool) (*Sealer, *Opener) { panic("skeleton") }

// RetryIntegrityTag is of RFC 9001, Section 5.8. retry is the packet without the tag.
func RetryIntegrityTag(version uint32, origDstID, retry []byte) [16]byte { panic("skeleton") }

// AppKeys protect 1-RTT packets, with key updates (RFC 9001, Section 6). The zero value has no keys.
type AppKeys struct{}

func (k *AppKeys) SetReadSecret(version uint32, suite uint16, secret []byte) error { panic("skeleton") }
func (k *AppKeys) SetWriteSecret(version uint32, suite uint16, secret []byte) error {
	panic("skeleton")
}
func (k *AppKeys) CanRead() bool  { panic("skeleton") }
func (k *AppKeys) CanWrite() bool { panic("skeleton") }

// KeyPhase is the bit for the short header of the next packet.
func (k *AppKeys) KeyPhase() bool { panic("skeleton") }

// Seal is Sealer.Seal with the current keys. NeedsUpdate tells when the confidentiality limit is near: the caller calls Update then.
func (k *AppKeys) Seal(b []byte, pnOff, pnLen int, pn uint64) []byte { panic("skeleton") }
func (k *AppKeys) NeedsUpdate() bool                                 { panic("skeleton") }

// Open is Opener.Open with the keys that the packet's phase asks for: the current ones, the previous ones (kept until dropOld), or the next, in which case the peer has updated and so do we.
// updated tells that. The next keys are there in advance, so that timing tells nothing (Section 9.5). dropAfter is how long after an update the previous keys are kept (3 PTO).
func (k *AppKeys) Open(b []byte, pnOff int, next uint64, now, dropAfter time.Duration) (pn uint64, payload []byte, updated bool, err error) {
	panic("skeleton")
}

// Update begins a key update of our own. It is an error while the previous update is not confirmed by an ack (Section 6.1).
func (k *AppKeys) Update(now time.Duration) error { panic("skeleton") }

// OnAcked tells that the peer acked our packet pn: it confirms an update if the packet was sealed with the current keys.
func (k *AppKeys) OnAcked(pn uint64) { panic("skeleton") }

// Phases counts the key updates, of both sides.
func (k *AppKeys) Phases() uint64 { panic("skeleton") }
