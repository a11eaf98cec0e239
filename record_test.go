package frittata

import (
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// A client that closes as soon as it can may be heard of together with the end of its
// handshake. That one counts all the same, and its times are told.
func TestCloseAtOnce(t *testing.T) {
	leak.Check(t)
	r := newRecorder()
	cfg := serverConfig()
	cfg.Metrics = r
	l := listen(t, cfg)
	const clients = 20
	for range clients {
		accepted := one(t, l, &app{})
		client := &app{established: func(c *quic.Conn, _ HandshakeInfo) error {
			c.Close(quic.CloseError{Application: true, Code: 1})
			return nil
		}}
		c, err := Dial(testContext(t), l.Addr().String(), clientConfig(), client)
		if err == nil {
			_ = c.Transport().Close()
		}
		wait(t, "the server has closed", (<-accepted).Closed())
	}
	done := 0
	for _, rec := range r.closed {
		if rec.HandshakeDone == rec.Times.Established.IsZero() || rec.HandshakeDone != (rec.ALPN == "test") {
			t.Errorf("%+v", rec)
		}
		if rec.HandshakeDone {
			done++
		}
	}
	n := l.Transport().Stats()
	if n.ConnsClosed != clients || int(n.HandshakesCompleted) != done || len(r.established) != done || n.HandshakesFailed+n.HandshakesCompleted != clients {
		t.Errorf("%d done, %d told: %+v", done, len(r.established), n)
	}
}
