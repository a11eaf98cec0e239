package protect

import (
	"errors"
	"math"
	"slices"
	"time"
)

// ErrKeyUpdate tells that the peer broke the rules of key updates (RFC 9001, Section 6). The connection has to be closed with KEY_UPDATE_ERROR.
var ErrKeyUpdate = errors.New("protect: key update error")

// ErrUpdateTooSoon is what [AppKeys.Update] returns while an update is not allowed.
var ErrUpdateTooSoon = errors.New("protect: key update is not allowed yet")

// AppKeys protect 1-RTT packets, with key updates (RFC 9001, Section 6). The zero value has no keys.
//
// The two directions have a phase each. Ours leads or is level: it moves when we update, or when the first packet of a phase of the peer's that is ahead of it arrives; the
// reading phase moves with the first packet that opens with the next keys.
//
// Key and IV of the next reading phase are derived in advance (Section 6.3), but the AEAD of them, which is most of what a phase weighs (768 bytes for AES-GCM, and some 0.6 µs to build),
// is only made when a packet with another phase bit asks for it, and then stays. So a connection that never updates, as most do, does not pay for it,
// and what can be learnt from the time is that one packet per phase, authentic or not, was the first whose bit differed.
type AppKeys struct {
	version *version

	write writeState
	read  readState
}

type writeState struct {
	suite  *suite
	hp     headerKey
	key    packetKey
	secret []byte
	phase  uint64

	sealed uint64 // packets sealed with key
	first  uint64 // the lowest number among them
	acked  bool   // the peer acked one of them
}

type readState struct {
	suite *suite
	hp    headerKey
	phase uint64

	key packetKey
	// The range of numbers of the packets that opened with key: it tells whether a packet of another phase is an older or a newer one (Section 6.5). min is above max if there are none.
	min, max uint64
	// answered: we sealed a packet since the first that opened with key, so that the peer may have got an ack and may update again.
	answered bool

	old      packetKey // without aead, if there are none
	oldUntil time.Duration

	next       packetKey // built when it is needed
	nextSecret []byte

	failed uint64 // packets that were not authentic, with any key
}

// SetReadSecret sets the first keys for reading. It fails as [NewOpener] does.
func (k *AppKeys) SetReadSecret(version uint32, suite uint16, secret []byte) error {
	v, s, err := suiteFor(version, suite, secret)
	if err != nil {
		return err
	}
	k.version = v
	k.read = readState{suite: s, min: math.MaxUint64}
	deriveKeys(v, s, secret, &k.read.key, &k.read.hp)
	k.read.deriveNext(v, secret)
	return nil
}

// SetWriteSecret sets the first keys for writing. It fails as [NewSealer] does.
func (k *AppKeys) SetWriteSecret(version uint32, suite uint16, secret []byte) error {
	v, s, err := suiteFor(version, suite, secret)
	if err != nil {
		return err
	}
	k.version = v
	k.write = writeState{suite: s, secret: slices.Clone(secret)}
	deriveKeys(v, s, secret, &k.write.key, &k.write.hp)
	return nil
}

// CanRead reports whether there are keys for reading.
func (k *AppKeys) CanRead() bool { return k.read.suite != nil }

// CanWrite reports whether there are keys for writing.
func (k *AppKeys) CanWrite() bool { return k.write.suite != nil }

// KeyPhase is the bit for the short header of the next packet. [AppKeys.Open] and [AppKeys.Update] may change it.
func (k *AppKeys) KeyPhase() bool { return k.write.phase&1 != 0 }

// Phases counts the key updates that took effect for writing, whichever side began them.
func (k *AppKeys) Phases() uint64 { return k.write.phase }

// Seal is [Sealer.Seal] with the current keys. Packet numbers have to rise.
func (k *AppKeys) Seal(b []byte, pnOff, pnLen int, pn uint64) []byte {
	w := &k.write
	if w.suite == nil {
		panic("BUG: sealing without keys")
	}
	if w.key.aead == nil {
		buildKeys(w.suite, &w.key, &w.hp)
	}
	if w.sealed == 0 {
		w.first = pn
	}
	w.sealed++
	k.read.answered = true
	return w.key.seal(&w.hp, b, pnOff, pnLen, pn)
}

// NeedsUpdate reports that half of the packets are sealed that the confidentiality limit allows for one key (RFC 9001, Section 6.6): the caller calls [AppKeys.Update] as soon as it
// is allowed. The other half is for the time until then.
func (k *AppKeys) NeedsUpdate() bool {
	return k.write.suite != nil && k.write.sealed >= k.write.suite.confidentiality/2
}

// Exhausted reports that the confidentiality limit is reached. Nothing may be sealed any more but the packet that closes the connection with AEAD_LIMIT_REACHED, for which a
// few packets are set aside. A peer that acknowledges nothing new can bring this about, since it holds up the update.
func (k *AppKeys) Exhausted() bool {
	const reserve = 1024
	return k.write.suite != nil && k.write.sealed >= k.write.suite.confidentiality-reserve
}

// Open is [Opener.Open] with the keys that the packet's phase asks for: the current ones, the previous ones, which are kept for dropAfter (3 PTO) after the first packet of a phase, or
// the next. If the next keys open it, the peer has updated, and so do we, unless we were first: updated tells that our keys changed.
//
// It fails with [ErrKeyUpdate] if the packet is authentic, but the peer may not have used these keys: old ones for a packet that is later than one with newer keys (RFC 9001, Section 6.4), or
// new ones before it can have got an ack for the ones before (Section 6.2).
//
// now is the time since the connection began.
func (k *AppKeys) Open(b []byte, pnOff int, next uint64, now, dropAfter time.Duration) (pn uint64, payload []byte, updated bool, err error) {
	r := &k.read
	if r.suite == nil {
		return 0, nil, false, ErrDecrypt
	}
	if r.failed >= r.suite.integrity {
		return 0, nil, false, ErrLimit
	}
	if r.key.aead == nil {
		buildKeys(r.suite, &r.key, &r.hp)
	}
	pnLen, ok := r.hp.unprotect(b, pnOff)
	if !ok {
		return 0, nil, false, ErrDecrypt
	}
	k.DropOld(now)
	pn = decodeNumber(b[pnOff:pnOff+pnLen], next)

	key := &r.key
	if b[0]&keyPhaseBit != 0 != (r.phase&1 != 0) {
		key = r.otherKey(pn)
	}
	payload, err = key.open(b, pnOff+pnLen, pn)
	if err != nil {
		r.hp.restore(b, pnOff, pnLen)
		r.failed++
		if r.failed >= r.suite.integrity {
			err = ErrLimit
		}
		return 0, nil, false, err
	}

	switch key {
	case &r.old:
		if pn >= r.min { // RFC 9001, Section 6.4
			return 0, nil, false, ErrKeyUpdate
		}
	case &r.next:
		if !r.mayUpdate(pn) {
			return 0, nil, false, ErrKeyUpdate
		}
		r.advance(k.version, pn, saturatingAdd(now, dropAfter))
		// RFC 9001, Section 6.2: our keys are updated before we ack the packet.
		if r.phase > k.write.phase && k.write.suite != nil {
			k.write.advance(k.version)
			updated = true
		}
	default:
		r.min, r.max = min(r.min, pn), max(r.max, pn)
	}
	return pn, payload, updated, nil
}

const keyPhaseBit = 0x04 // of a short header

// DropOld discards the previous keys for reading if their time is over (RFC 9001, Section 6.5). [AppKeys.Open] does that too:
// this is for a connection that receives nothing.
func (k *AppKeys) DropOld(now time.Duration) {
	if k.read.old.aead != nil && now >= k.read.oldUntil {
		k.read.old = packetKey{}
	}
}

// OldDeadline returns when DropOld has something to do.
func (k *AppKeys) OldDeadline() (time.Duration, bool) { return k.read.oldUntil, k.read.old.aead != nil }

// Update begins a key update of our own. The caller makes sure that the handshake is confirmed. It fails with [ErrUpdateTooSoon] while the previous update, of either
// side, is not confirmed by the peer (RFC 9001, Section 6.1), and while its previous keys are kept, since the peer may keep its own and would not open packets of the phase after (Section 6.5).
func (k *AppKeys) Update(now time.Duration) error {
	if !k.CanRead() || !k.CanWrite() {
		return errors.New("protect: key update without keys")
	}
	k.DropOld(now)
	if k.write.phase > 0 && !k.write.acked || k.write.phase != k.read.phase || k.read.old.aead != nil {
		return ErrUpdateTooSoon
	}
	k.write.advance(k.version)
	return nil
}

// OnAcked tells that the peer acked our packet pn: that confirms an update if the packet was sealed with the current keys.
// It is called after the packet that carried the ack was opened. It fails with [ErrKeyUpdate] if the peer acked a packet with our new keys
// in one with its old ones, which means that it did not follow (RFC 9001, Section 6.2).
func (k *AppKeys) OnAcked(pn uint64) error {
	w := &k.write
	if w.sealed == 0 || pn < w.first {
		return nil
	}
	if w.phase > k.read.phase {
		return ErrKeyUpdate
	}
	w.acked = true
	return nil
}

func (w *writeState) advance(v *version) {
	w.secret = w.suite.expandLabel(w.secret, v.ku, w.suite.secretLen)
	w.key.aead = nil // to be built for the next packet
	w.key.derive(v, w.suite, w.secret)
	w.phase++
	w.sealed, w.first, w.acked = 0, 0, false
}

// otherKey picks the keys for a packet with another phase bit than the current one. There is one try: opening in place destroys what does not open.
// Either way the work is the same, so that the time tells nothing of the number.
func (r *readState) otherKey(pn uint64) *packetKey {
	if r.old.aead != nil && (pn < r.max || !r.answered) {
		return &r.old
	}
	if r.next.aead == nil {
		if err := r.next.build(r.suite); err != nil {
			panic("BUG: key update: " + err.Error())
		}
	}
	return &r.next
}

// mayUpdate reports whether the peer may use the next keys for packet pn.
func (r *readState) mayUpdate(pn uint64) bool {
	if r.min <= r.max && pn < r.max {
		return false // RFC 9001, Section 6.4: the later packet has the older keys
	}
	return r.phase == 0 || r.answered // Section 6.2
}

// advance makes the next keys the current ones. pn is the first packet that they opened.
func (r *readState) advance(v *version, pn uint64, oldUntil time.Duration) {
	r.old, r.oldUntil = r.key, oldUntil
	r.key = r.next
	r.deriveNext(v, r.nextSecret)
	r.phase++
	r.min, r.max = pn, pn
	r.answered = false
}

// deriveNext derives what comes after the phase of secret.
func (r *readState) deriveNext(v *version, secret []byte) {
	r.nextSecret = r.suite.expandLabel(secret, v.ku, r.suite.secretLen)
	r.next.aead = nil
	r.next.derive(v, r.suite, r.nextSecret)
}

// Rest lets go of what is computed from the keys, which is most of what they weigh (2.5 KiB for AES-GCM, 150 bytes without it), for a connection that is idle. The next packet, in either
// direction, has it computed anew, at some 2 µs and a few allocations. The peer notices nothing but that.
func (k *AppKeys) Rest(now time.Duration) {
	k.DropOld(now)
	k.write.key.aead, k.write.hp.block = nil, nil
	k.read.key.aead, k.read.hp.block, k.read.next.aead = nil, nil, nil
}

// saturatingAdd adds two times that are not negative.
func saturatingAdd(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
