package frittata

import (
	"errors"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// write sends a train of a connection. What cannot be sent is lost, as it
// might be on any part of the way, but for what the connection can do better.
func (t *Transport) write(c *Conn, w *worker, train *quic.Train) {
	train.Alone = train.Alone || t.trains.alone(c)
	err := t.writeTrain(&w.out, w.buf[:train.N], train)
	switch {
	case err == nil:
	case errors.Is(err, udp.ErrTooLarge):
		c.io.HandleTooLarge(w.now, train)
	case c.dialing && errors.Is(err, udp.ErrNoRoute) && c.qc.Stats().PacketsReceived == 0:
		// Whoever dials may have another address, and need not wait for a timeout to try it.
		c.io.Abort(err)
	}
}

// reply sends what the endpoint answered.
func (t *Transport) reply(r *reply) {
	_ = t.writeTrain(new(udp.Train), r.data, &r.train) // it has been counted, and whoever asked will ask again
}

// writeTrain sends and counts. out is scratch space: what is handed to an interface escapes.
func (t *Transport) writeTrain(out *udp.Train, data []byte, train *quic.Train) error {
	*out = udp.Train{Data: data, Segment: train.Segment, Remote: train.Remote, Local: train.Local, ECN: uint8(train.ECN), Alone: train.Alone}
	sent, err := t.socket.WriteTrain(out)
	out.Data = nil
	n := &t.stats
	n.trains.Add(1)
	n.sent.Add(uint64(sent))
	n.bytesSent.Add(uint64(min(sent*train.Segment, train.N)))
	if missing := train.Count() - sent; missing > 0 {
		n.unsent.Add(uint64(missing))
	}
	if err != nil {
		n.writeErrors.Add(1)
		t.logWrite(err, train)
	}
	return err
}
