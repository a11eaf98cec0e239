package frittata

import (
	"context"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// IncomingConn is a client's first flight that waits for a decision: one of
// Start, Handshake, Refuse, Retry and Ignore. If there is none within
// Config.PendingAge it is forgotten.
type IncomingConn struct {
	l   *Listener
	t   *Transport // that it came to
	in  *quic.Incoming
	cfg *quic.Config

	originalDst netip.AddrPort
}

// RemoteAddr returns the client's address, which it may have made up unless Validated.
func (in *IncomingConn) RemoteAddr() netip.AddrPort { return in.in.RemoteAddr() }

// LocalAddr returns the address that the flight came to, as far as the system tells it.
func (in *IncomingConn) LocalAddr() netip.AddrPort { return in.t.localAddr(in.in.LocalAddr()) }

// OriginalDst returns the address and port that the flight was sent to, also where
// a transparent proxy gets what was meant for others: see udp.Options.Transparent. It
// is the zero AddrPort unless udp.Caps.OriginalDst.
func (in *IncomingConn) OriginalDst() netip.AddrPort { return in.originalDst }

// Validated tells whether the client has answered a Retry, and so receives at RemoteAddr.
func (in *IncomingConn) Validated() bool { return in.in.Validated() }

// SetConfig sets what Start and Handshake use instead of the Listener's
// configuration: other limits, say, for some clients.
func (in *IncomingConn) SetConfig(cfg *quic.Config) error {
	qcfg, err := in.t.connConfig(cfg, in.t.serverTLS)
	if err != nil {
		return err
	}
	in.cfg = qcfg
	return nil
}

// Start begins the handshake and returns at once. What comes of it app learns,
// by OnEstablished or OnClose.
func (in *IncomingConn) Start(app Application) (*Conn, error) {
	if app == nil {
		return nil, errNoApplication
	}
	return in.start(app, false)
}

// Handshake begins the handshake and waits until the connection is
// established, or returns why it is not. The connection is paused then: the
// callbacks of app are called only after [Conn.Resume]. app may be nil; then
// [Conn.SetApplication] has to be called before Resume. If ctx ends first the connection is closed.
func (in *IncomingConn) Handshake(ctx context.Context, app Application) (*Conn, error) {
	c, err := in.start(app, true)
	if err != nil {
		return nil, err
	}
	if err := c.await(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (in *IncomingConn) start(app Application, paused bool) (*Conn, error) {
	t := in.t
	c := newConn(t, app, in.in.RemoteAddr())
	c.local = in.in.LocalAddr()
	c.originalDst = in.originalDst
	c.listener = in.l
	c.halfOpen, c.boxHalf = true, true
	c.paused.Store(paused)
	c.retried = in.in.Validated()
	c.times.Received = in.in.Received()
	c.times.Accepted = time.Now()
	c.hs = &handshake{wake: make(chan struct{}, 1), in: in.in, cfg: in.cfg}
	c.strand.runOwned()
	if err := t.register(c); err != nil {
		in.Ignore()
		return nil, err
	}
	if !in.l.add(c) {
		c.stillborn(ErrTransportClosed)
		t.wg.Done()
		return nil, ErrTransportClosed
	}
	t.epMu.Lock()
	ok := t.ep.Admit(in.in, c)
	t.notePending()
	t.epMu.Unlock()
	if !ok {
		c.hs.in = nil
		c.stillborn(ErrIncomingGone)
		t.wg.Done()
		return nil, ErrIncomingGone
	}
	go c.runHandshake()
	return c, nil
}

// Refuse tells the client that the connection is refused.
func (in *IncomingConn) Refuse() error {
	return in.answer(func(t *Transport) ([]byte, error) { return t.ep.Refuse(in.in), nil })
}

// Retry makes the client prove that it receives at its address: it comes again,
// Validated. It is an error if it has done so.
func (in *IncomingConn) Retry() error {
	return in.answer(func(t *Transport) ([]byte, error) { return t.ep.Retry(time.Now(), in.in) })
}

func (in *IncomingConn) answer(make func(t *Transport) ([]byte, error)) error {
	t := in.t
	t.epMu.Lock()
	b, err := make(t)
	t.notePending()
	b = append([]byte(nil), b...) // the endpoint's memory is used again
	t.epMu.Unlock()
	if err != nil {
		return err
	}
	if len(b) > 0 {
		t.reply(&reply{train: quic.Train{N: len(b), Segment: len(b), Remote: in.in.RemoteAddr(), Local: in.in.LocalAddr()}, data: b})
	}
	return nil
}

// Ignore forgets the flight. The client gets no answer, and may try again.
func (in *IncomingConn) Ignore() {
	t := in.t
	t.epMu.Lock()
	t.ep.Ignore(in.in)
	t.notePending()
	t.epMu.Unlock()
}
