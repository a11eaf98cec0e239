//go:build linux || darwin

package udp

import "errors"

// The traffic class is the DSCP (RFC 2474, Section 3) and two bits of ECN (RFC 3168, Section 5).
const (
	dscpShift = 2
	ecnMask   = 3
)

var errVersions = errors.New("source and destination of different IP versions")
