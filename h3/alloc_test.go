package h3

import (
	"runtime"
	"strings"
	"testing"

	"github.com/frittata-go/frittata/quic"
)

// bodyConn is a Conn with a request whose body goes on, both ways.
func bodyConn(t testing.TB) *script {
	s := newScript(t, false, nil)
	s.f.peerWrite(0, headers(post...), false)
	s.want(EventHeaders, 0)
	if err := s.c.SendHeaders(0, fields(":status", "200"), false); err != nil {
		t.Fatal(err)
	}
	s.f.streams[0].out = make([]byte, 0, 1<<16)
	return s
}

func TestBodyAllocs(t *testing.T) {
	s := bodyConn(t)
	st := s.f.streams[0]
	in := frame(FrameData, strings.Repeat("x", 1000))
	back := make([]byte, 0, len(in))
	p := make([]byte, 1200)
	n := testing.AllocsPerRun(200, func() {
		st.in = append(back, in...)
		s.f.readable = append(s.f.readable[:0], 0)
		if ev, ok, err := s.c.Next(); !ok || ev.Kind != EventData || err != nil {
			t.Fatal(ev.Kind, err)
		}
		if n, _, err := s.c.ReadBody(0, p); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := s.c.WriteBody(0, p[:1000], false); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
		st.out = st.out[:0]
	})
	if n > 0 {
		t.Errorf("a DATA frame each way allocates %v times", n)
	}
}

// TestRequestAllocs bounds what a request costs a server: its literal strings,
// one allocation. (The fake's own streams are reused.)
func TestRequestAllocs(t *testing.T) {
	s := newScript(t, false, nil)
	head := headers(with(get, "user-agent", "frittata", "x-custom", "value")...)
	response := fields(":status", "200", "content-type", "text/plain", "content-length", "5")
	st := &fakeStream{out: make([]byte, 0, 1000)}
	body := []byte("hello")
	id := quic.StreamID(0)
	n := testing.AllocsPerRun(200, func() {
		delete(s.f.streams, id)
		id += 4
		*st = fakeStream{in: head, inFin: true, out: st.out[:0]}
		s.f.streams[id] = st
		s.f.readable = append(s.f.readable[:0], id)
		ev, ok, err := s.c.Next()
		if !ok || ev.Kind != EventHeaders || !ev.End || err != nil {
			t.Fatal(ev.Kind, err)
		}
		if err := s.c.SendHeaders(id, response, false); err != nil {
			t.Fatal(err)
		}
		if n, err := s.c.WriteBody(id, body, true); n != 5 || err != nil {
			t.Fatal(n, err)
		}
	})
	if n > 1 {
		t.Errorf("a request allocates %v times", n)
	}
	if s.c.ActiveRequests() != 0 {
		t.Errorf("%d requests", s.c.ActiveRequests())
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMillion: a million requests one after the other leave nothing behind,
// neither those that are answered nor those that the peer resets at once.
func TestMillion(t *testing.T) {
	n := quic.StreamID(1_000_000)
	if testing.Short() {
		n = 50_000
	}
	head := headers(get...)
	response := fields(":status", "200")
	for name, open := range map[string]func(*script, quic.StreamID){
		"answered": func(s *script, id quic.StreamID) {
			s.f.peerWrite(id, head, true)
			s.want(EventHeaders, id)
			if err := s.c.SendHeaders(id, response, true); err != nil {
				t.Fatal(err)
			}
		},
		"reset": func(s *script, id quic.StreamID) { s.f.peerResets(id, 0x10c); s.quiet() },
		"cut": func(s *script, id quic.StreamID) {
			s.f.peerWrite(id, head[:5], false)
			s.quiet()
			s.f.peerResets(id, 0x10c)
			s.quiet()
		},
		"malformed": func(s *script, id quic.StreamID) { s.f.peerWrite(id, headersNone, false); s.quiet() },
		"too large": func(s *script, id quic.StreamID) { s.f.peerWrite(id, tooLarge, false); s.quiet() },
		"cancelled": func(s *script, id quic.StreamID) {
			s.f.peerWrite(id, head, false)
			s.want(EventHeaders, id)
			s.f.peerStops(id, 0x10c)
			s.f.peerResets(id, 0x10c)
			s.want(EventReset, id)
			s.want(EventStopped, id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, false, nil)
			s.f.forget = true
			begin := heap()
			for id := quic.StreamID(0); id < 4*n/6; id += 4 {
				open(s, id)
				delete(s.f.streams, id)
			}
			if len(s.c.streams) != 4 || s.c.ActiveRequests() != 0 {
				t.Errorf("%d streams, %d requests are left", len(s.c.streams), s.c.ActiveRequests())
			}
			if now := heap(); now > begin+1<<20 {
				t.Errorf("the heap grew from %d to %d bytes", begin, now)
			}
			runtime.KeepAlive(s)
		})
	}
	t.Run("unidirectional", func(t *testing.T) {
		s := newScript(t, false, nil)
		begin := heap()
		for id := quic.StreamID(6); id < 4*n/6; id += 4 {
			switch id / 4 % 3 {
			case 0:
				s.f.peerWrite(id, []byte{0x21}, false)
			case 1:
				s.f.peerWrite(id, nil, true)
			case 2:
				s.f.peerResets(id, 0)
			}
			s.quiet()
			delete(s.f.streams, id)
		}
		if len(s.c.streams) != 4 {
			t.Errorf("%d streams are left", len(s.c.streams))
		}
		if now := heap(); now > begin+1<<20 {
			t.Errorf("the heap grew from %d to %d bytes", begin, now)
		}
		runtime.KeepAlive(s)
	})
}

var (
	headersNone = headers()
	tooLarge    = AppendFrameHeader(nil, FrameHeaders, MaxVarint)
)

// TestLengthBombs: what is announced costs nothing, what is skipped is not kept.
func TestLengthBombs(t *testing.T) {
	const size = 16 << 20
	for name, head := range map[string][]byte{
		"HEADERS":       AppendFrameHeader(nil, FrameHeaders, defaultMaxFieldSectionSize),
		"unknown frame": AppendFrameHeader(nil, 0x21, size),
		"DATA":          join(headers(post...), AppendFrameHeader(nil, FrameData, size)),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, false, nil)
			begin := heap()
			for id := quic.StreamID(0); id < 4*100; id += 4 {
				s.f.peerWrite(id, head, false)
			}
			for {
				if _, ok, err := s.c.Next(); err != nil {
					t.Fatal(err)
				} else if !ok {
					break
				}
			}
			if now := heap(); now > begin+256<<10 {
				t.Errorf("a hundred announcements grew the heap from %d to %d bytes", begin, now)
			}
			runtime.KeepAlive(s)
		})
	}
	s := newScript(t, false, nil)
	s.f.peerWrite(0, AppendFrameHeader(nil, 0x21, size), false)
	piece := make([]byte, 8<<10)
	s.quiet()
	begin := heap()
	for range size / len(piece) {
		s.f.peerWrite(0, piece, false)
		s.quiet()
		if s.f.StreamReadable(0) != 0 {
			t.Fatal("an unknown frame was left unread")
		}
	}
	if now := heap(); now > begin+256<<10 {
		t.Errorf("skipping grew the heap from %d to %d bytes", begin, now)
	}
	s.f.peerWrite(0, headers(get...), true)
	s.want(EventHeaders, 0)
}

// TestDrippedHeaders: a head that comes byte by byte costs memory as it comes, and time in proportion.
func TestDrippedHeaders(t *testing.T) {
	s := newScript(t, false, nil)
	head := headers(with(get, "a", strings.Repeat("~", 20_000))...)
	for _, b := range head[:len(head)-1] {
		s.f.peerWrite(0, []byte{b}, false)
		s.quiet()
	}
	if n := cap(s.c.streams[0].payload); n > 2*len(head) {
		t.Errorf("%d bytes held for %d", n, len(head))
	}
	s.f.peerWrite(0, head[len(head)-1:], true)
	if ev := s.want(EventHeaders, 0); len(ev.Fields) != 5 || !ev.End {
		t.Errorf("%d fields", len(ev.Fields))
	}
}

// TestBackPressure: what is not read stays in QUIC.
func TestBackPressure(t *testing.T) {
	s := bodyConn(t)
	data := frame(FrameData, strings.Repeat("x", 50_000))
	s.f.peerWrite(0, join(data, data), false)
	for range 2 { // the second is for what arrived while the first was due
		s.want(EventData, 0)
	}
	s.quiet()
	if n := s.f.StreamReadable(0); n < 100_000 {
		t.Errorf("%d bytes are left in QUIC", n)
	}
	if n := s.c.BodyReadable(0); n != 50_000 {
		t.Errorf("%d bytes are readable", n)
	}
	if n, fin, err := s.c.ReadBody(0, make([]byte, 70_000)); n != 70_000 || fin || err != nil {
		t.Errorf("%d, %v, %v", n, fin, err)
	}
	if n := s.f.StreamReadable(0); n != 30_000 {
		t.Errorf("%d bytes are left in QUIC", n)
	}
}

func BenchmarkBody(b *testing.B) {
	s := bodyConn(b)
	st := s.f.streams[0]
	in := frame(FrameData, strings.Repeat("x", 1400))
	back := make([]byte, 0, len(in))
	p := make([]byte, 2000)
	b.SetBytes(1400)
	b.ReportAllocs()
	for b.Loop() {
		st.in = append(back, in...)
		s.f.readable = append(s.f.readable[:0], 0)
		s.c.Next()
		s.c.ReadBody(0, p)
	}
}

func BenchmarkRequest(b *testing.B) {
	s := newScript(b, false, nil)
	head := headers(with(get, "user-agent", "frittata", "accept-encoding", "gzip")...)
	response := fields(":status", "200", "content-type", "text/plain", "content-length", "5")
	st := &fakeStream{out: make([]byte, 0, 1000)}
	body := []byte("hello")
	id := quic.StreamID(0)
	b.ReportAllocs()
	for b.Loop() {
		delete(s.f.streams, id)
		id += 4
		*st = fakeStream{in: head, inFin: true, out: st.out[:0]}
		s.f.streams[id] = st
		s.f.readable = append(s.f.readable[:0], id)
		s.c.Next()
		s.c.SendHeaders(id, response, false)
		s.c.WriteBody(id, body, true)
	}
}
