package h3

import (
	"slices"
	"strings"
	"testing"

	"github.com/frittata-go/frittata/quic"
)

// TestGlitches attacks with what is allowed and brings nothing: each is counted, and beyond the limit the connection is
// closed with H3_EXCESSIVE_LOAD.
func TestGlitches(t *testing.T) {
	const limit = 200
	control := func(f []byte) func(s *script, i int) {
		return func(s *script, i int) { s.f.peerWrite(s.peerUni(0), f, false) }
	}
	request := func(i int) quic.StreamID { return quic.StreamID(i * 4) }
	priority := func(id quic.StreamID) []byte {
		return frame(FramePriorityUpdateRequest, string(AppendVarint(nil, uint64(id)))+"u=1")
	}
	for name, test := range map[string]struct {
		client bool
		begin  func(s *script)
		step   func(s *script, i int)
		most   int // steps
	}{
		"unknown frames on the control stream": {step: control(frame(0x21, "grease")), most: limit},
		"PRIORITY_UPDATE":                      {step: control(priority(400)), most: limit},
		"GOAWAY":                               {client: true, step: control(frame(FrameGoAway, "\x00")), most: limit},
		"MAX_PUSH_ID":                          {step: control(frame(FrameMaxPushID, "\x05")), most: limit},
		"unknown frames on a request": {
			begin: func(s *script) { s.f.peerWrite(0, headers(post...), false) },
			step:  func(s *script, i int) { s.f.peerWrite(0, frame(0x21, ""), false) },
			most:  limit,
		},
		"empty DATA": {
			begin: func(s *script) { s.f.peerWrite(0, headers(post...), false) },
			step:  func(s *script, i int) { s.f.peerWrite(0, frame(FrameData, ""), false) },
			most:  limit,
		},
		"DATA of one byte": {
			begin: func(s *script) { s.f.peerWrite(0, headers(post...), false) },
			step: func(s *script, i int) {
				s.f.peerWrite(0, frame(FrameData, "x"), false)
				_, _, _ = s.c.ReadBody(0, make([]byte, 10))
			},
			most: (limit*dataWorth+freeLack)/(dataWorth-1) + 1,
		},
		"DATA of one byte on many requests": {
			step: func(s *script, i int) {
				if i < 10 {
					s.f.peerWrite(request(i), headers(post...), false)
				}
				s.f.peerWrite(request(i%10), frame(FrameData, "x"), false)
				_, _, _ = s.c.ReadBody(request(i%10), make([]byte, 10))
			},
			most: (limit*dataWorth+freeLack)/(dataWorth-1) + 10,
		},
		"unknown streams": {step: func(s *script, i int) { s.f.peerWrite(s.peerUni(i+1), []byte{0x21}, false) }, most: limit},
		"malformed requests": {
			step: func(s *script, i int) { s.f.peerWrite(request(i), headers(":method", "GET"), true) },
			most: limit / glitchMessage,
		},
		"requests that are too large": {
			step: func(s *script, i int) {
				s.f.peerWrite(request(i), headers(with(get, "a", strings.Repeat("~", 2000))...), true)
			},
			most: limit / glitchMessage,
		},
		"requests without a head": {
			step: func(s *script, i int) { s.f.peerWrite(request(i), nil, true) },
			most: limit / glitchMessage,
		},
		"requests after GOAWAY": {
			begin: func(s *script) { _ = s.c.Shutdown() },
			step:  func(s *script, i int) { s.f.peerWrite(request(i), headers(get...), true) },
			most:  limit / glitchMessage,
		},
		"requests that are reset": {
			step: func(s *script, i int) {
				s.f.peerWrite(request(i), headers(post...), false)
				_, _, _ = s.c.Next()
				s.f.peerResets(request(i), uint64(CodeRequestCancelled))
			},
			most: limit / glitchReset,
		},
		"interim responses": {
			client: true,
			begin:  func(s *script) { _, _ = s.c.OpenRequest(fields(get...), true) },
			step:   func(s *script, i int) { s.f.peerWrite(0, headers(":status", "103"), false) },
			most:   limit,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, test.client, &Config{MaxFieldSectionSize: 1000})
			s.f.glitchLimit = limit
			if test.begin != nil {
				test.begin(s)
			}
			for i := range test.most + 2 {
				test.step(s, i)
				for {
					_, ok, err := s.c.Next()
					if err == nil && ok {
						continue
					}
					if err == nil {
						break
					}
					if e, is := err.(*Error); !is || e.Code != CodeExcessiveLoad {
						t.Fatalf("after %d: %v", i, err)
					}
					if i < test.most-1 {
						t.Errorf("closed after %d already", i+1)
					}
					return
				}
			}
			t.Errorf("nothing happened: %d glitches", s.f.glitches)
		})
	}
}

// TestNoGlitches: ordinary exchanges have none.
func TestNoGlitches(t *testing.T) {
	data := func(sizes ...int) (b []byte) {
		for _, n := range sizes {
			b = append(b, frame(FrameData, strings.Repeat("x", n))...)
		}
		return b
	}
	for name, body := range map[string][]byte{
		"a body":              data(4),
		"small bodies":        data(1),
		"a small end":         data(100, 1),
		"messages of gRPC":    data(slices.Repeat([]int{dataWorth}, 1000)...),
		"events":              data(slices.Repeat([]int{30}, 1000)...),
		"pieces of all sizes": data(slices.Repeat([]int{1, 9, 2, 8, 20, 1, 1, 1}, 100)...),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, false, nil)
			for i := range 100 {
				id := quic.StreamID(i * 4)
				s.f.peerWrite(id, join(headers(post...), body, headers("a", "b")), true)
				for {
					ev, ok, err := s.c.Next()
					if err == nil && ev.Kind == EventData {
						_, _, err = s.c.ReadBody(id, make([]byte, 1<<10))
					}
					if err != nil {
						t.Fatal(err)
					}
					if !ok {
						break
					}
				}
				if err := s.c.SendHeaders(id, fields(":status", "200"), true); err != nil {
					t.Fatal(err)
				}
			}
			if s.f.glitches != 0 {
				t.Errorf("%d glitches", s.f.glitches)
			}
		})
	}
}

// TestTrickle: a byte in each packet is never too much, whatever becomes of the packets. Many frames of a byte in each packet are.
func TestTrickle(t *testing.T) {
	const limit = 100
	for name, test := range map[string]struct {
		loss   float64
		frames int // before each packet
	}{
		"a byte a packet":            {frames: 1},
		"a byte a packet, with loss": {loss: 0.05, frames: 1},
		"a hundred a packet":         {frames: 100},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, test.loss, 5, func(c *quic.Config) { c.GlitchLimit = limit })
			id, err := p.client.OpenRequest(fields(post...), false)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			var end error
			serve := func() {
				for end == nil {
					ev, ok, err := p.server.Next()
					if err == nil && ev.Kind == EventData {
						var n int
						n, _, err = p.server.ReadBody(ev.Stream, p.buf)
						got += n
					}
					if end = err; !ok {
						return
					}
				}
			}
			sent := 0
			for end == nil && sent < 20*limit {
				for range test.frames {
					if _, err := p.client.WriteBody(id, []byte("x"), false); err != nil {
						t.Fatal(err)
					}
					sent++
				}
				p.flush(p.cq)
				p.step()
				serve()
			}
			if test.frames > 1 {
				if e, ok := end.(*Error); !ok || e.Code != CodeExcessiveLoad {
					t.Errorf("after %d bytes: %v", got, end)
				}
				return
			}
			p.until("body", func() bool { serve(); return end != nil || got == sent })
			if end != nil {
				t.Errorf("after %d bytes: %v", got, end)
			}
		})
	}
}
