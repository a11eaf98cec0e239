package udp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// setTimestamps has the kernel tell when datagrams came in, or not, and tells
// whether it does.
func (p *prober) setTimestamps(on bool) bool {
	// Before Linux 5.1 there is only the old option, with seconds of 32 bits on
	// systems of 32 bits.
	return p.set(on, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW) || on && p.set(on, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_OLD)
}

// timestamp reads a struct timespec, of either size.
func timestamp(data []byte) (sec, nsec int64, ok bool) {
	e := binary.NativeEndian
	switch {
	case len(data) >= 16:
		return int64(e.Uint64(data)), int64(e.Uint64(data[8:])), true
	case len(data) >= 8:
		return int64(int32(e.Uint32(data))), int64(int32(e.Uint32(data[4:]))), true
	}
	return 0, 0, false
}
