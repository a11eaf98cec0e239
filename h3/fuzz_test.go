package h3

import (
	"slices"
	"strings"
	"testing"

	"github.com/frittata-go/frittata/quic"
)

// FuzzFrameHeader: a header is read to its end and no further.
func FuzzFrameHeader(f *testing.F) {
	f.Add([]byte{0, 5})
	f.Add([]byte{0x40, 0x41, 0xc0, 0, 0, 0, 0, 0, 0, 1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h frameHeader
		rest := b
		for p := h.missing(false); len(p) > 0; p = h.missing(false) {
			n := copy(p, rest)
			if n == 0 {
				return
			}
			h.n += uint8(n)
			rest = rest[n:]
		}
		frameType, length := h.take()
		wantType, n := ConsumeVarint(b)
		wantLength, m := ConsumeVarint(b[n:])
		if frameType != wantType || length != wantLength || len(b)-len(rest) != n+m {
			t.Fatalf("%x: type %d, length %d, %d bytes", b, frameType, length, len(b)-len(rest))
		}
		if again := AppendFrameHeader(nil, frameType, length); len(again) > n+m {
			t.Fatalf("%x encoded as %x", b, again)
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte{1, 10, 6, 20, 7, 30, 8, 1, 0x33, 1, 0x21, 5})
	f.Add([]byte{6})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSettings(b)
		if err != nil {
			if s != nil || err.Code != CodeFrameError && err.Code != CodeSettingsError {
				t.Fatalf("%v", err)
			}
			return
		}
		if len(s.Other) > len(b)/2 {
			t.Fatalf("%d settings of %d bytes", len(s.Other), len(b))
		}
	})
}

func FuzzPriority(f *testing.F) {
	f.Add("u=1, i")
	f.Add("x=(1 \"u=9)\" 2);y, u=5, z=:YQ==:")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := ParsePriority(s)
		if p.Urgency > 7 || !ok && p != DefaultPriority {
			t.Fatalf("%q: %v, %v", s, p, ok)
		}
	})
}

// FuzzMessage: what passes as a head has the form that http3 relies on.
func FuzzMessage(f *testing.F) {
	f.Add(strings.Join(get, "\n"))
	f.Add(":status\n200\ncontent-length\n5")
	f.Fuzz(func(t *testing.T, text string) {
		list := strings.Split(text, "\n")
		if len(list)%2 == 1 {
			list = append(list, "")
		}
		fs := fields(list...)
		var m message
		if parseRequest(fs, false, &m) == "" {
			if !validToken(m.method) || m.contentLength < -1 || m.extended {
				t.Fatalf("%q: %+v", text, m)
			}
			checkFields(t, fs)
		}
		if parseResponse(fs, &m) == "" {
			if m.status < 100 || m.status > 999 || m.status == 101 || m.contentLength < -1 {
				t.Fatalf("%q: %+v", text, m)
			}
			checkFields(t, fs)
		}
	})
}

func checkFields(t *testing.T, fs []Field) {
	t.Helper()
	regular := false
	for _, f := range fs {
		if strings.HasPrefix(f.Name, ":") {
			if regular {
				t.Fatalf("%q after a field", f.Name)
			}
		} else {
			regular = true
		}
		if f.Name == "" || strings.ToLower(f.Name) != f.Name || strings.ContainsAny(f.Name, " \t\r\n\x00") {
			t.Fatalf("name %q", f.Name)
		}
		if strings.ContainsAny(f.Value, "\r\n\x00") {
			t.Fatalf("value %q", f.Value)
		}
	}
}

// FuzzConn plays a peer that does what the input says: three bytes each choose
// the stream, what happens, and how many of the bytes behind them the stream gets. After each step the Conn
// has its events taken and answered, and its state is checked.
func FuzzConn(f *testing.F) {
	step := func(stream, what byte, b ...byte) []byte { return append([]byte{stream, what, byte(len(b))}, b...) }
	control := step(2, 0, join([]byte{0}, AppendSettings(nil, []Setting{{6, 1000}}))...)
	for _, client := range []bool{false, true} {
		for _, seed := range [][]byte{
			join(control, step(0, 1, headers(get...)...)),
			join(control, step(0, 0, join(headers(with(post, "content-length", "3")...), frame(FrameData, "abc"))...), step(0, 1)),
			join(control, step(0, 0, join(headers(":status", "200"), frame(FrameData, "abc"), headers("a", "b"))...), step(0, 2), step(0, 3)),
			join(control, step(2, 0, frame(FrameGoAway, "\x00")...), step(6, 0, 2, 0x20), step(10, 0, 3, 0x40)),
			join(control, step(14, 1, 0x21, 1), step(18, 0, 0x40, 0x54, 1), step(4, 0, 0x40, 0x41, 9)),
		} {
			f.Add(client, seed)
		}
	}
	f.Fuzz(func(t *testing.T, client bool, b []byte) {
		s := newBareScript(t, client, &Config{MaxFieldSectionSize: 500, EnableConnectProtocol: true, RawUniTypes: []uint64{0x54}, RawBidiTypes: []uint64{0x41}})
		s.f.sendBuf = 64
		if client {
			for range 4 {
				if _, err := s.c.OpenRequest(fields(get...), false); err != nil {
					t.Fatal(err)
				}
			}
		}
		for len(b) >= 3 {
			id, what, n := quic.StreamID(b[0]%32), b[1], min(int(b[2]), len(b)-3)
			data := b[3 : 3+n]
			b = b[3+n:]
			ours := id.ServerInitiated() != client
			if ours && s.f.streams[id] == nil {
				continue // QUIC's business
			}
			canSend := id.Dir() == quic.Bidi || !ours
			switch st := s.f.streams[id]; {
			case what%4 == 2 && canSend && (st == nil || !st.inFin):
				s.f.peerResets(id, uint64(what))
			case what%4 == 3 && (id.Dir() == quic.Bidi || ours):
				s.f.peerStops(id, uint64(what))
			case canSend && (st == nil || !st.inFin && !st.peerReset):
				s.f.peerWrite(id, data, what%4 == 1)
			}
			if !drive(t, s, what) {
				return
			}
		}
	})
}

// drive takes and answers all events. It returns false after an error of the connection.
func drive(t *testing.T, s *script, how byte) bool {
	fatal := func(err error) bool {
		if _, ok := err.(*Error); !ok {
			t.Fatalf("error %T %v", err, err)
		}
		if s.c.Err() != err {
			t.Fatalf("error %v, Err %v", err, s.c.Err())
		}
		return false
	}
	ended := make(map[quic.StreamID]bool)
	for i := 0; ; i++ {
		if i > 10_000 {
			t.Fatal("events without end")
		}
		ev, ok, err := s.c.Next()
		if err != nil {
			return fatal(err)
		}
		if !ok {
			break
		}
		if ended[ev.Stream] && (ev.Kind == EventData || ev.Kind == EventTrailers || ev.Kind == EventEnd || ev.Kind == EventReset || ev.Kind == EventHeaders) {
			t.Fatalf("event %v of stream %d after its end", ev.Kind, ev.Stream)
		}
		switch ev.Kind {
		case EventHeaders:
			checkFields(t, ev.Fields)
			if !s.c.client {
				s.c.SendHeaders(ev.Stream, fields(":status", "200", "x", strings.Repeat("~", int(how))), how&64 != 0)
			}
		case EventTrailers:
			checkFields(t, ev.Fields)
		case EventData:
			if how&128 != 0 {
				break
			}
			_, fin, err := s.c.ReadBody(ev.Stream, make([]byte, 20))
			if _, ok := err.(*StreamError); ok {
				fin = true
			} else if err != nil && err != ErrNoStream {
				return fatal(err)
			}
			ended[ev.Stream] = fin
		case EventReset, EventStopped:
			if ev.Err == nil {
				t.Fatal("no error")
			}
		case EventRawStream:
			if how&32 != 0 {
				s.c.ForgetRawStream(ev.Stream)
			}
		}
		if ev.End || ev.Kind == EventEnd || ev.Kind == EventReset {
			ended[ev.Stream] = true
		}
		if ev.Kind != EventRawStream && how&16 != 0 {
			s.c.WriteBody(ev.Stream, make([]byte, how), how&8 != 0)
		}
	}
	for id := range s.f.streams {
		s.f.take(id, int(how))
	}
	requests := 0
	for id, st := range s.c.streams {
		if st.id != id {
			t.Fatalf("stream %d under %d", st.id, id)
		}
		if st.kind == kindRequest || st.kind == kindBidiNew {
			requests++
			if st.recv == recvDone && st.send == sendDone && !st.pendFin {
				t.Fatalf("stream %d is done and still there", id)
			}
		}
		if len(st.payload) > 500 {
			t.Fatalf("stream %d holds %d bytes", id, len(st.payload))
		}
		if st.received > uint64(st.length) && st.length >= 0 {
			t.Fatalf("stream %d got %d of %d bytes", id, st.received, st.length)
		}
	}
	if requests != s.c.ActiveRequests() {
		t.Fatalf("%d requests, counted %d", requests, s.c.ActiveRequests())
	}
	for st := s.c.free; st != nil; st = st.next {
		if slices.ContainsFunc(s.c.ready[s.c.readyAt:], func(id quic.StreamID) bool { return s.c.streams[id] == st }) {
			t.Fatal("a forgotten stream is in use")
		}
	}
	return true
}
