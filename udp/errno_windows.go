package udp

import (
	"errors"

	"golang.org/x/sys/windows"
)

// errnoOf returns the number of the system's error in err, or 0.
func errnoOf(err error) windows.Errno {
	var e windows.Errno
	errors.As(err, &e)
	return e
}

// softErrno tells whether err concerns a destination rather than the socket:
// errors that ICMP messages cause, which come out at any later call, missing routes, and firewalls.
func softErrno(err error) bool {
	switch errnoOf(err) {
	case windows.WSAECONNREFUSED, windows.WSAECONNRESET, windows.WSAENETRESET, windows.WSAEHOSTUNREACH,
		windows.WSAENETUNREACH, windows.WSAEHOSTDOWN, windows.WSAENETDOWN, windows.WSAEACCES,
		windows.ERROR_PORT_UNREACHABLE, windows.ERROR_HOST_UNREACHABLE, windows.ERROR_NETWORK_UNREACHABLE,
		windows.ERROR_PROTOCOL_UNREACHABLE:
		return true
	}
	return false
}

// noRouteErrno tells whether err means that there is no route.
func noRouteErrno(err error) bool {
	switch errnoOf(err) {
	case windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.ERROR_HOST_UNREACHABLE, windows.ERROR_NETWORK_UNREACHABLE:
		return true
	}
	return false
}

// tooLargeErrno tells whether err means that a datagram is too large.
func tooLargeErrno(err error) bool { return errnoOf(err) == windows.WSAEMSGSIZE }

// noMemoryErrno tells whether err means that a queue is full.
func noMemoryErrno(err error) bool { return errnoOf(err) == windows.WSAENOBUFS }

// truncated tells whether a datagram did not fit its buffer.
func truncated(_ int, err error) bool {
	e := errnoOf(err)
	return e == windows.WSAEMSGSIZE || e == windows.ERROR_MORE_DATA
}
