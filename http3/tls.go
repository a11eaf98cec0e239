package http3

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
)

// ALPN is the application protocol of HTTP/3 (RFC 9114, Section 3.1).
const ALPN = "h3"

// ServerTLS returns a copy of cfg, which may be nil, made ready for a server of
// HTTP/3: ALPN "h3" alone, and TLS 1.3. GetConfigForClient may return a
// configuration for another protocol, with ALPN of its own.
func ServerTLS(cfg *tls.Config) *tls.Config { return configureTLS(cfg) }

func configureTLS(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{}
	}
	c := cfg.Clone()
	// QUIC has no other version (RFC 9001, Section 4.2).
	c.MinVersion = tls.VersionTLS13
	c.MaxVersion = 0
	c.NextProtos = []string{ALPN}
	if f := c.GetConfigForClient; f != nil {
		c.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			got, err := f(info)
			if err != nil || got == nil || slices.Contains(got.NextProtos, ALPN) {
				return got, err
			}
			return configureTLS(got), nil
		}
	}
	return c
}

// AltSvc returns the value of an Alt-Svc header field (RFC 7838) that tells
// clients of other versions of HTTP that there is HTTP/3 at a UDP port of the same host, for a day.
//
//	w.Header().Set("Alt-Svc", http3.AltSvc(443))
func AltSvc(port uint16) string {
	return fmt.Sprintf(`%s=":%d"; ma=86400`, ALPN, port)
}

// AltSvc is the value of the function AltSvc for a listener that is being
// served; it is empty if there is none.
func (s *Server) AltSvc() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first netip.AddrPort
	for l := range s.listeners {
		if a := l.Addr(); !first.IsValid() || a.Compare(first) < 0 {
			first = a
		}
	}
	if !first.IsValid() {
		return ""
	}
	return AltSvc(first.Port())
}
