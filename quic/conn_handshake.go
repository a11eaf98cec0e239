package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/frittata-go/frittata/quic/internal/handshake"
	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/stream"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// maxCryptoBuffer bounds how far ahead of what was read a peer's CRYPTO data
// may reach, at each level: certificate chains are some 4 to 20 kB.
const maxCryptoBuffer = 64 << 10

// maxCryptoGaps bounds the pieces of CRYPTO data that wait for what comes before them.
const maxCryptoGaps = 64

// maxUndecryptable is how many packets are kept until their keys are there.
const maxUndecryptable = 10

// cryptoStream is the handshake's byte stream of one packet number space.
type cryptoStream struct {
	recv stream.RecvBuffer
	send stream.SendBuffer
}

// handshakeState drives the TLS handshake.
type handshakeState struct {
	tls           handshake.Handshaker // nil once it is not needed any more
	final         *tls.ConnectionState // when tls is nil
	havePeer      bool                 // the peer's transport parameters have come
	connected     bool                 // keys for application data are there
	complete      bool                 // RFC 9001, Section 4.1.1
	confirmed     bool                 // RFC 9001, Section 4.1.2
	bothConfirmed bool                 // the peer has confirmed it too
	done          sentVal              // HANDSHAKE_DONE
	undecided     bool                 // Config.ConfigForClient is to be asked before our parameters are told
	retrySrcID    ConnID
	retried       bool
	token         []byte // of a Retry, for the client's Initials
	heard         bool   // a packet of the peer was authenticated
	undecryptable []earlyPacket
	newKeys       bool // since undecryptable was looked at
	hurries       int  // of hurryHandshake
}

func prepareServerTLS(cfg *tls.Config) *tls.Config { return handshake.ServerTLSConfig(cfg) }
func prepareClientTLS(cfg *tls.Config) *tls.Config { return handshake.ClientTLSConfig(cfg) }

func readFull(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if err != nil {
		err = fmt.Errorf("quic: reading randomness: %w", err)
	}
	return n, err
}

func (h *handshakeState) state() tls.ConnectionState {
	if h.tls != nil {
		return h.tls.State()
	}
	if h.final != nil {
		return *h.final
	}
	return tls.ConnectionState{}
}

// release drops the TLS state and keeps what users may ask for.
func (h *handshakeState) release() {
	if h.tls == nil {
		return
	}
	st := h.tls.State()
	h.final = &st
	h.tls.Close()
	h.tls = nil
}

// localParams are the transport parameters of this end (RFC 9000, Section 18.2).
func (c *Conn) localParams() wire.TransportParameters {
	cfg := &c.cfg
	p := wire.TransportParameters{
		MaxIdleTimeout:                 uint64(cfg.MaxIdleTimeout / time.Millisecond),
		MaxUDPPayloadSize:              maxUDPPayload,
		InitialMaxData:                 cfg.ConnWindow,
		InitialMaxStreamDataBidiLocal:  cfg.StreamWindow,
		InitialMaxStreamDataBidiRemote: cfg.StreamWindow,
		InitialMaxStreamDataUni:        cfg.StreamWindow,
		InitialMaxStreamsBidi:          uint64(cfg.MaxStreamsBidi),
		InitialMaxStreamsUni:           uint64(cfg.MaxStreamsUni),
		AckDelayExponent:               ackDelayExponent,
		MaxAckDelay:                    uint64(cfg.MaxAckDelay / time.Millisecond),
		ActiveConnIDLimit:              uint64(cfg.ActiveConnIDLimit),
		InitialSrcID:                   wire.NewConnID(c.ids.local[0].id.Bytes()),
		HasInitialSrcID:                true,
	}
	if cfg.EnableDatagrams {
		p.MaxDatagramFrameSize = maxDatagramFrame
	}
	if c.client {
		return p
	}
	p.OriginalDstID, p.HasOriginalDstID = wire.NewConnID(c.ids.origDst.Bytes()), true
	if c.hs.retried {
		p.RetrySrcID, p.HasRetrySrcID = wire.NewConnID(c.hs.retrySrcID.Bytes()), true
	}
	if cfg.StatelessResetKey != nil {
		p.StatelessResetToken = c.ids.local[0].token
		p.HasStatelessResetToken = true
	}
	return p
}

// startHandshake makes the handshaker and lets a client write its first flight.
func (c *Conn) startHandshake(serverName string) error {
	h := &c.hs
	if c.cfg.InsecureFakeHandshake {
		h.tls = handshake.NewFake(c.client, serverName, c.cfg.TLS.NextProtos, rngReader{c.rng})
	} else {
		t, err := handshake.NewTLS(c.cfg.TLS, c.client, serverName, c.paths.active.local, c.paths.active.remote)
		if err != nil {
			return err
		}
		h.tls = t
	}
	err := error(nil)
	if h.undecided = !c.client && c.cfg.ConfigForClient != nil; !h.undecided {
		err = c.setParams()
	}
	if err == nil {
		err = h.tls.Start()
	}
	if err != nil {
		h.tls.Close()
		return err
	}
	c.pumpHandshake()
	return nil
}

// setParams tells the handshaker our transport parameters.
func (c *Conn) setParams() error {
	p := c.localParams()
	return c.hs.tls.SetParams(p.Append(nil))
}

// rngReader reads from the connection's own source of randomness.
type rngReader struct{ r interface{ Uint64() uint64 } }

func (r rngReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.r.Uint64())
	}
	return len(b), nil
}

// setInitialKeys derives the Initial keys from the client's first destination connection ID (RFC 9001, Section 5.2).
func (c *Conn) setInitialKeys(dcid []byte) {
	c.keys.initialSeal, c.keys.initialOpen = protect.InitialKeys(c.keys.version, dcid, c.client)
}

// handleCrypto takes a CRYPTO frame (RFC 9000, Section 19.6).
func (c *Conn) handleCrypto(space wire.Space, f *wire.Frame) error {
	if c.spaces[space] == nil {
		return nil // an earlier frame of the packet completed the handshake
	}
	s := &c.spaces[space].crypto
	end := f.Offset + uint64(len(f.Data))
	if end > s.recv.ReadOffset()+maxCryptoBuffer {
		// RFC 9000, Section 7.5
		return transportErr(CryptoBufferExceeded, f.Type, "CRYPTO data too far ahead")
	}
	if c.hs.tls == nil {
		if end > s.recv.ReadOffset() && space == wire.SpaceApp {
			// A client has nothing to say in TLS after its Finished (RFC 9001, Sections 4.4 and 6).
			return transportErr(cryptoErrorBase+alertUnexpectedMessage, f.Type, "TLS message after the handshake")
		}
		return nil
	}
	if err := s.recv.Insert(c.cfg.Buffers, f.Offset, f.Data, maxCryptoGaps); err != nil {
		return transportErr(CryptoBufferExceeded, f.Type, err.Error())
	}
	for {
		b := s.recv.ReadBuf(maxCryptoBuffer)
		if b == nil {
			return nil
		}
		err := c.hs.tls.HandleCrypto(spaceLevels[space], b.B)
		b.Release()
		c.pumpHandshake() // even after an error: the peer is to get what TLS wrote before it
		if err != nil {
			return c.handshakeErr(err)
		}
		if c.life.err != nil || c.hs.tls == nil {
			return nil
		}
	}
}

const (
	alertUnexpectedMessage = 10
	alertInternalError     = 80
	alertMissingExtension  = 109
)

// handshakeErr makes the CRYPTO_ERROR of a TLS failure (RFC 9001, Section 4.8).
func (c *Conn) handshakeErr(err error) error {
	code := cryptoErrorBase + alertInternalError
	var alert *handshake.AlertError
	if errors.As(err, &alert) {
		code = cryptoErrorBase + TransportErrorCode(alert.Alert)
	}
	if errors.Is(err, handshake.ErrProtocolViolation) {
		code = ProtocolViolation // RFC 9001, Sections 4.1.3 and 4.4
	}
	// What went wrong inside is for this end alone: the reason goes over the wire.
	return &TransportError{Code: code, FrameType: uint64(wire.FrameCrypto), Err: err}
}

// pumpHandshake carries out what the handshaker wants.
func (c *Conn) pumpHandshake() {
	for c.hs.tls != nil {
		ev := c.hs.tls.NextEvent()
		if ev.Kind == handshake.EventNone {
			return
		}
		if err := c.handleHandshakeEvent(&ev); err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *Conn) handleHandshakeEvent(ev *handshake.Event) (err error) {
	k := &c.keys
	switch ev.Kind {
	case handshake.EventReadSecret:
		c.hs.newKeys = true
		switch ev.Level {
		case handshake.LevelHandshake:
			k.handshakeOpen, err = protect.NewOpener(k.version, ev.Suite, ev.Data)
		case handshake.LevelApp:
			err = k.app.SetReadSecret(k.version, ev.Suite, ev.Data)
		}
	case handshake.EventWriteSecret:
		switch ev.Level {
		case handshake.LevelHandshake:
			k.handshakeSeal, err = protect.NewSealer(k.version, ev.Suite, ev.Data)
			c.loss.SetHandshakeKeys()
		case handshake.LevelApp:
			err = k.app.SetWriteSecret(k.version, ev.Suite, ev.Data)
		}
	case handshake.EventWriteCrypto:
		space := wire.SpaceInitial
		switch ev.Level {
		case handshake.LevelHandshake:
			space = wire.SpaceHandshake
		case handshake.LevelApp:
			space = wire.SpaceApp
		}
		c.spaces[space].crypto.send.Write(c.cfg.Buffers, ev.Data)
	case handshake.EventPeerParams:
		if c.hs.undecided {
			c.hs.undecided = false
			if err := c.decideConfig(); err != nil {
				return err
			}
		}
		return c.handlePeerParams(ev.Data)
	case handshake.EventDone:
		return c.onHandshakeComplete()
	}
	if err != nil {
		return &TransportError{Code: InternalError, Err: err}
	}
	c.maybeConnected()
	return nil
}

// handlePeerParams checks the peer's transport parameters against the
// connection IDs that were seen (RFC 9000, Section 7.3) and takes them over.
func (c *Conn) handlePeerParams(b []byte) error {
	p := new(wire.TransportParameters)
	if err := wire.ParseTransportParameters(b, !c.client, p); err != nil {
		return fromWireErr(err)
	}
	bad := func(s string) error { return transportErr(TransportParameterError, 0, s) }
	switch {
	case !p.HasInitialSrcID:
		return bad("initial_source_connection_id is missing")
	case string(p.InitialSrcID.Bytes()) != string(c.ids.remote[0].id.Bytes()):
		return bad("initial_source_connection_id is not that of the packets")
	}
	if c.client {
		switch {
		case !p.HasOriginalDstID || string(p.OriginalDstID.Bytes()) != string(c.ids.origDst.Bytes()):
			return bad("original_destination_connection_id is not that of the first packet")
		case c.hs.retried != p.HasRetrySrcID:
			return bad("retry_source_connection_id does not fit whether there was a Retry")
		case c.hs.retried && string(p.RetrySrcID.Bytes()) != string(c.hs.retrySrcID.Bytes()):
			return bad("retry_source_connection_id is not that of the Retry")
		}
		if p.HasStatelessResetToken {
			c.ids.setResetToken(c, 0, p.StatelessResetToken)
		}
		if p.HasPreferredAddress {
			if c.ids.remote[0].id.Len() == 0 {
				return bad("preferred_address of a server with empty connection IDs") // RFC 9000, Section 18.2
			}
			c.ids.addPreferred(c, &p.PreferredAddress)
		}
	}
	c.hs.havePeer = true
	c.strs.onPeerParams(p)
	c.ids.peerLimit = min(p.ActiveConnIDLimit, maxIssuedConnIDs)
	c.dgrams.peerMax = min(p.MaxDatagramFrameSize, maxDatagramFrame)
	if c.dgrams.peerMax < uint64(wire.DatagramHeaderLen(0)) {
		c.dgrams.peerMax = 0 // not even an empty one, with its length, is taken
	}
	c.life.onPeerParams(p)
	c.peerMaxAckDelay = time.Duration(p.MaxAckDelay) * time.Millisecond
	c.loss.SetMaxAckDelay(c.peerMaxAckDelay)
	c.loss.SetAckDelayExponent(p.AckDelayExponent)
	c.paths.peerMax = p.MaxUDPPayloadSize
	for _, path := range c.paths.list {
		path.mtu.setPeerMax(p.MaxUDPPayloadSize)
	}
	return nil
}

// maybeConnected tells the application once it can send.
func (c *Conn) maybeConnected() {
	if c.hs.connected || !c.keys.app.CanWrite() || !c.hs.havePeer {
		return
	}
	if !c.hs.complete {
		// A client has not authenticated the server yet; a server speaks once
		// it knows whom to.
		return
	}
	c.hs.connected = true
	c.events.set(EventConnected)
}

func (c *Conn) onHandshakeComplete() error {
	if !c.hs.havePeer {
		// RFC 9001, Section 8.2
		return transportErr(cryptoErrorBase+alertMissingExtension, 0, "no transport parameters")
	}
	c.hs.complete = true
	c.loss.SetHandshakeComplete()
	c.maybeConnected()
	if c.client {
		return nil
	}
	// A server's handshake is confirmed when it is complete (RFC 9001, Section 4.1.2).
	c.hs.done.set()
	_ = c.hs.tls.SendTicket() // without a ticket the client's next handshake is a full one, and that is all
	for {
		ev := c.hs.tls.NextEvent()
		if ev.Kind == handshake.EventNone {
			break
		}
		if err := c.handleHandshakeEvent(&ev); err != nil {
			return err
		}
	}
	c.hs.release()
	c.onHandshakeConfirmed()
	return nil
}

// onHandshakeConfirmed drops what only the handshake needed (RFC 9001, Section 4.9.2).
func (c *Conn) onHandshakeConfirmed() {
	if c.hs.confirmed {
		return
	}
	c.hs.confirmed = true
	c.events.set(EventConfirmed)
	c.discardSpace(wire.SpaceInitial)
	c.discardSpace(wire.SpaceHandshake)
	c.loss.SetHandshakeConfirmed()
	c.ids.onConfirmed(c)
	if c.client {
		c.onBothConfirmed()
	}
	if p := c.paths.active; p.validated && !p.mtu.started() {
		p.mtu.startAt(c.now + mtuDelay)
	}
}

// onBothConfirmed: both ends have confirmed the handshake, which a server learns from the ACK of HANDSHAKE_DONE.
func (c *Conn) onBothConfirmed() {
	if !c.hs.bothConfirmed {
		c.hs.bothConfirmed = true
		c.ids.issue(c)
	}
}

// discardSpace drops the keys and all state of Initial or Handshake (RFC 9001, Section 4.9).
func (c *Conn) discardSpace(space wire.Space) {
	switch space {
	case wire.SpaceInitial:
		if c.keys.initialSeal == nil {
			return
		}
		c.keys.initialSeal, c.keys.initialOpen = nil, nil
		c.hs.token = nil
	case wire.SpaceHandshake:
		if c.keys.handshakeSeal == nil {
			return
		}
		c.keys.handshakeSeal, c.keys.handshakeOpen = nil, nil
	}
	c.loss.Discard(space)
	s := c.spaces[space]
	s.crypto.recv.Discard()
	s.crypto.send.Discard()
	c.spaces[space] = nil
}

// handleHandshakeDone takes HANDSHAKE_DONE (RFC 9000, Section 19.20).
func (c *Conn) handleHandshakeDone(f *wire.Frame) error {
	if !c.client {
		return transportErr(ProtocolViolation, f.Type, "HANDSHAKE_DONE from a client")
	}
	if !c.hs.complete {
		return transportErr(ProtocolViolation, f.Type, "HANDSHAKE_DONE before the handshake is complete")
	}
	c.onHandshakeConfirmed()
	return nil
}
