package udp

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Conn is a UDP socket. One goroutine at a time may read; any number may write.
// The other methods may be called at any time.
type Conn struct {
	udp    *net.UDPConn // closed where another has its descriptor
	raw    descriptor
	local  netip.AddrPort
	remote netip.AddrPort // of a connected socket
	caps   Caps
	gso    atomic.Bool            // false once trains were refused, or by DisableGSO
	noGSO  atomic.Pointer[gsoOff] // why it is false
	gsoMu  sync.Mutex             // of whoever changes these two
	ecn    atomic.Bool            // false for good once marks were refused
	txTime atomic.Bool            // false for good once release times were refused
	shield atomic.Bool            // false for good once a filter was refused
	source atomic.Bool            // false for good once source addresses were refused

	batching atomic.Bool // false for good once the kernel turned out not to have such calls

	sys      system
	counters counters
}

// descriptor is what waits for the socket, and keeps it open.
type descriptor interface {
	syscall.RawConn
	SetReadDeadline(t time.Time) error
	Close() error
}

// netPolled is a descriptor that package net has.
type netPolled struct {
	syscall.RawConn
	udp *net.UDPConn
}

func (d netPolled) SetReadDeadline(t time.Time) error { return d.udp.SetReadDeadline(t) }
func (d netPolled) Close() error                      { return d.udp.Close() }

// New makes a Conn of an open socket, which it takes over: the caller must not use
// or close it any more unless New fails. A nil o is the zero Options.
func New(c *net.UDPConn, o *Options) (*Conn, error) {
	return newConn(c, o, system{})
}

func newConn(c *net.UDPConn, o *Options, sys system) (*Conn, error) {
	if o == nil {
		o = new(Options)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	addr, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, errors.New("udp: socket without an address")
	}
	u := &Conn{udp: c, raw: netPolled{raw, c}, local: unmap(addr.AddrPort()), sys: sys}
	if a, ok := c.RemoteAddr().(*net.UDPAddr); ok && a != nil {
		u.remote = unmap(a.AddrPort())
	}
	if err := u.open(o); err != nil {
		return nil, err
	}
	u.gso.Store(u.caps.GSO)
	u.ecn.Store(u.caps.ECN)
	u.txTime.Store(u.caps.TxTime)
	u.source.Store(u.caps.Pktinfo)
	u.batching.Store(u.caps.Batching)
	u.shield.Store(u.caps.Shield)
	return u, nil
}

// unmap returns a with an IPv4-mapped IPv6 address as IPv4.
func unmap(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is4In6() {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return a
}

// LocalAddr returns the address that the socket is bound to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// RemoteAddr returns the address that the socket is connected to, or the zero AddrPort.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// Caps returns what the socket can do.
func (c *Conn) Caps() Caps {
	k := c.caps
	if k.GSO = c.gso.Load(); !k.GSO {
		if r := c.noGSO.Load(); r != nil {
			k.GSOReason = r.reason
		}
	}
	k.ECN = c.ecn.Load()
	k.TxTime = c.txTime.Load()
	k.Pktinfo = c.source.Load()
	k.Shield = c.shield.Load()
	k.Batching = c.batching.Load()
	return k
}

// ReadBatch receives into the first messages of m, at least one, and returns how
// many. It waits until there is something, the read deadline passes
// ([os.ErrDeadlineExceeded]) or the Conn is closed ([net.ErrClosed]). Once the deadline has
// passed it fails also if there is something.
func (c *Conn) ReadBatch(m []Message) (n int, err error) {
	if len(m) == 0 {
		return 0, nil
	}
	n, err = c.readBatch(m)
	if n > 0 {
		c.counters.onReceived(m[:n])
	}
	return n, err
}

// TryReadBatch is ReadBatch without waiting: if there is nothing it returns 0 and
// no error. It ignores the read deadline. On Windows, AIX and Plan 9 it never finds anything.
func (c *Conn) TryReadBatch(m []Message) (n int, err error) {
	if len(m) == 0 {
		return 0, nil
	}
	n, err = c.tryReadBatch(m)
	if n > 0 {
		c.counters.onReceived(m[:n])
	}
	return n, err
}

// Poll waits until there is something to read, for at most d, and tells whether there is. Unlike ReadBatch
// it waits in the kernel, and Go's scheduler does not learn of it: the goroutine keeps its thread and
// its processor, so that to go on costs no thread's wake-up. That suits somebody who
// expects an answer in less time than a wake-up takes, and has another processor for the program's other
// goroutines. If d is more than a millisecond the scheduler is told, and may take the processor away.
// The read deadline does not count, and Close waits for it. Without [Caps].Poll it returns false at once.
func (c *Conn) Poll(d time.Duration) bool { return c.poll(d) }

// Await waits until there is something to read, which TryReadBatch then finds unless it was damaged; until the read deadline passes
// ([os.ErrDeadlineExceeded]); or until the Conn is closed ([net.ErrClosed]). Without [Caps].Poll it returns nil at once.
//
// ReadBatch does all that, and tells Go's scheduler that it made a system call, as whatever reads by package net does. Await,
// TryReadBatch and WriteTrain, unless it has to wait, tell it nothing, which is for programs that are idle for a moment a thousand times a second: the runtime has
// a thread which takes processors away from goroutines that do not yield. It sleeps once all processors are idle,
// until it is told of a system call, and then looks every 20 µs for some milliseconds, which such a program pays for with a tenth of
// its CPU time. But a timer wakes it as well. So whoever calls Await has one due within some 10 ms of each
// return, or goes on with ReadBatch: else a goroutine that computes after an idle moment keeps its processor as long as it likes.
func (c *Conn) Await() error { return c.await() }

// WriteTrain sends a train, of any length, and returns how many of its datagrams, from
// the first on, were handed to the kernel. It waits while the kernel's send
// buffer is full.
//
// It returns ErrTooLarge for a datagram that is too large, with those before
// it sent, and an error that wraps ErrUnreachable if the system has no way to
// the destination. If the system drops datagrams for want of memory, they are lost, as they
// might be further on: then sent is less than t.Count(), and there is no error. Any
// other error concerns the socket or a train that makes no sense: an address that
// is not of the socket's family, a source address that this host has not, or that nothing can be sent from
// to that destination (of the loopback interface, say, or link-local without a zone).
func (c *Conn) WriteTrain(t *Train) (sent int, err error) {
	return c.writeTrain(t)
}

// SetReadDeadline sets the time from which on ReadBatch fails, and Await, also one that waits already. The zero Time is never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

// Close closes the socket. A ReadBatch that waits returns.
func (c *Conn) Close() error { return c.raw.Close() }

// SyscallConn gives access to the socket, for options that this package does not set. Its Read
// counts as one of the Conn's: one goroutine at a time.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }
