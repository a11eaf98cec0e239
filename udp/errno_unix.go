//go:build unix && !linux

package udp

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// errnoOf returns the number of the system's error in err, or 0.
func errnoOf(err error) syscall.Errno {
	var e syscall.Errno
	errors.As(err, &e)
	return e
}

// softErrno tells whether err concerns a destination rather than the socket:
// errors that ICMP messages cause, which come out at any later call, missing routes, and firewalls.
func softErrno(err error) bool {
	switch errnoOf(err) {
	case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN,
		syscall.ENETDOWN, syscall.ENOPROTOOPT, syscall.EPROTO, syscall.EACCES, syscall.EPERM:
		return true
	}
	return false
}

// noRouteErrno tells whether err means that there is no route.
func noRouteErrno(err error) bool {
	e := errnoOf(err)
	return e == syscall.ENETUNREACH || e == syscall.EHOSTUNREACH
}

// tooLargeErrno tells whether err means that a datagram is too large.
func tooLargeErrno(err error) bool { return errnoOf(err) == syscall.EMSGSIZE }

// noMemoryErrno tells whether err means that a queue is full.
func noMemoryErrno(err error) bool {
	e := errnoOf(err)
	return e == syscall.ENOBUFS || e == syscall.ENOMEM
}

// truncated tells whether a datagram did not fit its buffer.
func truncated(flags int, _ error) bool { return flags&unix.MSG_TRUNC != 0 }
