package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
)

// raw is the protocol of its own, whose both ends are Applications.
type raw struct {
	tally *tally
	l     *frittata.Listener
	ended chan struct{} // accepting has
}

func newRaw(cfg, _ *frittata.Config, t *tally, seed uint64) (stack, error) {
	cfg.Retry = frittata.RetryNever // accept chooses
	l, err := frittata.Listen("udp4", "127.0.0.1:0", cfg)
	if err != nil {
		return nil, err
	}
	s := &raw{tally: t, l: l, ended: make(chan struct{})}
	go s.accept(rand.New(rand.NewPCG(seed, 1<<63)))
	return s, nil
}

func (s *raw) conns() int { return s.l.Transport().Stats().Conns }

func (s *raw) close() error {
	err := s.l.Close()
	<-s.ended
	return err
}

// accept lets most clients in, and does to others all that a server can do to them.
func (s *raw) accept(r *rand.Rand) {
	defer close(s.ended)
	for {
		in, err := s.l.Accept(context.Background())
		if err != nil {
			return
		}
		switch x := r.IntN(100); {
		case x < 2:
			s.tally.count("refusals")
			err = in.Refuse()
		case x < 15 && !in.Validated():
			s.tally.count("retries")
			err = in.Retry()
		case x < 17 && !in.Validated():
			s.tally.count("ignored") // it will try again
			in.Ignore()
		default:
			_, err = in.Start(&rawServer{tally: s.tally, flows: make(map[quic.StreamID]*flow)})
		}
		if err != nil && !errors.Is(err, frittata.ErrIncomingGone) {
			s.tally.fail("accepting: %v", err)
		}
	}
}

// rawServer is the server's end of a connection.
type rawServer struct {
	tally   *tally
	key     uint64
	keyed   bool
	flows   map[quic.StreamID]*flow
	pushes  []push // that wait for a stream
	closing bool
}

type push struct {
	head header
	id   quic.StreamID // that asked for it
}

func (a *rawServer) OnEstablished(*quic.Conn, frittata.HandshakeInfo) error { return nil }

// OnClose finds out whether the connection ended in a way that it may.
func (a *rawServer) OnClose(_ *quic.Conn, err error) {
	var (
		ae        *quic.ApplicationError
		te        *quic.TransportError
		idle      *quic.IdleTimeoutError
		handshake *quic.HandshakeTimeoutError
	)
	switch {
	case errors.As(err, &ae) && ae.Remote && ae.Code == codeClientClose, errors.As(err, &ae) && !ae.Remote && a.closing:
		a.tally.count("closed")
	case errors.As(err, &te) && te.Remote && (te.Code == quic.NoError || te.Code == quic.ApplicationErrorOccurred):
		a.tally.count("closed early") // with its socket, or within the handshake
	case errors.As(err, &idle):
		a.tally.count("idled out")
	case errors.As(err, &handshake):
		a.tally.count("handshake given up")
	case errors.Is(err, quic.ErrClosed):
		a.tally.count("closed with the server")
	default:
		a.tally.fail("a connection of the server: %v", err)
	}
}

func (a *rawServer) ProcessReads(c *quic.Conn) error {
	for {
		e, ok := c.NextEvent()
		if !ok {
			break
		}
		if e.Kind == quic.EventDatagramReadable {
			if err := a.echo(c); err != nil {
				return err
			}
		}
	}
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		f := a.flows[id]
		if f == nil {
			f = &flow{in: &receiver{cut: -1}}
			a.flows[id] = f
		}
		err := f.in.read(c, id, a.tally, func(h header) error { return a.begin(id, f, h) })
		if err == nil {
			err = a.advance(c, id, f)
		}
		if err != nil {
			return fmt.Errorf("stream %v of a client: %w", id, err)
		}
	}
}

// begin takes up what a header says.
func (a *rawServer) begin(id quic.StreamID, f *flow, h header) error {
	if a.keyed && h.key != a.key {
		return errors.New("the key of another connection")
	}
	a.key, a.keyed = h.key, true
	f.in.origin, f.in.size = originOf(h.key, uint64(id), true), h.up
	if h.op == opServerStop {
		f.in.cut, f.in.code = h.cut, codeServerStop
	}
	if h.op == opClientReset {
		f.in.reset = codeClientReset
	}
	if h.op == opPush {
		a.pushes = append(a.pushes, push{h, id})
		h.down = 0
	}
	if h.op == opClose {
		a.closing = true
	}
	if id.Dir() == quic.Uni {
		return nil
	}
	f.out = &sender{origin: originOf(h.key, uint64(id), false), size: h.down, cut: -1}
	switch h.op {
	case opServerReset:
		f.out.cut, f.out.code = h.cut, codeServerReset
	case opClientStop:
		f.out.stop = codeClientStop
	}
	return nil
}

// advance goes on with a stream of which something was read.
func (a *rawServer) advance(c *quic.Conn, id quic.StreamID, f *flow) error {
	if f.in.done && !f.in.known && id.Dir() == quic.Bidi && f.out == nil {
		f.out = &sender{done: true}
		if err := c.ResetStream(id, codeNoHeader); err != nil {
			return err
		}
	}
	if f.out != nil {
		if err := f.out.write(c, id); err != nil {
			return err
		}
	}
	a.forget(c, id, f)
	return nil
}

func (a *rawServer) forget(c *quic.Conn, id quic.StreamID, f *flow) {
	if !f.done() {
		return
	}
	delete(a.flows, id)
	a.tally.streams.Add(1)
	if a.closing && len(a.flows) == 0 {
		c.Close(quic.CloseError{Application: true, Code: codeServerClose, Reason: "as you wish"})
	}
}

func (a *rawServer) ProcessWrites(c *quic.Conn) error {
	for len(a.pushes) > 0 && c.StreamsAvailable(quic.Uni) > 0 {
		id, err := c.OpenStream(quic.Uni)
		if err != nil {
			return err
		}
		h := a.pushes[0].head
		a.pushes = a.pushes[1:]
		f := &flow{out: &sender{head: h.append(nil), origin: originOf(h.key, uint64(id), false), size: h.down, cut: -1}}
		a.flows[id] = f
		if err := f.out.write(c, id); err != nil {
			return fmt.Errorf("stream %v: %w", id, err)
		}
		a.forget(c, id, f)
	}
	for {
		id, ok := c.NextWritable()
		if !ok {
			return nil
		}
		f := a.flows[id]
		if f == nil || f.out == nil {
			continue // all was written
		}
		if err := f.out.write(c, id); err != nil {
			return fmt.Errorf("stream %v of the server: %w", id, err)
		}
		a.forget(c, id, f)
	}
}

// echo answers datagrams: with the same number, but bytes of its own.
func (a *rawServer) echo(c *quic.Conn) error {
	buf := readBuffers.Get().(*[maxPiece]byte)
	defer readBuffers.Put(buf)
	var answer [maxDatagram + datagramHead]byte
	for {
		n, ok := c.ReadDatagram(buf[:])
		if !ok {
			return nil
		}
		key, number, err := checkDatagram(buf[:n], true)
		if err != nil {
			return err
		}
		if a.keyed && key != a.key {
			return errors.New("a datagram of another connection")
		}
		a.tally.datagrams.Add(1)
		a.tally.bytes.Add(int64(n))
		if err := sendDatagram(c, makeDatagram(answer[:], key, number, n-datagramHead, false)); err != nil {
			return err
		}
	}
}
