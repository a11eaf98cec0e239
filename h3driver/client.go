package h3driver

import (
	"context"
	"slices"

	"github.com/frittata-go/frittata/h3"
)

// NotSentError is why a request was not processed by the server for sure: it was not sent, or
// the server said so by GOAWAY (RFC 9114, Section 5.2). It may be sent again on another connection.
type NotSentError struct{ Err error }

// Error tells the cause.
func (e *NotSentError) Error() string { return "request not processed: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *NotSentError) Unwrap() error { return e.Err }

// OpenOptions are how a request begins.
type OpenOptions struct {
	End     bool // there is no body
	Interim bool // Response returns interim responses too
}

// Open begins a request, at a client; any goroutine may. fields begin with the
// pseudo-header fields and are copied. Unless o.End is set Write and CloseWrite
// follow. It does not wait: Response does. The error is a
// *NotSentError, of h3.ErrGoAway or why the connection is closed. Whoever opened a stream calls Release at the end.
func (d *Driver) Open(fields []h3.Field, o OpenOptions) (*Stream, error) {
	s := newStream(d)
	s.wantInterim = o.Interim
	s.putHead(fields, o.End)
	if o.End {
		s.out.Stop(nil)
	}
	d.mu.Lock()
	var err error
	switch {
	case d.closed != nil:
		err = d.closed
	case d.goAway || d.conn == nil:
		err = h3.ErrGoAway
	}
	if err != nil {
		d.mu.Unlock()
		s.release()
		s.release()
		return nil, &NotSentError{err}
	}
	d.opens = append(d.opens, s)
	d.mu.Unlock()
	d.active.Add(1)
	d.conn.Wake()
	return s, nil
}

// maxInterims bounds the interim responses that wait for Response. A server that
// sends more at once than that has the rest of them dropped.
const maxInterims = 16

// onResponse takes the head of a response, on the strand.
func (s *Stream) onResponse(ev *h3.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ev.Interim {
		s.setHead(ev)
		s.hasHead = true
	} else {
		if !s.wantInterim || len(s.interims) >= maxInterims {
			return
		}
		s.interims = append(s.interims, &Head{Fields: slices.Clone(ev.Fields), Status: ev.Status, ContentLength: -1, Interim: true})
	}
	s.d.tell(s)
}

// Response waits for the head of the response, at a client, and returns it, valid until
// Release, or why there will be none. If that was asked for it returns
// interim responses first. When ctx ends it returns the cause, and the request goes on: see Cancel.
func (s *Stream) Response(ctx context.Context) (*Head, error) {
	for {
		s.mu.Lock()
		if len(s.interims) > 0 {
			h := s.interims[0]
			s.interims = s.interims[1:]
			s.mu.Unlock()
			return h, nil
		}
		got, err := s.hasHead, s.failure
		s.mu.Unlock()
		if got {
			return &s.head, nil
		}
		if err != nil {
			return nil, err
		}
		if err := s.await(ctx); err != nil {
			return nil, err
		}
	}
}
