package quic

import (
	"testing"

	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// beforeFinished has a client whose Finished is held back: Handshake packets are the
// newest that it can send.
func beforeFinished(t *testing.T) *script {
	s := newScript(t, scriptOptions{}, true)
	s.startPeer()
	var held [][]byte
	s.hold = &held
	s.collect()
	if s.hsSeal == nil || len(held) == 0 || s.conn.hs.complete {
		t.Fatal("not in the handshake")
	}
	s.forget()
	return s
}

// TestFramesAfterFinished has frames follow the client's Finished in its packet: by then
// there is no Handshake space any more.
func TestFramesAfterFinished(t *testing.T) {
	for name, frames := range map[string][]byte{
		"CRYPTO": cryptoFrame(0, []byte{1}),
		"ACK":    wire.AppendAck(nil, []wire.Range{{Start: 0, End: 1}}, 0, nil, 100),
		"PING":   {wire.FramePing},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, scriptOptions{}, true)
			s.after = frames
			s.startPeer()
			s.finish()
			if err := s.conn.Err(); err != nil || !s.conn.Confirmed() {
				t.Errorf("confirmed %v, %v", s.conn.Confirmed(), err)
			}
		})
	}
}

// TestHandshakePackets sends in Handshake packets what must not be there.
func TestHandshakePackets(t *testing.T) {
	for name, test := range map[string]struct {
		packet func(s *script) []byte
		want   TransportErrorCode
	}{
		"PATH_CHALLENGE": {func(s *script) []byte {
			return s.packet(wire.PacketHandshake, wire.AppendPathChallenge(nil, &[8]byte{}))
		}, ProtocolViolation},
		"no frames": {func(s *script) []byte { return s.packet(wire.PacketHandshake) }, ProtocolViolation},
		"reserved bits": {func(s *script) []byte {
			const pnLen = 4
			b, off := wire.AppendLongHeader(nil, wire.PacketHandshake, Version1, s.connID.Bytes(), s.id.Bytes(), nil, s.pn[wire.SpaceHandshake], pnLen)
			b[0] |= reservedLong
			pnOff := len(b) - pnLen
			b = append(b, wire.FramePing, 0, 0, 0)
			wire.SetLength(b, off, len(b)-pnOff+protect.Overhead)
			return s.hsSeal.Seal(append(b, make([]byte, protect.Overhead)...)[:len(b)], pnOff, pnLen, s.pn[wire.SpaceHandshake])
		}, ProtocolViolation},
		"unknown TLS message": {func(s *script) []byte {
			return s.packet(wire.PacketHandshake, cryptoFrame(0, []byte{24, 0, 0, 1, 0}))
		}, cryptoErrorBase + alertUnexpectedMessage},
		"CRYPTO beyond 2^62": {func(s *script) []byte {
			return s.packet(wire.PacketHandshake, append(wire.AppendVarint([]byte{wire.FrameCrypto}, wire.MaxVarint), 1, 'x'))
		}, FrameEncodingError},
	} {
		t.Run(name, func(t *testing.T) {
			s := beforeFinished(t)
			s.recvConn(test.packet(s))
			s.wantClose(test.want)
		})
	}
}

// TestFrameRules are those of RFC 9000, Section 19, that TestProtocolErrors has not.
func TestFrameRules(t *testing.T) {
	token := &[16]byte{1}
	for name, test := range map[string]struct {
		frame []byte
		want  TransportErrorCode
	}{
		"RESET_STREAM of our uni stream":       {wire.AppendResetStream(nil, 3, 0, 0), StreamStateError},
		"STOP_SENDING of ours, not open":       {wire.AppendStopSending(nil, 101, 0), StreamStateError},
		"STREAM_DATA_BLOCKED of our uni":       {wire.AppendStreamDataBlocked(nil, 3, 0), StreamStateError},
		"MAX_STREAMS 2^60+1":                   {wire.AppendVarint([]byte{wire.FrameMaxStreamsBidi}, 1<<60+1), FrameEncodingError},
		"STREAMS_BLOCKED 2^60+1":               {wire.AppendVarint([]byte{wire.FrameStreamsBlockedUni}, 1<<60+1), FrameEncodingError},
		"NEW_CONNECTION_ID that retires more":  {append(wire.AppendVarint(wire.AppendVarint([]byte{wire.FrameNewConnectionID}, 1), 2), append([]byte{7}, make([]byte, 23)...)...), FrameEncodingError},
		"NEW_CONNECTION_ID of an empty ID":     {append([]byte{wire.FrameNewConnectionID, 1, 0, 0}, token[:]...), FrameEncodingError},
		"NEW_CONNECTION_ID of 21 bytes":        {append([]byte{wire.FrameNewConnectionID, 1, 0, 21}, make([]byte, 37)...), FrameEncodingError},
		"STREAM beyond 2^62":                   {append(wire.AppendVarint([]byte{0x0e, 0}, wire.MaxVarint), 1, 'x'), FrameEncodingError},
		"RESET_STREAM of a size beyond 2^62-1": {wire.AppendResetStream(nil, 0, 0, wire.MaxVarint), FlowControlError},
		"cut off":                              {[]byte{wire.FrameMaxData}, FrameEncodingError},
		"ACK of negative numbers":              {[]byte{wire.FrameAck, 1, 0, 0, 2}, FrameEncodingError},
		"STREAM of stream 10^9":                {streamFrame(1_000_000_000, 0, "x", false), StreamLimitError},
	} {
		t.Run(name, func(t *testing.T) {
			s := newClientScript(t, scriptOptions{})
			s.write(test.frame)
			s.wantClose(test.want)
		})
	}
	// Those of a server alone.
	s := newServerScript(t, scriptOptions{params: func(p *wire.TransportParameters) {}})
	s.write(append(wire.AppendNewToken(nil, []byte("token")), wire.AppendHandshakeDone(nil)...))
	s.wantOpen()
}

// TestHandshakeDoneTooEarly: a client takes it only when its handshake is complete (CVE-2025-59530).
func TestHandshakeDoneTooEarly(t *testing.T) {
	s := newScript(t, scriptOptions{}, false)
	c, err := Connect(s.now, s.config(), pairServerAddr, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	s.conn = c
	var held [][]byte
	s.hold = &held
	s.collect()
	done := s.packet(wire.Packet1RTT, wire.AppendHandshakeDone(nil)) // before the server's flight is there
	s.hold = nil
	s.recvConn(done)
	if c.Confirmed() || c.Err() != nil {
		t.Fatalf("confirmed %v, error %v", c.Confirmed(), c.Err())
	}
	for _, b := range held {
		s.recvConn(b)
	}
	s.collect()
	if !c.Confirmed() {
		t.Error("the packet that was kept is lost")
	}
	s.wantOpen()
}
