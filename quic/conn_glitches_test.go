package quic

import (
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
			case "PADDING", "ACK", "DATAGRAM":
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
		if !s.conn.Glitch(1<<62) || !s.conn.Glitch(-1) {
			t.Error("a limit")
		}
	})
	t.Run("the application's", func(t *testing.T) {
		s := newClientScript(t, scriptOptions{config: config})
		if !s.conn.Glitch(limit-5) || s.conn.Glitch(6) || s.conn.Glitch(1<<62) {
			t.Error("the limit is another one")
		}
	})
}
