package frittata

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/frittata-go/frittata/internal/chunk"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// Tunnel carries QUIC in QUIC: it is a Socket whose datagrams travel in the
// DATAGRAM frames of another connection (RFC 9221), and the Application of that
// other, outer, connection. Each end of the outer connection has one, with a Transport on it for
// the inner connections, of either role and any number. Both ends need quic.Config.EnableDatagrams
// for the outer connection.
//
// An inner datagram is smaller than an outer one by what the outer packet has of
// its own, some 40 bytes. What is too large is refused with udp.ErrTooLarge, so that inner connections find
// out what fits; quic.Config.MaxUDPPayload of theirs spares them the search. As QUIC needs datagrams of 1200
// bytes, nothing passes until the outer connection has found that its path takes
// larger ones, shortly after its handshake: with DisablePathMTUDiscovery nothing ever does.
//
// An Application of one's own, which does other things on the outer connection
// besides, may call a Tunnel's methods in its own of the same names. All
// datagrams of the outer connection are the Tunnel's.
//
// When the outer connection has closed the Tunnel has too: the connections on it end
// with ErrTransportClosed, and the Transport is of no use but to be closed. Closing the Tunnel leaves the outer connection
// open, and what is queued is sent.
type Tunnel struct {
	local, remote netip.AddrPort

	more chan struct{} // has an entry if whoever reads should look again
	end  chan struct{} // closed with the Tunnel

	mu       sync.Mutex // a leaf but for what Wake takes
	outer    *Conn      // nil until it is established
	limit    int        // the largest datagram that passes now
	opened   bool       // limit was once large enough for QUIC
	closed   bool
	deadline time.Time
	in, out  datagramFIFO
	dropped  uint64

	// Of the outer strand.
	scratch []byte
	sending []byte // the datagram that is being handed over; not empty: it found the connection's queue full
}

var (
	_ Application = (*Tunnel)(nil)
	_ Socket      = (*Tunnel)(nil)

	errTunnelClosed = fmt.Errorf("frittata: tunnel closed: %w", net.ErrClosed)
	errTunnelLarge  = fmt.Errorf("frittata: more than fits a datagram of the outer connection: %w", udp.ErrTooLarge)
)

const (
	// tunnelQueue bounds what waits in each direction, in bytes. A longer queue would
	// hide from inner connections that the outer one is slower than they are.
	tunnelQueue = 256 << 10
	// tunnelOverhead is what a datagram counts besides its bytes.
	tunnelOverhead = 64
	// tunnelTrain is how many datagrams a train has at most.
	tunnelTrain = 32
	// minInner is the datagram that every path of a QUIC connection takes (RFC 9000, Section 14).
	minInner = 1200
	// maxInner is more than any DATAGRAM frame has.
	maxInner = 64 << 10
)

// NewTunnel makes one end of a tunnel. local and remote are the addresses that
// inner connections see: they need not exist, but must be valid, with ports. Whatever address
// inner packets are sent to, they go to the other end.
func NewTunnel(local, remote netip.AddrPort) (*Tunnel, error) {
	for _, a := range [...]netip.AddrPort{local, remote} {
		if !a.IsValid() || a.Port() == 0 {
			return nil, errors.New("frittata: no valid address for a tunnel")
		}
	}
	return &Tunnel{local: local, remote: remote, more: make(chan struct{}, 1), end: make(chan struct{})}, nil
}

// RemoteAddr returns the address of the other end: what to dial.
func (t *Tunnel) RemoteAddr() netip.AddrPort { return t.remote }

// LocalAddr returns the address of this end.
func (t *Tunnel) LocalAddr() netip.AddrPort { return t.local }

// Dropped returns how many datagrams found a queue full, in either direction,
// or were queued when the path took larger ones than it does now.
func (t *Tunnel) Dropped() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// Limit returns the size of the largest inner datagram that passes now, in
// bytes, and 0 before one of 1200 bytes does.
func (t *Tunnel) Limit() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.opened {
		return 0
	}
	return t.limit
}

// Caps tells that trains may be long, which saves turns.
func (t *Tunnel) Caps() udp.Caps { return udp.Caps{MaxSegments: tunnelTrain} }

// WriteTrain queues datagrams for the outer connection and never waits. Those
// that find the queue full are lost, as on any part of a path.
func (t *Tunnel) WriteTrain(train *udp.Train) (sent int, err error) {
	segment := train.Segment
	if segment <= 0 || segment > len(train.Data) {
		segment = len(train.Data)
	}
	if segment == 0 {
		return train.Count(), nil // nothing that QUIC would send
	}
	t.mu.Lock()
	switch {
	case t.closed:
		t.mu.Unlock()
		return 0, errTunnelClosed
	case segment > maxInner || t.opened && segment > t.limit:
		t.mu.Unlock()
		return 0, errTunnelLarge
	}
	for data := train.Data; len(data) > 0; {
		n := min(segment, len(data))
		if !t.out.push(data[:n]) {
			t.dropped++
		}
		data = data[n:]
	}
	outer := t.outer
	t.mu.Unlock()
	if outer != nil {
		outer.Wake()
	}
	return train.Count(), nil
}

// ReadBatch waits for datagrams; see udp.Conn.
func (t *Tunnel) ReadBatch(m []udp.Message) (int, error) {
	for {
		n, wait, err := t.read(m, true)
		if n > 0 || err != nil {
			return n, err
		}
		var expired <-chan time.Time
		if wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-t.more:
		case <-t.end:
		case <-expired:
		}
	}
}

// TryReadBatch returns what datagrams there are; see udp.Conn.
func (t *Tunnel) TryReadBatch(m []udp.Message) (int, error) {
	n, _, err := t.read(m, false)
	return n, err
}

// read fills messages: datagrams of one size go together, as with GRO. With heed the read deadline counts, and
// wait is how long it is until then, 0 if there is none.
func (t *Tunnel) read(m []udp.Message, heed bool) (n int, wait time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, 0, errTunnelClosed
	}
	if heed && !t.deadline.IsZero() {
		if wait = time.Until(t.deadline); wait <= 0 {
			return 0, 0, os.ErrDeadlineExceeded
		}
	}
	for n < len(m) {
		b := t.in.front()
		if b == nil {
			break
		}
		msg := udp.Message{Buf: m[n].Buf, Segment: len(b), Remote: t.remote, Local: t.local.Addr()}
		msg.N = copy(msg.Buf, b)
		msg.Truncated = msg.N < len(b)
		t.in.pop()
		for next := t.in.front(); next != nil && len(next) == msg.Segment && len(msg.Buf)-msg.N >= msg.Segment; next = t.in.front() {
			msg.N += copy(msg.Buf[msg.N:], next)
			t.in.pop()
		}
		m[n] = msg
		n++
	}
	return n, wait, nil
}

// SetReadDeadline sets the time from which on ReadBatch fails, also one that waits already. The zero Time is never.
func (t *Tunnel) SetReadDeadline(d time.Time) error {
	t.mu.Lock()
	t.deadline = d
	t.mu.Unlock()
	t.notify()
	return nil
}

// Close ends the Socket. The outer connection stays as it is.
func (t *Tunnel) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shut()
	return nil
}

// shut is Close, with mu held.
func (t *Tunnel) shut() {
	if t.closed {
		return
	}
	t.closed = true
	t.in.clear()
	close(t.end)
}

func (t *Tunnel) notify() {
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// OnEstablished begins to carry datagrams.
func (t *Tunnel) OnEstablished(c *quic.Conn, info HandshakeInfo) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outer = info.Conn
	return nil
}

// ProcessReads takes the outer connection's datagrams.
func (t *Tunnel) ProcessReads(c *quic.Conn) error {
	if t.scratch == nil {
		t.scratch = make([]byte, maxInner)
	}
	got := false
	for {
		n, ok := c.ReadDatagram(t.scratch)
		if !ok {
			break
		}
		if n == 0 {
			continue
		}
		got = true
		t.mu.Lock()
		if t.closed || !t.in.push(t.scratch[:n]) {
			t.dropped++
		}
		t.mu.Unlock()
	}
	if got {
		t.notify()
		if t.outer != nil {
			t.outer.Yield() // to the router of the inner connections
		}
	}
	return nil
}

// ProcessWrites hands over what is queued, as far as the outer connection has room.
func (t *Tunnel) ProcessWrites(c *quic.Conn) error {
	limit := c.DatagramLimit()
	t.mu.Lock()
	t.limit = limit
	t.opened = t.opened || limit >= minInner
	opened := t.opened
	t.mu.Unlock()
	if !opened {
		return nil
	}
	for {
		if len(t.sending) == 0 {
			t.mu.Lock()
			if b := t.out.front(); b != nil {
				t.sending = append(t.sending, b...)
				t.out.pop()
			}
			t.mu.Unlock()
		}
		if len(t.sending) == 0 {
			return nil
		}
		err := c.SendDatagram(t.sending)
		if errors.Is(err, quic.ErrDatagramQueueFull) {
			return nil // there is a turn when there is room
		}
		t.sending = t.sending[:0]
		if _, large := errors.AsType[*quic.DatagramTooLargeError](err); large {
			t.mu.Lock()
			t.dropped++
			t.mu.Unlock()
			continue
		}
		if err != nil {
			return err
		}
	}
}

// OnClose closes the Tunnel with its outer connection.
func (t *Tunnel) OnClose(*quic.Conn, error) {
	t.sending, t.scratch = nil, nil
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outer = nil
	t.out.clear()
	t.shut()
}

// datagramFIFO is a queue of datagrams that is bounded in bytes.
type datagramFIFO struct {
	list chunk.Queue
	size int // overhead included
}

// push adds a copy; false: there is no room.
func (q *datagramFIFO) push(p []byte) bool {
	if q.size+len(p)+tunnelOverhead > tunnelQueue {
		return false
	}
	q.list.Push(&sharedBuffers, p)
	q.size += len(p) + tunnelOverhead
	return true
}

// front returns the first datagram, nil if there is none. It is valid until it is popped.
func (q *datagramFIFO) front() []byte {
	if q.list.Empty() {
		return nil
	}
	return q.list.Front()
}

// pop takes it out. There has to be one.
func (q *datagramFIFO) pop() {
	q.size -= len(q.list.Front()) + tunnelOverhead
	q.list.Pop()
}

func (q *datagramFIFO) clear() {
	q.list.Clear()
	q.size = 0
}
