package quic

import (
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
	"github.com/frittata-go/frittata/quic/internal/handshake"
	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// newHello returns a script whose peer, a client, has sent nothing yet, and its ClientHello.
func newHello(t testing.TB) (*script, []byte) {
	s := newScript(t, scriptOptions{}, true)
	s.prepareClient()
	var hello []byte
	for {
		ev := s.hs.NextEvent()
		if ev.Kind == handshake.EventNone {
			return s, hello
		}
		if ev.Kind == handshake.EventWriteCrypto {
			hello = append(hello, ev.Data...)
		}
	}
}

func cryptoFrame(off int, b []byte) []byte {
	return append(wire.AppendCryptoHeader(nil, uint64(off), len(b)), b...)
}

// TestHelloCut cuts the ClientHello at each byte and sends the second part first.
func TestHelloCut(t *testing.T) {
	_, hello := newHello(t)
	step := 1
	if testing.Short() {
		step = 13
	}
	for cut := 1; cut < len(hello); cut += step {
		s, hello := newHello(t)
		const most = 1000 // of a frame
		for _, part := range [][2]int{{cut, len(hello)}, {0, cut}} {
			for at := part[0]; at < part[1]; at += most {
				s.toServer(s.packet(wire.PacketInitial, cryptoFrame(at, hello[at:min(at+most, part[1])])))
			}
		}
		s.finish()
		s.wantOpen()
	}
}

// TestHelloInPieces sends it in tiny frames, in disorder, and twice.
func TestHelloInPieces(t *testing.T) {
	s, hello := newHello(t)
	var frames []byte
	for i := range 2 * len(hello) / 25 {
		at := i * 7 % (len(hello) / 25) * 25
		if at+50 > len(hello) {
			at = len(hello) - 25
		}
		frames = append(frames, cryptoFrame(at, hello[at:min(at+30, len(hello))])...)
		if len(frames) > 1000 {
			s.toServer(s.packet(wire.PacketInitial, frames))
			frames = nil
		}
	}
	s.toServer(s.packet(wire.PacketInitial, frames))
	s.finish()
	s.wantOpen()
}

// TestHelloCorrupted flips each byte: the server closes, and says so, or goes on.
func TestHelloCorrupted(t *testing.T) {
	_, hello := newHello(t)
	for at := 0; at < len(hello); at++ {
		if at > 400 && at%50 != 0 {
			continue // padding
		}
		s, hello := newHello(t)
		hello[at] ^= 0x41
		s.toServer(s.packet(wire.PacketInitial, cryptoFrame(0, hello[:1000])))
		s.toServer(s.packet(wire.PacketInitial, cryptoFrame(1000, hello[1000:])))
		if err := s.conn.Err(); err != nil {
			tr, ok := s.conn.IO().Transmit(s.now, s.buf, 10)
			if !ok || tr.N == 0 {
				t.Errorf("byte %d: %v, and nothing is sent", at, err)
			}
		}
	}
}

// TestServerFlight looks at the datagrams of a server's first flight.
func TestServerFlight(t *testing.T) {
	s := newScript(t, scriptOptions{}, true)
	s.startPeer()
	s.collect()
	if len(s.out) < 3 {
		t.Fatalf("%d datagrams", len(s.out))
	}
	for _, d := range s.out {
		if d.size > 1200 {
			t.Errorf("a datagram of %d bytes", d.size)
		}
	}
	if first := s.out[0]; first.size < 1200 || !first.has("ACK") || !first.has("frame 0x6") {
		t.Errorf("the first datagram: %+v", first)
	}
}

// TestSmallInitial: an Initial in a datagram of less than 1200 bytes is not for a
// server, of whatever connection (RFC 9000, Section 14.1).
func TestSmallInitial(t *testing.T) {
	s, hello := newHello(t)
	s.toServer(s.packet(wire.PacketInitial, cryptoFrame(0, hello[:1000])))
	s.collect()
	before := s.conn.Stats()
	const pnLen = 4
	small, off := wire.AppendLongHeader(nil, wire.PacketInitial, Version1, s.connID.Bytes(), s.id.Bytes(), nil, s.pn[wire.SpaceInitial], pnLen)
	pnOff := len(small) - pnLen
	small = append(small, make([]byte, 40)...)
	small[pnOff+pnLen] = wire.FramePing
	wire.SetLength(small, off, len(small)-pnOff+protect.Overhead)
	small = s.initialSeal.Seal(append(small, make([]byte, protect.Overhead)...)[:len(small)], pnOff, pnLen, s.pn[wire.SpaceInitial])
	s.recvConn(small)
	after := s.conn.Stats()
	if after.PacketsReceived != before.PacketsReceived || after.PacketsDropped != before.PacketsDropped+1 {
		t.Errorf("an Initial of %d bytes was processed", len(small))
	}
}

// TestAmplificationLimit: a client says nothing more after its first datagram.
func TestAmplificationLimit(t *testing.T) {
	s := newScript(t, scriptOptions{}, true)
	s.startPeer()
	came := s.conn.Stats().BytesReceived
	s.initialOpen = nil // nobody reads what is sent
	sent := uint64(0)
	for range 200 {
		for {
			tr, ok := s.conn.IO().Transmit(s.now, s.buf, 64)
			if !ok {
				break
			}
			sent += uint64(tr.N)
		}
		at, ok := s.conn.IO().Deadline()
		if !ok {
			break
		}
		s.now = at
		s.conn.IO().HandleDeadline(s.now)
	}
	if sent > 3*came || sent < 3*came-1200 {
		t.Errorf("%d bytes were sent for %d", sent, came)
	}
	if _, ok := s.conn.Err().(*HandshakeTimeoutError); !ok {
		t.Errorf("error %v", s.conn.Err())
	}
	if !s.conn.IO().Gone() {
		t.Error("not gone")
	}
}

// TestDeadlock: all that a client sends at first is its ClientHello; the server's
// limit is used up and lost. The client's probes let it go on (RFC 9002, Section 6.2.2.1).
func TestDeadlock(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.drop = func(toServer bool, n int, b []byte) bool { return !toServer && n <= 9 }
	p.connect()
	p = newPair(t, fakeConfig(1), fakeConfig(2))
	p.drop = func(toServer bool, n int, b []byte) bool {
		return toServer && n > 2 && n < 9 || !toServer && n > 1 && n < 7
	}
	p.connect()
}

// TestKeysAreDiscarded: Initial packets end with the first Handshake packet, Handshake packets with
// the confirmation (RFC 9001, Section 4.9).
func TestKeysAreDiscarded(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	initials, handshakes := 0, 0
	p.drop = func(toServer bool, n int, b []byte) bool {
		var h wire.Header
		for len(b) > 0 && wire.ParseHeader(b, 8, &h) == nil {
			if h.Type == wire.PacketInitial && toServer && p.client.keys.initialSeal == nil {
				initials++
			}
			if h.Type == wire.PacketHandshake && p.client.Confirmed() {
				handshakes++
			}
			b = b[h.End:]
		}
		return false
	}
	p.connect()
	for _, c := range []*Conn{p.client, p.server} {
		if c.keys.initialSeal != nil || c.keys.initialOpen != nil || c.keys.handshakeSeal != nil || c.keys.handshakeOpen != nil {
			t.Error("keys are left")
		}
		if c.hs.undecryptable != nil || c.hs.token != nil {
			t.Error("handshake state is left")
		}
	}
	if p.server.hs.tls != nil {
		t.Error("the server keeps its TLS state")
	}
	p.transfer(p.client, p.server, Bidi, 10_000, time.Second)
	if handshakes > 0 {
		t.Errorf("%d Handshake packets after the confirmation", handshakes)
	}
}

// TestEarlyPackets: packets that come before their keys wait for them, a few.
func TestEarlyPackets(t *testing.T) {
	s := newScript(t, scriptOptions{}, false)
	c, err := Connect(s.now, s.config(), pairServerAddr, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	s.conn = c
	tr, _ := c.IO().Transmit(s.now, s.buf, 64)
	var held [][]byte
	first := append([]byte(nil), s.buf[:tr.N]...)
	for b := first; len(b) > 0; b = b[min(tr.Segment, len(b)):] {
		// The peer's answers are held back.
		s.openHeld(b[:min(tr.Segment, len(b))], &held)
	}
	if len(held) < 3 {
		t.Fatalf("%d packets", len(held))
	}
	for i := len(held) - 1; i >= 0; i-- { // Handshake packets first
		s.recvConn(held[i])
	}
	s.finish()
	s.wantOpen()
	// As many as an attacker likes: few are kept.
	s = newScript(t, scriptOptions{}, false)
	c, err = Connect(s.now, s.config(), pairServerAddr, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	s.conn = c
	for i := range 1000 {
		b, off := wire.AppendLongHeader(nil, wire.PacketHandshake, Version1, c.ids.first.Bytes(), []byte("junk"), nil, uint64(i), 2)
		b = append(b, make([]byte, 1000)...)
		wire.SetLength(b, off, len(b)-off-2)
		s.recvConn(b)
		if n := len(c.hs.undecryptable); n > maxUndecryptable {
			t.Fatalf("%d packets are kept", n)
		}
	}
	s.collect()
	s.finish()
}

// openHeld is open, but what the peer answers is put into held.
func (s *script) openHeld(b []byte, held *[][]byte) {
	s.hold = held
	s.open(b)
	s.hold = nil
}

// TestForeignPackets are dropped, and nothing comes of them.
func TestForeignPackets(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		ping := func() []byte { return s.packet(wire.Packet1RTT, []byte{wire.FramePing}) }
		long := func(version uint32, first byte) []byte {
			b := epLong(wire.PacketInitial, version, s.conn.ids.first.Bytes(), s.id.Bytes(), nil, 1200)
			b[0] = b[0]&0x0f | first
			return b
		}
		fixed := ping()
		fixed[0] &^= 0x40
		other := ping()
		copy(other[1:], "unknown!")
		bad := ping()
		bad[len(bad)-1]++
		twice := ping()
		s.recvConn(append([]byte(nil), twice...))
		for name, b := range map[string][]byte{
			"no fixed bit": fixed, "another connection ID": other, "not authentic": bad, "twice": twice,
			"Initial after the handshake": long(Version1, 0xc0), "0-RTT": long(Version1, 0xd0), "Handshake after the handshake": long(Version1, 0xe0),
			"Retry after the handshake": long(Version1, 0xf0), "another version": long(77, 0xc0), "Version Negotiation": long(0, 0xc0),
			"one byte": {0x40}, "one byte, long": {0xc0}, "short of an ID": {0x40, 1, 2},
		} {
			before := s.conn.Stats()
			s.recvConn(append([]byte(nil), b...))
			after := s.conn.Stats()
			if after.PacketsReceived != before.PacketsReceived {
				t.Errorf("%s: processed", name)
			}
			if after.PacketsDropped <= before.PacketsDropped {
				t.Errorf("%s: not counted", name)
			}
		}
		s.recvConn(nil)
		s.collect()
		s.wantOpen()
		if len(s.got) > 0 {
			t.Errorf("answers %q", s.got)
		}
	})
}

// TestHandshakeOnlyFrames sends frames that the packets of the handshake must not carry (RFC 9000, Section 12.4).
func TestHandshakeOnlyFrames(t *testing.T) {
	for name, frame := range map[string][]byte{
		"PATH_CHALLENGE": wire.AppendPathChallenge(nil, &[8]byte{}), "STREAM": streamFrame(0, 0, "x", false),
		"CONNECTION_CLOSE of the application": wire.AppendConnectionClose(nil, true, 1, 0, ""),
		"MAX_DATA":                            wire.AppendMaxData(nil, 1), "DATAGRAM": append(wire.AppendDatagramHeader(nil, 1), 'x'), "HANDSHAKE_DONE": wire.AppendHandshakeDone(nil),
	} {
		s := newScript(t, scriptOptions{}, true)
		s.startPeer()
		s.toServer(s.packet(wire.PacketInitial, frame))
		if te, ok := s.conn.Err().(*TransportError); !ok || te.Code != ProtocolViolation {
			t.Errorf("%s: %v", name, s.conn.Err())
			continue
		}
		s.want("CONNECTION_CLOSE code=0xa")
	}
}

// TestWrongLevel: TLS messages of an encryption level that they do not belong to (RFC 9001, Section 4.1.3).
func TestWrongLevel(t *testing.T) {
	s := newScript(t, scriptOptions{}, true)
	s.startPeer()
	s.toServer(s.packet(wire.PacketInitial, cryptoFrame(int(s.cryptoOut[wire.SpaceInitial]), []byte{20, 0, 0, 0})))
	te, ok := s.conn.Err().(*TransportError)
	if !ok || te.Code != ProtocolViolation && !strings.HasPrefix(te.Code.String(), "CRYPTO_ERROR") {
		t.Errorf("error %v", s.conn.Err())
	}
}

// TestCryptoFarAhead: data far ahead of what was read is not kept (RFC 9000, Section 7.5).
func TestCryptoFarAhead(t *testing.T) {
	s, hello := newHello(t)
	s.toServer(s.packet(wire.PacketInitial, cryptoFrame(0, hello[:100])))
	s.toServer(s.packet(wire.PacketInitial, cryptoFrame(maxCryptoBuffer+101, []byte("x"))))
	s.wantClose(CryptoBufferExceeded)
	// So are more pieces than a ClientHello has.
	s, _ = newHello(t)
	var frames []byte
	for i := range 150 {
		frames = append(frames, cryptoFrame(100+3*i, []byte("x"))...)
	}
	s.toServer(s.packet(wire.PacketInitial, frames))
	s.wantClose(CryptoBufferExceeded)
}

// TestHandshakeTimeouts end an attempt at either end.
func TestHandshakeTimeouts(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.drop = func(bool, int, []byte) bool { return true }
	p.until("timeout", 11*time.Second, func() bool { return p.client.Err() != nil })
	if e, ok := p.client.Err().(*HandshakeTimeoutError); !ok || e.Heard || !e.Timeout() || !p.client.IO().Gone() {
		t.Errorf("client: %v", p.client.Err())
	}
	if n := p.sent[1]; n > 30 {
		t.Errorf("%d datagrams were sent to nobody", n)
	}
	p = newPair(t, fakeConfig(1), fakeConfig(2))
	p.drop = func(toServer bool, n int, _ []byte) bool { return toServer && n > 2 }
	p.until("timeout", 25*time.Second, func() bool { return p.server != nil && p.server.Err() != nil })
	if e, ok := p.server.Err().(*HandshakeTimeoutError); !ok || !e.Heard || !p.server.IO().Gone() {
		t.Errorf("server: %v", p.server.Err())
	}
	if r, ok := p.server.IO().TakeRoutes(); ok {
		r.Route = p
		p.endpoint.Apply(&r)
	}
	if n := p.endpoint.Counts().Routes; n != 0 {
		t.Errorf("%d routes are left", n)
	}
}

// slowController paces from the first packet on.
type slowController struct{ congestion.Controller }

func (slowController) PacingRate() uint64 { return 1 << 20 }

// TestPacedHandshake: the handshake is not held up by a controller that paces from the first packet on for longer than that takes.
func TestPacedHandshake(t *testing.T) {
	client, server := fakeConfig(1), fakeConfig(2)
	for _, cfg := range []*Config{client, server} {
		cfg.CongestionControl = func(c congestion.Config) congestion.Controller { return slowController{congestion.NewCUBIC(c)} }
	}
	p := newPair(t, client, server)
	began := p.now
	p.connect()
	if took := p.now.Sub(began); took > 200*time.Millisecond {
		t.Errorf("the handshake took %v", took)
	}
}
