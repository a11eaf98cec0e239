package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
)

// rawClient is the client's end of a connection.
type rawClient struct {
	tally *tally
	key   uint64
	flows map[quic.StreamID]*flow

	// Of the round that is under way.
	plan   []planned // streams that wait to be opened
	pushes int       // streams of the server that are still to come
	round  chan struct{}

	failed error         // what was wrong
	closed chan struct{} // after which err may be read
	err    error
	stats  string
}

// planned is a stream to be opened.
type planned struct {
	dir  quic.Dir
	head header
}

// planRound draws the streams of a round.
func planRound(r *rand.Rand, key uint64) (plan []planned) {
	for range 1 + r.IntN(8) {
		p := planned{head: header{key: key, up: size(r), down: size(r)}}
		if r.IntN(2) == 0 {
			p.head.op = 1 + op(r.IntN(int(opClose)-1))
		}
		if r.IntN(4) == 0 && p.head.op != opServerReset && p.head.op != opClientStop {
			p.dir = quic.Uni
		}
		switch p.head.op {
		case opServerReset, opClientStop:
			p.head.cut = r.Int64N(p.head.down + 1)
		case opServerStop, opClientReset:
			p.head.cut = r.Int64N(p.head.up + 1)
		}
		plan = append(plan, p)
	}
	return plan
}

// live is a client's life.
func (s *raw) live(ctx context.Context, r *rand.Rand, l *life) {
	a := &rawClient{tally: s.tally, key: r.Uint64(), flows: make(map[quic.StreamID]*flow), closed: make(chan struct{})}
	dial, cancel := dialContext(ctx, r, l.end)
	defer cancel()
	began := time.Now()
	c, err := l.tr.Dial(dial, s.l.Addr(), serverName, nil, a)
	if err != nil {
		select {
		case <-a.closed:
			err = fmt.Errorf("%w, after %v, %v", err, time.Since(began), a.stats)
		default:
		}
		s.tally.dialFailed(ctx, dial, err)
		return
	}
	s.tally.open.Add(1)
	defer s.tally.open.Add(-1)
	for i := range l.rounds {
		if i > 0 {
			think(ctx, r)
		}
		if !a.exchange(ctx, c, r, planRound(r, a.key)) {
			a.leave(c)
			return
		}
	}
	switch l.end {
	case endServer:
		if a.exchange(ctx, c, r, []planned{{head: header{op: opClose, key: a.key, up: size(r)}}}) {
			select {
			case <-a.closed:
			case <-ctx.Done():
			case <-time.After(stuckTime):
				s.tally.fail("the server did not close a connection: %v", errStuck)
			}
		}
		a.leave(c)
	case endDie:
		// In the middle of something, half of the time.
		if r.IntN(2) == 0 {
			_ = c.Do(func(q *quic.Conn) { _ = a.begin(q, r, planRound(r, a.key)) })
			pause(ctx, time.Duration(r.IntN(5000))*time.Microsecond)
		}
		l.kill()
	case endSocket:
	default:
		a.leave(c)
	}
}

// exchange is a round. It returns false if it did not come to its end.
func (a *rawClient) exchange(ctx context.Context, c *frittata.Conn, r *rand.Rand, plan []planned) bool {
	round := make(chan struct{})
	var failed error
	err := c.Call(ctx, func(q *quic.Conn) {
		a.round = round
		failed = a.begin(q, r, plan)
	})
	if err != nil || failed != nil {
		return false // the connection has closed, or is about to
	}
	stuck := time.NewTimer(stuckTime)
	defer stuck.Stop()
	select {
	case <-round:
		return true
	case <-a.closed:
	case <-ctx.Done():
	case <-stuck.C:
		what := "the connection does not answer"
		_ = c.Call(ctx, func(q *quic.Conn) { what = a.describe(q) })
		a.tally.fail("a round is stuck: %s", what)
	}
	return false
}

// leave closes the connection, and finds out whether all was well with it.
func (a *rawClient) leave(c *frittata.Conn) {
	_ = c.CloseWithError(quic.CloseError{Application: true, Code: codeClientClose})
	select {
	case <-c.Closed():
	case <-time.After(stuckTime):
		a.tally.fail("a connection did not close: %v", errStuck)
		return
	}
	var (
		ae   *quic.ApplicationError
		idle *quic.IdleTimeoutError
		gone *quic.StatelessResetError // the server has given it up
	)
	switch {
	case a.failed != nil:
		a.tally.fail("a client: %v", a.failed)
	case errors.As(a.err, &ae) && (!ae.Remote && ae.Code == codeClientClose || ae.Remote && ae.Code == codeServerClose && ae.Reason == "as you wish"):
	case errors.As(a.err, &idle), errors.As(a.err, &gone):
		a.tally.lose("%v, %s", a.err, a.stats)
	default:
		a.tally.fail("a connection of a client: %v", a.err)
	}
}

// describe tells what a round waits for.
func (a *rawClient) describe(c *quic.Conn) string {
	s := fmt.Sprintf("%d streams to open, %d pushes to come, %d may be opened;", len(a.plan), a.pushes, c.StreamsAvailable(quic.Bidi))
	for id, f := range a.flows {
		s += fmt.Sprintf(" stream %v:", id)
		if f.out != nil {
			s += fmt.Sprintf(" sent %d of %d, cut %d, done %v;", f.out.off, f.out.size, f.out.cut, f.out.done)
		}
		if f.in != nil {
			s += fmt.Sprintf(" received %d of %d, cut %d, done %v, readable %d;", f.in.off, f.in.size, f.in.cut, f.in.done, c.StreamReadable(id))
		}
	}
	return s
}

// begin begins a round, on the strand.
func (a *rawClient) begin(c *quic.Conn, r *rand.Rand, plan []planned) error {
	a.plan = append(a.plan, plan...)
	for _, p := range plan {
		if p.head.op == opPush {
			a.pushes++
		}
	}
	if err := sendDatagrams(c, r, a.key, r.IntN(20)); err != nil {
		return err
	}
	if r.IntN(10) == 0 {
		_ = c.UpdateKeys() // unless it is too early for that
	}
	return a.open(c)
}

// open opens the streams that may be opened.
func (a *rawClient) open(c *quic.Conn) error {
	for len(a.plan) > 0 {
		p := a.plan[0]
		id, err := c.OpenStream(p.dir)
		if errors.Is(err, quic.ErrStreamLimit) {
			return nil
		}
		if err != nil {
			return err
		}
		a.plan = a.plan[1:]
		h := p.head
		f := &flow{out: &sender{head: h.append(nil), origin: originOf(h.key, uint64(id), true), size: h.up, cut: -1}}
		switch h.op {
		case opClientReset:
			f.out.cut, f.out.code = h.cut, codeClientReset
		case opServerStop:
			f.out.stop = codeServerStop
		}
		if p.dir == quic.Bidi {
			f.in = &receiver{known: true, origin: originOf(h.key, uint64(id), false), size: h.down, cut: -1}
			switch h.op {
			case opPush, opClose:
				f.in.size = 0
			case opServerReset:
				f.in.reset = codeServerReset
			case opClientReset:
				f.in.reset = codeNoHeader
			case opClientStop:
				f.in.cut, f.in.code = h.cut, codeClientStop
			}
		}
		a.flows[id] = f
		if err := f.out.write(c, id); err != nil {
			return fmt.Errorf("stream %v: %w", id, err)
		}
		a.forget(id, f)
	}
	return nil
}

func (a *rawClient) forget(id quic.StreamID, f *flow) {
	if f.done() {
		delete(a.flows, id)
		a.maybeEnd()
	}
}

// maybeEnd ends the round if nothing of it is left.
func (a *rawClient) maybeEnd() {
	if len(a.flows) == 0 && len(a.plan) == 0 && a.pushes == 0 && a.round != nil {
		close(a.round)
		a.round = nil
	}
}

func (a *rawClient) OnEstablished(*quic.Conn, frittata.HandshakeInfo) error { return nil }

func (a *rawClient) OnClose(c *quic.Conn, err error) {
	a.err = err
	st := c.Stats()
	a.stats = fmt.Sprintf("sent %d packets, received %d, dropped %d, %d PTOs", st.PacketsSent, st.PacketsReceived, st.PacketsDropped, st.PTOs)
	close(a.closed)
}

func (a *rawClient) ProcessReads(c *quic.Conn) error { return a.keep(a.reads(c)) }

func (a *rawClient) ProcessWrites(c *quic.Conn) error { return a.keep(a.writes(c)) }

// keep remembers what was wrong.
func (a *rawClient) keep(err error) error {
	if err != nil && a.failed == nil {
		a.failed = err
	}
	return err
}

func (a *rawClient) reads(c *quic.Conn) error {
	for {
		e, ok := c.NextEvent()
		if !ok {
			break
		}
		if e.Kind == quic.EventDatagramReadable {
			if err := a.datagrams(c); err != nil {
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
			if !id.ServerInitiated() || a.pushes == 0 {
				return fmt.Errorf("stream %v is readable, which nobody waits for", id)
			}
			f = &flow{in: &receiver{cut: -1}}
			a.flows[id] = f
		}
		err := f.in.read(c, id, a.tally, func(h header) error {
			if h.key != a.key {
				return errors.New("the key of another connection")
			}
			f.in.origin, f.in.size = originOf(h.key, uint64(id), false), h.down
			return nil
		})
		if err != nil {
			return fmt.Errorf("stream %v: %w", id, err)
		}
		if f.in.done && id.ServerInitiated() {
			a.pushes--
		}
		a.forget(id, f)
	}
}

func (a *rawClient) datagrams(c *quic.Conn) error {
	buf := readBuffers.Get().(*[maxPiece]byte)
	defer readBuffers.Put(buf)
	for {
		n, ok := c.ReadDatagram(buf[:])
		if !ok {
			return nil
		}
		key, _, err := checkDatagram(buf[:n], false)
		if err != nil {
			return err
		}
		if key != a.key {
			return errors.New("a datagram of another connection")
		}
		a.tally.bytes.Add(int64(n))
	}
}

func (a *rawClient) writes(c *quic.Conn) error {
	if err := a.open(c); err != nil {
		return err
	}
	for {
		id, ok := c.NextWritable()
		if !ok {
			return nil
		}
		f := a.flows[id]
		if f == nil || f.out == nil {
			continue
		}
		if err := f.out.write(c, id); err != nil {
			return fmt.Errorf("stream %v: %w", id, err)
		}
		a.forget(id, f)
	}
}
