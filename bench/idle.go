package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	idleSpan  = 250 * time.Millisecond
	idleShare = 0.93
)

// waitIdle returns when the machine has been idle for a moment, so that a run
// does not pay for what went before. It gives up after limit, and returns
// false: then something else is going on here. Where the system tells nothing it waits a moment.
func waitIdle(ctx context.Context, limit time.Duration) bool {
	end := time.Now().Add(limit)
	before, ok := cpuTimes()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(idleSpan):
		}
		if !ok {
			return true
		}
		now, _ := cpuTimes()
		if all := now.all - before.all; all == 0 || float64(now.idle-before.idle) >= idleShare*float64(all) {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		before = now
	}
}

type ticks struct{ idle, all int64 }

// cpuTimes returns the processors' time so far, in the kernel's ticks.
func cpuTimes() (t ticks, ok bool) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t, false
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return t, false
	}
	// user nice system idle iowait irq softirq steal; guests are within user.
	for i, f := range fields[1:9] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return t, false
		}
		t.all += n
		if i == 3 || i == 4 {
			t.idle += n
		}
	}
	return t, true
}
