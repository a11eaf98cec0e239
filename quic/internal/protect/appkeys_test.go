package protect

import (
	"bytes"
	"crypto/tls"
	"errors"
	"math"
	"testing"
	"time"
)

const appPNOff = 9

type appPair struct{ a, b *AppKeys }

func newAppPair(t testing.TB, id uint16, secretLen int) appPair {
	t.Helper()
	p := appPair{new(AppKeys), new(AppKeys)}
	for _, err := range []error{
		p.a.SetReadSecret(version1, id, secretOf(secretLen, 1)), p.a.SetWriteSecret(version1, id, secretOf(secretLen, 2)),
		p.b.SetReadSecret(version1, id, secretOf(secretLen, 2)), p.b.SetWriteSecret(version1, id, secretOf(secretLen, 1)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// sealApp seals a packet whose payload tells its number.
func sealApp(k *AppKeys, pn uint64) []byte {
	first := byte(0x40)
	if k.KeyPhase() {
		first |= keyPhaseBit
	}
	return k.Seal(appendPacket(make([]byte, 0, 64), first, appPNOff-1, 4, pn, []byte{byte(pn), byte(pn >> 8), 3}), appPNOff, 4, pn)
}

const drop = 3 * time.Second

func openApp(k *AppKeys, b []byte, now time.Duration) (pn uint64, updated bool, err error) {
	pn, payload, updated, err := k.Open(bytes.Clone(b), appPNOff, 0, now, drop)
	if err == nil && !bytes.Equal(payload, []byte{byte(pn), byte(pn >> 8), 3}) {
		panic("wrong payload")
	}
	return pn, updated, err
}

func (p appPair) mustOpen(t *testing.T, k *AppKeys, b []byte, now time.Duration, wantUpdated bool) {
	t.Helper()
	if _, updated, err := openApp(k, b, now); err != nil || updated != wantUpdated {
		t.Fatalf("opened: updated %v, %v; want updated %v", updated, err, wantUpdated)
	}
}

func TestKeyUpdate(t *testing.T) {
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			p := newAppPair(t, s.id, s.len)
			early, late := sealApp(p.a, 0), sealApp(p.a, 1)
			p.mustOpen(t, p.b, early, 0, false)

			if err := p.a.Update(0); err != nil {
				t.Fatal(err)
			}
			if !p.a.KeyPhase() || p.a.Phases() != 1 {
				t.Fatal("phase did not change")
			}
			if err := p.a.Update(0); err != ErrUpdateTooSoon {
				t.Fatalf("second update: %v", err)
			}
			// The peer's packets of the old phase still open.
			p.mustOpen(t, p.a, sealApp(p.b, 0), 0, false)
			p.mustOpen(t, p.b, sealApp(p.a, 2), 0, true)
			if !p.b.KeyPhase() || p.b.Phases() != 1 {
				t.Fatal("the peer did not follow")
			}
			// What was late opens with the previous keys, until they are dropped.
			p.mustOpen(t, p.b, late, drop-1, false)
			if _, _, err := openApp(p.b, late, drop); err != ErrDecrypt {
				t.Fatalf("packet of a dropped phase: %v", err)
			}
			p.mustOpen(t, p.b, sealApp(p.a, 3), drop, false)

			// An ack for a packet of the old phase confirms nothing.
			if err := p.a.OnAcked(1); err != nil {
				t.Fatal(err)
			}
			p.mustOpen(t, p.a, sealApp(p.b, 1), 0, false)
			if err := p.a.Update(drop - 1); err != ErrUpdateTooSoon {
				t.Fatalf("update before it is confirmed: %v", err)
			}
			if err := p.a.OnAcked(2); err != nil {
				t.Fatal(err)
			}
			if err := p.a.Update(drop - 1); err != ErrUpdateTooSoon {
				t.Fatalf("update while old keys are kept: %v", err)
			}
			if err := p.a.Update(drop); err != nil {
				t.Fatal(err)
			}
			p.mustOpen(t, p.b, sealApp(p.a, 4), drop, true)
			if p.b.KeyPhase() || p.b.Phases() != 2 {
				t.Fatal("the peer did not follow the second update")
			}
		})
	}
}

// TestSimultaneousUpdate: if both begin an update they end in the same phase.
func TestSimultaneousUpdate(t *testing.T) {
	p := newAppPair(t, tls.TLS_AES_128_GCM_SHA256, 32)
	if p.a.Update(0) != nil || p.b.Update(0) != nil {
		t.Fatal("update refused")
	}
	fromA, fromB := sealApp(p.a, 0), sealApp(p.b, 0)
	p.mustOpen(t, p.b, fromA, 0, false)
	p.mustOpen(t, p.a, fromB, 0, false)
	if p.a.Phases() != 1 || p.b.Phases() != 1 {
		t.Fatalf("phases %d and %d, want 1", p.a.Phases(), p.b.Phases())
	}
}

// TestHeaderKeyStays: an update does not change header protection (RFC 9001, Section 5.4).
func TestHeaderKeyStays(t *testing.T) {
	p := newAppPair(t, tls.TLS_AES_128_GCM_SHA256, 32)
	block := p.a.write.hp.block
	if err := p.a.Update(0); err != nil {
		t.Fatal(err)
	}
	if p.a.write.hp.block != block {
		t.Error("the header protection key changed")
	}
}

// TestOldKeysForNewPacket: RFC 9001, Section 6.4.
func TestOldKeysForNewPacket(t *testing.T) {
	p := newAppPair(t, tls.TLS_AES_128_GCM_SHA256, 32)
	cheat := *p.a
	if err := p.a.Update(0); err != nil {
		t.Fatal(err)
	}
	p.mustOpen(t, p.b, sealApp(p.a, 5), 0, true)
	if _, _, err := openApp(p.b, sealApp(&cheat, 6), 0); err != ErrKeyUpdate {
		t.Fatalf("old keys for a later packet: %v", err)
	}

	// Between two packets of the new phase it is seen after we answered, too.
	p.mustOpen(t, p.b, sealApp(p.a, 9), 0, false)
	sealApp(p.b, 0)
	if _, _, err := openApp(p.b, sealApp(&cheat, 7), 0); err != ErrKeyUpdate {
		t.Fatalf("old keys between two packets with new ones: %v", err)
	}
}

// TestNewKeysForOldPacket: the mirror image, new keys for a packet that precedes one with the old.
func TestNewKeysForOldPacket(t *testing.T) {
	p := newAppPair(t, tls.TLS_AES_128_GCM_SHA256, 32)
	p.mustOpen(t, p.b, sealApp(p.a, 5), 0, false)
	if err := p.a.Update(0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openApp(p.b, sealApp(p.a, 4), 0); err != ErrKeyUpdate {
		t.Fatalf("new keys for an earlier packet: %v", err)
	}
}

// TestUpdateTwice: a second update before we can have acked a packet of the first (RFC 9001, Section 6.2).
func TestUpdateTwice(t *testing.T) {
	p := newAppPair(t, tls.TLS_AES_128_GCM_SHA256, 32)
	p.a.write.advance(p.a.version)
	p.mustOpen(t, p.b, sealApp(p.a, 0), 0, true)
	p.a.write.advance(p.a.version)
	second := sealApp(p.a, 1)
	// While the old keys are there, they are the only ones that are legal, and they do not fit.
	if _, _, err := openApp(p.b, second, 0); err != ErrDecrypt {
		t.Fatalf("second update: %v", err)
	}
	if _, _, err := openApp(p.b, second, drop); err != ErrKeyUpdate {
		t.Fatalf("second update after the old keys are gone: %v", err)
	}

	// It is legal as soon as we sealed something, even while the old keys are kept.
	p = newAppPair(t, tls.TLS_AES_128_GCM_SHA256, 32)
	p.a.write.advance(p.a.version)
	p.mustOpen(t, p.b, sealApp(p.a, 0), 0, true)
	sealApp(p.b, 0)
	p.a.write.advance(p.a.version)
	p.mustOpen(t, p.b, sealApp(p.a, 1), 0, true)
}

// TestAckWithOldKeys: a peer that acks our new packets has to have followed (RFC 9001, Section 6.2).
func TestAckWithOldKeys(t *testing.T) {
	p := newAppPair(t, tls.TLS_AES_128_GCM_SHA256, 32)
	sealApp(p.a, 0)
	if err := p.a.Update(0); err != nil {
		t.Fatal(err)
	}
	sealApp(p.a, 1)
	p.mustOpen(t, p.a, sealApp(p.b, 0), 0, false)
	if err := p.a.OnAcked(0); err != nil {
		t.Fatal(err)
	}
	if err := p.a.OnAcked(1); err != ErrKeyUpdate {
		t.Fatalf("ack of a new packet in an old one: %v", err)
	}
}

// TestForgedPhase: packets with the other bit are easy to forge. They cost one AEAD per phase and move nothing.
func TestForgedPhase(t *testing.T) {
	for _, s := range suites {
		p := newAppPair(t, s.id, s.len)
		forge := func() []byte {
			cheat := *p.a
			cheat.write.phase++
			return sealApp(&cheat, 7)
		}
		if _, _, err := openApp(p.b, forge(), 0); err != ErrDecrypt {
			t.Fatal(err)
		}
		next := p.b.read.next.aead
		if next == nil {
			t.Fatal("next keys were not built")
		}
		for range 10 {
			if _, _, err := openApp(p.b, forge(), 0); err != ErrDecrypt {
				t.Fatal(err)
			}
		}
		if p.b.read.next.aead != next {
			t.Error("next keys were built again")
		}
		if p.b.Phases() != 0 || p.b.read.failed != 11 {
			t.Errorf("phase %d after %d failures", p.b.Phases(), p.b.read.failed)
		}
		p.mustOpen(t, p.b, sealApp(p.a, 0), 0, false)
		if err := p.a.Update(0); err != nil {
			t.Fatal(err)
		}
		p.mustOpen(t, p.b, sealApp(p.a, 1), 0, true)
	}
}

func TestConfidentialityLimit(t *testing.T) {
	for _, s := range suites {
		p := newAppPair(t, s.id, s.len)
		if p.a.NeedsUpdate() || p.a.Exhausted() {
			t.Errorf("%s: fresh keys need an update", s.name)
		}
		p.a.write.sealed = 1<<22 - 1
		sealApp(p.a, 1)
		if want := s.name != "ChaCha"; p.a.NeedsUpdate() != want {
			t.Errorf("%s: NeedsUpdate is %v after 2^22 packets", s.name, !want)
		}
		p.a.write.sealed = 1<<23 - 1024
		if want := s.name != "ChaCha"; p.a.Exhausted() != want {
			t.Errorf("%s: Exhausted is %v near 2^23 packets", s.name, !want)
		}
		if err := p.a.Update(0); err != nil {
			t.Fatal(err)
		}
		if p.a.NeedsUpdate() || p.a.Exhausted() {
			t.Errorf("%s: still at the limit after an update", s.name)
		}
	}
	var k AppKeys
	if k.NeedsUpdate() || k.Exhausted() || k.KeyPhase() {
		t.Error("the zero value needs an update")
	}
}

func TestDropOld(t *testing.T) {
	p := newAppPair(t, tls.TLS_AES_128_GCM_SHA256, 32)
	if err := p.a.Update(0); err != nil {
		t.Fatal(err)
	}
	// A time that would overflow is kept forever.
	if _, _, _, err := p.b.Open(sealApp(p.a, 0), appPNOff, 0, time.Hour, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	p.b.DropOld(math.MaxInt64 - 1)
	if p.b.read.old.aead == nil {
		t.Error("dropped too early")
	}
	p.b.DropOld(math.MaxInt64)
	if p.b.read.old.aead != nil {
		t.Error("not dropped")
	}
}

// FuzzAppKeys lets two sides that obey the rules talk over a network that reorders, loses and duplicates, with updates from both.
// A model knows the phase of each packet: what is of the current phase or the one before has to open while its keys are there, nothing ever is a key update error, and
// the sides never are more than a phase apart.
func FuzzAppKeys(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07"))
	f.Add([]byte{0, 8, 2, 10, 4, 1, 9, 3, 11, 5, 0, 8, 2, 10, 6, 14, 4, 0, 8, 2, 10, 3, 11})
	f.Add(bytes.Repeat([]byte{4, 0, 2, 8, 10, 6}, 40))
	f.Add(bytes.Repeat([]byte{4, 12, 0, 8, 0, 8, 3, 11, 2, 10, 2, 10, 7}, 30))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 2000 {
			return
		}
		type packet struct {
			b     []byte
			pn    uint64
			phase uint64
			acks  uint64 // packets below this number are acked by it, those that the sender opened
		}
		type side struct {
			k      *AppKeys
			nextPN uint64
			out    []packet
			got    uint64 // one above the largest that was opened
			seen   map[uint64]bool
		}
		p := newAppPair(t, tls.TLS_AES_128_GCM_SHA256, 32)
		sides := [2]*side{{k: p.a, seen: map[uint64]bool{}}, {k: p.b, seen: map[uint64]bool{}}}
		var now time.Duration
		for _, op := range ops {
			s, peer := sides[op>>3&1], sides[1-op>>3&1]
			switch op & 7 {
			case 0, 1: // send
				pn := s.nextPN
				s.nextPN++
				s.out = append(s.out, packet{b: sealApp(s.k, pn), pn: pn, phase: s.k.Phases(), acks: s.got})
			case 2, 3, 5: // the peer receives one, the first or another, perhaps not for the last time
				if len(s.out) == 0 {
					continue
				}
				i := 0
				if op&7 != 2 {
					i = int(op>>4) % len(s.out)
				}
				pkt := s.out[i]
				if op&7 != 5 {
					s.out = append(s.out[:i:i], s.out[i+1:]...)
				}
				readPhase, hadOld := peer.k.read.phase, peer.k.read.old.aead != nil && now < peer.k.read.oldUntil
				before := peer.k.Phases()
				pn, updated, err := openApp(peer.k, pkt.b, now)
				if errors.Is(err, ErrKeyUpdate) {
					t.Fatalf("packet %d of phase %d in phase %d: %v", pkt.pn, pkt.phase, readPhase, err)
				}
				must := pkt.phase == readPhase || pkt.phase == readPhase+1 || hadOld && pkt.phase+1 == readPhase
				if (err == nil) != must {
					t.Fatalf("packet %d of phase %d in phase %d, old keys %v: %v", pkt.pn, pkt.phase, readPhase, hadOld, err)
				}
				if err != nil {
					continue
				}
				if pn != pkt.pn {
					t.Fatalf("packet %d opened as %d", pkt.pn, pn)
				}
				if updated != (peer.k.Phases() > before) {
					t.Fatalf("updated is %v, phase %d was %d", updated, peer.k.Phases(), before)
				}
				peer.got = max(peer.got, pn+1)
				if pkt.acks > 0 {
					if err := peer.k.OnAcked(pkt.acks - 1); err != nil {
						t.Fatal(err)
					}
				}
			case 4: // update
				_ = s.k.Update(now)
			case 6: // lose all
				s.out = nil
			case 7:
				now += drop / 2
			}
			d := int64(sides[0].k.Phases()) - int64(sides[1].k.Phases())
			if d < -1 || d > 1 {
				t.Fatalf("phases are %d and %d", sides[0].k.Phases(), sides[1].k.Phases())
			}
		}
	})
}

// TestRest: keys that were at rest are the same afterwards, in whichever state the rest found them.
func TestRest(t *testing.T) {
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			p := newAppPair(t, s.id, s.len)
			rest := func() {
				p.a.Rest(0)
				p.b.Rest(0)
				for _, k := range []*AppKeys{p.a, p.b} {
					if k.write.key.aead != nil || k.write.hp.block != nil || k.read.key.aead != nil || k.read.hp.block != nil || k.read.next.aead != nil {
						t.Fatal("something is left that can be computed")
					}
				}
			}
			rest()
			late := sealApp(p.a, 0)
			rest()
			p.mustOpen(t, p.b, sealApp(p.a, 1), 0, false)
			rest()
			p.mustOpen(t, p.a, sealApp(p.b, 0), 0, false)
			rest()
			if err := p.a.Update(0); err != nil {
				t.Fatal(err)
			}
			rest()
			p.mustOpen(t, p.b, sealApp(p.a, 2), 0, true)
			rest()
			p.mustOpen(t, p.b, late, 0, false) // with the old keys, which stay for their time
			p.mustOpen(t, p.a, sealApp(p.b, 1), 0, false)

			// A packet that nobody sealed has the next keys built. They rest too.
			junk := sealApp(p.a, 3)
			junk[len(junk)-1] ^= 1
			first := junk[0]
			for junk[0] = first; ; junk[0] ^= keyPhaseBit {
				if _, _, err := openApp(p.b, junk, 0); !errors.Is(err, ErrDecrypt) {
					t.Fatalf("junk: %v", err)
				}
				if junk[0] != first {
					break
				}
			}
			rest()
			p.b.DropOld(drop)
			p.a.DropOld(drop)
			if err := p.a.OnAcked(2); err != nil {
				t.Fatal(err)
			}
			if err := p.a.Update(drop); err != nil {
				t.Fatal(err)
			}
			p.mustOpen(t, p.b, sealApp(p.a, 4), drop, true)
		})
	}
}
