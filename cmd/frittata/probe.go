package main

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"time"
)

// closedPortsError: the system at each address says that nothing listens there.
type closedPortsError struct{ addrs []string }

func (e *closedPortsError) Error() string {
	return "nothing listens on " + strings.Join(e.addrs, ", ") + " (UDP)"
}

// dialWatch watches a connection being made. The socket of HTTP/3 does not
// learn that a port is closed, and would wait for an answer for as long as a
// handshake may take; so a socket of its own asks that of each address.
type dialWatch struct {
	c      *client
	ctx    context.Context
	cancel context.CancelCauseFunc
	dog    *watchdog

	mu     sync.Mutex
	addrs  int // that the host has, if it is not one itself
	closed []string
}

func (d *dialWatch) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSDone: func(info httptrace.DNSDoneInfo) {
			d.mu.Lock()
			d.addrs = len(info.Addrs)
			d.mu.Unlock()
			if d.c.o.verbose && info.Err == nil {
				var list []string
				for _, a := range info.Addrs {
					list = append(list, a.String())
				}
				d.c.note("* the host's addresses: %s", strings.Join(list, ", "))
			}
		},
		ConnectStart: func(_, addr string) {
			if d.c.o.verbose {
				d.c.note("* trying %s (UDP)", addr)
			}
			go d.probe(addr)
		},
		GotConn: func(httptrace.GotConnInfo) { d.dog.feed() },
		ConnectDone: func(_, addr string, err error) {
			if d.c.o.verbose && err != nil {
				d.c.note("* %s: %v", addr, err)
			}
		},
	}
}

func (d *dialWatch) probe(addr string) {
	if !d.c.closedUDP(d.ctx, addr) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = append(d.closed, addr)
	if len(d.closed) >= max(d.addrs, 1) {
		d.cancel(&closedPortsError{append([]string(nil), d.closed...)})
	}
}

// probeTime is how long an answer to a probe is waited for.
const probeTime = time.Second

// closedUDP is true if the system at addr says that nothing listens there (by
// ICMP, which a connected socket reports).
func closedUDP(ctx context.Context, addr string) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends Read
	defer stop()
	if conn.SetDeadline(time.Now().Add(probeTime)) != nil || ctx.Err() != nil {
		return false
	}
	// One byte is no packet of QUIC: a server drops it.
	if _, err := conn.Write([]byte{0}); err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_, err = conn.Read(make([]byte, 1))
	return errors.Is(err, syscall.ECONNREFUSED)
}

// openTCP is true if there is a TCP server at addr: then there may be an older
// HTTP where there is no QUIC.
func openTCP(ctx context.Context, addr string) bool {
	d := net.Dialer{Timeout: probeTime}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was sent
	return true
}
