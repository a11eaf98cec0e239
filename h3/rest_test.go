package h3

import (
	"runtime"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// maxIdleConn bounds what a server's connection takes that has answered a request and is idle, in bytes: the
// quic.Conn with its six streams, and the Conn. It is a little above what it is.
const maxIdleConn = 11 << 10

// get makes a request without a body and answers it.
func (p *pair) get() {
	p.t.Helper()
	id, err := p.client.OpenRequest(fields(get...), true)
	if err != nil {
		p.t.Fatal(err)
	}
	done := false
	p.until("answer", func() bool {
		for _, c := range []*Conn{p.server, p.client} {
			for {
				ev, ok, err := c.Next()
				if err != nil {
					p.t.Fatal(err)
				}
				if !ok {
					break
				}
				switch {
				case ev.Kind == EventHeaders && c == p.server:
					if err := c.SendHeaders(ev.Stream, fields(":status", "204", "server", "test", "x-long", "a value that is not in any table"), true); err != nil {
						p.t.Fatal(err)
					}
				case ev.Kind == EventHeaders && ev.Stream == id:
					done = true
				}
			}
		}
		return done && p.client.ActiveRequests() == 0 && p.server.ActiveRequests() == 0
	})
}

// rest waits until both quic.Conns rest, and has the Conns rest too.
func (p *pair) rest() {
	p.t.Helper()
	left := 2
	p.until("rest", func() bool {
		for qc, c := range map[*quic.Conn]*Conn{p.cq: p.client, p.sq: p.server} {
			for ev, ok := qc.NextEvent(); ok; ev, ok = qc.NextEvent() {
				if ev.Kind == quic.EventResting {
					c.Rest()
					left--
				}
			}
		}
		return left == 0
	})
}

// TestRest: a connection that rested goes on as before.
func TestRest(t *testing.T) {
	p := newPair(t, 0, 3)
	for range 3 {
		p.get()
		p.rest()
	}
	if p.server.scratch != nil || p.server.fields != nil || p.server.free != nil {
		t.Error("memory is kept that was to be let go of")
	}
}

// TestRestInMessage: rest lets go of nothing that a message needs which is half there.
func TestRestInMessage(t *testing.T) {
	p := newPair(t, 0, 3)
	body := make([]byte, 300_000)
	a, b := &endpoint{t: t, c: p.client, body: body}, &endpoint{t: t, c: p.server, body: body, server: true}
	id, err := p.client.OpenRequest(fields(post...), false)
	if err != nil {
		t.Fatal(err)
	}
	a.send(id)
	p.until("exchange", func() bool {
		p.client.Rest()
		p.server.Rest()
		a.turn()
		b.turn()
		return a.done && b.done
	})
	if len(a.got) != len(body) || len(b.got) != len(body) {
		t.Errorf("the client got %d bytes, the server %d, of %d", len(a.got), len(b.got), len(body))
	}
}

func TestIdleConnMemory(t *testing.T) {
	const conns = 100
	type server struct {
		qc *quic.Conn
		c  *Conn
	}
	idle := func(seed uint64) server {
		p := newPair(t, 0, seed)
		p.get()
		p.rest()
		return server{p.sq, p.server}
	}
	idle(0) // what is made once
	kept := make([]server, conns)
	before := leak.Heap()
	for i := range kept {
		kept[i] = idle(uint64(i))
	}
	n := (leak.Heap() - before) / conns
	t.Logf("%d bytes each", n)
	if n > maxIdleConn {
		t.Errorf("an idle connection takes %d bytes, more than %d", n, maxIdleConn)
	}
	runtime.KeepAlive(kept)
}
