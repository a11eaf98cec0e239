package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile keeps other processes that call it from the file until this one
// closes it, or is gone. It fails at once if another has it. The byte that it locks is
// far beyond those that are written: a lock on Windows keeps others from reading, too.
func lockFile(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
}
