package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

func remoteAlert(alert int) error {
	return &quic.TransportError{Code: quic.TransportErrorCode(0x100 + alert), Remote: true}
}

func TestClassify(t *testing.T) {
	cert, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf := cert.Leaf
	verify := func(err error) error {
		return &quic.TransportError{Code: 0x12a, Err: &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: err}}
	}
	pinText := pinOf(leaf).String()
	for _, tt := range []struct {
		err   error
		code  exitCode
		texts []string
	}{
		{errors.New("whatever"), exitOther, []string{"whatever"}},
		{fmt.Errorf("a: %w", errInterrupted), exitInterrupted, []string{"interrupted"}},
		{&net.DNSError{Err: "no such host", Name: "nosuch.example", IsNotFound: true}, exitDNS, []string{"nosuch.example", "spelled"}},
		{&net.DNSError{Err: "i/o timeout", Name: "slow.example", IsTimeout: true}, exitDNS, []string{"too long"}},
		{&quic.HandshakeTimeoutError{}, exitNoAnswer, []string{"no QUIC at host:1"}},
		{&quic.HandshakeTimeoutError{Heard: true}, exitTimeout, []string{"answered"}},
		{&closedPortsError{[]string{"192.0.2.1:1"}}, exitNoAnswer, []string{"nothing listens on 192.0.2.1:1"}},
		{fmt.Errorf("a: %w", syscall.ENETUNREACH), exitNoAnswer, []string{"no way to host:1"}},
		{&quic.IdleTimeoutError{}, exitTimeout, []string{"timeout", "--timeout"}},
		{errSilence, exitTimeout, []string{"timeout"}},
		{context.DeadlineExceeded, exitTimeout, []string{"timeout"}},
		{&quic.VersionNegotiationError{Offered: []uint32{0x6b3343cf}}, exitProtocol, []string{"0x6b3343cf"}},
		{remoteAlert(alertNoApplicationProtocol), exitProtocol, []string{"ALPN"}},
		{remoteAlert(alertCertificateRequired), exitCertificate, []string{"wants a certificate"}},
		{remoteAlert(alertUnrecognizedName), exitCertificate, []string{"no certificate for this name"}},
		{remoteAlert(alertBadCertificate), exitCertificate, []string{"did not accept"}},
		{remoteAlert(alertHandshakeFailure), exitOther, []string{"TLS"}},
		{remoteAlert(80), exitOther, []string{"quic:"}},
		{&quic.TransportError{Code: quic.ConnectionRefused, Remote: true}, exitOther, []string{"refuses", "later"}},
		{&h3.StreamError{Code: h3.CodeInternalError, Remote: true}, exitOther, []string{"the server ended the request"}},
		{&quic.TransportError{Code: 0x12a, Err: &pinError{got: pinOf(leaf)}}, exitCertificate, []string{pinText, "pinned", "in between"}},
		{verify(x509.UnknownAuthorityError{Cert: leaf}), exitCertificate, []string{"not trusted", "--ca", "--pin " + pinText}},
		{verify(x509.HostnameError{Certificate: leaf, Host: "other.example"}), exitCertificate, []string{"another name", "other.example"}},
		{verify(x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired}), exitCertificate, []string{"not valid now", "clock", day(leaf.NotAfter)}},
		{verify(x509.CertificateInvalidError{Cert: leaf, Reason: x509.NotAuthorizedToSign}), exitCertificate, []string{"not accepted"}},
		// Of several addresses the one counts that says most.
		{errors.Join(fmt.Errorf("a: %w", syscall.ENETUNREACH), &quic.HandshakeTimeoutError{}, verify(x509.UnknownAuthorityError{})), exitCertificate, nil},
	} {
		f := classify("host:1", tt.err)
		if f.code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.err, f.code, tt.code)
		}
		for _, text := range tt.texts {
			if !strings.Contains(f.what+"\n"+f.try, text) {
				t.Errorf("%v: %q is not in %q, %q", tt.err, text, f.what, f.try)
			}
		}
		if !errors.Is(f, tt.err) {
			t.Errorf("%v: the cause is lost", tt.err)
		}
	}
}

func TestExplain(t *testing.T) {
	c, _ := fakeClient(t, nil, "https://server.example")
	u, _ := url.Parse("https://server.example/")
	ctx := t.Context()
	var asked string
	c.openTCP = func(_ context.Context, addr string) bool { asked = addr; return true }
	if f := c.explain(ctx, u, &quic.HandshakeTimeoutError{}); f.code != exitNoAnswer || !strings.Contains(f.try, "HTTP/2") || asked != "server.example:443" {
		t.Errorf("no answer, but a TCP server: %d, %q, asked %q", f.code, f.try, asked)
	}
	c.openTCP = func(context.Context, string) bool { return false }
	if f := c.explain(ctx, u, &quic.HandshakeTimeoutError{}); !strings.Contains(f.try, "running") {
		t.Errorf("no answer: %q", f.try)
	}
	own := &failure{code: exitFile, what: "mine"}
	if f := c.explain(ctx, u, fmt.Errorf("a: %w", own)); f != own {
		t.Errorf("a failure is explained anew: %v", f)
	}
	broken := &incompleteError{have: 5, want: 10, cause: io.ErrUnexpectedEOF}
	if f := c.explain(ctx, u, broken); f.code != exitIncomplete || !strings.Contains(f.what, "5 B of 10 B") {
		t.Errorf("broke off: %d, %q", f.code, f.what)
	}
	// What it broke off by has no say in the exit code, but for an interrupt.
	if f := c.explain(ctx, u, &incompleteError{have: 5, want: -1, cause: &quic.IdleTimeoutError{}}); f.code != exitIncomplete || !strings.Contains(f.what, "timeout") {
		t.Errorf("broke off: %d, %q", f.code, f.what)
	}
	if f := c.explain(ctx, u, &incompleteError{have: 5, want: 10, cause: errInterrupted}); f.code != exitInterrupted || strings.Contains(f.what, "broke off") {
		t.Errorf("interrupted: %d, %q", f.code, f.what)
	}
}

func TestClosedUDP(t *testing.T) {
	leak.Check(t)
	open, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // the probe has come: it may end
		_, _, _ = open.ReadFrom(make([]byte, 10))
		cancel()
	}()
	if closedUDP(ctx, open.LocalAddr().String()) {
		t.Error("an open port is closed")
	}
	shut, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := shut.LocalAddr().String()
	shut.Close()
	t.Logf("a closed port is closed: %v", closedUDP(t.Context(), addr)) // not on all systems
	if closedUDP(t.Context(), "no address") {
		t.Error("no address is a closed port")
	}
}

func TestDialWatch(t *testing.T) {
	c, _ := fakeClient(t, nil, "https://server.example")
	c.closedUDP = func(context.Context, string) bool { return true }
	var cause error
	d := &dialWatch{c: c, ctx: t.Context(), cancel: func(err error) { cause = err }, addrs: 2}
	d.probe("192.0.2.1:1")
	if cause != nil {
		t.Fatalf("given up after one address of two: %v", cause)
	}
	d.probe("[2001:db8::1]:1")
	var closed *closedPortsError
	if !errors.As(cause, &closed) || len(closed.addrs) != 2 {
		t.Errorf("all ports are closed: %v", cause)
	}
}
