package quic

import (
	"math"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// begin has the script go as far as the Conn lets it in the handshake.
func (s *script) begin() {
	s.t.Helper()
	if s.client {
		s.startPeer()
		s.flushPeer()
	} else {
		c, err := Connect(s.now, s.config(), pairServerAddr, "example.org")
		if err != nil {
			s.t.Fatal(err)
		}
		s.conn = c
	}
	for range 5 {
		s.collect()
	}
}

// TestTransportParameters sends parameters that RFC 9000, Sections 7.3, 7.4 and 18.2,
// forbid. The Conn says so in packets that the peer can read, even though the
// handshake gets no further.
func TestTransportParameters(t *testing.T) {
	type params = wire.TransportParameters
	set := func(f func(*params)) func(*script) { return func(s *script) { s.options.params = f } }
	add := func(b ...byte) func(*script) {
		return func(s *script) { s.options.raw = func(p []byte) []byte { return append(p, b...) } }
	}
	const both, client, server = 0, 1, 2 // whose parameters they are
	for _, test := range []struct {
		name string
		who  int
		edit func(*script)
	}{
		{"no initial_source_connection_id", both, set(func(p *params) { p.HasInitialSrcID = false })},
		{"another initial_source_connection_id", both, set(func(p *params) { p.InitialSrcID = wire.NewConnID([]byte("other")) })},
		{"empty initial_source_connection_id", both, set(func(p *params) { p.InitialSrcID = wire.NewConnID(nil) })},
		{"no original_destination_connection_id", server, set(func(p *params) { p.HasOriginalDstID = false })},
		{"another original_destination_connection_id", server, set(func(p *params) { p.OriginalDstID = wire.NewConnID([]byte("otherone")) })},
		{"retry_source_connection_id without Retry", server, set(func(p *params) { p.HasRetrySrcID = true })},
		{"original_destination_connection_id of a client", client, set(func(p *params) { p.HasOriginalDstID = true })},
		{"retry_source_connection_id of a client", client, set(func(p *params) { p.HasRetrySrcID = true })},
		{"stateless_reset_token of a client", client, set(func(p *params) { p.HasStatelessResetToken = true })},
		{"preferred_address of a client", client, set(func(p *params) {
			p.HasPreferredAddress = true
			p.PreferredAddress.ConnID = wire.NewConnID([]byte("12345678"))
		})},
		{"preferred_address without connection ID", server, add(append([]byte{0x0d, 41}, make([]byte, 41)...)...)},
		{"max_udp_payload_size 1199", both, set(func(p *params) { p.MaxUDPPayloadSize = 1199 })},
		{"ack_delay_exponent 21", both, set(func(p *params) { p.AckDelayExponent = 21 })},
		{"max_ack_delay 2^14", both, set(func(p *params) { p.MaxAckDelay = 1 << 14 })},
		{"active_connection_id_limit 1", both, set(func(p *params) { p.ActiveConnIDLimit = 1 })},
		{"initial_max_streams_bidi 2^60+1", both, set(func(p *params) { p.InitialMaxStreamsBidi = 1<<60 + 1 })},
		{"initial_max_streams_uni 2^60+1", both, set(func(p *params) { p.InitialMaxStreamsUni = 1<<60 + 1 })},
		{"duplicate initial_max_data", both, add(4, 1, 9)},
		{"duplicate unknown parameter", both, add(0x40, 0x50, 0, 0x40, 0x50, 0)},
		{"cut off", both, add(0x40)},
		{"length beyond the end", both, add(0x21, 9, 1)},
		{"integer shorter than its length", both, add(0x20, 2, 1, 1)},
		{"disable_active_migration with a value", both, add(0x0c, 1, 1)},
		{"nothing at all", both, func(s *script) { s.options.raw = func([]byte) []byte { return []byte{} } }},
	} {
		t.Run(test.name, func(t *testing.T) {
			for who := client; who <= server; who++ {
				if test.who != both && test.who != who {
					continue
				}
				s := newScript(t, scriptOptions{}, who == client)
				if test.name == "duplicate initial_max_data" {
					s.options.params = func(p *params) { p.MaxDatagramFrameSize = 0 }
				}
				if test.name == "integer shorter than its length" {
					s.options.params = func(p *params) { p.MaxDatagramFrameSize = 0 }
				}
				test.edit(s)
				s.begin()
				s.wantClose(TransportParameterError)
			}
		})
	}
}

// TestUnusualTransportParameters are allowed.
func TestUnusualTransportParameters(t *testing.T) {
	for name, edit := range map[string]func(*wire.TransportParameters){
		"greatest values": func(p *wire.TransportParameters) {
			const most = wire.MaxVarint
			p.MaxIdleTimeout, p.MaxUDPPayloadSize, p.InitialMaxData = most, most, most
			p.InitialMaxStreamDataBidiLocal, p.InitialMaxStreamDataBidiRemote, p.InitialMaxStreamDataUni = most, most, most
			p.InitialMaxStreamsBidi, p.InitialMaxStreamsUni = 1<<60, 1<<60
			p.AckDelayExponent, p.MaxAckDelay, p.ActiveConnIDLimit, p.MaxDatagramFrameSize = 20, 1<<14-1, most, most
		},
		"least values": func(p *wire.TransportParameters) {
			*p = wire.TransportParameters{
				InitialSrcID: p.InitialSrcID, HasInitialSrcID: true, OriginalDstID: p.OriginalDstID, HasOriginalDstID: p.HasOriginalDstID,
				MaxUDPPayloadSize: 1200, ActiveConnIDLimit: 2, MaxIdleTimeout: 1,
			}
		},
	} {
		for _, client := range []bool{true, false} {
			s := newScript(t, scriptOptions{params: edit}, client)
			s.begin()
			s.finishHandshake()
			if _, err := s.conn.OpenStream(Bidi); (err == nil) != (name == "greatest values") {
				t.Errorf("%s: OpenStream: %v", name, err)
			}
			s.conn.Ping()
			s.collect()
			// The least idle timeout is three PTOs all the same.
			s.tick(2 * time.Millisecond)
			s.wantOpen()
			s.tick(100 * time.Second)
			if name == "least values" && s.conn.Err() == nil {
				t.Error("no idle timeout")
			}
		}
	}
}

// TestUnusualConfig sets limits as far out as they go.
func TestUnusualConfig(t *testing.T) {
	const most = math.MaxInt
	edit := func(c *Config) *Config {
		c.StreamWindow, c.ConnWindow, c.MaxStreamWindow, c.MaxConnWindow = 1<<64-1, 1<<64-1, 1<<64-1, 1<<64-1
		c.MaxStreamsBidi, c.MaxStreamsUni = most, most
		c.MaxIdleTimeout, c.HandshakeTimeout = math.MaxInt64, math.MaxInt64
		c.SendBuffer, c.ConnSendBuffer, c.DatagramQueue, c.InitialWindow = most, most, most, 0
		c.MaxAckDelay = 1<<14*time.Millisecond - 1
		c.MaxUDPPayload = maxUDPPayload
		return c
	}
	p := newPair(t, edit(fakeConfig(1)), edit(fakeConfig(2)))
	p.connect()
	p.transfer(p.client, p.server, Bidi, 500_000, time.Minute)
	p.transfer(p.server, p.client, Uni, 500_000, time.Minute)
	edit = func(c *Config) *Config {
		c.StreamWindow, c.ConnWindow, c.SendBuffer, c.ConnSendBuffer = 1, 1, 1, 1
		c.MaxStreamWindow, c.MaxConnWindow = 1, 1
		c.MaxStreamsBidi, c.MaxStreamsUni = 1, -1
		c.MaxIdleTimeout = -1
		c.DatagramQueue = 1
		return c
	}
	p = newPair(t, edit(fakeConfig(1)), edit(fakeConfig(2)))
	p.connect()
	p.transfer(p.client, p.server, Bidi, 100, time.Minute)
	if _, err := p.client.OpenStream(Uni); err != ErrStreamLimit {
		t.Error(err)
	}
	for _, bad := range []*Config{
		{}, {TLS: fakeConfig(1).TLS, MaxUDPPayload: 1199}, {TLS: fakeConfig(1).TLS, MaxAckDelay: -1},
		{TLS: fakeConfig(1).TLS, ConnIDs: RandomConnIDs(21)}, {TLS: fakeConfig(1).TLS, SendBuffer: -1}, {TLS: fakeConfig(1).TLS, ConnSendBuffer: -1},
		{TLS: fakeConfig(1).TLS, DatagramQueue: -1}, {TLS: fakeConfig(1).TLS, KeepAlive: -1},
		{TLS: fakeConfig(1).TLS, HandshakeTimeout: -1}, {TLS: fakeConfig(1).TLS, InitialWindow: -1},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}
