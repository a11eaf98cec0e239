package frittata

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"slices"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// What the user has put into a tls.Config runs on a goroutine of crypto/tls, where a
// panic would end the process, and while the handshake holds one of the slots of those that compute, though it
// may wait for a disk or a key service. So all of it is wrapped: a panic is counted and
// becomes an error of the handshake, and what may wait holds no slot.

// serverTLS prepares a server's TLS configuration.
func (t *Transport) serverTLS(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		return nil
	}
	c := quic.ServerTLS(cfg)
	if c == cfg {
		c = quic.ServerTLS(cfg.Clone()) // what the user has prepared is the user's
	}
	// Not before it is prepared: tickets are to be sealed with the keys of the user's own.
	t.guardTLS(c)
	if get := outside(t, "GetConfigForClient", c.GetConfigForClient); get != nil {
		c.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			ret, err := get(info)
			if err != nil || ret == nil || !guarded(ret) {
				return ret, err
			}
			own := ret.Clone()
			t.guardTLS(own)
			return own, nil
		}
	}
	return c
}

// guardedClientTLS prepares a client's TLS configuration.
func (t *Transport) guardedClientTLS(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		return nil
	}
	own := cfg.Clone()
	if own.ClientSessionCache != nil {
		own.ClientSessionCache = &guardedCache{t, own.ClientSessionCache}
	}
	t.guardTLS(own)
	return quic.ClientTLS(own)
}

// guarded tells whether there is anything in a server's c that guardTLS wraps.
func guarded(c *tls.Config) bool {
	return c.GetCertificate != nil || c.GetEncryptedClientHelloKeys != nil ||
		c.VerifyConnection != nil || c.VerifyPeerCertificate != nil || c.UnwrapSession != nil || c.WrapSession != nil ||
		c.Time != nil || c.Rand != nil || c.KeyLogWriter != nil || slices.ContainsFunc(c.Certificates, hasForeignKey)
}

// guardTLS wraps what is the user's in c, but for GetConfigForClient and ClientSessionCache.
func (t *Transport) guardTLS(c *tls.Config) {
	c.GetCertificate = t.guardCertificate(outside(t, "GetCertificate", c.GetCertificate))
	c.GetEncryptedClientHelloKeys = outside(t, "GetEncryptedClientHelloKeys", c.GetEncryptedClientHelloKeys)
	if get := outside(t, "GetClientCertificate", c.GetClientCertificate); get != nil {
		c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := get(info)
			return t.guardKey(cert), err
		}
	}
	c.VerifyConnection = verifyOutside(t, "VerifyConnection", c.VerifyConnection)
	c.EncryptedClientHelloRejectionVerify = verifyOutside(t, "EncryptedClientHelloRejectionVerify", c.EncryptedClientHelloRejectionVerify)
	if f := c.VerifyPeerCertificate; f != nil {
		c.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) (err error) {
			leaveHandshake()
			defer enterHandshake()
			defer t.recoveredTLS("VerifyPeerCertificate", &err)
			return f(raw, chains)
		}
	}
	if f := c.UnwrapSession; f != nil {
		c.UnwrapSession = func(id []byte, cs tls.ConnectionState) (s *tls.SessionState, err error) {
			leaveHandshake()
			defer enterHandshake()
			defer t.recoveredTLS("UnwrapSession", &err)
			return f(id, cs)
		}
	}
	if f := c.WrapSession; f != nil {
		// It is called in a turn, which need not be one that holds a slot.
		c.WrapSession = func(cs tls.ConnectionState, s *tls.SessionState) (b []byte, err error) {
			defer t.recoveredTLS("WrapSession", &err)
			return f(cs, s)
		}
	}
	if f := c.Time; f != nil {
		c.Time = func() (now time.Time) {
			now = never
			var err error
			defer t.recoveredTLS("Time", &err)
			return f()
		}
	}
	if c.Rand != nil {
		c.Rand = &guardedReader{t, c.Rand}
	}
	if c.KeyLogWriter != nil {
		c.KeyLogWriter = &guardedWriter{t, c.KeyLogWriter}
	}
	if slices.ContainsFunc(c.Certificates, hasForeignKey) {
		c.Certificates = slices.Clone(c.Certificates)
		for i := range c.Certificates {
			c.Certificates[i] = *t.guardKey(&c.Certificates[i])
		}
	}
}

// never is a time at which no certificate is valid and no ticket is fresh: the last that a certificate can
// be valid at is the end of the year 9999. The zero time would mean now.
var never = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

// recoveredTLS makes a panic the error of what panicked. It is deferred.
func (t *Transport) recoveredTLS(what string, err *error) {
	if v := recover(); v != nil {
		*err = t.panicked(v, "callback", "tls.Config."+what)
	}
}

// outside lets go of the handshake's slot while a callback of the user runs.
func outside[A, R any](t *Transport, what string, f func(A) (R, error)) func(A) (R, error) {
	if f == nil {
		return nil
	}
	return func(a A) (r R, err error) {
		leaveHandshake()
		defer enterHandshake()
		defer t.recoveredTLS(what, &err)
		return f(a)
	}
}

// verifyOutside is outside for callbacks that return nothing but an error.
func verifyOutside[A any](t *Transport, what string, f func(A) error) func(A) error {
	if f == nil {
		return nil
	}
	g := outside(t, what, func(a A) (struct{}, error) { return struct{}{}, f(a) })
	return func(a A) error {
		_, err := g(a)
		return err
	}
}

// configForClient guards quic.Config.ConfigForClient, which is asked in the same place.
func (t *Transport) configForClient(f func(quic.ClientInfo) (*quic.Config, error)) func(quic.ClientInfo) (*quic.Config, error) {
	if f == nil {
		return nil
	}
	return func(info quic.ClientInfo) (cfg *quic.Config, err error) {
		leaveHandshake()
		defer enterHandshake()
		defer func() {
			if v := recover(); v != nil {
				err = &quic.TransportError{Code: quic.InternalError, Err: t.panicked(v, "callback", "ConfigForClient", "remote", info.RemoteAddr)}
			}
		}()
		return f(info)
	}
}

// guardCertificate guards the keys of the certificates that get returns.
func (t *Transport) guardCertificate(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if get == nil {
		return nil
	}
	return func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := get(info)
		return t.guardKey(cert), err
	}
}

// hasForeignKey tells whether the key signs by code that is not the standard library's: a key service, say.
func hasForeignKey(cert tls.Certificate) bool {
	switch cert.PrivateKey.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey, *rsa.PrivateKey:
		return false
	}
	_, signs := cert.PrivateKey.(crypto.Signer)
	return signs
}

// guardKey returns cert, or a copy of it if its key is to be guarded.
func (t *Transport) guardKey(cert *tls.Certificate) *tls.Certificate {
	if cert == nil || !hasForeignKey(*cert) {
		return cert
	}
	own := *cert
	switch key := own.PrivateKey.(type) {
	case *guardedSigner, *guardedMessageSigner:
	case crypto.MessageSigner:
		own.PrivateKey = &guardedMessageSigner{guardedSigner{t, key}, key}
	case crypto.Signer:
		own.PrivateKey = &guardedSigner{t, key}
	}
	return &own
}

// guardedSigner is a private key of a kind that the standard library does not have.
type guardedSigner struct {
	t   *Transport
	key crypto.Signer
}

func (s *guardedSigner) Public() (pub crypto.PublicKey) {
	var err error
	defer s.t.recoveredTLS("Certificates: Public", &err)
	return s.key.Public()
}

func (s *guardedSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	leaveHandshake()
	defer enterHandshake()
	defer s.t.recoveredTLS("Certificates: Sign", &err)
	return s.key.Sign(rand, digest, opts)
}

// guardedMessageSigner is one that takes whole messages.
type guardedMessageSigner struct {
	guardedSigner
	message crypto.MessageSigner
}

func (s *guardedMessageSigner) SignMessage(rand io.Reader, msg []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	leaveHandshake()
	defer enterHandshake()
	defer s.t.recoveredTLS("Certificates: SignMessage", &err)
	return s.message.SignMessage(rand, msg, opts)
}

// guardedCache is the user's session cache, of a client. It is also called in turns that hold no slot.
type guardedCache struct {
	t     *Transport
	cache tls.ClientSessionCache
}

func (g *guardedCache) Get(key string) (cs *tls.ClientSessionState, ok bool) {
	var err error
	defer g.t.recoveredTLS("ClientSessionCache.Get", &err) // the handshake is a full one then
	return g.cache.Get(key)
}

func (g *guardedCache) Put(key string, cs *tls.ClientSessionState) {
	var err error
	defer g.t.recoveredTLS("ClientSessionCache.Put", &err) // so is the next one
	g.cache.Put(key, cs)
}

type guardedReader struct {
	t *Transport
	r io.Reader
}

func (g *guardedReader) Read(p []byte) (n int, err error) {
	defer g.t.recoveredTLS("Rand", &err)
	return g.r.Read(p)
}

// guardedWriter is the key log. crypto/tls holds a mutex of the whole process while it writes.
type guardedWriter struct {
	t *Transport
	w io.Writer
}

func (g *guardedWriter) Write(p []byte) (n int, err error) {
	defer g.t.recoveredTLS("KeyLogWriter", &err)
	return g.w.Write(p)
}
