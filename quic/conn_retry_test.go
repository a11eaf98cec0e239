package quic

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// TestRetryHandshake has the server ask for a Retry: the token comes back in all Initials, packet
// numbers go on, and the client answers to one Retry alone.
func TestRetryHandshake(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	var token []byte
	p.admission = func(in *Incoming) {
		if in.Validated() {
			p.accept(in)
			return
		}
		b, err := p.endpoint.Retry(p.now, in)
		if err != nil {
			t.Fatal(err)
		}
		var h wire.Header
		if err := wire.ParseHeader(b, 8, &h); err != nil {
			t.Fatal(err)
		}
		if token == nil { // each datagram of the ClientHello draws one, and the first counts
			token = slices.Clone(h.Token)
		}
		p.send(false, slices.Clone(b), NotECT)
	}
	with, without := 0, 0
	lost := 0
	p.drop = func(toServer bool, n int, b []byte) bool {
		var h wire.Header
		if err := wire.ParseHeader(b, 8, &h); err != nil || !toServer || h.Type != wire.PacketInitial {
			return false
		}
		if len(h.Token) == 0 {
			without++
			return false
		}
		with++
		if !bytes.Equal(h.Token, token) {
			t.Error("another token")
		}
		if lost < 2 { // so that there are Initials that are sent again
			lost++
			return true
		}
		return false
	}
	orig := p.client.OriginalDstID()
	p.connect()
	if without != 2 || with < 3 {
		t.Errorf("%d Initials without the token, %d with it", without, with)
	}
	if got := p.server.OriginalDstID(); got != orig || p.client.OriginalDstID() != orig {
		t.Errorf("original destination ID %v, want %v", got, orig)
	}
	p.transfer(p.client, p.server, Bidi, 10_000, time.Second)
	p.client.Close(CloseError{})
	p.until("close", time.Minute, func() bool { return p.client.IO().Gone() && p.server.IO().Gone() })
	if r, ok := p.server.IO().TakeRoutes(); ok {
		r.Route = p
		p.endpoint.Apply(&r)
	}
	if n := p.endpoint.Counts(); n.Routes != 0 {
		t.Errorf("%d routes are left", n.Routes)
	}
}

// retryPacket makes a Retry for a client; edit may break it before, and spoil after, the tag is made.
func retryPacket(c *Conn, src, token string, spoil bool) []byte {
	b := wire.AppendRetry(nil, Version1, 0xf0, c.ids.first.Bytes(), []byte(src), []byte(token))
	tag := protect.RetryIntegrityTag(Version1, c.ids.origDst.Bytes(), b)
	if spoil {
		tag[3]++
	}
	return append(b, tag[:]...)
}

// initials returns the tokens and destination IDs of what a client sends now.
func initials(t *testing.T, c *Conn, now time.Time) (tokens, ids []string, pns int) {
	buf := make([]byte, 64<<10)
	for {
		tr, ok := c.IO().Transmit(now, buf, 64)
		if !ok {
			return tokens, ids, pns
		}
		for b := buf[:tr.N]; len(b) > 0; b = b[min(tr.Segment, len(b)):] {
			var h wire.Header
			if err := wire.ParseHeader(b, 8, &h); err != nil {
				t.Fatal(err)
			}
			if len(b[:min(tr.Segment, len(b))]) < 1200 {
				t.Error("an Initial in less than 1200 bytes")
			}
			tokens, ids = append(tokens, string(h.Token)), append(ids, string(h.DstID))
			pns++
		}
	}
}

func newTestClient(t *testing.T) *Conn {
	c, err := Connect(epStart, fakeConfig(1), pairServerAddr, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	initials(t, c, epStart)
	return c
}

func TestRetryRules(t *testing.T) {
	recv := func(c *Conn, b []byte) {
		c.IO().Recv(epStart, &Datagram{Data: b, Remote: pairServerAddr})
	}
	c := newTestClient(t)
	for name, b := range map[string][]byte{
		"a wrong tag":                      retryPacket(c, "serverid", "token", true),
		"no token":                         retryPacket(c, "serverid", "", false),
		"the ID that the client chose":     retryPacket(c, string(c.ids.origDst.Bytes()), "token", false),
		"a token that leaves no room":      retryPacket(c, "serverid", strings.Repeat("t", maxRetryToken+1), false),
		"cut off":                          retryPacket(c, "serverid", "token", false)[:30],
		"cut to the tag":                   retryPacket(c, "serverid", "", false)[:20],
		"another client's":                 retryPacket(newTestClient2(t), "serverid", "token", false),
		"one more byte behind the tag":     append(retryPacket(c, "serverid", "token", false), 0),
		"Version Negotiation, own version": wire.AppendVersionNegotiation(nil, 0xc0, c.ids.first.Bytes(), c.ids.origDst.Bytes(), []uint32{5, Version1}),
	} {
		recv(c, b)
		if tokens, _, _ := initials(t, c, epStart); len(tokens) > 0 || c.hs.retried || c.Err() != nil {
			t.Errorf("%s: heeded", name)
		}
	}
	before := c.loss.NextPN(wire.SpaceInitial)
	recv(c, retryPacket(c, "serverid", "token", false))
	tokens, ids, n := initials(t, c, epStart)
	if n != 2 || tokens[0] != "token" || tokens[1] != "token" || ids[0] != "serverid" {
		t.Fatalf("after a Retry: tokens %q, IDs %q", tokens, ids)
	}
	if c.loss.NextPN(wire.SpaceInitial) != before+2 {
		t.Error("packet numbers began anew")
	}
	// A second one is ignored, and so is Version Negotiation now.
	recv(c, retryPacket(c, "otherone", "other", false))
	recv(c, wire.AppendVersionNegotiation(nil, 0xc0, c.ids.first.Bytes(), c.ids.origDst.Bytes(), []uint32{5}))
	if tokens, _, _ := initials(t, c, epStart); len(tokens) > 0 || c.Err() != nil || string(c.hs.token) != "token" {
		t.Error("heeded a second one")
	}
}

func newTestClient2(t *testing.T) *Conn {
	c, err := Connect(epStart, fakeConfig(77), pairServerAddr, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRetryTooLate: after a packet of the server a Retry means nothing.
func TestRetryTooLate(t *testing.T) {
	s := newServerScript(t, scriptOptions{})
	for _, c := range []*Conn{s.conn} {
		s.recvConn(retryPacket(c, "serverid", "token", false))
		if c.hs.retried {
			t.Error("heeded")
		}
	}
	// In the handshake.
	s = newScript(t, scriptOptions{}, false)
	c, err := Connect(s.now, s.config(), pairServerAddr, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	s.conn = c
	var held [][]byte
	s.hold = &held
	s.collect()
	s.hold = nil
	s.recvConn(held[0])
	s.recvConn(retryPacket(c, "serverid", "token", false))
	s.recvConn(wire.AppendVersionNegotiation(nil, 0xc0, c.ids.first.Bytes(), c.ids.origDst.Bytes(), []uint32{5}))
	if c.hs.retried || c.Err() != nil {
		t.Error("heeded in the handshake")
	}
}

// TestRetryParameter: the server has to confirm the Retry, or its absence (RFC 9000, Section 7.3).
func TestRetryParameter(t *testing.T) {
	for name, edit := range map[string]func(*wire.TransportParameters){
		"missing": func(p *wire.TransportParameters) {},
		"another": func(p *wire.TransportParameters) {
			p.HasRetrySrcID, p.RetrySrcID = true, wire.NewConnID([]byte("otherone"))
		},
	} {
		s := newScript(t, scriptOptions{}, false)
		c, err := Connect(s.now, s.config(), pairServerAddr, "example.org")
		if err != nil {
			t.Fatal(err)
		}
		s.conn = c
		initials(t, c, s.now)
		orig := c.OriginalDstID()
		s.recvConn(retryPacket(c, "serverid", "token", false))
		s.options.params = func(p *wire.TransportParameters) {
			p.OriginalDstID = wire.NewConnID(orig.Bytes())
			edit(p)
		}
		for range 3 {
			s.collect()
		}
		if te, ok := c.Err().(*TransportError); !ok || te.Code != TransportParameterError {
			t.Errorf("%s: %v", name, c.Err())
		}
		s.want("CONNECTION_CLOSE code=0x8")
	}
}

// TestClientVersionNegotiation ends an attempt, if it is credible.
func TestClientVersionNegotiation(t *testing.T) {
	c := newTestClient(t)
	recv := func(dst, src []byte, versions ...uint32) {
		c.IO().Recv(epStart, &Datagram{Data: wire.AppendVersionNegotiation(nil, 0xc0, dst, src, versions), Remote: pairServerAddr})
	}
	recv([]byte("otherone"), c.ids.origDst.Bytes(), 5)
	recv(c.ids.first.Bytes(), []byte("otherone"), 5)
	recv(c.ids.first.Bytes(), c.ids.origDst.Bytes(), 5, Version1)
	if c.Err() != nil {
		t.Fatalf("heeded: %v", c.Err())
	}
	many := make([]uint32, 300)
	for i := range many {
		many[i] = uint32(i + 10)
	}
	recv(c.ids.first.Bytes(), c.ids.origDst.Bytes(), many...)
	e, ok := c.Err().(*VersionNegotiationError)
	if !ok || len(e.Offered) != maxOfferedVersions || e.Offered[1] != 11 || !c.IO().Gone() {
		t.Errorf("error %v", c.Err())
	}
}
