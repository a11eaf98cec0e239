package frittata

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// unreadableSocket fails each read while it is broken.
type unreadableSocket struct {
	Socket
	broken atomic.Bool
}

var errNoNetwork = errors.New("the network is down")

func (s *unreadableSocket) TryReadBatch(m []udp.Message) (int, error) {
	if s.broken.Load() {
		return 0, errNoNetwork
	}
	return s.Socket.TryReadBatch(m)
}

// Turns that are due go on while the socket cannot be read.
func TestTurnsGoOnWhileReadsFail(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	u, err := udp.Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &unreadableSocket{Socket: u}
	tr, err := NewTransport(s, clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	defer s.broken.Store(false)
	var handle *Conn
	left := 10
	went := make(chan struct{})
	write := func(c *quic.Conn) error {
		id, err := c.OpenStream(quic.Bidi)
		if err == nil {
			_, err = c.StreamWrite(id, []byte("hello"), true)
		}
		return err
	}
	a := &app{
		established: func(c *quic.Conn, info HandshakeInfo) error {
			handle = info.Conn
			return write(c)
		},
		reads: func(c *quic.Conn) error {
			if _, ok := c.NextReadable(); !ok || s.broken.Load() {
				return nil
			}
			if !handle.w.router {
				return write(c) // once more
			}
			s.broken.Store(true)
			return nil
		},
		writes: func(c *quic.Conn) error {
			if s.broken.Load() && left > 0 {
				if left--; left == 0 {
					close(went)
				}
				handle.Wake() // another turn is due after this one
			}
			return nil
		},
	}
	if _, err := tr.Dial(testContext(t), l.Addr(), "localhost", nil, a); err != nil {
		t.Fatal(err)
	}
	wait(t, "there were ten turns", went)
}
