package quic

// sentVal is the life of one control frame that has to reach the peer: a small
// state machine in the place of a queued frame, so that whatever the peer does
// there is never more than one of each.
type sentVal struct {
	state sentState
	pn    uint64 // of the packet that carried it last
}

type sentState uint8

const (
	valUnset sentState = iota // nothing to tell
	valDue                    // to be sent
	valSent                   // in packet pn
	valAcked
)

// set makes the value due, anew if it was sent before.
func (v *sentVal) set() { v.state = valDue }

// clear forgets the value.
func (v *sentVal) clear() { v.state = valUnset }

func (v *sentVal) isSet() bool { return v.state != valUnset }
func (v *sentVal) due() bool   { return v.state == valDue }
func (v *sentVal) acked() bool { return v.state == valAcked }

func (v *sentVal) onSent(pn uint64) { v.state, v.pn = valSent, pn }

// onAcked marks the value as received by the peer, unless a newer one is on its way.
func (v *sentVal) onAcked(pn uint64) {
	if v.state == valSent && v.pn == pn {
		v.state = valAcked
	}
}

// onAckedAny is onAcked for a value that never changes: any packet that
// carried it will do.
func (v *sentVal) onAckedAny() {
	if v.state == valSent || v.state == valDue {
		v.state = valAcked
	}
}

// onLost makes the value due again, unless a newer packet carries it. It tells whether it did.
func (v *sentVal) onLost(pn uint64) bool {
	if v.state == valSent && v.pn == pn {
		v.state = valDue
		return true
	}
	return false
}
