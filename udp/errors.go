package udp

import "errors"

var (
	// ErrTooLarge means that a datagram is larger than the outgoing interface, or
	// UDP, takes. With GSO or without, the datagrams before it in the train were sent.
	ErrTooLarge = errors.New("udp: datagram too large")

	// ErrUnreachable means that the system has no way for a datagram at
	// present: no route, no network, or a firewall. Errors that wrap it concern the
	// destination and not the socket, and may pass.
	ErrUnreachable = errors.New("udp: destination unreachable")

	// ErrNoRoute is an ErrUnreachable: no route leads to the destination, or
	// none to its network. That seldom passes within seconds.
	ErrNoRoute = errors.New("udp: no route to the destination")
)

// unreachableError is the system's error for a destination that it has no way to.
type unreachableError struct {
	err     error
	noRoute bool
}

func (e *unreachableError) Error() string { return e.err.Error() }

func (e *unreachableError) Unwrap() []error {
	if e.noRoute {
		return []error{ErrUnreachable, ErrNoRoute, e.err}
	}
	return []error{ErrUnreachable, e.err}
}

var errNoRemote = errors.New("train without a destination")

// maxSoftErrors is how many errors in a row that concern earlier datagrams one
// call passes over. The kernel tells each only once, so that there are never that many; it is a
// bound on the time that a system which behaves otherwise can take.
const maxSoftErrors = 64
