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

// TestReadBeforeReset: what had come when the peer reset its message is read before the error, but not after a Cancel of our own.
func TestReadBeforeReset(t *testing.T) {
	leak.Check(t)
	const size = 3000
	until := func(what string, f func() bool) {
		for ctx := testContext(t); !f(); time.Sleep(time.Millisecond) {
			if ctx.Err() != nil {
				t.Error("it never comes to this:", what)
				return
			}
		}
	}
	reset, stop := make(chan struct{}), make(chan struct{})
	atServer := make(chan error, 1)
	p := connect(t, Config{}, Config{Serve: func(s *Stream) {
		go func() {
			defer s.Release()
			until("the request is there", func() bool { return s.body.Len() == size })
			s.SendHeaders(okHead, false)
			s.Write(make([]byte, size))
			if s.Head().Fields[3].Value == "/reset" {
				<-reset
				s.Reset(h3.CodeInternalError)
			}
			until("the request is reset", s.Complete)
			b, err := io.ReadAll(s)
			if len(b) != size {
				t.Errorf("the server reads %d bytes", len(b))
			}
			atServer <- err
			<-stop
			s.Finish(nil)
		}()
	}}, quic.Config{})
	remote := func(err error, code h3.ErrorCode) {
		t.Helper()
		if se, ok := errors.AsType[*h3.StreamError](err); !ok || !se.Remote || se.Code != code {
			t.Errorf("error is %v", err)
		}
	}
	mine := errors.New("mine")
	for _, path := range []string{"/reset", "/cancel"} {
		s, err := p.client.Open(requestHead("POST", path), OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Write(make([]byte, size))
		if _, err := s.Response(testContext(t)); err != nil {
			t.Fatal(err)
		}
		until("the response is there", func() bool { return s.body.Len() == size })
		want := 0
		if path == "/reset" {
			close(reset)
			until("the response is reset", s.Complete)
			s.Reset(h3.CodeRequestCancelled)
			want = size
		} else {
			s.Cancel(h3.CodeRequestCancelled, mine)
			until("it is cancelled", s.Complete)
		}
		b, err := io.ReadAll(s)
		if len(b) != want {
			t.Errorf("%s: the client reads %d bytes", path, len(b))
		}
		if path == "/reset" {
			remote(err, h3.CodeInternalError)
		} else if err != mine {
			t.Errorf("%s: %v", path, err)
		}
		remote(<-atServer, h3.CodeRequestCancelled)
		stop <- struct{}{}
		s.Release()
	}
	p.idle(t)
}
