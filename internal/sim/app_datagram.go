package sim

import (
	"encoding/binary"
	"errors"

	"github.com/frittata-go/frittata/quic"
)

// Datagrams sends DATAGRAM frames and counts those that come back.
type Datagrams struct {
	Count int
	Size  int // bytes of each, at least 8

	Sent     int
	Received int // distinct ones
	Err      error

	started bool
	seen    []bool
	scratch []byte
}

// Event implements App.
func (a *Datagrams) Event(c *Conn, e quic.Event) {
	switch e.Kind {
	case quic.EventConnected:
		a.started = true
		a.seen, a.scratch = make([]bool, a.Count), make([]byte, 2048)
	case quic.EventDatagramReadable:
		a.read(c)
	case quic.EventClosed:
		a.Err = c.Q.Err()
	}
}

func (a *Datagrams) read(c *Conn) {
	for {
		n, ok := c.Q.ReadDatagram(a.scratch)
		if !ok {
			return
		}
		b := a.scratch[:n]
		if n != max(a.Size, 8) || string(b[8:]) != string(pattern(0, 0, n-8)) {
			c.complain("another datagram than was sent")
			return
		}
		i := binary.BigEndian.Uint64(b)
		if i >= uint64(a.Sent) || a.seen[i] {
			c.complain("datagram %d came twice, or was not sent", i)
			return
		}
		a.seen[i] = true
		a.Received++
	}
}

// Turn implements App.
func (a *Datagrams) Turn(c *Conn) {
	for a.started && a.Sent < a.Count {
		n := max(a.Size, 8)
		b := a.scratch[:n]
		binary.BigEndian.PutUint64(b, uint64(a.Sent))
		copy(b[8:], pattern(0, 0, n-8))
		err := c.Q.SendDatagram(b)
		if errors.Is(err, quic.ErrDatagramQueueFull) {
			return // EventDatagramWritable will come
		}
		if err == c.Q.Err() && err != nil {
			return
		}
		if err != nil {
			c.complain("datagram: %w", err)
			return
		}
		a.Sent++
	}
}
