package quic

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// TestGlitchLimit attacks with each frame that brings nothing: the connection is closed once there were more than
// the limit (row 11 of the attacks). Those that bring something, however little, are bounded by other means.
func TestGlitchLimit(t *testing.T) {
	const limit = 500
	for name, frames := range floods {
		t.Run(name, func(t *testing.T) {
			s := newClientScript(t, scriptOptions{config: func(c *Config) { c.GlitchLimit = limit }})
			for i := range 2 * limit {
				s.write(frames(i))
				s.forget()
			}
			switch name {
			case "PADDING", "DATAGRAM":
				s.wantOpen()
				return
			}
			if s.conn.Err() == nil {
				t.Fatalf("nothing happened after %d glitches", s.conn.Stats().Glitches)
			}
			if te, ok := s.conn.Err().(*TransportError); ok && te.Code == ProtocolViolation && s.conn.Stats().Glitches > limit+200 {
				t.Errorf("%d glitches", s.conn.Stats().Glitches)
			}
		})
	}
}

// TestStaleAcks: ACKs that tell nothing new are glitches, unless an honest peer may have sent them.
func TestStaleAcks(t *testing.T) {
	const limit = 300
	start := func(t *testing.T) *script {
		s := newClientScript(t, scriptOptions{config: func(c *Config) { c.GlitchLimit, c.MaxIdleTimeout = limit, -1 }})
		s.ackAll() // what the server sent by itself
		s.conn.glitches.acks = 0
		s.forget()
		return s
	}
	stale := wire.AppendAck(nil, []wire.Range{{Start: 0, End: 1}}, 0, nil, 100)
	send := func(t *testing.T, s *script, id StreamID) {
		t.Helper()
		if _, err := s.conn.StreamWrite(id, []byte("x"), false); err != nil {
			t.Fatal(err)
		}
		s.collect()
		s.forget()
	}
	t.Run("many in a packet", func(t *testing.T) {
		s := start(t)
		for i := range 2 {
			if s.conn.Err() != nil {
				t.Fatalf("closed after %d packets: %v", i, s.conn.Err())
			}
			s.write(bytes.Repeat(stale, limit/2+5), streamFrame(0, uint64(i), "x", false))
		}
		s.wantClose(ProtocolViolation)
	})
	t.Run("for packets of ours", func(t *testing.T) {
		s := start(t)
		id, err := s.conn.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		// The first ACK tells of all packets, as the peer's last one does that overtakes the others.
		for range 10 {
			for range limit / 2 {
				send(t, s, id)
			}
			for range limit / 2 {
				s.ackAll()
			}
		}
		s.wantOpen()
		if n := s.conn.Stats().Glitches; n != 0 {
			t.Errorf("%d glitches", n)
		}
	})
	t.Run("more than packets of ours", func(t *testing.T) {
		s := start(t)
		id, err := s.conn.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			send(t, s, id)
		}
		s.ackAll()
		n := 0
		for ; s.conn.Err() == nil && n < 2*limit; n++ {
			s.write(stale)
		}
		if n < limit || n > limit+60 {
			t.Errorf("closed after %d", n)
		}
		s.wantClose(ProtocolViolation)
	})
	t.Run("long credit", func(t *testing.T) {
		var g glitches
		for range 2 * maxAcksOwed {
			g.onElicitingSent()
		}
		n := 0
		for g.staleAcks(1, true) == 0 {
			n++
		}
		if n != maxAcksOwed {
			t.Errorf("%d are free", n)
		}
	})
	t.Run("beside data", func(t *testing.T) {
		s := start(t)
		for i := range 10 * limit {
			s.write(stale, streamFrame(0, uint64(i), "x", false))
			s.forget()
		}
		s.wantOpen()
		if n := s.conn.Stats().Glitches; n != 0 {
			t.Errorf("%d glitches", n)
		}
	})
}

// TestGlitchesComeBack: what is odd at a moderate pace, or beside real work, is never too much.
func TestGlitchesComeBack(t *testing.T) {
	const limit = 300
	config := func(c *Config) { c.GlitchLimit, c.MaxIdleTimeout = limit, -1 }
	ping := []byte{wire.FramePing}
	t.Run("time", func(t *testing.T) {
		s := newClientScript(t, scriptOptions{config: config})
		for range 20 * limit {
			s.write(ping)
			s.tick(glitchPeriod / limit)
			s.forget()
		}
		s.wantOpen()
		// All at once are those that there are, and no more, however long it was quiet.
		s.tick(time.Hour)
		n := 0
		for s.conn.Err() == nil && n < 2*limit {
			s.write(ping)
			n++
		}
		if n < limit || n > limit+2 {
			t.Errorf("closed after %d", n)
		}
		s.wantClose(ProtocolViolation)
	})
	t.Run("data that comes", func(t *testing.T) {
		s := newClientScript(t, scriptOptions{config: config})
		for i := range 20 * limit {
			s.write(ping, streamFrame(0, uint64(i), "x", false))
			s.forget()
		}
		s.wantOpen()
	})
	t.Run("data that goes", func(t *testing.T) {
		s := newClientScript(t, scriptOptions{config: config})
		id, err := s.conn.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 * limit {
			if _, err := s.conn.StreamWrite(id, []byte("x"), false); err != nil {
				t.Fatal(err)
			}
			s.collect()
			s.write(ping)
			s.ackAll()
			s.forget()
		}
		s.wantOpen()
	})
	t.Run("no limit", func(t *testing.T) {
		s := newClientScript(t, scriptOptions{config: func(c *Config) { c.GlitchLimit = -1 }})
		for range 2 * defaultGlitchLimit {
			s.write(ping)
			s.forget()
		}
		s.wantOpen()
		if n := s.conn.Stats().Glitches; n < 2*defaultGlitchLimit {
			t.Errorf("%d are counted", n)
		}
		if !s.conn.Glitch(math.MaxInt) || !s.conn.Glitch(-1) {
			t.Error("a limit")
		}
	})
	t.Run("the application's", func(t *testing.T) {
		s := newClientScript(t, scriptOptions{config: config})
		if !s.conn.Glitch(limit-5) || s.conn.Glitch(6) || s.conn.Glitch(math.MaxInt) {
			t.Error("the limit is another one")
		}
	})
}
