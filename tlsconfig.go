package frittata

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// What the user has put into a tls.Config is called by a goroutine of crypto/tls, where a
// panic would end the process, and runtime.Goexit have the handshake wait for ever; and while the handshake holds one of the
// slots of those that compute, though it may wait for a disk or a key service. So all of it runs on goroutines of its own: what ends
// these is counted and becomes an error of the handshake, and what may wait holds no slot.

// apart runs f on a goroutine of its own, and makes what ends that an error.
func (t *Transport) apart(what string, f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.contain(what, &err, f)
	}()
	<-done
	return err
}

// contain runs f, on a goroutine that f may end.
func (t *Transport) contain(what string, err *error, f func() error) {
	*err = errAway
	defer func() {
		if v := recover(); v != nil {
			*err = t.panicked(v, "callback", what)
		} else if *err == errAway {
			*err = t.exited("callback", what)
		}
	}()
	*err = f()
}

// outside is apart, without the handshake's slot.
func (t *Transport) outside(what string, f func() error) error {
	leaveHandshake()
	defer enterHandshake()
	return t.apart(what, f)
}

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
	wrap, unwrap := c.WrapSession, c.UnwrapSession
	t.guardTLS(c)
	if cfg.WrapSession == nil && cfg.UnwrapSession == nil && cfg.Rand == nil && cfg.Time == nil {
		c.WrapSession, c.UnwrapSession = wrap, unwrap // which are crypto/tls's own
	}
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
		c.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			return t.outside("tls.Config.VerifyPeerCertificate", func() error { return f(raw, chains) })
		}
	}
	if f := c.UnwrapSession; f != nil {
		c.UnwrapSession = func(id []byte, cs tls.ConnectionState) (s *tls.SessionState, err error) {
			err = t.outside("tls.Config.UnwrapSession", func() (err error) {
				s, err = f(id, cs)
				return err
			})
			return s, err
		}
	}
	if f := c.WrapSession; f != nil {
		// It is called in a turn: that of a handshake in which packets come, which holds a slot.
		c.WrapSession = func(cs tls.ConnectionState, s *tls.SessionState) (b []byte, err error) {
			err = t.outside("tls.Config.WrapSession", func() (err error) {
				b, err = f(cs, s)
				return err
			})
			return b, err
		}
	}
	if f := c.Time; f != nil {
		c.Time = func() (now time.Time) {
			now = never
			_ = t.apart("tls.Config.Time", func() error { now = f(); return nil })
			return now
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

// outside is the method for callbacks that return something.
func outside[A, R any](t *Transport, what string, f func(A) (R, error)) func(A) (R, error) {
	if f == nil {
		return nil
	}
	what = "tls.Config." + what
	return func(a A) (r R, err error) {
		err = t.outside(what, func() (err error) {
			r, err = f(a)
			return err
		})
		return r, err
	}
}

// verifyOutside is outside for callbacks that return nothing but an error.
func verifyOutside[A any](t *Transport, what string, f func(A) error) func(A) error {
	if f == nil {
		return nil
	}
	what = "tls.Config." + what
	return func(a A) error { return t.outside(what, func() error { return f(a) }) }
}

// configForClient guards quic.Config.ConfigForClient, which is asked in the same place.
func (t *Transport) configForClient(f func(quic.ClientInfo) (*quic.Config, error)) func(quic.ClientInfo) (*quic.Config, error) {
	if f == nil {
		return nil
	}
	return func(info quic.ClientInfo) (cfg *quic.Config, err error) {
		err = t.outside("ConfigForClient", func() (err error) {
			cfg, err = f(info)
			return err
		})
		if errors.Is(err, ErrPanic) || errors.Is(err, ErrGoexit) {
			err = &quic.TransportError{Code: quic.InternalError, Err: err}
		}
		return cfg, err
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
	_ = s.t.apart("tls.Config.Certificates: Public", func() error { pub = s.key.Public(); return nil })
	return pub
}

func (s *guardedSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	err = s.t.outside("tls.Config.Certificates: Sign", func() (err error) {
		sig, err = s.key.Sign(rand, digest, opts)
		return err
	})
	return sig, err
}

// guardedMessageSigner is one that takes whole messages.
type guardedMessageSigner struct {
	guardedSigner
	message crypto.MessageSigner
}

func (s *guardedMessageSigner) SignMessage(rand io.Reader, msg []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	err = s.t.outside("tls.Config.Certificates: SignMessage", func() (err error) {
		sig, err = s.message.SignMessage(rand, msg, opts)
		return err
	})
	return sig, err
}

// guardedCache is the user's session cache, of a client.
type guardedCache struct {
	t     *Transport
	cache tls.ClientSessionCache
}

// Get fails if the user's does, and the handshake is a full one then.
func (g *guardedCache) Get(key string) (cs *tls.ClientSessionState, ok bool) {
	_ = g.t.outside("tls.Config.ClientSessionCache.Get", func() error { cs, ok = g.cache.Get(key); return nil })
	return cs, ok
}

// Put is called in turns that are not the handshake's, when a ticket has come, so nobody waits for the user's. If that
// fails the next handshake is a full one. A server can have us call it a few times for a connection.
func (g *guardedCache) Put(key string, cs *tls.ClientSessionState) {
	g.t.wg.Go(func() {
		var err error
		g.t.contain("tls.Config.ClientSessionCache.Put", &err, func() error { g.cache.Put(key, cs); return nil })
	})
}

type guardedReader struct {
	t *Transport
	r io.Reader
}

func (g *guardedReader) Read(p []byte) (n int, err error) {
	err = g.t.apart("tls.Config.Rand", func() (err error) {
		n, err = g.r.Read(p)
		return err
	})
	return n, err
}

// guardedWriter is the key log. crypto/tls holds a mutex of the whole process while it writes.
type guardedWriter struct {
	t *Transport
	w io.Writer
}

func (g *guardedWriter) Write(p []byte) (n int, err error) {
	err = g.t.apart("tls.Config.KeyLogWriter", func() (err error) {
		n, err = g.w.Write(p)
		return err
	})
	return n, err
}
