//go:build unix

package main

import "syscall"

// cpuSeconds returns the CPU time of the process, user and system.
func cpuSeconds() float64 {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return float64(r.Utime.Sec) + float64(r.Stime.Sec) + (float64(r.Utime.Usec)+float64(r.Stime.Usec))/1e6
}
