package handshake

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
	"weak"
)

// ServerTLSConfig returns a copy of cfg for the servers of QUIC. It has TLS 1.3 as its minimum. Callbacks that take a ClientHelloInfo find in its Conn
// a net.Conn that tells the addresses and can do nothing else; in plain crypto/tls it is nil.
// Session tickets are encrypted with cfg's own keys, so that SetSessionTicketKeys on cfg goes on working, and tickets are shared with whatever else uses cfg.
//
// What GetConfigForClient returns is treated in the same way, once for each config, and has cfg's NextProtos if it has none. Its ticket keys are
// used if they are set when it is returned first, else the keys of a listener.
//
// One prepared config is to serve all connections of a listener. ServerTLSConfig returns a config that it made as it is, and nil for nil.
func ServerTLSConfig(cfg *tls.Config) *tls.Config {
	if cfg == nil || serverOf(cfg) != nil {
		return cfg
	}
	c := prepareServer(cfg)
	if c.WrapSession == nil && c.UnwrapSession == nil {
		// The keys of a clone part from the original's with the first rotation, and may never have been the same.
		c.WrapSession = cfg.EncryptTicket
		c.UnwrapSession = cfg.DecryptTicket
	}
	if get := cfg.GetConfigForClient; get != nil {
		s := serverOf(c)
		c.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			setHelloConn(info)
			ret, err := get(info)
			switch {
			case ret == nil || err != nil:
				return nil, err
			case ret == cfg:
				return nil, nil // which means c, that has the same ticket keys
			}
			return s.prepared(ret)
		}
	}
	return c
}

// ClientTLSConfig returns a copy of cfg for the clients of QUIC, with TLS 1.3 as its minimum, and a session cache whose sessions allow no early data.
// It returns a config that it made as it is, and nil for nil.
func ClientTLSConfig(cfg *tls.Config) *tls.Config {
	if cfg == nil || isClientConfig(cfg) {
		return cfg
	}
	c := cfg.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	cache := &clientConfig{self: c, cache: c.ClientSessionCache}
	if old, ok := cache.cache.(*clientConfig); ok { // a clone of a prepared config
		cache.cache = old.cache
	}
	if cache.cache == nil {
		c.SessionTicketsDisabled = true
	}
	c.ClientSessionCache = cache
	return c
}

var errMaxVersion = errors.New("handshake: MaxVersion of the TLS config is below TLS 1.3")

func checkMaxVersion(cfg *tls.Config) error {
	if cfg.MaxVersion != 0 && cfg.MaxVersion < tls.VersionTLS13 {
		return errMaxVersion
	}
	return nil
}

// prepareServer makes a copy that serverOf recognizes.
func prepareServer(cfg *tls.Config) *tls.Config {
	c := cfg.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	c.ClientSessionCache = &serverConfig{self: c}
	if get := cfg.GetCertificate; get != nil {
		c.GetCertificate = func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
			setHelloConn(info)
			return get(info)
		}
	}
	if get := cfg.GetEncryptedClientHelloKeys; get != nil {
		c.GetEncryptedClientHelloKeys = func(info *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
			setHelloConn(info)
			return get(info)
		}
	}
	return c
}

// A serverConfig marks a config as prepared. It rides in ClientSessionCache, which servers do not use. A clone has the mark, but is not self: who cloned it may have changed
// anything, so it is prepared again.
type serverConfig struct {
	self *tls.Config

	// What GetConfigForClient returned is prepared once: many return one of a few, and one that is new
	// each time is soon collected. Connections of different goroutines meet here.
	mu       sync.Mutex
	returned map[weak.Pointer[tls.Config]]*tls.Config
}

func serverOf(cfg *tls.Config) *serverConfig {
	if s, ok := cfg.ClientSessionCache.(*serverConfig); ok && s.self == cfg {
		return s
	}
	return nil
}

func (*serverConfig) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (*serverConfig) Put(string, *tls.ClientSessionState)        {}

// maxReturned bounds the prepared configs that are kept for a listener.
const maxReturned = 64

// prepared returns the prepared copy of a config that GetConfigForClient returned.
func (s *serverConfig) prepared(cfg *tls.Config) (*tls.Config, error) {
	if serverOf(cfg) != nil {
		return cfg, nil
	}
	if err := checkMaxVersion(cfg); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := weak.Make(cfg)
	if c := s.returned[key]; c != nil {
		return c, nil
	}
	c := prepareServer(cfg)
	if len(c.NextProtos) == 0 {
		c.NextProtos = s.self.NextProtos
	}
	if len(c.NextProtos) == 0 {
		return nil, errNoALPN
	}
	if len(s.returned) >= maxReturned {
		for k := range s.returned {
			if k.Value() == nil {
				delete(s.returned, k)
			}
		}
	}
	if len(s.returned) >= maxReturned {
		for k := range s.returned {
			delete(s.returned, k)
			break
		}
	}
	if s.returned == nil {
		s.returned = make(map[weak.Pointer[tls.Config]]*tls.Config)
	}
	s.returned[key] = c
	return c, nil
}

// A clientConfig marks a config as prepared, as serverConfig does, and is its session cache: the user's, or none. Sessions that allow early data, which others
// may have put there, come out without: it would be offered to the server, and none would be sent.
type clientConfig struct {
	self  *tls.Config
	cache tls.ClientSessionCache
}

func isClientConfig(cfg *tls.Config) bool {
	c, ok := cfg.ClientSessionCache.(*clientConfig)
	return ok && c.self == cfg
}

func (c *clientConfig) Get(key string) (*tls.ClientSessionState, bool) {
	if c.cache == nil {
		return nil, false
	}
	cs, ok := c.cache.Get(key)
	if !ok || cs == nil {
		return cs, ok
	}
	ticket, state, err := cs.ResumptionState()
	if err != nil || state == nil || !state.EarlyData {
		return cs, ok
	}
	// Others may use this state at this moment, so it is copied.
	b, err := state.Bytes()
	if err != nil {
		return nil, false
	}
	if state, err = tls.ParseSessionState(b); err != nil {
		return nil, false
	}
	state.EarlyData = false
	if cs, err = tls.NewResumptionState(ticket, state); err != nil {
		return nil, false
	}
	return cs, true
}

func (c *clientConfig) Put(key string, cs *tls.ClientSessionState) {
	if c.cache != nil {
		c.cache.Put(key, cs)
	}
}

// addrsKey is the key of a context for the connection's *helloConn: a config is shared by connections, so what differs comes in the context.
type addrsKey struct{}

// setHelloConn gives user callbacks a Conn, unless crypto/tls did.
func setHelloConn(info *tls.ClientHelloInfo) {
	if info.Conn != nil {
		return
	}
	if c, ok := info.Context().Value(addrsKey{}).(*helloConn); ok {
		info.Conn = c
	}
}

// A helloConn is a net.Conn that has addresses and no more.
type helloConn struct {
	local  netip.Addr
	remote netip.AddrPort
}

func (c *helloConn) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.local, 0))
}
func (c *helloConn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.remote) }

func (c *helloConn) err(op string) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: errors.ErrUnsupported}
}

func (c *helloConn) Read([]byte) (int, error)         { return 0, c.err("read") }
func (c *helloConn) Write([]byte) (int, error)        { return 0, c.err("write") }
func (c *helloConn) Close() error                     { return c.err("close") }
func (c *helloConn) SetDeadline(time.Time) error      { return c.err("set") }
func (c *helloConn) SetReadDeadline(time.Time) error  { return c.err("set") }
func (c *helloConn) SetWriteDeadline(time.Time) error { return c.err("set") }
