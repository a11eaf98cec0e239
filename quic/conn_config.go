package quic

import (
	"errors"
	"net/netip"
)

// ClientInfo is what a server knows of a client when its ClientHello has come.
type ClientInfo struct {
	ServerName string // whom the client asks for; empty if it does not say
	ALPN       string // the application protocol agreed on
	RemoteAddr netip.AddrPort
	LocalAddr  netip.Addr // the zero Addr if it is not known
	Validated  bool       // the client has shown that it receives at RemoteAddr
}

// decideConfig asks Config.ConfigForClient, and has the handshake go on. Nothing
// has been told yet of what it sets, and no stream is there.
func (c *Conn) decideConfig() error {
	state := c.hs.state()
	p := c.paths.active
	cfg, err := c.cfg.ConfigForClient(ClientInfo{
		ServerName: state.ServerName, ALPN: state.NegotiatedProtocol,
		RemoteAddr: p.remote, LocalAddr: p.local, Validated: p.validated,
	})
	if err == nil && cfg != nil {
		err = c.takeConfig(cfg)
	}
	if err != nil {
		refused := &TransportError{Code: ConnectionRefused, Err: err}
		if te, ok := errors.AsType[*TransportError](err); ok {
			refused.Code, refused.Reason = te.Code, te.Reason
		}
		return refused
	}
	if err := c.setParams(); err != nil {
		return c.handshakeErr(err)
	}
	return nil
}

// takeConfig changes to the settings of cfg that are not in use yet.
func (c *Conn) takeConfig(cfg *Config) error {
	n := *cfg
	n.TLS = c.cfg.TLS
	if err := n.Validate(); err != nil {
		return err
	}
	n = n.withDefaults()
	o := &c.cfg
	o.MaxIdleTimeout, o.KeepAlive, o.HandshakeTimeout = n.MaxIdleTimeout, n.KeepAlive, n.HandshakeTimeout
	o.MaxStreamsBidi, o.MaxStreamsUni = n.MaxStreamsBidi, n.MaxStreamsUni
	o.ActiveConnIDLimit = n.ActiveConnIDLimit
	o.StreamWindow, o.MaxStreamWindow = n.StreamWindow, n.MaxStreamWindow
	o.ConnWindow, o.MaxConnWindow = n.ConnWindow, n.MaxConnWindow
	o.SendBuffer, o.ConnSendBuffer = n.SendBuffer, n.ConnSendBuffer
	o.EnableDatagrams, o.DatagramQueue = n.EnableDatagrams, n.DatagramQueue
	o.MaxUDPPayload, o.DisablePathMTUDiscovery = n.MaxUDPPayload, n.DisablePathMTUDiscovery
	c.strs.init(o)
	c.life.init(o)
	o.GlitchLimit = n.GlitchLimit
	c.glitches.init(n.GlitchLimit)
	for _, p := range c.paths.list {
		p.mtu.init(o)
	}
	return nil
}
