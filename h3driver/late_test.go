package h3driver

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// outcome is a Notifier.
type outcome chan error

func (o outcome) StreamDone(err error) { o <- err }

// A response whose handler has returned, and that the client does not take, is reset at its deadline
// and leaves nothing behind, wherever it has come to.
func TestResponseAfterItsDeadline(t *testing.T) {
	const window = 16 << 10
	for _, test := range []struct {
		name string
		size int           // of the body
		wait time.Duration // of the deadline
	}{
		{"in the pipe", 400 << 10, 50 * time.Millisecond},
		{"in QUIC", 100 << 10, 50 * time.Millisecond},
		{"too late at once", 100, -time.Second},
		{"in the pipe, too late at once", 400 << 10, -time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			leak.Check(t)
			serve := func(s *Stream) {
				go func() {
					defer s.Release()
					b := Buffers().Get(test.size)
					b.B = append(b.B, make([]byte, test.size)...)
					s.SetWriteDeadline(time.Now().Add(test.wait))
					s.SendHeaders(okHead, false)
					s.Finish(b)
				}()
			}
			p := connect(t, Config{BodyBuffer: 1000}, Config{Serve: serve},
				quic.Config{StreamWindow: window, MaxStreamWindow: window, SendBuffer: 200 << 10})
			s, err := p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Release()
			done := make(outcome, 1)
			s.SetNotifier(done)
			err = <-done
			if se, ok := errors.AsType[*h3.StreamError](err); !ok || !se.Remote || se.Code != h3.CodeRequestCancelled {
				t.Errorf("the stream ended with %v", err)
			}
			p.idle(t)
			p.noStreams(t)
		})
	}
}

// noStreams waits until the server's QUIC has no request left.
func (p *pair) noStreams(t *testing.T) {
	t.Helper()
	for n := -1; n != 0; {
		if err := p.server.Conn().Call(testContext(t), func(c *quic.Conn) { n = c.OpenStreamsOf(quic.Bidi) }); err != nil {
			t.Fatal(err)
		}
	}
}

// Responses that arrive in time are left alone, and of many of them nothing is kept.
func TestResponsesBeforeTheirDeadline(t *testing.T) {
	leak.Check(t)
	serve := func(s *Stream) {
		go func() {
			defer s.Release()
			s.SetWriteDeadline(time.Now().Add(time.Hour))
			s.SendHeaders(okHead, false)
			s.Write(make([]byte, 100))
			s.Finish(nil)
		}()
	}
	p := connect(t, Config{}, Config{Serve: serve}, quic.Config{})
	for range 10 * minLate {
		s, err := p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Response(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(s); len(b) != 100 || err != nil {
			t.Fatal(len(b), err)
		}
		s.Release()
	}
	p.idle(t)
	noted := 0
	if err := p.server.Conn().Call(testContext(t), func(*quic.Conn) { noted = len(p.server.late.list) }); err != nil {
		t.Fatal(err)
	}
	if noted == 0 || noted > minLate {
		t.Errorf("%d responses are noted", noted)
	}
}

// The deadline that comes first is not lost behind one that comes later.
func TestDeadlinesOutOfOrder(t *testing.T) {
	leak.Check(t)
	const window = 16 << 10
	waits := make(chan time.Duration, 3)
	for _, d := range []time.Duration{time.Hour, 100 * time.Millisecond, 50 * time.Millisecond} {
		waits <- d
	}
	serve := func(s *Stream) {
		go func() {
			defer s.Release()
			b := Buffers().Get(4 * window)
			b.B = append(b.B, make([]byte, 4*window)...)
			s.SetWriteDeadline(time.Now().Add(<-waits))
			s.SendHeaders(okHead, false)
			s.Finish(b)
		}()
	}
	p := connect(t, Config{BodyBuffer: 1000}, Config{Serve: serve}, quic.Config{StreamWindow: window, MaxStreamWindow: window})
	done := make(outcome, 3)
	var streams []*Stream
	for range 3 {
		s, err := p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
		if err != nil {
			t.Fatal(err)
		}
		s.SetNotifier(done)
		streams = append(streams, s)
	}
	for range 2 {
		if err := <-done; err == nil {
			t.Error("a response has arrived")
		}
	}
	whole := 0
	for _, s := range streams {
		if b, err := io.ReadAll(s); len(b) == 4*window && err == nil {
			whole++
		}
		s.Release()
	}
	if whole != 1 {
		t.Errorf("%d responses have arrived", whole)
	}
}
