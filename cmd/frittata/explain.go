package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// The TLS alerts that something is told about (RFC 8446, Section 6).
const (
	alertHandshakeFailure      = 40
	alertBadCertificate        = 42
	alertUnknownCA             = 48
	alertUnrecognizedName      = 112
	alertCertificateRequired   = 116
	alertNoApplicationProtocol = 120
)

// explain makes of an error what a user is told about it.
func (c *client) explain(ctx context.Context, u *url.URL, err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var broken *incompleteError
	if errors.As(err, &broken) {
		return broken.explain()
	}
	f = classify(hostPort(u), err)
	if f.code == exitNoAnswer && f.try == "" {
		f.try = c.tryForSilence(ctx, u)
	}
	return f
}

// hostPort returns where a URL leads.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (c *client) tryForSilence(ctx context.Context, u *url.URL) string {
	try := "Is the server running, and is it this port? Does a firewall let UDP through?"
	if ctx.Err() == nil && c.openTCP(ctx, hostPort(u)) {
		try = "A TCP server answers there: it may know HTTP/1.1 and HTTP/2 only (try curl), or a\nfirewall may hold back UDP."
	}
	return try
}

// classify tells errors apart. Several addresses may have failed in several
// ways: what says most comes first.
func classify(where string, err error) *failure {
	f := &failure{code: exitOther, what: err.Error(), err: err}
	if errors.Is(err, errInterrupted) {
		f.code, f.what = exitInterrupted, "interrupted"
		return f
	}
	if classifyCertificate(f, where, err) || classifyHandshake(f, where, err) {
		return f
	}
	var dns *net.DNSError
	var closed *closedPortsError
	var stream *h3.StreamError
	var netErr net.Error
	switch {
	case errors.As(err, &dns):
		f.code, f.what = exitDNS, "the name "+dns.Name+" has no address: "+dns.Err
		f.try = "Is it spelled right? Is there a network?"
		if dns.IsTimeout {
			f.what = "looking up the name " + dns.Name + " took too long"
		}
	case errors.As(err, &closed):
		f.code, f.what = exitNoAnswer, "no QUIC at "+where+": "+closed.Error()
	case errors.Is(err, udp.ErrNoRoute), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		f.code, f.what = exitNoAnswer, "no way to "+where+": "+rootText(err)
		f.try = "Is there a network, and does it have addresses of this kind?"
	case errors.Is(err, errSilence), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, new(*quic.IdleTimeoutError)):
		f.code, f.what = exitTimeout, "timeout: "+where+" has sent nothing for too long"
		f.try = "--timeout sets how long that is."
	case errors.As(err, &stream) && stream.Remote:
		f.what = "the server ended the request: " + stream.Error()
	case errors.As(err, &netErr) && netErr.Timeout():
		f.code, f.what = exitTimeout, "timeout: "+err.Error()
	}
	return f
}

// classifyCertificate knows the errors of certificates.
func classifyCertificate(f *failure, where string, err error) bool {
	var pinned *pinError
	var verify *tls.CertificateVerificationError
	if errors.As(err, &pinned) {
		f.what = fmt.Sprintf("%s has another key than the pinned one\n  pinned:   %v\n  server's: %v", where, pinned.want, pinned.got)
		f.try = "If the server has got a new key and you know that it is its own: --pin " + pinned.got.String() + "\nElse somebody may be in between."
		f.code = exitCertificate
		return true
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	isVerify := errors.As(err, &verify)
	switch {
	case errors.As(err, &unknown):
		f.what = "the certificate of " + where + " is signed by an authority that is not trusted"
		f.try = "--ca FILE trusts an authority of your own."
	case errors.As(err, &name):
		f.what = "the certificate of " + where + " is for another name: " + strings.TrimPrefix(name.Error(), "x509: ")
		f.try = "Use a name that it is for."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		f.what = "the certificate of " + where + " is not valid now"
		f.try = "Is the clock right?"
		if invalid.Cert != nil {
			f.what += fmt.Sprintf(": it is from %s to %s", day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter))
		}
	case isVerify:
		f.what = "the certificate of " + where + " was not accepted: " + strings.TrimPrefix(verify.Err.Error(), "x509: ")
	default:
		return false
	}
	f.code = exitCertificate
	if isVerify && len(verify.UnverifiedCertificates) > 0 {
		f.try += "\nIf you know the server's key by other means, compare: --pin " + pinOf(verify.UnverifiedCertificates[0]).String()
		f.try = strings.TrimPrefix(f.try, "\n")
	}
	return true
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// classifyHandshake knows the ways in which a handshake fails.
func classifyHandshake(f *failure, where string, err error) bool {
	var transport *quic.TransportError
	var versions *quic.VersionNegotiationError
	var late *quic.HandshakeTimeoutError
	switch {
	case errors.As(err, &transport):
		alert, isAlert := transport.Code.Alert()
		switch {
		case isAlert && alert == alertNoApplicationProtocol:
			f.code, f.what = exitProtocol, where+" speaks QUIC, but no HTTP/3: it refuses the protocol h3 (ALPN)"
			f.try = "Is it this port? Another protocol of QUIC may be served there."
		case isAlert && transport.Remote && alert == alertCertificateRequired:
			f.code, f.what = exitCertificate, where+" wants a certificate of the client's, which frittata get has none of"
		case isAlert && transport.Remote && alert == alertUnrecognizedName:
			f.code, f.what = exitCertificate, where+" has no certificate for this name"
			f.try = "Use a name that the server knows: an address is none."
		case isAlert && transport.Remote && alert >= alertBadCertificate && alert <= alertUnknownCA:
			f.code, f.what = exitCertificate, where+" did not accept a certificate: "+transport.Error()
		case isAlert && transport.Remote && alert == alertHandshakeFailure:
			f.what = where + " found no TLS settings in common"
		case transport.Remote && transport.Code == quic.ConnectionRefused:
			f.what = where + " refuses connections now"
			f.try = "It may have too many; try later."
		default:
			return false
		}
	case errors.As(err, &versions):
		f.code, f.what = exitProtocol, fmt.Sprintf("%s speaks QUIC, but not version 1; it offers %#x", where, versions.Offered)
	case errors.As(err, &late) && late.Heard:
		f.code, f.what = exitTimeout, "timeout: "+where+" answered, but the handshake did not complete"
		f.try = "The path may lose packets, or large ones."
	case errors.As(err, &late):
		f.code, f.what = exitNoAnswer, "no QUIC at "+where+": nothing answered"
	default:
		return false
	}
	return true
}

// rootText is the text of the innermost error.
func rootText(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
