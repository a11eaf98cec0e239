package main

import (
	"sync/atomic"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/udp"
)

// mortalSocket is a socket that can die before it is closed: then nothing of
// what is sent goes out any more, and no peer hears a goodbye.
type mortalSocket struct {
	frittata.Socket
	dead atomic.Bool
}

func (s *mortalSocket) WriteTrain(t *udp.Train) (int, error) {
	if !s.dead.Load() {
		return s.Socket.WriteTrain(t)
	}
	if t.Segment <= 0 || len(t.Data) == 0 {
		return 1, nil
	}
	return (len(t.Data) + t.Segment - 1) / t.Segment, nil
}

// mortal makes a Transport that can die.
func mortal(cfg *frittata.Config) (*frittata.Transport, *mortalSocket, error) {
	u, err := udp.Listen("udp4", "127.0.0.1:0", &cfg.UDP)
	if err != nil {
		return nil, nil, err
	}
	s := &mortalSocket{Socket: u}
	t, err := frittata.NewTransport(s, cfg)
	return t, s, err
}
