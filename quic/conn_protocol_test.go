package quic

import (
	"testing"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// TestProtocolErrors sends what RFC 9000 forbids, one thing a connection.
func TestProtocolErrors(t *testing.T) {
	token := [16]byte{1}
	for _, test := range []struct {
		name   string
		client bool // the peer is the client
		frames func(s *script) []byte
		want   TransportErrorCode
	}{
		{"empty packet", true, func(s *script) []byte { return nil }, ProtocolViolation},
		{"unknown frame", true, func(s *script) []byte { return []byte{0x21} }, FrameEncodingError},
		{"frame type not shortest", true, func(s *script) []byte { return []byte{0x40, 0x01} }, ProtocolViolation},
		{"HANDSHAKE_DONE from a client", true, func(s *script) []byte { return wire.AppendHandshakeDone(nil) }, ProtocolViolation},
		{"NEW_TOKEN from a client", true, func(s *script) []byte { return wire.AppendNewToken(nil, []byte("x")) }, ProtocolViolation},
		{"stream beyond the limit", true, func(s *script) []byte { return streamFrame(4*100, 0, "x", false) }, StreamLimitError},
		{"uni stream beyond the limit", true, func(s *script) []byte { return streamFrame(4*100+2, 0, "x", false) }, StreamLimitError},
		{"limit by RESET_STREAM", true, func(s *script) []byte { return wire.AppendResetStream(nil, 4*100, 0, 0) }, StreamLimitError},
		{"limit by STOP_SENDING", true, func(s *script) []byte { return wire.AppendStopSending(nil, 4*100, 0) }, StreamLimitError},
		{"limit by MAX_STREAM_DATA", true, func(s *script) []byte { return wire.AppendMaxStreamData(nil, 4*100, 1) }, StreamLimitError},
		{"limit by STREAM_DATA_BLOCKED", true, func(s *script) []byte { return wire.AppendStreamDataBlocked(nil, 4*100, 1) }, StreamLimitError},
		{"stream of ours that is not open", true, func(s *script) []byte { return streamFrame(1, 0, "x", false) }, StreamStateError},
		{"MAX_STREAM_DATA for one of ours that is not open", true, func(s *script) []byte { return wire.AppendMaxStreamData(nil, 1, 1) }, StreamStateError},
		{"STREAM on our uni stream", true, func(s *script) []byte { return streamFrame(3, 0, "x", false) }, StreamStateError},
		{"STOP_SENDING on the peer's uni stream", true, func(s *script) []byte { return wire.AppendStopSending(nil, 2, 0) }, StreamStateError},
		{"MAX_STREAM_DATA on the peer's uni stream", true, func(s *script) []byte { return wire.AppendMaxStreamData(nil, 2, 9) }, StreamStateError},
		{"data beyond the stream's window", true, func(s *script) []byte { return streamFrame(0, 512<<10, "x", false) }, FlowControlError},
		{"reset beyond the stream's window", true, func(s *script) []byte { return wire.AppendResetStream(nil, 0, 0, 1<<30) }, FlowControlError},
		{"data beyond the connection's window", true, func(s *script) []byte {
			b := streamFrame(0, 500<<10, "x", false)
			b = append(b, streamFrame(4, 500<<10, "x", false)...)
			return append(b, streamFrame(8, 500<<10, "x", false)...)
		}, FlowControlError},
		{"data beyond the final size", true, func(s *script) []byte {
			return append(streamFrame(0, 0, "abc", true), streamFrame(0, 3, "d", false)...)
		}, FinalSizeError},
		{"another final size", true, func(s *script) []byte {
			return append(streamFrame(0, 0, "abc", true), streamFrame(0, 0, "ab", true)...)
		}, FinalSizeError},
		{"final size below what came", true, func(s *script) []byte {
			return append(streamFrame(0, 5, "abc", false), streamFrame(0, 0, "ab", true)...)
		}, FinalSizeError},
		{"another final size by reset", true, func(s *script) []byte {
			return append(streamFrame(0, 0, "abc", true), wire.AppendResetStream(nil, 0, 0, 9)...)
		}, FinalSizeError},
		{"ACK of a packet never sent", true, func(s *script) []byte { return s.ackFrame(1000, 1000) }, ProtocolViolation},
		{"RETIRE of an ID never issued", true, func(s *script) []byte { return wire.AppendRetireConnectionID(nil, 99) }, ProtocolViolation},
		{"RETIRE of the packet's own ID", true, func(s *script) []byte { return wire.AppendRetireConnectionID(nil, 0) }, ProtocolViolation},
		{"more connection IDs than the limit", true, func(s *script) (b []byte) {
			for i := uint64(1); i <= 4; i++ {
				b = wire.AppendNewConnectionID(b, i, 0, []byte{9, 9, 9, 9, 9, 9, byte(i)}, &token)
			}
			return b
		}, ConnectionIDLimitError},
		{"a number with another connection ID", true, func(s *script) (b []byte) {
			b = wire.AppendNewConnectionID(b, 1, 0, []byte{9, 9, 9, 9, 9, 9, 1}, &token)
			return wire.AppendNewConnectionID(b, 1, 0, []byte{9, 9, 9, 9, 9, 9, 2}, &token)
		}, ProtocolViolation},
		{"a connection ID under another number", true, func(s *script) (b []byte) {
			b = wire.AppendNewConnectionID(b, 1, 0, []byte{9, 9, 9, 9, 9, 9, 1}, &token)
			return wire.AppendNewConnectionID(b, 2, 0, []byte{9, 9, 9, 9, 9, 9, 1}, &token)
		}, ProtocolViolation},
		{"CRYPTO after the handshake from a client", true, func(s *script) []byte {
			return append(wire.AppendCryptoHeader(nil, 0, 1), 'x')
		}, cryptoErrorBase + alertUnexpectedMessage},
		{"CRYPTO far ahead", false, func(s *script) []byte {
			return append(wire.AppendCryptoHeader(nil, 1<<20, 1), 'x')
		}, CryptoBufferExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s *script
			if test.client {
				s = newClientScript(t, scriptOptions{})
			} else {
				s = newServerScript(t, scriptOptions{})
			}
			s.write(test.frames(s))
			s.wantClose(test.want)
		})
	}
}

func TestReservedBits(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		const pnLen = 4
		b := wire.AppendShortHeader(nil, s.connID.Bytes(), s.pn[wire.SpaceApp], pnLen, false, false)
		b[0] |= reservedShort
		pnOff := len(b) - pnLen
		b = append(b, wire.FramePing)
		b = append(b, make([]byte, 32)...)[:len(b)]
		s.recvConn(s.app.Seal(b, pnOff, pnLen, s.pn[wire.SpaceApp]))
		s.wantClose(ProtocolViolation)
	})
}

func TestStreamTranscript(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		peer := StreamID(1)
		if s.client {
			peer = 0
		}
		s.write(streamFrame(peer, 5, " world", true))
		if _, ok := s.conn.NextReadable(); ok {
			t.Fatal("readable before its beginning came")
		}
		s.write(streamFrame(peer, 0, "hello", false))
		id, ok := s.conn.NextReadable()
		if !ok || id != peer {
			t.Fatalf("NextReadable: %d, %v", id, ok)
		}
		buf := make([]byte, 100)
		n, fin, err := s.conn.StreamRead(id, buf)
		if string(buf[:n]) != "hello world" || !fin || err != nil {
			t.Fatalf("read %q, %v, %v", buf[:n], fin, err)
		}
		if n, err := s.conn.StreamWrite(id, []byte("answer"), true); n != 6 || err != nil {
			t.Fatal(n, err)
		}
		s.want("STREAM id=")
		s.ackAll()
		if n := s.conn.OpenStreams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
		// What comes late for a stream that is gone is ignored.
		s.write(streamFrame(peer, 0, "hello", false))
		s.wantOpen()
	})
}

func TestStopSendingTranscript(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	s.write(streamFrame(0, 0, "x", false))
	if _, err := s.conn.StreamWrite(0, []byte("abc"), false); err != nil {
		t.Fatal(err)
	}
	s.want("STREAM id=0 off=0 len=3")
	s.write(wire.AppendStopSending(nil, 0, 77))
	s.want("RESET_STREAM id=0 code=0x4d size=3")
	if _, err := s.conn.StreamWrite(0, []byte("abc"), false); err == nil {
		t.Error("a write after STOP_SENDING succeeds")
	} else if e, ok := err.(*StreamStoppedError); !ok || e.Code != 77 {
		t.Errorf("error %v", err)
	}
	if id, ok := s.conn.NextWritable(); !ok || id != 0 {
		t.Error("the application is not told")
	}
	// Our own wish to read no more.
	if err := s.conn.StopSending(0, 5); err != nil {
		t.Fatal(err)
	}
	s.want("STOP_SENDING id=0 code=0x5")
	s.write(wire.AppendResetStream(nil, 0, 5, 1))
	s.ackAll()
	if n := s.conn.OpenStreams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// TestPathChallengeFlood attacks with PATH_CHALLENGE frames: only the newest is
// ever answered, and nothing is kept for the others (CVE-2023-49295).
func TestPathChallengeFlood(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		var b []byte
		for i := range 100 {
			b = wire.AppendPathChallenge(b, &[8]byte{byte(i)})
		}
		s.write(b)
		s.want("PATH_RESPONSE 6300000000000000")
		s.wantNone("PATH_RESPONSE")
	})
}

// TestRetirePriorToFlood attacks with connection IDs that are retired at once,
// and never acknowledges what we answer (CVE-2024-22189).
func TestRetirePriorToFlood(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		token := [16]byte{1}
		for i := uint64(1); i < 1000 && s.conn.Err() == nil; i++ {
			s.write(wire.AppendNewConnectionID(nil, i, i, []byte{8, byte(i >> 8), byte(i), 1, 2, 3, 4}, &token))
			if n := len(s.conn.ids.retiring); n > maxRetiring {
				t.Fatalf("%d IDs to retire", n)
			}
		}
		s.wantClose(ConnectionIDLimitError)
	})
}
