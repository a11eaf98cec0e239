package quic

import (
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// TestLostFrames loses each kind of frame once, by an ACK of later packets and by a probe
// timeout, and expects it again. Then the frame is acknowledged, and does not come again.
func TestLostFrames(t *testing.T) {
	mustOpen := func(s *script, d Dir) StreamID {
		id, err := s.conn.OpenStream(d)
		if err != nil {
			s.t.Fatal(err)
		}
		return id
	}
	mustWrite := func(s *script, id StreamID, n int, fin bool) {
		if m, err := s.conn.StreamWrite(id, make([]byte, n), fin); err != nil || m != n {
			s.t.Fatal(m, err)
		}
	}
	read := func(s *script, id StreamID) {
		for {
			if n, _, err := s.conn.StreamRead(id, make([]byte, 1<<16)); n == 0 || err != nil {
				return
			}
		}
	}
	for _, test := range []struct {
		name   string
		client bool // the peer is the client
		config func(*Config)
		params func(*wire.TransportParameters)
		cause  func(s *script)
		want   string
	}{
		{"STREAM", true, nil, nil, func(s *script) { mustWrite(s, mustOpen(s, Uni), 10, false) }, "STREAM id=3 off=0 len=10"},
		{"STREAM with FIN", true, nil, nil, func(s *script) { mustWrite(s, mustOpen(s, Uni), 10, true) }, "STREAM id=3 off=0 len=10 fin"},
		{"FIN alone", true, nil, nil, func(s *script) {
			id := mustOpen(s, Uni)
			mustWrite(s, id, 10, false)
			s.collect()
			s.ackAll()
			s.forget()
			mustWrite(s, id, 0, true)
		}, "STREAM id=3 off=10 len=0 fin"},
		{"empty stream", true, nil, nil, func(s *script) { mustWrite(s, mustOpen(s, Uni), 0, true) }, "STREAM id=3 off=0 len=0 fin"},
		{"RESET_STREAM", true, nil, nil, func(s *script) {
			id := mustOpen(s, Bidi)
			mustWrite(s, id, 10, false)
			s.collect()
			s.conn.ResetStream(id, 9)
		}, "RESET_STREAM id=1 code=0x9 size=10"},
		{"STOP_SENDING", true, nil, nil, func(s *script) { s.conn.StopSending(mustOpen(s, Bidi), 9) }, "STOP_SENDING id=1 code=0x9"},
		{"MAX_DATA", true, func(c *Config) { c.ConnWindow = 1000 }, nil, func(s *script) {
			s.write(streamFrame(0, 0, strings.Repeat("x", 900), false))
			read(s, 0)
		}, "MAX_DATA "},
		{"MAX_STREAM_DATA", true, func(c *Config) { c.StreamWindow = 1000 }, nil, func(s *script) {
			s.write(streamFrame(0, 0, strings.Repeat("x", 900), false))
			read(s, 0)
		}, "MAX_STREAM_DATA id=0 "},
		{"MAX_STREAMS bidi", true, func(c *Config) { c.MaxStreamsBidi = 1 }, nil, func(s *script) {
			s.write(streamFrame(0, 0, "x", true))
			read(s, 0)
			s.conn.ResetStream(0, 0)
		}, "MAX_STREAMS bidi 2"},
		{"MAX_STREAMS uni", true, func(c *Config) { c.MaxStreamsUni = 1 }, nil, func(s *script) {
			s.write(streamFrame(2, 0, "x", true))
			read(s, 2)
		}, "MAX_STREAMS uni 2"},
		{"DATA_BLOCKED", true, nil, func(p *wire.TransportParameters) { p.InitialMaxData = 100 }, func(s *script) {
			mustWrite(s, mustOpen(s, Uni), 101, false)
		}, "DATA_BLOCKED 100"},
		{"STREAM_DATA_BLOCKED", true, nil, func(p *wire.TransportParameters) { p.InitialMaxStreamDataUni = 100 }, func(s *script) {
			mustWrite(s, mustOpen(s, Uni), 101, false)
		}, "STREAM_DATA_BLOCKED id=3 100"},
		{"STREAMS_BLOCKED", true, nil, func(p *wire.TransportParameters) { p.InitialMaxStreamsUni = 0 }, func(s *script) {
			if _, err := s.conn.OpenStream(Uni); err != ErrStreamLimit {
				s.t.Fatal(err)
			}
		}, "STREAMS_BLOCKED 0"},
		{"NEW_CONNECTION_ID", true, nil, nil, func(s *script) {
			s.connID = s.conn.ids.local[1].id
			s.write(wire.AppendRetireConnectionID(nil, 0))
		}, "NEW_CONNECTION_ID seq=4"},
		{"RETIRE_CONNECTION_ID", true, nil, nil, func(s *script) { s.write(newPeerID(1, 1)) }, "RETIRE_CONNECTION_ID seq=0"},
	} {
		for _, pto := range []bool{false, true} {
			name := test.name + " by ACK"
			if pto {
				name = test.name + " by PTO"
			}
			t.Run(name, func(t *testing.T) {
				s := newClientScript(t, scriptOptions{config: test.config, params: test.params})
				test.cause(s)
				s.want(test.want)
				s.got = nil
				if pto {
					for i := 0; i < 3 && len(s.got) == 0; i++ {
						s.timer()
					}
				} else {
					for range 4 {
						s.conn.Ping()
						s.collect()
					}
					last := s.next[wire.SpaceApp] - 1
					s.got = nil
					s.write(s.ackFrame(last, last))
					s.tick(500 * time.Millisecond)
				}
				s.want(test.want)
				s.ackAll()
				s.got = nil
				s.tick(time.Second)
				s.wantNone(test.want)
				s.wantOpen()
			})
		}
	}
}

// TestLostHandshakeDone and its like: what the end of the handshake sends.
func TestLostHandshakeDone(t *testing.T) {
	for _, pto := range []bool{false, true} {
		s := newScript(t, scriptOptions{}, true)
		s.startPeer()
		s.finish()
		s.want("HANDSHAKE_DONE")
		s.got = nil
		if pto {
			s.timer()
		} else {
			for range 4 {
				s.conn.Ping()
				s.collect()
			}
			last := s.next[wire.SpaceApp] - 1
			s.write(s.ackFrame(last, last))
			s.tick(500 * time.Millisecond)
		}
		s.want("HANDSHAKE_DONE")
		s.ackAll()
		s.got = nil
		s.tick(time.Second)
		s.wantNone("HANDSHAKE_DONE")
	}
}

// TestNewerValueReplacesLost: a limit that was raised since is not sent anew when the old frame is lost.
func TestNewerValueReplacesLost(t *testing.T) {
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.StreamWindow, c.MaxStreamWindow = 1000, 1000 }})
	buf := make([]byte, 2000)
	s.write(streamFrame(0, 0, strings.Repeat("x", 500), false))
	s.conn.StreamRead(0, buf)
	s.want("MAX_STREAM_DATA id=0 1500")
	s.write(streamFrame(0, 500, strings.Repeat("x", 500), false))
	s.conn.StreamRead(0, buf)
	s.want("MAX_STREAM_DATA id=0 2000")
	for range 4 {
		s.conn.Ping()
		s.collect()
	}
	// All but the packet of the first update arrive.
	last := s.next[wire.SpaceApp] - 1
	s.write(s.ackFrame(last-4, last))
	s.tick(time.Second)
	s.wantNone("MAX_STREAM_DATA")
}

// TestBlockedFrames are sent once for each limit.
func TestBlockedFrames(t *testing.T) {
	s := newClientScript(t, scriptOptions{params: func(p *wire.TransportParameters) {
		p.InitialMaxData, p.InitialMaxStreamDataUni, p.InitialMaxStreamsUni = 150, 100, 2
	}})
	a, _ := s.conn.OpenStream(Uni)
	b, _ := s.conn.OpenStream(Uni)
	write := func(id StreamID, n int) {
		if _, err := s.conn.StreamWrite(id, make([]byte, n), false); err != nil {
			t.Fatal(err)
		}
		s.collect()
	}
	write(a, 100)
	s.wantNone("STREAM_DATA_BLOCKED") // nothing waits
	write(a, 10)
	s.want("STREAM_DATA_BLOCKED id=3 100")
	write(a, 10)
	s.wantNone("STREAM_DATA_BLOCKED")
	write(b, 50)
	s.wantNone("DATA_BLOCKED")
	write(b, 10)
	s.want("DATA_BLOCKED 150")
	write(b, 10)
	s.wantNone("DATA_BLOCKED")
	s.write(wire.AppendMaxData(nil, 160))
	s.want("DATA_BLOCKED 160")
	s.write(wire.AppendMaxData(nil, 1000))
	s.write(wire.AppendMaxStreamData(nil, 3, 110))
	s.want("STREAM_DATA_BLOCKED id=3 110")
	s.write(wire.AppendMaxStreamData(nil, 3, 1000))
	s.wantNone("DATA_BLOCKED")
	for range 3 {
		if _, err := s.conn.OpenStream(Uni); err != ErrStreamLimit {
			t.Fatal(err)
		}
	}
	s.want("STREAMS_BLOCKED 2")
	s.wantNone("STREAMS_BLOCKED")
	s.write(wire.AppendMaxStreams(nil, true, 3))
	if ev, ok := s.conn.NextEvent(); !ok || ev.Kind != EventStreamsAvailable || ev.Dir != Uni {
		t.Errorf("event %v", ev)
	}
	if _, err := s.conn.OpenStream(Uni); err != nil {
		t.Fatal(err)
	}
	s.conn.OpenStream(Uni)
	s.want("STREAMS_BLOCKED 3")
	// A lesser limit changes nothing.
	s.write(wire.AppendMaxStreams(nil, true, 1), wire.AppendMaxData(nil, 1), wire.AppendMaxStreamData(nil, 3, 1))
	if s.conn.StreamsAvailable(Uni) != 0 || s.conn.strs.sendWindow.Limit() != 1000 {
		t.Error("a limit shrank")
	}
}
