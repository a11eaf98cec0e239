package h3

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/frittata-go/frittata/quic"
)

// TestExchange has a client and a server exchange a request and a response, with
// all pieces that a message may have, over a transport that cuts and holds back data.
func TestExchange(t *testing.T) {
	for _, size := range []struct{ piece, sendBuf int }{{-1, 1 << 20}, {1, 64}, {7, 40}, {1000, 900}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			cf, sf := newFake(true), newFake(false)
			cf.sendBuf, sf.sendBuf = size.sendBuf, size.sendBuf
			client, err := newConn(cf, nil)
			if err != nil {
				t.Fatal(err)
			}
			server, err := newConn(sf, nil)
			if err != nil {
				t.Fatal(err)
			}
			body := bytes.Repeat([]byte("0123456789abcdef"), 500)
			reqHead := fields(with(post, "Content-Length", fmt.Sprint(len(body)), "x-long", strings.Repeat("~", 500))...)
			id, err := client.OpenRequest(reqHead, false)
			if err != nil {
				t.Fatal(err)
			}
			a, b := &endpoint{t: t, c: client, body: body}, &endpoint{t: t, c: server, body: body, server: true}
			a.send(id)
			for i := 0; !a.done || !b.done; i++ {
				if i > 1_000_000 {
					t.Fatalf("stuck: %+v\n%+v", a, b)
				}
				m1, m2 := pump(cf, sf, size.piece), pump(sf, cf, size.piece)
				b.turn()
				a.turn()
				if !m1 && !m2 && (!a.done || !b.done) {
					if !pump(cf, sf, -1) && !pump(sf, cf, -1) && i > 1000 {
						t.Fatalf("nothing moves: %v", i)
					}
				}
			}
			for name, e := range map[string]*endpoint{"client": a, "server": b} {
				if !bytes.Equal(e.got, body) {
					t.Errorf("%s got %d bytes of body", name, len(e.got))
				}
				if len(e.trailers) != 1 || e.trailers[0].Name != "x-sum" {
					t.Errorf("%s got trailers %v", name, e.trailers)
				}
				if e.c.ActiveRequests() != 0 || len(e.c.streams) != 6 {
					t.Errorf("%s has %d requests, %d streams", name, e.c.ActiveRequests(), len(e.c.streams))
				}
			}
			if a.interim != 2 || a.status != 200 {
				t.Errorf("%d interim responses, status %d", a.interim, a.status)
			}
		})
	}
}

// endpoint sends a body and trailers, and collects those of the peer.
type endpoint struct {
	t        *testing.T
	c        *Conn
	server   bool
	body     []byte
	at       int
	sent     bool
	buf      bool
	got      []byte
	trailers []Field
	interim  int
	status   int
	done     bool
}

func (e *endpoint) turn() {
	for {
		ev, ok, err := e.c.Next()
		if err != nil {
			e.t.Fatal(err)
		}
		if !ok {
			return
		}
		switch ev.Kind {
		case EventHeaders:
			e.status = ev.Status
			if ev.Interim {
				e.interim++
				continue
			}
			if e.server {
				for _, status := range []string{"100", "103", "200"} {
					if err := e.c.SendHeaders(ev.Stream, fields(":status", status, "server", "x"), false); err != nil {
						e.t.Fatal(err)
					}
				}
				e.send(ev.Stream)
			}
		case EventData:
			e.read(ev.Stream)
		case EventTrailers:
			e.trailers = slices.Clone(ev.Fields)
			e.done = e.done || ev.End
		case EventEnd:
			e.done = true
		case EventWritable:
			e.send(ev.Stream)
		case EventSettings:
		default:
			e.t.Fatalf("event %v: %v", ev.Kind, ev.Err)
		}
	}
}

func (e *endpoint) read(id quic.StreamID) {
	var p [33]byte
	for {
		e.buf = !e.buf
		var n int
		var fin bool
		var err error
		if e.buf {
			var b *quic.Buffer
			if b, fin, err = e.c.ReadBodyBuf(id, 100); b != nil {
				n = len(b.B)
				e.got = append(e.got, b.B...)
				b.Release()
			}
		} else {
			n, fin, err = e.c.ReadBody(id, p[:])
			e.got = append(e.got, p[:n]...)
		}
		if err != nil {
			e.t.Fatal(err)
		}
		if fin {
			e.done = true
		}
		if n == 0 {
			return
		}
	}
}

func (e *endpoint) send(id quic.StreamID) {
	if e.sent {
		return
	}
	for e.at < len(e.body) {
		n := min(len(e.body)-e.at, 501)
		if e.at%2 == 0 {
			m, err := e.c.WriteBody(id, e.body[e.at:e.at+n], false)
			if err != nil {
				e.t.Fatal(err)
			}
			e.at += m
			if m < n {
				return
			}
			continue
		}
		b := &quic.Buffer{B: slices.Clone(e.body[e.at : e.at+n])}
		ok, err := e.c.WriteBodyBuf(id, b, false)
		if err != nil {
			e.t.Fatal(err)
		}
		if !ok {
			return
		}
		e.at += n
	}
	e.sent = true
	if err := e.c.SendTrailers(id, fields("X-Sum", "1")); err != nil {
		e.t.Fatal(err)
	}
}

func TestOrder(t *testing.T) {
	s := newScript(t, false, nil)
	s.f.peerWrite(0, headers(get...), true)
	s.want(EventHeaders, 0)
	ok := fields(":status", "200")
	if _, err := s.c.WriteBody(0, []byte("x"), false); err != ErrOrder {
		t.Errorf("body before the head: %v", err)
	}
	if err := s.c.SendTrailers(0, nil); err != ErrOrder {
		t.Errorf("trailers before the head: %v", err)
	}
	if err := s.c.SendHeaders(0, fields(":status", "103"), true); err != ErrOrder {
		t.Errorf("an end with an interim response: %v", err)
	}
	for _, f := range [][]Field{nil, fields("a", "b"), fields(":status", "101"), fields(":status", "x")} {
		if err := s.c.SendHeaders(0, f, false); err != ErrOrder {
			t.Errorf("head %v: %v", f, err)
		}
	}
	if err := s.c.SendHeaders(0, ok, false); err != nil {
		t.Fatal(err)
	}
	if err := s.c.SendHeaders(0, ok, false); err != ErrOrder {
		t.Errorf("second head: %v", err)
	}
	if n, err := s.c.WriteBody(0, nil, true); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := s.c.WriteBody(0, nil, true); err != ErrNoStream {
		t.Errorf("after the end: %v", err)
	}
	if got, fin := s.f.take(0, -1); !fin || string(got) != "\x01\x03\x00\x00\xd9" {
		t.Errorf("sent %x, %v", got, fin)
	}
	if s.c.ActiveRequests() != 0 {
		t.Error("the request is still there")
	}
	if _, err := s.c.OpenRequest(fields(get...), true); err != ErrOrder {
		t.Errorf("request of a server: %v", err)
	}
}

// TestExactFrames: whatever room there is, a frame announces what follows.
func TestExactFrames(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		s := newScript(t, false, nil)
		s.f.peerWrite(0, headers(get...), true)
		s.want(EventHeaders, 0)
		s.f.sendBuf = 20 + rng.IntN(200)
		if err := s.c.SendHeaders(0, fields(":status", "200"), false); err != nil {
			t.Fatal(err)
		}
		var want, stream []byte
		fin := false
		for n := 0; len(want) < 3000; {
			p := bytes.Repeat([]byte{byte('a' + len(want)%26)}, 1+rng.IntN(300))
			last := len(want)+len(p) >= 3000
			if rng.IntN(2) == 0 {
				m, err := s.c.WriteBody(0, p, last)
				if err != nil {
					t.Fatal(err)
				}
				n, want, fin = m, append(want, p[:m]...), last && m == len(p)
			} else if ok, err := s.c.WriteBodyBuf(0, &quic.Buffer{B: p}, last); err != nil {
				t.Fatal(err)
			} else if n = 0; ok {
				n, want, fin = len(p), append(want, p...), last
			}
			if n < len(p) {
				s.quiet()
				if s.c.BodyCapacity(0) > s.f.sendBuf {
					t.Fatal("capacity")
				}
				sent, _ := s.f.take(0, rng.IntN(s.f.sendBuf))
				stream = append(stream, sent...)
				if more := s.f.streams[0].out; len(more) <= s.f.sendBuf/2 {
					s.want(EventWritable, 0)
				} else {
					s.f.take(0, 0)
					sent, _ = s.f.take(0, -1)
					stream = append(stream, sent...)
					s.want(EventWritable, 0)
				}
			}
		}
		if !fin {
			if _, err := s.c.WriteBody(0, nil, true); err != nil {
				t.Fatal(err)
			}
		}
		sent, end := s.f.take(0, -1)
		stream = append(stream, sent...)
		if !end || s.c.ActiveRequests() != 0 {
			t.Fatal("not ended")
		}
		var got []byte
		for at := 5; at < len(stream); {
			frameType, n := ConsumeVarint(stream[at:])
			size, m := ConsumeVarint(stream[at+n:])
			at += n + m
			if frameType != FrameData || n == 0 || m == 0 || at+int(size) > len(stream) {
				t.Fatalf("frame type %d of %d bytes at %d of %d", frameType, size, at, len(stream))
			}
			got = append(got, stream[at:at+int(size)]...)
			at += int(size)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came, want %d", len(got), len(want))
		}
	}
}

// TestEndBehindKeptHead: what follows a head that did not fit waits, the end too.
func TestEndBehindKeptHead(t *testing.T) {
	s := newScript(t, false, nil)
	s.f.peerWrite(0, headers(get...), true)
	s.want(EventHeaders, 0)
	s.f.sendBuf = 10
	if err := s.c.SendHeaders(0, fields(":status", "200", "a", strings.Repeat("~", 20)), false); err != nil {
		t.Fatal(err)
	}
	if n, err := s.c.WriteBody(0, []byte("x"), true); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := s.c.WriteBody(0, nil, true); err != nil {
		t.Fatal(err)
	}
	if s.c.ActiveRequests() != 1 {
		t.Fatal("the request was forgotten with data to send")
	}
	var got []byte
	for fin := false; !fin; {
		var p []byte
		if p, fin = s.f.take(0, -1); len(p) == 0 && !fin {
			t.Fatal("nothing sent")
		}
		got = append(got, p...)
		s.quiet()
	}
	if want := headers(":status", "200", "a", strings.Repeat("~", 20)); !bytes.Equal(got, want) {
		t.Errorf("sent %x, want %x", got, want)
	}
	if s.c.ActiveRequests() != 0 {
		t.Error("the request is still there")
	}
}

func TestResetAndStop(t *testing.T) {
	t.Run("client resets and stops", func(t *testing.T) {
		s := newScript(t, false, nil)
		s.f.peerWrite(0, join(headers(post...), frame(FrameData, "abc")), false)
		s.want(EventHeaders, 0)
		s.want(EventData, 0)
		s.f.peerResets(0, uint64(CodeRequestCancelled))
		s.f.peerStops(0, uint64(CodeRequestCancelled))
		if ev := s.want(EventReset, 0); !ev.Err.Remote || ev.Err.Code != CodeRequestCancelled {
			t.Errorf("%v", ev.Err)
		}
		if ev := s.want(EventStopped, 0); !ev.Err.Remote || ev.Err.Code != CodeRequestCancelled {
			t.Errorf("%v", ev.Err)
		}
		if s.c.ActiveRequests() != 0 {
			t.Error("the request is still there")
		}
	})
	t.Run("reset found by a read", func(t *testing.T) {
		s := newScript(t, false, nil)
		s.f.peerWrite(0, join(headers(post...), frame(FrameData, "abc")), false)
		s.want(EventHeaders, 0)
		s.want(EventData, 0)
		s.f.peerResets(0, 7)
		_, _, err := s.c.ReadBody(0, make([]byte, 10))
		if se, ok := errors.AsType[*StreamError](err); !ok || se.Code != 7 || !se.Remote {
			t.Errorf("%v", err)
		}
		s.quiet()
		if _, _, err := s.c.ReadBody(0, make([]byte, 10)); err != ErrNoStream {
			t.Errorf("%v", err)
		}
		if err := s.c.SendHeaders(0, fields(":status", "200"), true); err != nil {
			t.Errorf("the response after a reset of the request: %v", err)
		}
	})
	t.Run("stop found by a write", func(t *testing.T) {
		s := newScript(t, true, nil)
		id, _ := s.c.OpenRequest(fields(post...), false)
		s.f.peerStops(id, uint64(CodeNoError))
		_, err := s.c.WriteBody(id, []byte("x"), false)
		if se, ok := errors.AsType[*StreamError](err); !ok || se.Code != CodeNoError || !se.Remote {
			t.Errorf("%v", err)
		}
		s.quiet()
		// RFC 9114, Section 4.1: the response is good all the same.
		s.f.peerWrite(id, headers(":status", "200"), true)
		s.want(EventHeaders, id)
		if s.c.ActiveRequests() != 0 {
			t.Error("the request is still there")
		}
	})
	t.Run("cancel", func(t *testing.T) {
		s := newScript(t, true, nil)
		id, _ := s.c.OpenRequest(fields(post...), false)
		s.c.Cancel(id, CodeRequestCancelled)
		s.c.Cancel(id, CodeRequestCancelled)
		if st := s.f.streams[id]; !st.reset || !st.weStopped || s.c.ActiveRequests() != 0 {
			t.Errorf("%+v", st)
		}
		s.f.peerWrite(id, headers(":status", "200"), true)
		s.quiet()
	})
	t.Run("incomplete request", func(t *testing.T) {
		s := newScript(t, false, nil)
		s.f.peerWrite(0, frame(0x21, ""), true)
		s.f.peerWrite(4, nil, true)
		s.f.peerResets(8, 0)
		s.f.peerResets(12, uint64(CodeRequestCancelled))
		s.quiet()
		for id, code := range map[quic.StreamID]ErrorCode{0: CodeRequestIncomplete, 4: CodeRequestIncomplete, 8: CodeRequestIncomplete, 12: CodeRequestRejected} {
			if st := s.f.streams[id]; !st.reset || ErrorCode(st.resetCode) != code {
				t.Errorf("stream %d: reset %v with %v", id, st.reset, ErrorCode(st.resetCode))
			}
		}
		if s.c.ActiveRequests() != 0 || s.c.Stats().Incomplete != 4 {
			t.Errorf("%d requests, %+v", s.c.ActiveRequests(), s.c.Stats())
		}
	})
	t.Run("response that never comes", func(t *testing.T) {
		for _, b := range [][]byte{nil, headers(":status", "100")} {
			s := newScript(t, true, nil)
			id, _ := s.c.OpenRequest(fields(get...), true)
			s.f.peerWrite(id, b, true)
			if ev := s.want(EventReset, id); ev.Err.Code != CodeMessageError {
				t.Errorf("%v", ev.Err)
			}
		}
	})
	t.Run("early end of reading", func(t *testing.T) {
		s := newScript(t, false, nil)
		s.f.peerWrite(0, headers(post...), false)
		s.want(EventHeaders, 0)
		if err := s.c.StopSending(0, CodeNoError); err != nil {
			t.Fatal(err)
		}
		if err := s.c.SendHeaders(0, fields(":status", "200"), true); err != nil {
			t.Fatal(err)
		}
		if s.c.ActiveRequests() != 0 {
			t.Error("the request is still there")
		}
	})
}

func TestGoAway(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		s := newScript(t, false, nil)
		s.f.take(s.c.control.id, -1)
		s.f.peerWrite(4, headers(get...), true)
		s.want(EventHeaders, 4)
		if err := s.c.GoAway(MaxStreamID); err != nil {
			t.Fatal(err)
		}
		s.f.peerWrite(8, headers(get...), true)
		s.want(EventHeaders, 8)
		if err := s.c.Shutdown(); err != nil {
			t.Fatal(err)
		}
		s.c.Shutdown()
		s.c.GoAway(0)
		want := join(frame(FrameGoAway, string(AppendVarint(nil, uint64(MaxStreamID)))), frame(FrameGoAway, "\x0c"))
		if got, _ := s.f.take(s.c.control.id, -1); !bytes.Equal(got, want) {
			t.Errorf("sent %x, want %x", got, want)
		}
		s.f.peerWrite(0, headers(get...), true) // below: still welcome
		s.want(EventHeaders, 0)
		s.f.peerWrite(12, headers(get...), false)
		s.quiet()
		if st := s.f.streams[12]; ErrorCode(st.resetCode) != CodeRequestRejected || ErrorCode(st.weStopCode) != CodeRequestRejected {
			t.Errorf("%+v", st)
		}
		if s.c.ActiveRequests() != 3 || s.c.Stats().Rejected != 1 {
			t.Errorf("%d requests, %+v", s.c.ActiveRequests(), s.c.Stats())
		}
	})
	t.Run("client", func(t *testing.T) {
		s := newScript(t, true, nil)
		id, _ := s.c.OpenRequest(fields(get...), true)
		s.f.peerWrite(s.peerUni(0), join(frame(FrameGoAway, "\x08"), frame(FrameGoAway, "\x04"), frame(FrameGoAway, "\x04")), false)
		for _, want := range []uint64{8, 4, 4} {
			if ev := s.event(); ev.Kind != EventGoAway || ev.ID != want {
				t.Errorf("event %v %d", ev.Kind, ev.ID)
			}
		}
		if _, err := s.c.OpenRequest(fields(get...), true); err != ErrGoAway {
			t.Errorf("%v", err)
		}
		s.f.peerWrite(id, headers(":status", "200"), true)
		s.want(EventHeaders, id)
		s.f.take(s.c.control.id, -1)
		s.c.Shutdown()
		if got, _ := s.f.take(s.c.control.id, -1); string(got) != "\x07\x01\x00" {
			t.Errorf("sent %x", got)
		}
	})
}

// TestTransportError: what the transport says ends the Conn.
func TestTransportError(t *testing.T) {
	s := newScript(t, false, nil)
	s.f.peerWrite(0, headers(post...), false)
	s.want(EventHeaders, 0)
	boom := errors.New("boom")
	s.f.closed = boom
	s.f.armRead(0)
	if _, _, err := s.c.Next(); err != boom || s.c.Err() != boom {
		t.Errorf("%v, %v", err, s.c.Err())
	}
	if _, _, err := s.c.ReadBody(0, nil); err != boom {
		t.Errorf("%v", err)
	}
	if err := s.c.SendHeaders(0, nil, true); err != boom {
		t.Errorf("%v", err)
	}
	if err := s.c.Shutdown(); err != boom {
		t.Errorf("%v", err)
	}
}
