package h3

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/frittata-go/frittata/quic"
)

// TestConnectionErrors has a peer break the rules, as h3spec does and beyond.
func TestConnectionErrors(t *testing.T) {
	ctl := func(frames ...[]byte) func(*script) {
		return func(s *script) { s.f.peerWrite(s.peerUni(0), join(frames...), false) }
	}
	bare := func(frames ...[]byte) func(*script) {
		return func(s *script) { s.f.peerWrite(s.peerUni(1), join(frames...), false) }
	}
	req := func(frames ...[]byte) func(*script) {
		return func(s *script) { s.f.peerWrite(0, join(frames...), false) }
	}
	reqFin := func(frames ...[]byte) func(*script) {
		return func(s *script) { s.f.peerWrite(0, join(frames...), true) }
	}
	const both, server, client = 0, 1, 2
	for _, c := range []struct {
		name string
		role int
		do   func(*script)
		code ErrorCode
	}{
		// The cases of h3spec.
		{"DATA before HEADERS", both, req(frame(FrameData, "x")), CodeFrameUnexpected},
		{"empty DATA before HEADERS", both, req(frame(FrameData, "")), CodeFrameUnexpected},
		{"DATA on the control stream", both, ctl(frame(FrameData, "x")), CodeFrameUnexpected},
		{"HEADERS on the control stream", both, ctl(headers(get...)), CodeFrameUnexpected},
		{"second SETTINGS", both, ctl(AppendSettings(nil, nil)), CodeFrameUnexpected},
		{"CANCEL_PUSH on a request stream", both, req(frame(FrameCancelPush, "\x00")), CodeFrameUnexpected},
		{"static index 99", both, req(frame(FrameHeaders, "\x00\x00\xff\x24")), CodeQPACKDecompressionFailed},
		{"table capacity 10^10", both, bare([]byte{2}, []byte{0x3f, 0xe1, 0xc7, 0xaf, 0xa0, 0x25}), CodeQPACKEncoderStreamError},
		{"insert count increment 0", both, bare([]byte{3}, []byte{0}), CodeQPACKDecoderStreamError},
		{"control stream closed", both, func(s *script) { s.f.peerWrite(s.peerUni(0), nil, true) }, CodeClosedCriticalStream},

		{"control stream reset", both, func(s *script) { s.f.peerResets(s.peerUni(0), 0x100) }, CodeClosedCriticalStream},
		{"control stream closed within a frame", both, func(s *script) {
			s.f.peerWrite(s.peerUni(0), []byte{byte(FrameGoAway), 1}, true)
		}, CodeClosedCriticalStream},
		{"control stream closed within a header", both, func(s *script) {
			s.f.peerWrite(s.peerUni(0), []byte{0x40}, true)
		}, CodeClosedCriticalStream},
		{"control stream closed within a skipped frame", both, func(s *script) {
			s.f.peerWrite(s.peerUni(0), []byte{0x21, 5, 0}, true)
		}, CodeClosedCriticalStream},
		{"our control stream stopped", both, func(s *script) { s.f.peerStops(s.c.control.id, 0x100) }, CodeClosedCriticalStream},
		{"our encoder stream stopped", both, func(s *script) { s.f.peerStops(s.c.control.id+4, 0x100) }, CodeClosedCriticalStream},
		{"encoder stream closed", both, func(s *script) { s.f.peerWrite(s.peerUni(1), []byte{2}, true) }, CodeClosedCriticalStream},
		{"decoder stream reset", both, func(s *script) {
			s.f.peerWrite(s.peerUni(1), []byte{3, 0x40}, false)
			s.quiet()
			s.f.peerResets(s.peerUni(1), 0)
		}, CodeClosedCriticalStream},
		{"second control stream", both, bare([]byte{0}), CodeStreamCreationError},
		{"second encoder stream", both, func(s *script) {
			s.f.peerWrite(s.peerUni(1), []byte{2}, false)
			s.f.peerWrite(s.peerUni(2), []byte{2}, false)
		}, CodeStreamCreationError},
		{"second decoder stream", both, func(s *script) {
			s.f.peerWrite(s.peerUni(1), []byte{3}, false)
			s.f.peerWrite(s.peerUni(2), []byte{3}, false)
		}, CodeStreamCreationError},
		{"push stream of a client", server, bare([]byte{1, 0}), CodeStreamCreationError},
		{"push stream unasked", client, bare([]byte{1, 0}), CodeIDError},
		{"bidirectional stream of a server", client, func(s *script) { s.f.peerWrite(1, headers(get...), false) }, CodeStreamCreationError},
		{"encoder stream inserts", both, bare([]byte{2}, []byte{0xc0, 1, 'x'}), CodeQPACKEncoderStreamError},
		{"decoder stream acknowledges", both, bare([]byte{3}, []byte{0x80}), CodeQPACKDecoderStreamError},
		{"dynamic table reference", both, req(frame(FrameHeaders, "\x02\x00\x80")), CodeQPACKDecompressionFailed},
		{"empty HEADERS", both, req(frame(FrameHeaders, "")), CodeQPACKDecompressionFailed},

		{"SETTINGS on a request stream", both, req(AppendSettings(nil, nil)), CodeFrameUnexpected},
		{"GOAWAY on a request stream", both, req(frame(FrameGoAway, "\x00")), CodeFrameUnexpected},
		{"MAX_PUSH_ID on a request stream", both, req(frame(FrameMaxPushID, "\x00")), CodeFrameUnexpected},
		{"PRIORITY_UPDATE on a request stream", both, req(frame(FramePriorityUpdateRequest, "\x00")), CodeFrameUnexpected},
		{"HTTP/2 PRIORITY on a request stream", both, req(frame(0x2, "")), CodeFrameUnexpected},
		{"HTTP/2 PING on a request stream", both, req(frame(0x6, "")), CodeFrameUnexpected},
		{"HTTP/2 WINDOW_UPDATE on the control stream", both, ctl(frame(0x8, "")), CodeFrameUnexpected},
		{"HTTP/2 CONTINUATION on the control stream", both, ctl(frame(0x9, "")), CodeFrameUnexpected},
		{"PUSH_PROMISE on the control stream", both, ctl(frame(FramePushPromise, "\x00")), CodeFrameUnexpected},
		{"PUSH_PROMISE of a client", server, req(frame(FramePushPromise, "\x00")), CodeFrameUnexpected},
		{"PUSH_PROMISE unasked", client, req(frame(FramePushPromise, "\x00")), CodeIDError},
		{"HEADERS after trailers", server, func(s *script) {
			s.f.peerWrite(0, join(headers(post...), headers("a", "b"), headers("a", "b")), false)
			s.want(EventHeaders, 0)
			s.want(EventTrailers, 0)
		}, CodeFrameUnexpected},
		{"DATA after trailers", server, func(s *script) {
			s.f.peerWrite(0, join(headers(post...), headers("a", "b"), frame(FrameData, "")), false)
			s.want(EventHeaders, 0)
			s.want(EventTrailers, 0)
		}, CodeFrameUnexpected},
		{"HEADERS in a tunnel", server, func(s *script) {
			s.f.peerWrite(0, join(headers(":method", "CONNECT", ":authority", "example.com:443"), headers("a", "b")), false)
			s.want(EventHeaders, 0)
		}, CodeFrameUnexpected},
		{"end within a frame header", both, reqFin([]byte{0x01}), CodeFrameError},
		{"end within HEADERS", both, reqFin([]byte{0x01, 5, 0}), CodeFrameError},
		{"end within an unknown frame", both, reqFin([]byte{0x21, 5, 0}), CodeFrameError},
		{"end within DATA", server, func(s *script) {
			s.f.peerWrite(0, join(headers(post...), []byte{0, 5}), true)
			s.want(EventHeaders, 0)
		}, CodeFrameError},

		{"CANCEL_PUSH", both, ctl(frame(FrameCancelPush, "\x00")), CodeIDError},
		{"CANCEL_PUSH of no length", both, ctl(frame(FrameCancelPush, "")), CodeFrameError},
		{"GOAWAY with more behind", both, ctl(frame(FrameGoAway, "\x00\x00")), CodeFrameError},
		{"GOAWAY too long", both, ctl(frame(FrameGoAway, "123456789")), CodeFrameError},
		{"GOAWAY truncated", both, ctl(frame(FrameGoAway, "\x40")), CodeFrameError},
		{"GOAWAY that grows", both, func(s *script) {
			s.f.peerWrite(s.peerUni(0), join(frame(FrameGoAway, "\x04"), frame(FrameGoAway, "\x08")), false)
			if ev := s.event(); ev.Kind != EventGoAway || ev.ID != 4 {
				s.t.Fatalf("event %v %d", ev.Kind, ev.ID)
			}
		}, CodeIDError},
		{"GOAWAY with a stream that is no request's", client, ctl(frame(FrameGoAway, "\x05")), CodeIDError},
		{"MAX_PUSH_ID of a server", client, ctl(frame(FrameMaxPushID, "\x05")), CodeFrameUnexpected},
		{"MAX_PUSH_ID that shrinks", server, ctl(frame(FrameMaxPushID, "\x05"), frame(FrameMaxPushID, "\x04")), CodeIDError},
		{"PRIORITY_UPDATE of a server", client, ctl(frame(FramePriorityUpdateRequest, "\x00u=1")), CodeFrameUnexpected},
		{"PRIORITY_UPDATE of no request", server, ctl(frame(FramePriorityUpdateRequest, "\x02u=1")), CodeIDError},
		{"PRIORITY_UPDATE of a push", server, ctl(frame(FramePriorityUpdatePush, "\x00u=1")), CodeIDError},
		{"PRIORITY_UPDATE of no length", server, ctl(frame(FramePriorityUpdateRequest, "")), CodeFrameError},
		{"PRIORITY_UPDATE too long", server, ctl(AppendFrameHeader(nil, FramePriorityUpdateRequest, 1<<40)), CodeExcessiveLoad},
	} {
		for _, role := range []int{server, client} {
			if c.role != both && c.role != role {
				continue
			}
			t.Run(c.name+map[int]string{server: " at server", client: " at client"}[role], func(t *testing.T) {
				s := newScript(t, role == client, nil)
				if role == client {
					if id, err := s.c.OpenRequest(fields(get...), true); id != 0 || err != nil {
						t.Fatal(id, err)
					}
				}
				c.do(s)
				s.wantError(c.code)
			})
		}
	}
}

func TestControlStreamStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		begin []byte
		code  ErrorCode
	}{
		{"MAX_PUSH_ID", frame(FrameMaxPushID, "\x00"), CodeMissingSettings},
		{"GOAWAY", frame(FrameGoAway, "\x00"), CodeMissingSettings},
		{"DATA", frame(FrameData, ""), CodeMissingSettings},
		{"reserved frame", frame(0x21, ""), CodeMissingSettings},
		{"setting 0x2", AppendSettings(nil, []Setting{{0x2, 0}}), CodeSettingsError},
		{"setting 0x3", AppendSettings(nil, []Setting{{0x3, 0}}), CodeSettingsError},
		{"setting 0x4", AppendSettings(nil, []Setting{{0x4, 0}}), CodeSettingsError},
		{"setting 0x5", AppendSettings(nil, []Setting{{0x5, 0}}), CodeSettingsError},
		{"setting twice", AppendSettings(nil, []Setting{{0x6, 1}, {0x6, 1}}), CodeSettingsError},
		{"unknown setting twice", AppendSettings(nil, []Setting{{0x99, 1}, {0x99, 2}}), CodeSettingsError},
		{"extended CONNECT 2", AppendSettings(nil, []Setting{{SettingEnableConnectProtocol, 2}}), CodeSettingsError},
		{"datagrams 2", AppendSettings(nil, []Setting{{SettingH3Datagram, 2}}), CodeSettingsError},
		{"datagrams without the transport's", AppendSettings(nil, []Setting{{SettingH3Datagram, 1}}), CodeSettingsError},
		{"truncated", frame(FrameSettings, "\x06"), CodeFrameError},
		{"truncated value", frame(FrameSettings, "\x06\x40"), CodeFrameError},
		{"too long", AppendFrameHeader(nil, FrameSettings, 1<<61), CodeExcessiveLoad},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, client := range []bool{false, true} {
				s := newBareScript(t, client, &Config{EnableDatagrams: true})
				s.f.peerWrite(s.peerUni(0), append([]byte{0}, c.begin...), false)
				s.wantError(c.code)
			}
		})
	}
}

func TestPeerSettings(t *testing.T) {
	s := newBareScript(t, true, &Config{EnableDatagrams: true})
	s.f.datagrams = 1200
	if _, ok := s.c.PeerSettings(); ok {
		t.Error("settings before they came")
	}
	b := append([]byte{0}, AppendSettings(nil, []Setting{{0x1, 10}, {0x6, 20}, {0x7, 30}, {0x8, 1}, {0x33, 1}, {0x21, 5}, {0x99, 7}})...)
	for _, c := range b { // byte by byte
		s.quiet()
		s.f.peerWrite(s.peerUni(0), []byte{c}, false)
	}
	s.want(EventSettings, 0)
	got, ok := s.c.PeerSettings()
	if !ok || got.QPACKMaxTableCapacity != 10 || got.MaxFieldSectionSize != 20 || got.QPACKBlockedStreams != 30 ||
		!got.EnableConnectProtocol || !got.Datagrams || len(got.Other) != 1 || got.Other[0] != (Setting{0x99, 7}) {
		t.Errorf("%+v", got)
	}
	if _, err := s.c.OpenRequest(fields(get...), true); !errors.Is(err, ErrFieldSectionTooLarge) {
		t.Errorf("error %v, want ErrFieldSectionTooLarge", err)
	}
}

func TestOurSettings(t *testing.T) {
	s := newBareScript(t, false, &Config{MaxFieldSectionSize: 1000, EnableConnectProtocol: true, EnableDatagrams: true,
		AdditionalSettings: []Setting{{0x2b603742, 1}}})
	want := join([]byte{0}, AppendSettings(nil, []Setting{{0x6, 1000}, {0x8, 1}, {0x33, 1}, {0x2b603742, 1}}))
	if got, _ := s.f.take(3, -1); string(got) != string(want) {
		t.Errorf("control stream %x, want %x", got, want)
	}
	for id, kind := range map[quic.StreamID]string{7: "\x02", 11: "\x03"} {
		if got, fin := s.f.take(id, -1); string(got) != kind || fin {
			t.Errorf("stream %d: %x", id, got)
		}
	}
	if _, err := newConn(newFake(true), &Config{AdditionalSettings: []Setting{{1 << 62, 0}}}); err == nil {
		t.Error("a setting of 2^62 was accepted")
	}
}

// TestFewUniStreams: a peer that allows the control stream alone is served; one that allows none is not.
func TestFewUniStreams(t *testing.T) {
	for limit := range 4 {
		f := newFake(true)
		f.uniLimit = limit
		if _, err := newConn(f, nil); (err == nil) != (limit > 0) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// TestUnknownIgnored: RFC 9114, Sections 6.2, 7.2.8 and 9.
func TestUnknownIgnored(t *testing.T) {
	s := newScript(t, false, nil)
	grease := frame(0x21+0x1f*7, strings.Repeat("x", 10_000))
	s.f.peerWrite(s.peerUni(0), join(grease, frame(0x21, ""), frame(FrameMaxPushID, "\x07")), false)
	s.f.peerWrite(s.peerUni(1), join([]byte{0x40, 0x54}, grease), false)
	s.f.peerWrite(s.peerUni(2), []byte{0x21, 1, 2, 3}, true)
	s.f.peerWrite(s.peerUni(3), []byte{0xc0, 0, 0}, false) // half a type
	s.f.peerWrite(s.peerUni(4), nil, true)
	s.f.peerResets(s.peerUni(5), 0)
	s.f.peerWrite(0, join(grease, headers(post...), frame(0x21, ""), grease, frame(FrameData, "abc"), grease, headers("a", "b"), grease), true)
	s.want(EventHeaders, 0)
	s.want(EventData, 0)
	p := make([]byte, 10)
	if n, fin, err := s.c.ReadBody(0, p); string(p[:n]) != "abc" || fin || err != nil {
		t.Fatalf("%q, %v, %v", p[:n], fin, err)
	}
	if ev := s.want(EventTrailers, 0); len(ev.Fields) != 1 || ev.End {
		t.Errorf("%+v", ev)
	}
	s.want(EventEnd, 0)
	s.quiet()
	if st := s.f.streams[s.peerUni(1)]; !st.weStopped || ErrorCode(st.weStopCode) != CodeStreamCreationError {
		t.Error("unknown stream not stopped")
	}
	if got := s.c.Stats(); got.FramesSkipped != 7 || got.StreamsRefused != 2 {
		t.Errorf("%+v", got)
	}
}

// TestMalformed: RFC 9114, Sections 4.1.2, 4.2 and 4.3.
func TestMalformed(t *testing.T) {
	without := func(a []string, name string) (out []string) {
		for i := 0; i < len(a); i += 2 {
			if a[i] != name {
				out = append(out, a[i], a[i+1])
			}
		}
		return out
	}
	set := func(a []string, nv ...string) []string {
		out := append([]string{}, a...)
		for i := 0; i < len(out); i += 2 {
			if out[i] == nv[0] {
				out[i+1] = nv[1]
			}
		}
		return out
	}
	for name, nv := range map[string][]string{
		// Cases of h3spec.
		":method twice":             append([]string{":method", "GET"}, get...),
		"no :authority and no host": without(get, ":authority"),
		":autority":                 with([]string{":autority", "a"}, get...),
		":foo":                      with([]string{":foo", "a"}, get...),
		"pseudo-header after field": with([]string{":method", "GET", "a", "b"}, get[2:]...),

		"no :method":                 without(get, ":method"),
		"no :scheme":                 without(get, ":scheme"),
		"no :path":                   without(get, ":path"),
		"empty :path":                set(get, ":path", ""),
		"relative :path":             set(get, ":path", "a"),
		":path * with GET":           set(get, ":path", "*"),
		"space in :path":             set(get, ":path", "/a b"),
		"CR LF in :path":             set(get, ":path", "/a\r\nb"),
		"fragment in :path":          set(get, ":path", "/a#b"),
		"empty :authority":           set(get, ":authority", ""),
		"user in :authority":         set(get, ":authority", "me@example.com"),
		"space in :authority":        set(get, ":authority", "exa mple.com"),
		"path in :authority":         set(get, ":authority", "example.com/a"),
		"invalid :method":            set(get, ":method", "G ET"),
		"empty :method":              set(get, ":method", ""),
		"invalid :scheme":            set(get, ":scheme", "1"),
		":status in a request":       with([]string{":status", "200"}, get...),
		":protocol unasked":          with([]string{":protocol", "a"}, set(get, ":method", "CONNECT")...),
		"host that differs":          with(get, "host", "other.com"),
		"empty host":                 with(without(get, ":authority"), "host", ""),
		"user in host":               with(without(get, ":authority"), "host", "me@example.com"),
		"no authority for HTTPS":     set(without(get, ":authority"), ":scheme", "HTTPS"),
		"two hosts":                  with(get, "host", "example.com", "host", "other.com"),
		"CONNECT with :path":         set(get, ":method", "CONNECT"),
		"CONNECT without :authority": {":method", "CONNECT"},
		"capital letter":             with(get, "Abc", "d"),
		"empty name":                 with(get, "", "d"),
		"space in name":              with(get, "a b", "d"),
		"colon in name":              with(get, "a:b", "d"),
		"umlaut in name":             with(get, "\xe4", "d"),
		"NUL in value":               with(get, "a", "b\x00"),
		"CR in value":                with(get, "a", "b\rc"),
		"LF in value":                with(get, "a", "b\nc"),
		"DEL in value":               with(get, "a", "\x7f"),
		"connection":                 with(get, "connection", "close"),
		"keep-alive":                 with(get, "keep-alive", "1"),
		"proxy-connection":           with(get, "proxy-connection", "close"),
		"transfer-encoding":          with(get, "transfer-encoding", "chunked"),
		"upgrade":                    with(get, "upgrade", "h2c"),
		"te gzip":                    with(get, "te", "gzip"),
		"te trailers, gzip":          with(get, "te", "trailers, gzip"),
		"content-length -1":          with(get, "content-length", "-1"),
		"content-length +1":          with(get, "content-length", "+1"),
		"content-length empty":       with(get, "content-length", ""),
		"content-length 1,1":         with(get, "content-length", "1,1"),
		"content-length huge":        with(get, "content-length", "99999999999999999999"),
		"two content-lengths":        with(get, "content-length", "1", "content-length", "2"),
		"only fields":                {"a", "b"},
		"nothing":                    {},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, false, nil)
			s.f.peerWrite(0, headers(nv...), false)
			s.quiet()
			st := s.f.streams[0]
			if !st.reset || ErrorCode(st.resetCode) != CodeMessageError || !st.weStopped || ErrorCode(st.weStopCode) != CodeMessageError {
				t.Errorf("stream %+v", st)
			}
			if s.c.Stats().Malformed != 1 || s.c.ActiveRequests() != 0 {
				t.Errorf("%+v, %d requests", s.c.Stats(), s.c.ActiveRequests())
			}
		})
	}
	for name, nv := range map[string][]string{
		"no :status":            {"a", "b"},
		"two :status":           {":status", "200", ":status", "200"},
		":status 99":            {":status", "99"},
		":status 099":           {":status", "099"},
		":status 2000":          {":status", "2000"},
		":status 101":           {":status", "101"},
		":status empty":         {":status", ""},
		":method in a response": {":status", "200", ":method", "GET"},
		":status after a field": {"a", "b", ":status", "200"},
		"connection":            {":status", "200", "connection", "close"},
		"capital letter":        {":status", "200", "A", "close"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, true, nil)
			id, err := s.c.OpenRequest(fields(get...), false)
			if err != nil {
				t.Fatal(err)
			}
			s.f.peerWrite(id, headers(nv...), false)
			if ev := s.want(EventReset, id); ev.Err.Code != CodeMessageError || ev.Err.Remote {
				t.Errorf("%v", ev.Err)
			}
			if st := s.f.streams[id]; !st.reset || !st.weStopped || s.c.ActiveRequests() != 0 {
				t.Errorf("stream %+v", st)
			}
			if _, err := s.c.WriteBody(id, []byte("x"), false); err != ErrNoStream {
				t.Errorf("write: %v", err)
			}
		})
	}
}

func TestWellFormed(t *testing.T) {
	for name, nv := range map[string][]string{
		"host alone":          {":method", "GET", ":scheme", "https", ":path", "/", "host", "example.com"},
		"host too":            with(get, "host", "EXAMPLE.com"),
		"OPTIONS *":           {":method", "OPTIONS", ":scheme", "https", ":path", "*", ":authority", "a"},
		"CONNECT":             {":method", "CONNECT", ":authority", "example.com:443"},
		"te":                  with(get, "te", "trailers"),
		"other scheme":        {":method", "GET", ":scheme", "coap", ":path", ""},
		"values":              with(get, "a", "\t \xe4\xff", "b", ""),
		"same content-length": with(get, "content-length", "0", "content-length", "0"),
		"extended CONNECT":    {":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https", ":path", "/", ":authority", "a"},
		"IPv6":                {":method", "GET", ":scheme", "https", ":authority", "[::1]:443", ":path", "/?a=b&c"},
	} {
		s := newScript(t, false, &Config{EnableConnectProtocol: true})
		s.f.peerWrite(0, headers(nv...), true)
		if ev := s.want(EventHeaders, 0); !ev.End || len(ev.Fields) != len(nv)/2 {
			t.Errorf("%s: %+v", name, ev)
		}
		s.quiet()
	}
}

// TestContentLength: the body is held against content-length on every path to
// its end (RFC 9114, Section 4.1.2).
func TestContentLength(t *testing.T) {
	five := with(post, "content-length", "5")
	type step struct {
		b   []byte
		fin bool
	}
	for _, c := range []struct {
		name  string
		steps []step
		ok    bool
	}{
		{"end with the head", []step{{headers(five...), true}}, false},
		{"empty end after the head", []step{{headers(five...), false}, {nil, true}}, false},
		{"empty DATA and end", []step{{headers(five...), false}, {frame(FrameData, ""), true}}, false},
		{"too little", []step{{join(headers(five...), frame(FrameData, "1234")), true}}, false},
		{"too little, empty end", []step{{join(headers(five...), frame(FrameData, "1234")), false}, {nil, true}}, false},
		{"too much", []step{{join(headers(five...), frame(FrameData, "123456")), false}}, false},
		{"too much later", []step{{join(headers(five...), frame(FrameData, "12345"), frame(FrameData, "6")), true}}, false},
		{"too much announced", []step{{join(headers(five...), frame(FrameData, "12345"), AppendFrameHeader(nil, FrameData, MaxVarint)), false}}, false},
		{"too little, trailers", []step{{join(headers(five...), frame(FrameData, "1234"), headers("a", "b")), true}}, false},
		{"too little, unknown frame", []step{{join(headers(five...), frame(FrameData, "1234"), frame(0x21, "5")), true}}, false},
		{"right", []step{{join(headers(five...), frame(FrameData, "123"), frame(FrameData, ""), frame(FrameData, "45")), true}}, true},
		{"right, empty end", []step{{join(headers(five...), frame(FrameData, "12345")), false}, {nil, true}}, true},
		{"right, trailers", []step{{join(headers(five...), frame(FrameData, "12345"), headers("a", "b")), true}}, true},
		{"zero", []step{{headers(with(post, "content-length", "0")...), true}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(t, false, nil)
			var failed *StreamError
			ended := false
			for _, step := range c.steps {
				s.f.peerWrite(0, step.b, step.fin)
				for {
					ev, ok, err := s.c.Next()
					if err != nil {
						t.Fatal(err)
					}
					if !ok {
						break
					}
					ended = ended || ev.End || ev.Kind == EventEnd
					if ev.Kind == EventReset {
						failed = ev.Err
					}
					if ev.Kind == EventData {
						p := make([]byte, 100)
						_, fin, err := s.c.ReadBody(0, p)
						ended = ended || fin
						if se, is := err.(*StreamError); is {
							failed = se
						} else if err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if c.ok {
				if !ended || failed != nil || s.c.Stats().Malformed != 0 {
					t.Errorf("ended %v, error %v", ended, failed)
				}
				return
			}
			if failed != nil && errors.Is(failed, io.ErrUnexpectedEOF) == strings.HasPrefix(c.name, "too much") {
				t.Errorf("%v is io.ErrUnexpectedEOF: %v", failed, errors.Is(failed, io.ErrUnexpectedEOF))
			}
			if ended || s.c.Stats().Malformed != 1 || ErrorCode(s.f.streams[0].resetCode) != CodeMessageError {
				t.Errorf("ended %v, error %v, stream %+v", ended, failed, s.f.streams[0])
			}
		})
	}
}

// TestNoContent: what never has content may have a content-length, but no
// content (RFC 9114, Section 4.1.2).
func TestNoContent(t *testing.T) {
	for _, c := range []struct{ method, status string }{{"HEAD", "200"}, {"GET", "304"}, {"GET", "204"}} {
		for _, body := range []string{"", "x"} {
			s := newScript(t, true, nil)
			id, _ := s.c.OpenRequest(fields(":method", c.method, ":scheme", "https", ":authority", "a", ":path", "/"), true)
			s.f.peerWrite(id, join(headers(":status", c.status, "content-length", "1"), frame(FrameData, body)), true)
			if ev := s.want(EventHeaders, id); ev.ContentLength != 1 {
				t.Errorf("content-length %d", ev.ContentLength)
			}
			want := EventEnd
			if body != "" {
				want = EventReset
			}
			s.want(want, id)
		}
	}
}
