package h3driver

import (
	"errors"

	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/quic"
)

// maxPiece bounds the piece of a body that is taken at once, in bytes.
const maxPiece = 64 << 10

// handle takes an event of the h3.Conn.
func (d *Driver) handle(ev *h3.Event) error {
	switch ev.Kind {
	case h3.EventSettings:
		d.onSettings()
		return nil
	case h3.EventGoAway:
		d.onGoAway(quic.StreamID(ev.ID))
		return nil
	}
	s := d.streams[ev.Stream]
	if s == nil {
		if ev.Kind == h3.EventHeaders && !d.client {
			d.onRequest(ev)
		}
		return nil
	}
	switch ev.Kind {
	case h3.EventHeaders:
		s.onResponse(ev)
		if ev.End && !ev.Interim {
			d.endBody(s)
		}
	case h3.EventData:
		return d.pump(s)
	case h3.EventTrailers:
		s.setTrailers(ev.Fields)
		if ev.End {
			d.endBody(s)
		}
	case h3.EventEnd:
		d.endBody(s)
	case h3.EventReset:
		d.onReset(s, ev.Err)
	case h3.EventStopped:
		d.onStopped(s, ev.Err)
	case h3.EventWritable:
		s.refs.Add(1) // service may forget it
		err := d.service(s)
		s.release()
		return err
	}
	return nil
}

func (d *Driver) onSettings() {
	settings, ok := d.h3.PeerSettings()
	if !ok {
		return
	}
	d.mu.Lock()
	d.settings, d.have = *settings, true
	d.settle()
	d.mu.Unlock()
	if d.cfg.OnSettings != nil {
		d.cfg.OnSettings(settings)
	}
}

func (d *Driver) onRequest(ev *h3.Event) {
	s := newStream(d)
	s.id = ev.Stream
	s.live = true
	d.streams[s.id] = s
	d.active.Add(1)
	// The peer may open no other stream in this one's place while its handler runs.
	d.qc.HoldStream(s.id)
	s.setHead(ev)
	if ev.End {
		s.body.CloseWithError(nil)
		s.gotBody = true
	}
	d.tell(s)
}

// onReset takes the end of a message that will not be complete.
func (d *Driver) onReset(s *Stream, err *h3.StreamError) {
	if !d.client && s.telling {
		// The request is gone before anybody has begun with it: nobody will.
		d.h3.Cancel(s.id, h3.CodeRequestRejected)
		s.abort(err)
		s.finished.Store(true)
		d.forget(s, err)
		s.release() // what the handler would have had
		return
	}
	s.body.CloseWithError(err) // what had come is read before
	s.gotBody = true
	if !err.Remote {
		s.out.Stop(err)
		s.sentBody = true
	}
	d.fail(s, err)
	d.maybeForget(s)
}

// onStopped takes the peer's word that it wants no more of our message.
func (d *Driver) onStopped(s *Stream, err *h3.StreamError) {
	s.out.Stop(err)
	s.sentBody = true
	if !d.client {
		s.notify(err)
	}
	d.maybeForget(s)
}

// onGoAway fails the requests that the server did not process (RFC 9114, Section 5.2).
func (d *Driver) onGoAway(id quic.StreamID) {
	if !d.client {
		return // a client's GOAWAY is about pushes
	}
	d.mu.Lock()
	d.goAway = true
	opens := d.opens
	d.opens = nil
	d.mu.Unlock()
	for _, s := range append(opens, d.waiting...) {
		d.failUnopened(s, &NotSentError{h3.ErrGoAway})
	}
	d.waiting = nil
	for sid, s := range d.streams {
		if sid >= id {
			d.h3.Cancel(sid, h3.CodeRequestCancelled)
			err := &NotSentError{h3.ErrGoAway}
			s.abort(err)
			d.fail(s, err)
			d.forget(s, err)
		}
	}
	if d.cfg.OnGoAway != nil {
		d.cfg.OnGoAway()
	}
}

// openWaiting opens what waited for the peer's stream limit, as far as it goes.
func (d *Driver) openWaiting() error {
	n := 0
	var err error
	for n < len(d.waiting) && err == nil {
		s := d.waiting[n]
		var limited bool
		if limited, err = d.open(s); limited {
			break
		}
		s.waits = false
		n++
	}
	rest := copy(d.waiting, d.waiting[n:])
	clear(d.waiting[rest:])
	d.waiting = d.waiting[:rest]
	return err
}

// open begins a request, at a client, or fails it. limited tells that it did
// neither, for the peer allows no more streams now. An error is the connection's.
func (d *Driver) open(s *Stream) (limited bool, err error) {
	if cancelled, cause := s.isCancelled(); cancelled {
		d.failUnopened(s, cause)
		return false, nil
	}
	head := s.firstHead()
	id, err := d.h3.OpenRequest(head.fields, head.end)
	if errors.Is(err, quic.ErrStreamLimit) {
		return true, nil
	}
	switch {
	case err == nil:
	case errors.Is(err, h3.ErrFieldSectionTooLarge), errors.Is(err, h3.ErrExtendedConnect), errors.Is(err, h3.ErrOrder):
		d.failUnopened(s, err) // it would be the same elsewhere
		return false, nil
	default:
		d.failUnopened(s, &NotSentError{err})
		return false, nil
	}
	s.takeFirstHead()
	s.id = id
	s.live = true
	d.streams[id] = s
	if s.sentBody = head.end; head.end {
		return false, nil
	}
	return false, d.service(s)
}

// service carries out what the stream's goroutines want. The caller has one of the stream's refs.
func (d *Driver) service(s *Stream) error {
	if !s.live {
		if s.waits {
			d.cancelWaiting(s)
		}
		return nil
	}
	if code, cause, ok := s.takeCancel(); ok {
		d.h3.Cancel(s.id, code)
		s.abort(cause)
		d.fail(s, cause)
		d.maybeForget(s)
		return nil
	}
	if d.watchFinished(s); !s.live {
		return nil
	}
	if !s.sentBody {
		if err := d.send(s); err != nil {
			return err
		}
	}
	if !s.gotBody {
		d.reads = true
		if err := d.pump(s); err != nil {
			return err
		}
	}
	d.maybeForget(s)
	return nil
}

// cancelWaiting takes a request that was cancelled out of those that wait for the stream limit.
func (d *Driver) cancelWaiting(s *Stream) {
	cancelled, cause := s.isCancelled()
	if !cancelled {
		return
	}
	for i, w := range d.waiting {
		if w == s {
			d.waiting = append(d.waiting[:i], d.waiting[i+1:]...)
			break
		}
	}
	d.failUnopened(s, cause)
}

// send passes on header fields and body bytes until there are no more or QUIC takes no more.
func (d *Driver) send(s *Stream) error {
	for {
		// The pipe first: what is in it was put there after the head.
		b, fin := s.out.Pop()
		if s.hasHeads.Load() {
			if err := d.sendHeads(s); err != nil || s.sentBody {
				if b != nil {
					b.Release()
				}
				return d.sendFailed(s, err)
			}
		}
		if b == nil && !fin {
			return d.maybeReset(s)
		}
		var trailers []h3.Field
		if fin {
			trailers = s.takeTrailers()
		}
		end := fin && trailers == nil
		switch {
		case b != nil:
			ok, err := d.h3.WriteBodyBuf(s.id, b, end)
			if err != nil {
				b.Release()
				return d.sendFailed(s, err)
			}
			if !ok {
				s.out.Unpop(b)
				if trailers != nil {
					s.SetTrailers(trailers)
				}
				return nil
			}
		case end:
			if _, err := d.h3.WriteBody(s.id, nil, true); err != nil {
				return d.sendFailed(s, err)
			}
		}
		if trailers != nil {
			if err := d.h3.SendTrailers(s.id, trailers); err != nil {
				return d.sendFailed(s, err)
			}
		}
		if fin {
			s.sentBody = true
			return nil
		}
	}
}

// sendHeads sends the heads that the goroutine has given.
func (d *Driver) sendHeads(s *Stream) error {
	for {
		head, ok := s.takeHead()
		if !ok {
			return nil
		}
		if isInterim(head.fields) && d.qc.StreamCapacity(s.id) == 0 {
			continue // the client reads nothing: what is only to say that it goes on need not wait for it
		}
		if err := d.h3.SendHeaders(s.id, head.fields, head.end); err != nil {
			return err
		}
		if head.end {
			s.sentBody = true
			return nil
		}
	}
}

// isInterim tells whether the head of a response is one of several.
func isInterim(fields []h3.Field) bool {
	return len(fields) > 0 && fields[0].Name == ":status" && len(fields[0].Value) == 3 && fields[0].Value[0] == '1'
}

// maybeReset aborts our message, if the goroutine wants that.
func (d *Driver) maybeReset(s *Stream) error {
	err := s.out.Err()
	if err == nil {
		return nil
	}
	code := h3.CodeRequestCancelled
	if !d.client {
		code = h3.CodeInternalError
	}
	if r, ok := err.(resetError); ok {
		code = r.code
	}
	s.sentBody = true
	return ignoreGone(d.h3.ResetStream(s.id, code))
}

// sendFailed ends the sending half of a stream. What is the connection's matter is returned.
func (d *Driver) sendFailed(s *Stream, err error) error {
	if err == nil {
		return nil
	}
	if se, ok := errors.AsType[*h3.StreamError](err); ok {
		d.onStopped(s, se)
		return nil
	}
	if ignoreGone(err) == nil {
		s.out.Stop(err)
		s.sentBody = true
		return nil
	}
	if errors.Is(err, h3.ErrFieldSectionTooLarge) || errors.Is(err, h3.ErrOrder) {
		s.out.Stop(err)
		s.sentBody = true
		// A response that the client would not accept is abandoned (RFC 9114, Section 4.1.1).
		code := h3.CodeRequestCancelled
		if !d.client && errors.Is(err, h3.ErrOrder) {
			code = h3.CodeInternalError
		}
		d.fail(s, err)
		return ignoreGone(d.h3.ResetStream(s.id, code))
	}
	return err
}

// ignoreGone drops the error that a stream, or that half of it, has ended.
func ignoreGone(err error) error {
	if errors.Is(err, h3.ErrNoStream) || errors.Is(err, quic.ErrStreamFinished) {
		return nil
	}
	return err
}

// pump moves body bytes from the h3.Conn to the stream's reader, until there are no more or it is full.
func (d *Driver) pump(s *Stream) error {
	for !s.gotBody {
		if s.body.Closed() {
			// Nobody reads the rest.
			s.gotBody = true
			code := h3.CodeRequestCancelled
			if !d.client {
				code = h3.CodeNoError // RFC 9114, Section 4.1
			}
			if err := ignoreGone(d.h3.StopSending(s.id, code)); err != nil {
				return err
			}
			break
		}
		if s.body.Full() {
			return nil
		}
		b, fin, err := d.h3.ReadBodyBuf(s.id, maxPiece)
		if b != nil {
			s.body.Push(b)
		}
		if err != nil {
			if se, ok := errors.AsType[*h3.StreamError](err); ok {
				d.onReset(s, se)
				return nil
			}
			if ignoreGone(err) != nil {
				return err
			}
			s.body.Abort(err)
			s.gotBody = true
			break
		}
		if fin {
			d.endBody(s)
			return nil
		}
		if b == nil {
			return nil
		}
	}
	d.maybeForget(s)
	return nil
}

// lastWords moves what had come of a body when the peer closed the connection to
// its reader, full or not: flow control has bounded it.
func (d *Driver) lastWords(s *Stream) {
	for !s.gotBody && !s.body.Closed() {
		b, fin, err := d.h3.ReadBodyBuf(s.id, maxPiece)
		if b != nil {
			s.body.Push(b)
		}
		switch {
		case fin:
			d.endBody(s)
			return
		case b == nil || err != nil:
			return
		}
	}
}

func (d *Driver) endBody(s *Stream) {
	if !s.gotBody {
		s.gotBody = true
		s.body.CloseWithError(nil)
	}
	d.maybeForget(s)
}

// maybeForget drops a stream that both sides are through with.
func (d *Driver) maybeForget(s *Stream) {
	if s.live && s.gotBody && s.sentBody && (d.client || s.finished.Load()) {
		d.forget(s, nil)
	}
}

// forget drops a stream.
func (d *Driver) forget(s *Stream, err error) {
	if err == nil {
		d.watchFinished(s) // it may have been finished a moment ago
	}
	s.live = false
	delete(d.streams, s.id)
	if !d.client {
		d.qc.ReleaseStream(s.id)
	}
	d.active.Add(-1)
	s.notify(err)
	s.release()
}

// fail tells a stream's goroutines that it will come to no good end.
func (d *Driver) fail(s *Stream, err error) {
	s.setFailure(err)
	s.notify(err)
	if d.client {
		d.tell(s)
	}
}

// failUnopened ends a request that was not sent.
func (d *Driver) failUnopened(s *Stream, err error) {
	s.waits = false
	s.abort(err)
	d.fail(s, err)
	d.active.Add(-1)
	s.release()
}
