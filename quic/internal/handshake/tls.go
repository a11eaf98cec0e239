package handshake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// NewTLS makes a [Handshaker] of crypto/tls. cfg is prepared by [ServerTLSConfig] or [ClientTLSConfig] if it is not yet.
//
// serverName overrides cfg.ServerName unless it is empty. It may be an IP address, which is not sent but is what the certificate has to be for.
// A client with neither, and without InsecureSkipVerify, verifies against remote's IP address.
//
// It fails if the config offers no application protocol (RFC 9001, Section 8.1) or excludes TLS 1.3.
func NewTLS(cfg *tls.Config, client bool, serverName string, local netip.Addr, remote netip.AddrPort) (Handshaker, error) {
	if cfg == nil {
		return nil, errors.New("handshake: no TLS config")
	}
	if err := checkMaxVersion(cfg); err != nil {
		return nil, err
	}
	// A server's GetConfigForClient may bring the protocols.
	if len(cfg.NextProtos) == 0 && (client || cfg.GetConfigForClient == nil) {
		return nil, errNoALPN
	}
	h := &tlsHandshaker{client: client}
	if client {
		cfg = ClientTLSConfig(cfg)
		if serverName == "" {
			serverName = cfg.ServerName
		}
		if serverName == "" && !cfg.InsecureSkipVerify {
			ip := remote.Addr().Unmap().WithZone("")
			if !ip.IsValid() {
				return nil, errors.New("handshake: neither a server name nor an address to verify against")
			}
			serverName = ip.String()
		}
		if serverName != cfg.ServerName {
			cfg = cfg.Clone()
			cfg.ServerName = serverName
		}
		h.q = tls.QUICClient(&tls.QUICConfig{TLSConfig: cfg, EnableSessionEvents: true})
	} else {
		h.q = tls.QUICServer(&tls.QUICConfig{TLSConfig: ServerTLSConfig(cfg), EnableSessionEvents: true})
	}
	h.ctx = context.WithValue(context.Background(), addrsKey{}, &helloConn{local, remote})
	return h, nil
}

type tlsHandshaker struct {
	q      *tls.QUICConn // nil after Close
	ctx    context.Context
	client bool

	params  bool
	started bool
	done    bool
	err     error // final

	read    Level // the level that CRYPTO data is read from
	frame   framer
	msg     []byte // what is there of a message that came in pieces
	skip    bool   // the current message is not for crypto/tls
	ticket  bool   // the client can use a session ticket
	tickets int    // that a client was sent

	events events
	state  tls.ConnectionState // after Close
}

func (h *tlsHandshaker) SetParams(p []byte) error {
	switch {
	case h.q == nil:
		return errClosed
	case h.err != nil:
		return h.err
	case h.params:
		return errParamsTwice
	}
	h.params = true
	h.q.SetTransportParameters(append([]byte{}, p...)) // not nil, which would mean that there are none yet
	if !h.started {
		return nil
	}
	return h.finish(nil)
}

func (h *tlsHandshaker) Start() error {
	switch {
	case h.q == nil:
		return errClosed
	case h.started:
		return errStarted
	case !h.params && h.client:
		return errParams
	}
	h.started = true
	return h.finish(h.q.Start(h.ctx))
}

func (h *tlsHandshaker) HandleCrypto(l Level, b []byte) error {
	if h.q == nil {
		return errClosed
	}
	if h.err != nil {
		return h.err
	}
	if !h.started {
		return errors.New("handshake: not started")
	}
	// crypto/tls drops the events of a call that fails. So it is given one message at a time, where something
	// could come of those before a bad one. And it is given whole messages, as each call
	// is two changes of the goroutine.
	for len(b) > 0 {
		if l != h.read {
			h.err = &AlertError{alertUnexpectedMessage, errLevel}
			return h.err
		}
		if h.frame.n < headLen {
			n, ok := h.frame.header(b)
			if !ok {
				return nil
			}
			if err := h.checkPostHandshake(h.frame.head[0]); err != nil {
				return err
			}
			if n == headLen && h.frame.left <= len(b)-headLen {
				// All of it is here, and need not be copied.
				n, _ := h.frame.body(b[headLen:])
				n += headLen
				n += h.flight(b[n:])
				if err := h.feed(b[:n]); err != nil {
					return err
				}
				b = b[n:]
				continue
			}
			h.msg = append(make([]byte, 0, min(headLen+h.frame.left, 2<<10)), h.frame.head[:]...)
			b = b[n:]
		}
		n, end := h.frame.body(b)
		h.msg = append(h.msg, b[:n]...)
		b = b[n:]
		if end || h.frame.left > maxGathered {
			msg := h.msg
			h.msg = nil
			if end {
				n := h.flight(b)
				msg = append(msg, b[:n]...)
				b = b[n:]
			}
			if err := h.feed(msg); err != nil {
				return err
			}
		}
	}
	return nil
}

// flight returns how many bytes of b, where a message begins, crypto/tls is given together with the message before: the whole
// messages, up to Finished, of which nothing comes before that.
func (h *tlsHandshaker) flight(b []byte) (n int) {
	if typ := h.frame.head[0]; h.read != LevelHandshake || h.done || typ == typeEncryptedExtensions || typ == typeFinished {
		return 0
	}
	for len(b)-n >= headLen {
		var f framer
		f.header(b[n:])
		if f.left > len(b)-n-headLen {
			break
		}
		n += headLen + f.left
		if f.head[0] == typeFinished {
			break
		}
	}
	return n
}

// maxGathered is how many bytes of a message may be missing for it to wait for them here, in memory that is ours: a ClientHello, or a certificate, has some 2 kB. Longer ones go on to
// crypto/tls, which has limits of its own.
const maxGathered = 16 << 10

// maxTickets is how many session tickets a client looks at. crypto/tls fails a connection at the 17th message after the handshake, though a server is free to send more.
const maxTickets = 8

// checkPostHandshake decides about a message that comes after the handshake, where there is nothing but tickets, from servers. For others crypto/tls loses the alert.
func (h *tlsHandshaker) checkPostHandshake(typ byte) error {
	if !h.done {
		return nil
	}
	switch {
	case h.client && typ == typeNewSessionTicket:
		h.tickets++
		h.skip = h.tickets > maxTickets
		return nil
	case h.client && typ == typeCertificateRequest:
		h.err = &AlertError{alertUnexpectedMessage, errCertificateLate}
	default: // a KeyUpdate, for one (RFC 9001, Section 6)
		h.err = &AlertError{alertUnexpectedMessage, fmt.Errorf("handshake: message of type %d after the handshake", typ)}
	}
	return h.err
}

// feed gives crypto/tls a message or a piece of it.
func (h *tlsHandshaker) feed(b []byte) error {
	if h.skip {
		return nil
	}
	if h.read == LevelInitial && !h.client {
		// Of a second ClientHello, after a HelloRetryRequest, this is the same (RFC 8446, Section 4.1.2). Of one that is
		// too long to be here as a whole, crypto/tls makes nothing.
		h.ticket = wantsTickets(b)
	}
	level := tls.QUICEncryptionLevelInitial
	switch h.read {
	case LevelHandshake:
		level = tls.QUICEncryptionLevelHandshake
	case LevelApp:
		level = tls.QUICEncryptionLevelApplication
	}
	return h.finish(h.q.HandleData(level, b))
}

// finish takes the events and the error of a call to crypto/tls.
func (h *tlsHandshaker) finish(err error) error {
	for {
		e := h.q.NextEvent()
		switch e.Kind {
		case tls.QUICNoEvent:
			if err != nil {
				h.err = alertError(err)
			}
			return h.err
		case tls.QUICErrorEvent:
			err = e.Err
		case tls.QUICSetReadSecret:
			if l, ok := levelOf(e.Level); ok {
				h.read = l
				h.push(EventReadSecret, l, e)
			}
		case tls.QUICSetWriteSecret:
			if l, ok := levelOf(e.Level); ok {
				h.push(EventWriteSecret, l, e)
			}
		case tls.QUICWriteData:
			if l, ok := levelOf(e.Level); ok {
				h.push(EventWriteCrypto, l, e)
			}
		case tls.QUICTransportParameters:
			h.push(EventPeerParams, 0, e)
		case tls.QUICHandshakeDone:
			// RFC 9001, Section 8.1. crypto/tls lets a server without protocols pass, and one of "h2" with a client of "http/1.1".
			if h.q.ConnectionState().NegotiatedProtocol == "" {
				h.err = &AlertError{alertNoApplicationProtocol, errNoProtocol}
				return h.err
			}
			h.done = true
			h.push(EventDone, 0, e)
		case tls.QUICResumeSession:
			if !h.client {
				e.SessionState.EarlyData = false // whatever the ticket says, early data is not accepted
			}
		case tls.QUICStoreSession:
			e.SessionState.EarlyData = false
			_ = h.q.StoreSession(e.SessionState) // fails on servers only, which do not get here
		}
		// Kinds that are not known are to be ignored.
	}
}

// push queues an event. crypto/tls overwrites its data at the next call.
func (h *tlsHandshaker) push(kind EventKind, l Level, e tls.QUICEvent) {
	h.events.push(Event{Kind: kind, Level: l, Suite: e.Suite, Data: slices.Clone(e.Data)})
}

// levelOf reports false for early data.
func levelOf(l tls.QUICEncryptionLevel) (Level, bool) {
	switch l {
	case tls.QUICEncryptionLevelInitial:
		return LevelInitial, true
	case tls.QUICEncryptionLevelHandshake:
		return LevelHandshake, true
	case tls.QUICEncryptionLevelApplication:
		return LevelApp, true
	}
	return 0, false
}

func alertError(err error) error {
	var alert tls.AlertError
	if !errors.As(err, &alert) {
		alert = alertInternalError
	}
	return &AlertError{Alert: uint8(alert), Err: err}
}

func (h *tlsHandshaker) NextEvent() Event { return h.events.pop() }

func (h *tlsHandshaker) SendTicket() error {
	switch {
	case h.q == nil:
		return errClosed
	case h.err != nil:
		return h.err
	case h.client:
		return errors.New("handshake: session ticket of a client")
	case h.done && !h.ticket:
		return nil
	}
	// It touches no state that the peer shares, so its failure is not the connection's.
	if err := h.q.SendSessionTicket(tls.QUICSessionTicketOptions{}); err != nil {
		return err
	}
	return h.finish(nil)
}

func (h *tlsHandshaker) State() tls.ConnectionState {
	if h.q == nil {
		return h.state
	}
	return h.q.ConnectionState()
}

func (h *tlsHandshaker) Close() {
	if h.q == nil {
		return
	}
	_ = h.q.Close() // its error is the handshake's
	h.state = h.q.ConnectionState()
	h.q, h.ctx = nil, nil
}
