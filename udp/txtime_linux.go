package udp

import (
	"encoding/binary"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// setTxTime has the kernel take release times, by its monotonic clock: that is the
// one that the queueing discipline fq knows, and the only one that needs no privileges.
func setTxTime(fd int) error {
	// struct sock_txtime: the clock, and flags. One of them has errors reported by the
	// socket's error queue, which nobody reads here.
	var b [8]byte
	binary.NativeEndian.PutUint32(b[:], unix.CLOCK_MONOTONIC)
	return os.NewSyscallError("setsockopt", unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_TXTIME, string(b[:])))
}

// putTime appends a release time, in nanoseconds of the kernel's monotonic clock.
func (k *control) putTime(n int, release uint64) int {
	n, data := k.put(n, unix.SOL_SOCKET, unix.SCM_TXTIME, 8)
	binary.NativeEndian.PutUint64(data, release)
	return n
}

// clock turns times into those of the kernel's monotonic clock. Package time uses the
// same clock for its monotonic readings, but does not tell them.
type clock struct {
	base time.Time
	mono int64 // what the kernel's clock was at base, in nanoseconds
}

// startClock reads both clocks. Of several tries it takes the one that took least, as
// the thread may be interrupted between the readings.
func startClock() clock {
	const tries = 5
	var best clock
	least := time.Duration(math.MaxInt64)
	for range tries {
		var ts unix.Timespec
		before := time.Now()
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
			continue
		}
		if took := time.Since(before); took < least {
			least = took
			best = clock{before.Add(took / 2), ts.Nano()}
		}
	}
	return best
}

// at returns t as the kernel's clock has it.
func (c *clock) at(t time.Time) uint64 {
	d := int64(t.Sub(c.base)) // which saturates
	if d > math.MaxInt64-c.mono {
		return math.MaxInt64
	}
	return uint64(max(0, c.mono+d))
}
