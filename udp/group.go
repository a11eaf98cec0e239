package udp

import (
	"errors"
	"fmt"
	"net"
)

// ListenGroup opens n sockets that are bound to the same address and port, among which
// the kernel spreads what comes in, so that each can have a goroutine and a
// processor of its own. Otherwise it is as Listen, with Options.ReusePort set. If the port is 0, the first socket
// gets one, and the others follow.
//
// Which socket gets a datagram depends on a hash of its addresses and ports, unless there
// is Options.Steer. The spread changes when one of the sockets is closed, and when
// another joins them, which any program of the same user may do. Those who need to know where a
// datagram goes close the sockets together.
//
// More than one socket are possible on Linux alone: with other systems they would not
// share the load. There, and where Linux cannot do it, n other than 1 gives an error that wraps [errors.ErrUnsupported].
func ListenGroup(network, addr string, n int, o *Options) ([]*Conn, error) {
	return listenGroup(network, addr, n, o, system{})
}

func listenGroup(network, addr string, n int, o *Options, sys system) ([]*Conn, error) {
	if n < 1 {
		return nil, fmt.Errorf("udp: group of %d sockets", n)
	}
	var one Options
	if o != nil {
		one = *o
	}
	if err := one.Steer.check(n); err != nil {
		return nil, err
	}
	if n > 1 && !canGroup {
		return nil, &net.OpError{Op: "listen", Net: network, Err: fmt.Errorf("udp: group of %d sockets: %w", n, errors.ErrUnsupported)}
	}
	group := make([]*Conn, 0, n)
	fail := func(err error) ([]*Conn, error) {
		for _, c := range group {
			c.Close()
		}
		return nil, err
	}
	// Workers are told apart by the order in which the sockets are bound, so that nobody else's
	// may be among them: the first is bound to a port that nobody has, and shares it only then.
	alone := one.Steer != nil
	one.ReusePort = n > 1 && !alone || n == 1 && one.ReusePort
	c, err := listenOn(network, addr, &one, sys)
	if err != nil {
		return nil, err
	}
	group = append(group, c)
	if n == 1 {
		return group, nil
	}
	if alone {
		if err := c.share(); err != nil {
			return fail(err)
		}
	}
	one.ReusePort = true
	for len(group) < n {
		d, err := listenOn(network, c.LocalAddr().String(), &one, sys)
		if err != nil {
			return fail(err)
		}
		group = append(group, d)
	}
	if one.Steer != nil && c.steer(one.Steer) == nil {
		for _, c := range group {
			c.caps.Steering = true
		}
	}
	return group, nil
}

// share lets other sockets be bound to the same port from now on.
func (c *Conn) share() error {
	var err error
	if e := c.raw.Control(func(fd uintptr) { err = setReusePort(fd) }); e != nil {
		return e
	}
	return err
}
