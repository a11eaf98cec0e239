package quic

import (
	"testing"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// TestLastWords has the peer send data and close in one datagram: what it sent can be read.
func TestLastWords(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		id := StreamID(1)
		if s.client {
			id = 0
		}
		s.write(streamFrame(id, 0, "farewell", true), wire.AppendConnectionClose(nil, true, 7, 0, "bye"))
		if e, ok := s.conn.Err().(*ApplicationError); !ok || e.Code != 7 || !s.conn.IO().Draining() {
			t.Fatalf("error %v", s.conn.Err())
		}
		got, ok := s.conn.NextReadable()
		if !ok || got != id {
			t.Fatalf("readable: %v, %v", got, ok)
		}
		buf := make([]byte, 100)
		if n, fin, err := s.conn.StreamRead(id, buf); string(buf[:n]) != "farewell" || !fin || err != nil {
			t.Fatalf("read %q, %v, %v", buf[:n], fin, err)
		}
		if _, err := s.conn.StreamWrite(id, []byte("x"), false); err != s.conn.Err() {
			t.Errorf("a write gives %v", err)
		}
		for !s.conn.IO().Gone() {
			s.timer()
		}
		if _, _, err := s.conn.StreamRead(id, buf); err != s.conn.Err() {
			t.Errorf("a read after the end gives %v", err)
		}
		if n := s.conn.OpenStreams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}
