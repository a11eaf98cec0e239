package h3

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/frittata-go/frittata/quic"
)

func TestTooLarge(t *testing.T) {
	cfg := &Config{MaxFieldSectionSize: 1000}
	big := strings.Repeat("~", 1000)
	many := make([]string, 0, 100)
	for range 50 { // 33 bytes each
		many = append(many, "a", "")
	}
	for name, head := range map[string][]byte{
		"by length":   headers(with(get, "a", big)...),
		"by overhead": headers(with(get, many...)...),
		"announced":   AppendFrameHeader(nil, FrameHeaders, MaxVarint),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, false, cfg)
			s.f.peerWrite(0, head, false)
			s.quiet()
			got, fin := s.f.take(0, -1)
			if want := headers(":status", "431"); !bytes.Equal(got, want) || !fin {
				t.Errorf("sent %x, %v; want %x", got, fin, want)
			}
			if st := s.f.streams[0]; !st.weStopped || ErrorCode(st.weStopCode) != CodeNoError {
				t.Errorf("%+v", st)
			}
			if s.c.ActiveRequests() != 0 || s.c.Stats().FieldsTooLarge != 1 {
				t.Errorf("%d requests, %+v", s.c.ActiveRequests(), s.c.Stats())
			}
		})
	}
	t.Run("trailers", func(t *testing.T) {
		s := newScript(t, false, cfg)
		s.f.peerWrite(0, join(headers(post...), headers(many...)), true)
		s.want(EventHeaders, 0)
		if ev := s.want(EventReset, 0); ev.Err.Code != CodeExcessiveLoad {
			t.Errorf("%v", ev.Err)
		}
	})
	for _, status := range []string{"103", "200"} {
		s := newScript(t, true, cfg)
		id, _ := s.c.OpenRequest(fields(get...), true)
		s.f.peerWrite(id, headers(with([]string{":status", status}, many...)...), false)
		if ev := s.want(EventReset, id); ev.Err.Code != CodeExcessiveLoad {
			t.Errorf("%v", ev.Err)
		}
	}
}

func TestTunnel(t *testing.T) {
	s := newScript(t, true, nil)
	head := fields(":method", "CONNECT", ":authority", "example.com:443")
	id, err := s.c.OpenRequest(head, false)
	if err != nil {
		t.Fatal(err)
	}
	s.f.peerWrite(id, join(headers(":status", "200", "content-length", "1"), frame(FrameData, "abc"), frame(0x21, "")), false)
	s.want(EventHeaders, id)
	s.want(EventData, id)
	p := make([]byte, 10)
	if n, _, err := s.c.ReadBody(id, p); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	s.f.peerWrite(id, headers("a", "b"), false)
	s.wantError(CodeFrameUnexpected)

	s = newScript(t, true, nil)
	if _, err := s.c.OpenRequest(with2(head, ":protocol", "websocket"), false); err != ErrExtendedConnect {
		t.Errorf("%v", err)
	}
}

func with2(f []Field, name, value string) []Field {
	return append(slices.Clone(f), Field{Name: name, Value: value})
}

func TestPriorities(t *testing.T) {
	s := newScript(t, false, nil)
	update := func(id quic.StreamID, value string) []byte {
		return frame(FramePriorityUpdateRequest, string(AppendVarint(nil, uint64(id)))+value)
	}
	check := func(id quic.StreamID, urgency uint8, incremental bool) {
		t.Helper()
		if st := s.f.streams[id]; st.urgency != urgency || st.incremental != incremental {
			t.Errorf("stream %d has urgency %d, incremental %v", id, st.urgency, st.incremental)
		}
	}
	s.f.peerWrite(0, headers(with(get, "priority", "u=1, i")...), true)
	s.want(EventHeaders, 0)
	check(0, 1, true)
	s.f.peerWrite(s.peerUni(0), join(update(4, "u=5"), update(0, "u=7"), update(0, "(")), false)
	s.quiet()
	check(0, 7, false)
	s.f.peerWrite(4, headers(with(get, "priority", "u=1, i")...), true)
	s.want(EventHeaders, 4)
	check(4, 5, false)
	// A flood is held in a bounded number, of which the newest count.
	for id := quic.StreamID(100); id < 100+4*1000; id += 4 {
		s.f.peerWrite(s.peerUni(0), update(id, "u=2"), false)
	}
	s.quiet()
	if n := len(s.c.early.at); n != maxEarlyPriorities || s.c.Stats().PrioritiesDropped != 1000-maxEarlyPriorities {
		t.Errorf("%d kept, %+v", n, s.c.Stats())
	}
	s.f.peerWrite(100+4*999, headers(get...), true)
	s.want(EventHeaders, 100+4*999)
	check(100+4*999, 2, false)

	s = newScript(t, false, &Config{IgnorePriority: true})
	s.f.peerWrite(0, headers(with(get, "priority", "u=1, i")...), true)
	s.want(EventHeaders, 0)
	s.f.peerWrite(s.peerUni(0), update(0, "u=7"), false)
	s.quiet()
	check(0, 3, false)
	if err := s.c.SetPriority(0, Priority{6, true}); err != nil {
		t.Error(err)
	}
	check(0, 6, true)
}

func TestParsePriority(t *testing.T) {
	for s, want := range map[string]Priority{
		"":                                  {3, false},
		"u=0":                               {0, false},
		"u=7,i":                             {7, true},
		"i, u=2":                            {2, true},
		" u=1 , i=?0 ":                      {1, false},
		"u=8":                               {3, false},
		"u=-1":                              {3, false},
		"u=1.0":                             {3, false},
		"u=\"1\"":                           {3, false},
		"i=1":                               {3, false},
		"u=1, u=2":                          {2, false},
		"u=1;a=b;c, i;d":                    {1, true},
		"x=(1 \"u=9)\" 2);y, u=5, z=:YQ==:": {5, false},
		"a=\"\\\"u=1,\", u=4":               {4, false},
	} {
		if got, ok := ParsePriority(s); got != want || !ok {
			t.Errorf("%q: %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"u=", "u=1,", "=1", ",", "u=1 i", "U=1", "u=\"1", "x=(1", "x=:a", "i=?2", "u=1;", "u=1;a=", "u=@", "u=\"\\"} {
		if got, ok := ParsePriority(s); ok || got != DefaultPriority {
			t.Errorf("%q: %v, %v", s, got, ok)
		}
	}
}

func TestRawStreams(t *testing.T) {
	cfg := &Config{RawUniTypes: []uint64{0x54}, RawBidiTypes: []uint64{0x41}}
	for _, client := range []bool{false, true} {
		s := newScript(t, client, cfg)
		uni, bidi := s.peerUni(1), quic.StreamID(0)
		if client {
			bidi = 1
		}
		for id, b := range map[quic.StreamID]string{uni: "\x40\x54", bidi: "\x40\x41"} {
			s.f.peerWrite(id, []byte(b[:1]), false)
			s.quiet()
			s.f.peerWrite(id, []byte(b[1:]+"\x04payload"), false)
			if ev := s.want(EventRawStream, id); ev.ID != uint64(b[1]) {
				t.Errorf("type %#x", ev.ID)
			}
			s.want(EventRawReadable, id)
			s.quiet()
			if got := string(s.f.streams[id].in); got != "\x04payload" {
				t.Errorf("left to be read: %q", got)
			}
			s.f.peerWrite(id, []byte("x"), true)
			s.want(EventRawReadable, id)
			s.f.armWrite(id)
			s.want(EventRawWritable, id)
			s.c.ForgetRawStream(id)
			s.c.ForgetRawStream(id)
		}
		id, err := s.c.OpenRawStream(quic.Uni)
		if err != nil {
			t.Fatal(err)
		}
		s.f.armWrite(id)
		s.want(EventRawWritable, id)
		s.c.ForgetRawStream(id)
		if len(s.c.streams) != 4 || s.c.ActiveRequests() != 0 {
			t.Errorf("%d streams, %d requests", len(s.c.streams), s.c.ActiveRequests())
		}
		if _, err := s.c.WriteBody(id, nil, true); err != ErrNoStream {
			t.Errorf("%v", err)
		}
	}
	s := newScript(t, false, cfg)
	s.f.peerWrite(0, headers(get...), true)
	s.want(EventHeaders, 0)
	s = newScript(t, true, cfg)
	s.f.peerWrite(1, headers(get...), true)
	s.wantError(CodeStreamCreationError)
}
