package udp

import (
	"context"
	"net"
	"syscall"
)

// Listen opens a socket that is bound to addr and talks to any address. The network
// is "udp", "udp4" or "udp6"; addr is host:port as for [net.ListenPacket]. With "udp" and no host the
// socket takes IPv4 and IPv6, where the system has both. A nil o is the zero Options.
func Listen(network, addr string, o *Options) (*Conn, error) {
	return listenOn(network, addr, o, system{})
}

func listenOn(network, addr string, o *Options, sys system) (*Conn, error) {
	if err := checkNetwork("listen", network); err != nil {
		return nil, err
	}
	if o == nil {
		o = new(Options)
	}
	lc := net.ListenConfig{Control: prepare(o, o.ReusePort)}
	pc, err := lc.ListenPacket(context.Background(), network, addr)
	if err != nil {
		return nil, err
	}
	return adopt(pc.(*net.UDPConn), o, sys)
}

// setReusePort is reusePort, which tests have fail.
var setReusePort = reusePort

// prepare returns what sets the options that a socket needs before it is bound or connected.
func prepare(o *Options, reuse bool) func(_, _ string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) {
			if reuse {
				err = setReusePort(fd)
			}
			if err == nil {
				err = prepareProxy(int(fd), o)
			}
		}); e != nil {
			return e
		}
		return err
	}
}

// Dial opens a socket that is connected to addr: it receives from there alone, and
// a Train needs no Remote. The network is as for Listen; addr is host:port as for
// [net.Dialer.DialContext], which ctx is for. Options.ReusePort is ignored.
func Dial(ctx context.Context, network, addr string, o *Options) (*Conn, error) {
	if err := checkNetwork("dial", network); err != nil {
		return nil, err
	}
	if o == nil {
		o = new(Options)
	}
	d := net.Dialer{Control: prepare(o, false)}
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return adopt(nc.(*net.UDPConn), o, system{})
}

func checkNetwork(op, network string) error {
	switch network {
	case "udp", "udp4", "udp6":
		return nil
	}
	return &net.OpError{Op: op, Net: network, Err: net.UnknownNetworkError(network)}
}

// adopt is New for a socket that nobody else closes.
func adopt(uc *net.UDPConn, o *Options, sys system) (*Conn, error) {
	c, err := newConn(uc, o, sys)
	if err != nil {
		uc.Close()
		return nil, err
	}
	return c, nil
}
