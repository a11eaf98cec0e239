package quic

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// TestClose closes from either side, for the transport and for the application, in each phase.
func TestClose(t *testing.T) {
	for _, phase := range []string{"handshake", "connected"} {
		for _, byServer := range []bool{false, true} {
			for _, app := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/server %v/app %v", phase, byServer, app), func(t *testing.T) {
					p := newPair(t, fakeConfig(1), fakeConfig(2))
					switch {
					case phase == "connected":
						p.connect()
					case byServer:
						p.until("the server", time.Second, func() bool { return p.server != nil })
					default:
						p.drop = func(toServer bool, n int, _ []byte) bool { return !toServer && n > 2 }
						p.until("the server", time.Second, func() bool { return p.client.hs.heard })
						p.drop = nil
						if p.client.Connected() {
							t.Fatal("too far")
						}
					}
					closer, other := p.client, p.server
					if byServer {
						closer, other = p.server, p.client
					}
					closer.Close(CloseError{Application: app, Code: 0x21, Reason: "enough"})
					closer.Close(CloseError{Code: 3}) // does nothing
					p.until("close", time.Minute, func() bool { return other.Err() != nil && closer.IO().Gone() && other.IO().Gone() })
					want := "application error 0x21: enough"
					code := TransportErrorCode(0x21).String() + ": enough"
					switch {
					case !app:
						want = code
					case phase == "handshake":
						// RFC 9000, Section 10.2.3: not for everyone to read.
						want = ApplicationErrorOccurred.String()
					}
					if got := other.Err().Error(); got != "quic: peer closed the connection: "+want {
						t.Errorf("the peer got %q, want %q", got, want)
					}
					if !strings.HasSuffix(closer.Err().Error(), "enough") {
						t.Errorf("the closer has %q", closer.Err())
					}
					for _, c := range []*Conn{closer, other} {
						n := 0
						for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
							if n == 0 && ev.Kind == EventClosed {
								n++
							} else if n > 0 {
								t.Errorf("event %v after the end", ev.Kind)
							}
						}
						if n != 1 {
							t.Error("no event of the end")
						}
					}
				})
			}
		}
	}
}

// TestCloseBeforeAnswer: a client closes before it heard of the server.
func TestCloseBeforeAnswer(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.client.Close(CloseError{})
	if !errors.Is(p.client.Err(), net.ErrClosed) || p.client.Err() != ErrClosed {
		t.Errorf("error %v", p.client.Err())
	}
	p.until("the end", time.Minute, p.client.IO().Gone)
	if p.server != nil {
		if te, ok := p.server.Err().(*TransportError); !ok || te.Code != NoError {
			t.Errorf("server: %v", p.server.Err())
		}
	}
}

// TestClosingAnswersRarely: packets after the close are answered, ever more rarely
// (RFC 9000, Section 10.2.1).
func TestClosingAnswersRarely(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		s.conn.Close(CloseError{Application: true, Code: 7, Reason: strings.Repeat("long ", 1000)})
		f := s.want("CONNECTION_CLOSE app code=0x7 long")
		if len(f.Data) > maxCloseReason {
			t.Errorf("a reason of %d bytes", len(f.Data))
		}
		s.out = nil
		for range 1000 {
			s.write([]byte{wire.FramePing})
		}
		if n := len(s.out); n > 0 {
			t.Errorf("%d answers to packets that crossed the close", n)
		}
		s.tick(s.conn.Stats().SmoothedRTT)
		for range 1000 {
			s.write([]byte{wire.FramePing})
			s.tick(10 * time.Microsecond)
		}
		if n := len(s.out); n < 5 || n > 12 {
			t.Errorf("%d answers to 1000 packets", n)
		}
		at, ok := s.conn.IO().Deadline()
		if !ok {
			t.Fatal("no end")
		}
		s.tick(at.Sub(s.now))
		if !s.conn.IO().Gone() {
			t.Error("not gone")
		}
		s.out = nil
		s.write([]byte{wire.FramePing})
		if len(s.out) > 0 {
			t.Error("an answer from the grave")
		}
	})
}

// TestCloseAfterSilence: the closing phase lasts three probe timeouts from the CONNECTION_CLOSE on, however long
// ago the last packet was when Close was called, which is not told the time. A close that is lost would never be known else.
func TestCloseAfterSilence(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		s.now = s.now.Add(10 * time.Second)
		s.conn.Close(CloseError{Application: true, Code: 7})
		s.conn.IO().HandleDeadline(s.now)
		s.collect()
		s.want("CONNECTION_CLOSE app code=0x7")
		end, ok := s.conn.IO().Deadline()
		if want := drainPTOs * s.conn.pto(); !ok || end.Sub(s.now) != want {
			t.Fatalf("the end is %v away, want %v", end.Sub(s.now), want)
		}
		s.tick(s.conn.Stats().SmoothedRTT)
		s.forget()
		s.write([]byte{wire.FramePing})
		s.want("CONNECTION_CLOSE app code=0x7")
		s.tick(end.Sub(s.now))
		if !s.conn.IO().Gone() {
			t.Error("not gone")
		}
	})
}

// TestDrainingIsSilent: after the peer's CONNECTION_CLOSE nothing is sent (RFC 9000, Section 10.2.2).
func TestDrainingIsSilent(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		id, err := s.conn.OpenStream(Bidi)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.conn.StreamWrite(id, make([]byte, 100_000), false); err != nil {
			t.Fatal(err)
		}
		s.collect()
		s.out = nil
		s.write(wire.AppendConnectionClose(nil, false, uint64(FlowControlError), 8, "why"), []byte{wire.FramePing})
		te, ok := s.conn.Err().(*TransportError)
		if !ok || te.Code != FlowControlError || te.FrameType != 8 || te.Reason != "why" || !te.Remote {
			t.Errorf("error %v", s.conn.Err())
		}
		s.write([]byte{wire.FramePing})
		s.tick(time.Millisecond)
		if len(s.out) > 0 {
			t.Errorf("sent %+v", s.out)
		}
		s.timer()
		if !s.conn.IO().Gone() {
			t.Error("not gone after its deadline")
		}
		if _, ok := s.conn.IO().Deadline(); ok {
			t.Error("a deadline after the end")
		}
	})
}

// TestIdleTimeout: the lesser of both ends' counts.
func TestIdleTimeout(t *testing.T) {
	for _, test := range []struct{ own, peer, want time.Duration }{
		{30 * time.Second, 10 * time.Second, 10 * time.Second}, {10 * time.Second, 30 * time.Second, 10 * time.Second},
		{10 * time.Second, 0, 10 * time.Second}, {-1, 20 * time.Second, 20 * time.Second}, {-1, 0, 0},
	} {
		s := newScript(t, scriptOptions{
			config: func(c *Config) { c.MaxIdleTimeout = test.own },
			params: func(p *wire.TransportParameters) { p.MaxIdleTimeout = uint64(test.peer / time.Millisecond) },
		}, true)
		s.startPeer()
		s.finishHandshake()
		s.write([]byte{wire.FramePing})
		s.tick(30 * time.Millisecond) // for the ACK
		began := s.now.Add(-30 * time.Millisecond)
		if test.want == 0 {
			s.tick(time.Hour)
			s.wantOpen()
			continue
		}
		for i := 0; i < 100 && s.conn.Err() == nil; i++ {
			s.timer()
		}
		if _, ok := s.conn.Err().(*IdleTimeoutError); !ok || s.now.Sub(began) != test.want || !s.conn.IO().Gone() {
			t.Errorf("%+v: after %v: %v", test, s.now.Sub(began), s.conn.Err())
		}
		s.out = nil
		s.collect()
		if len(s.out) > 0 {
			t.Error("an idle timeout is silent")
		}
	}
}

// TestIdleTimeoutAndSending: the first packet that is sent after one was received begins
// the period anew, the next ones do not (RFC 9000, Section 10.1).
func TestIdleTimeoutAndSending(t *testing.T) {
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.MaxIdleTimeout = 10 * time.Second }})
	s.tick(9 * time.Second)
	s.conn.Ping()
	s.collect()
	s.tick(9 * time.Second)
	s.conn.Ping()
	s.collect()
	s.wantOpen()
	s.tick(2 * time.Second)
	if _, ok := s.conn.Err().(*IdleTimeoutError); !ok {
		t.Errorf("error %v", s.conn.Err())
	}
}

// TestKeepAlive keeps a connection open, at intervals that fit the peer's idle timeout too.
func TestKeepAlive(t *testing.T) {
	for _, every := range []time.Duration{3 * time.Second, time.Minute} {
		client, server := fakeConfig(1), fakeConfig(2)
		client.KeepAlive = every
		server.MaxIdleTimeout = 10 * time.Second
		p := newPair(t, client, server)
		p.connect()
		end := p.now.Add(5 * time.Minute)
		for p.now.Before(end) && p.step() {
		}
		if p.client.Err() != nil || p.server.Err() != nil {
			t.Fatalf("every %v: %v, %v", every, p.client.Err(), p.server.Err())
		}
		if n := p.sent[1]; n > 150 {
			t.Errorf("every %v: %d datagrams to keep it alive", every, n)
		}
	}
}

// resetDatagram looks like a short header packet and ends in a token.
func resetDatagram(token [16]byte) []byte {
	b := make([]byte, 40)
	for i := range b {
		b[i] = byte(i*37) | 1
	}
	b[0] = 0x41
	return append(b, token[:]...)
}

// TestStatelessResetBeforeConfirmation: a server that has given up before the client's Finished came, or was started anew, resets
// a client that knows of no end.
func TestStatelessResetBeforeConfirmation(t *testing.T) {
	token := [16]byte{1, 2, 3}
	s := newScript(t, scriptOptions{params: func(p *wire.TransportParameters) {
		p.StatelessResetToken, p.HasStatelessResetToken = token, true
	}}, false)
	c, err := Connect(s.now, s.config(), pairServerAddr, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	s.conn = c
	for i := 0; i < 20 && !c.Connected(); i++ {
		s.collect()
		s.tick(time.Millisecond)
	}
	if !c.Connected() || c.Confirmed() {
		t.Fatalf("connected %v, confirmed %v", c.Connected(), c.Confirmed())
	}
	s.recvFrom(pairServerAddr, resetDatagram(token))
	if _, ok := c.Err().(*StatelessResetError); !ok {
		t.Errorf("error %v", c.Err())
	}
}

// TestStatelessResetTokens: those of the IDs in use count, and no others (RFC 9000, Section 10.3.1).
func TestStatelessResetTokens(t *testing.T) {
	token := func(seq byte) [16]byte { return [16]byte{seq, 1} }
	bothRoles(t, func(t *testing.T, s *script) {
		remote := pairClientAddr
		if !s.client {
			remote = pairServerAddr
		}
		s.write(newPeerID(1, 0), newPeerID(2, 0))
		s.recvFrom(remote, resetDatagram([16]byte{9, 9}))
		s.recvFrom(remote, resetDatagram(token(1))) // an ID that was not used
		s.wantOpen()
		s.write(newPeerID(3, 2)) // 2 is in use now
		s.recvFrom(remote, resetDatagram(token(1)))
		s.recvFrom(remote, resetDatagram(token(3)))
		tok := token(2)
		s.recvFrom(remote, append([]byte{0x41}, tok[:]...)) // too small
		if !s.client {
			s.recvFrom(newHost, resetDatagram(token(2))) // from elsewhere
		}
		s.wantOpen()
		s.out = nil
		s.recvFrom(remote, resetDatagram(token(2)))
		if _, ok := s.conn.Err().(*StatelessResetError); !ok {
			t.Fatalf("error %v", s.conn.Err())
		}
		s.collect()
		s.write([]byte{wire.FramePing})
		if len(s.out) > 0 {
			t.Error("an answer to a reset")
		}
		s.timer()
		if !s.conn.IO().Gone() {
			t.Error("not gone")
		}
	})
}

// TestServerLosesState: a server that has forgotten all resets the connection.
func TestServerLosesState(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.connect()
	p.endpoint = newTestEndpoint(t, EndpointConfig{Server: true, StatelessResetKey: &pairReset})
	p.server = nil
	id, err := p.client.OpenStream(Bidi)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.client.StreamWrite(id, make([]byte, 500), false); err != nil {
		t.Fatal(err)
	}
	p.until("reset", time.Second, func() bool { return p.client.Err() != nil })
	if _, ok := p.client.Err().(*StatelessResetError); !ok {
		t.Errorf("error %v", p.client.Err())
	}
}

func TestAbort(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		why := errors.New("why")
		s.conn.IO().Abort(why)
		s.conn.IO().Abort(errors.New("again"))
		if s.conn.Err() != why || !s.conn.IO().Gone() {
			t.Errorf("error %v", s.conn.Err())
		}
		s.out = nil
		s.collect()
		if len(s.out) > 0 {
			t.Error("something was sent")
		}
	})
}

// TestMethodsAfterTheEnd calls each method in each phase of the end, with streams
// and datagrams that were there before.
func TestMethodsAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(s *script){
		"closing":  func(s *script) { s.conn.Close(CloseError{Code: 5}) },
		"draining": func(s *script) { s.write(wire.AppendConnectionClose(nil, true, 1, 0, "x")) },
		"gone":     func(s *script) { s.conn.IO().Abort(errors.New("x")) },
		"idle":     func(s *script) { s.tick(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			bothRoles(t, func(t *testing.T, s *script) {
				id, err := s.conn.OpenStream(Bidi)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.conn.StreamWrite(id, make([]byte, 5000), false); err != nil {
					t.Fatal(err)
				}
				s.write(streamFrame(id^1, 3, "abc", true), append(wire.AppendDatagramHeader(nil, 1), 'x'))
				end(s)
				for range 2 {
					for _, v := range []reflect.Value{reflect.ValueOf(s.conn), reflect.ValueOf(s.conn.IO())} {
						callAll(t, v, s, id)
					}
					s.tick(time.Second)
				}
				if n := s.conn.OpenStreams(); n != 0 {
					t.Errorf("%d streams", n)
				}
			})
		})
	}
}

func callAll(t *testing.T, v reflect.Value, s *script, id StreamID) {
	for i := range v.NumMethod() {
		m := v.Type().Method(i)
		var args []reflect.Value
		for j := 1; j < m.Type.NumIn(); j++ {
			a := reflect.New(m.Type.In(j)).Elem()
			switch p := a.Addr().Interface().(type) {
			case *time.Time:
				*p = s.now
			case *StreamID:
				*p = id
			case *[]byte:
				*p = make([]byte, 1500)
			case **Datagram:
				*p = &Datagram{Data: make([]byte, 1200), Remote: netip.AddrPortFrom(pairClientAddr.Addr(), 5)}
			case **Buffer:
				*p = new(BufferPool).Get(10)
			case **Train:
				*p = &Train{N: 1400, Segment: 1400}
			case *error:
				*p = errors.New("x")
			case *int:
				*p = 10
			}
			args = append(args, a)
		}
		out := v.Method(i).Call(args)
		if strings.HasPrefix(m.Name, "StreamRead") && s.conn.life.phase == phaseDraining {
			continue // what came before the peer's close can be read
		}
		// Commands tell why.
		if n := len(out); n > 0 && s.conn.Err() == nil {
			t.Errorf("%s: the connection is open", m.Name)
		} else if n > 0 && m.Type.Out(n-1) == reflect.TypeFor[error]() && m.Name != "CheckInvariants" {
			if err, _ := out[n-1].Interface().(error); err != s.conn.Err() {
				t.Errorf("%s: %v, want %v", m.Name, err, s.conn.Err())
			}
		}
	}
}

// TestCloseAtTheAmplificationLimit: an address that is not validated and has got all that it may be sent is told of the
// close when it sends more.
func TestCloseAtTheAmplificationLimit(t *testing.T) {
	t.Run("after a move", func(t *testing.T) {
		s := newClientScript(t, scriptOptions{})
		s.from(newPort, 60, []byte{wire.FramePing})
		p := s.conn.paths.active
		p.sent = 3 * p.received // as after some challenges
		s.forget()
		s.conn.Close(CloseError{Application: true, Code: 7})
		s.collect()
		if len(s.out) > 0 {
			t.Fatalf("sent %+v", s.out)
		}
		s.tick(time.Millisecond)
		s.from(newPort, 100, []byte{wire.FramePing})
		s.want("CONNECTION_CLOSE app code=0x7")
		if n := s.out[0].size; n > 300 {
			t.Errorf("%d bytes", n)
		}
	})
	t.Run("in the handshake", func(t *testing.T) {
		s := newScript(t, scriptOptions{}, true)
		s.startPeer()
		p := s.conn.paths.active
		p.sent = 3 * p.received // as with a long chain of certificates
		s.conn.Close(CloseError{Application: true, Code: 7})
		s.collect()
		if len(s.out) > 0 {
			t.Fatalf("sent %+v", s.out)
		}
		s.tick(time.Millisecond)
		s.recvConn(s.packet(wire.PacketInitial, []byte{wire.FramePing}))
		s.want("CONNECTION_CLOSE code=0xc")
	})
}
