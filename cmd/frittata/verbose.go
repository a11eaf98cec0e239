package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/frittata-go/frittata/http3"
)

// note writes a line to standard error.
func (c *client) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.e.stderr, format+"\n", args...)
}

// tellHandshake tells what the handshake agreed on.
func (c *client) tellHandshake(info http3.ConnInfo) {
	if info.Conn == nil {
		return
	}
	h, ok := info.Conn.HandshakeInfo()
	if !ok {
		return
	}
	c.note("* connected from %v to %v", h.LocalAddr, h.RemoteAddr)
	retried := ""
	if h.Retried {
		retried = ", after a Retry"
	}
	c.note("* QUIC version 1, handshake in %v%s", handshakeTime(info, h).Round(10*time.Microsecond), retried)
	c.note("* %s, %s, %s", tls.VersionName(h.TLS.Version), tls.CipherSuiteName(h.TLS.CipherSuite), curveName(h.TLS.CurveID))
	c.note("* ALPN: %s", h.ALPN)
	if len(h.TLS.PeerCertificates) == 0 {
		return
	}
	cert := h.TLS.PeerCertificates[0]
	c.note("* certificate: %s", printable(cert.Subject.String()))
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) > 0 {
		c.note("*   for:    %s", printable(strings.Join(names, ", ")))
	}
	c.note("*   issuer: %s", printable(cert.Issuer.String()))
	c.note("*   valid:  %s to %s", day(cert.NotBefore), day(cert.NotAfter))
	c.note("*   SPKI:   %v", pinOf(cert))
	switch {
	case c.o.insecure:
		c.note("*   not verified (--insecure)")
	case c.o.pin != nil:
		c.note("*   verified by its pin")
	default:
		c.note("*   verified")
	}
}

func curveName(id tls.CurveID) string {
	if id == 0 {
		return "no key exchange"
	}
	return id.String()
}

// tellRequest shows the head of a request.
func (c *client) tellRequest(req *http.Request) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	c.note("> %s %s HTTP/3", req.Method, req.URL.RequestURI())
	c.note("> Host: %s", host)
	for _, line := range headerLines(req.Header) {
		if name, _, _ := strings.Cut(line, ":"); name == "Authorization" {
			line = name + ": (not shown)"
		}
		c.note("> %s", line)
	}
	c.note(">")
}

// tellResponse shows the head of a response.
func (c *client) tellResponse(resp *http.Response) {
	for _, line := range responseHead(resp) {
		c.note("< %s", line)
	}
	c.note("<")
}

func responseHead(resp *http.Response) []string {
	return append([]string{strings.TrimSpace(fmt.Sprintf("HTTP/3 %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))},
		headerLines(resp.Header)...)
}

func headerLines(h http.Header) []string {
	var lines []string
	for k, vs := range h {
		for _, v := range vs {
			lines = append(lines, k+": "+printable(v))
		}
	}
	slices.Sort(lines)
	return lines
}

// printable keeps a server from controlling the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// transportStats tells under -v what the connections have sent and received.
func (c *client) transportStats(ctx context.Context) {
	c.mu.Lock()
	conns := c.conns
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, conn := range conns {
		s, err := conn.Stats(ctx)
		if err != nil {
			continue // it is gone
		}
		c.note("* %v: sent %s in %d packets, %d lost; received %s in %d packets",
			conn.RemoteAddr(), size(int64(s.BytesSent)), s.PacketsSent, s.PacketsLost, size(int64(s.BytesReceived)), s.PacketsReceived)
		c.note("*   RTT %v (least %v), window %s, path MTU %d, %d probe timeouts",
			s.SmoothedRTT.Round(time.Microsecond), s.MinRTT.Round(time.Microsecond), size(int64(s.CongestionWindow)), s.PathMTU, s.PTOs)
	}
}
