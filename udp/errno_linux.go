package udp

import "syscall"

// isSoft tells whether an error concerns a destination rather than the socket: errors
// that ICMP messages cause, which come out at any later call of a connected
// socket, missing routes, and firewalls.
func isSoft(e syscall.Errno) bool {
	switch e {
	case syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
		syscall.ENONET, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.EPROTO, syscall.EACCES, syscall.EPERM:
		return true
	}
	return false
}

// isNoRoute tells whether an error means that there is no route.
func isNoRoute(e syscall.Errno) bool { return e == syscall.ENETUNREACH || e == syscall.EHOSTUNREACH }

// isSoftRead is isSoft for receiving, where EMSGSIZE can only come from an ICMP message.
func isSoftRead(e syscall.Errno) bool { return isSoft(e) || e == syscall.EMSGSIZE }

// isNoMemory tells whether an error means that a queue is full.
func isNoMemory(e syscall.Errno) bool { return e == syscall.ENOBUFS || e == syscall.ENOMEM }
