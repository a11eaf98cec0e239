package recovery

import (
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// ecnTestPackets is how many packets are marked before the path has shown what
// becomes of them (RFC 9000, Section 13.4.2).
const ecnTestPackets = 10

type ecnStatus uint8

// The states of RFC 9000, Appendix A.4.
const (
	ecnFailed ecnStatus = iota // also: not wanted
	ecnTesting
	ecnUnknown
	ecnCapable
)

// ecn is the validation of ECN on one path.
type ecn struct {
	status   ecnStatus
	testEnd  time.Duration // of the test, once a marked packet was sent
	sent     uint64        // marked packets that were sent
	lost     uint64        // of them
	acked    uint64        // of them
	ceMarked uint64        // of them, as the peer reports
}

func (e *ecn) onSent(now time.Duration, rtt *RTT) {
	if e.sent == 0 {
		e.testEnd = now + 3*rtt.PTO(0)
	}
	e.sent++
}

// maybeEndTest is called between trains: all packets of one have the same mark.
func (e *ecn) maybeEndTest(now time.Duration) {
	if e.status == ecnTesting && (e.sent >= ecnTestPackets || e.sent > 0 && now >= e.testEnd) {
		e.status = ecnUnknown
	}
}

func (e *ecn) onLost() {
	e.lost++
	// Losing all that is marked is taken as the marks' fault.
	if e.status == ecnUnknown && e.lost == e.sent {
		e.status = ecnFailed
	}
}

// onValidated takes an acknowledgment of marked packets that passed the checks.
func (e *ecn) onValidated(acked, ce uint64) {
	if e.status == ecnFailed {
		return
	}
	e.acked += acked
	e.ceMarked += ce
	if e.status == ecnCapable || e.acked == 0 {
		return
	}
	if e.ceMarked < e.acked {
		e.status = ecnCapable
	} else if e.acked >= ecnTestPackets {
		// A path that marks all packets marks without cause.
		e.status = ecnFailed
	}
}

// ecnCounts is what the peer reported last in one packet number space.
type ecnCounts struct {
	wire.ECNCounts
	sent uint64 // packets that were marked ECT(0) in the space
}

// validate checks the counts of an ACK frame that newly acknowledges so many
// marked packets (RFC 9000, Section 13.4.2.1), and returns how many more
// congestion marks there are. The frame must have increased the largest
// acknowledged packet number.
func (c *ecnCounts) validate(has bool, n *wire.ECNCounts, acked uint64) (ce uint64, ok bool) {
	if !has {
		return 0, acked == 0
	}
	if n.ECT0 < c.ECT0 || n.ECT1 < c.ECT1 || n.CE < c.CE {
		return 0, false
	}
	ce = n.CE - c.CE
	grown := n.ECT0 - c.ECT0 + ce
	c.ECNCounts = *n
	// ECT(1) is never set. That the sums cannot overflow follows from the
	// counts being varints.
	if grown < acked || n.ECT1 > 0 || n.ECT0+n.CE > c.sent {
		return 0, false
	}
	return ce, true
}
