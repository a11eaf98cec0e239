package h3driver

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// TestLastWords has a server close the connection when the client has
// acknowledged all of a response that its application has hardly begun to read.
func TestLastWords(t *testing.T) {
	leak.Check(t)
	const size = 4 << 20
	body := bytes.Repeat([]byte("farewell"), size/8)
	closed := make(chan error, 1)
	p := connect(t, Config{BodyBuffer: 64 << 10, OnClose: func(err error) { closed <- err }}, Config{Serve: func(s *Stream) {
		go func() {
			defer s.Release()
			s.SendHeaders(okHead, false)
			s.Write(body)
			s.Finish(nil)
		}()
	}}, quic.Config{StreamWindow: 2 * size, ConnWindow: 2 * size})
	s, err := p.client.Open(requestHead("GET", "/"), OpenOptions{End: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Response(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for p.server.Active() > 0 || p.sent(t) < size {
		time.Sleep(time.Millisecond)
	}
	p.server.Conn().CloseWithError(quic.CloseError{Application: true, Code: 0x100})
	<-closed
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d of %d bytes, %v", len(got), size, err)
	}
	s.Release()
}

// sent returns the stream bytes of the server of which none is in flight.
func (p *pair) sent(t *testing.T) uint64 {
	st, err := p.server.Conn().Stats(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if st.BytesInFlight > 0 {
		return 0
	}
	return st.StreamBytesSent
}
