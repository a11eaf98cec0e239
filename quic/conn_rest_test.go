package quic

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/frittata-go/frittata/internal/leak"
)

// maxConnSize and maxIdleConn bound what a connection takes, in bytes: the struct, and all that
// hangs on an established connection that is idle and has no streams. They are a
// little above what it is. Who has to raise them raises the memory of a server with many connections.
const (
	maxConnSize = 3456
	maxIdleConn = 7 << 10
)

// idlePair is a pair whose connections rest.
func idlePair(t testing.TB) *pair {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.connect()
	p.rest()
	return p
}

// rest waits until both connections rest.
func (p *pair) rest() {
	p.t.Helper()
	resting := func(c *Conn) bool { return c.restedAt == c.busyAt() }
	p.until("rest", time.Minute, func() bool { return resting(p.client) && resting(p.server) })
}

func TestConnSize(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > maxConnSize {
		t.Errorf("a Conn has %d bytes, more than %d", n, maxConnSize)
	}
}

func TestIdleConnMemory(t *testing.T) {
	const conns = 200
	idlePair(t) // what is made once
	kept := make([]*Conn, conns)
	before := leak.Heap()
	for i := range kept {
		kept[i] = idlePair(t).server
	}
	n := (leak.Heap() - before) / conns
	t.Logf("%d bytes each, of which the Conn has %d", n, unsafe.Sizeof(Conn{}))
	if n > maxIdleConn {
		t.Errorf("an idle connection takes %d bytes, more than %d", n, maxIdleConn)
	}
	runtime.KeepAlive(kept)
}

// TestRest: a connection that rested goes on as before, whoever speaks first.
func TestRest(t *testing.T) {
	p := idlePair(t)
	began := p.now
	p.transfer(p.client, p.server, Bidi, 1<<20, time.Minute)
	if p.client.restedAt == p.client.busyAt() {
		t.Error("the client rested in the middle of a transfer")
	}
	p.rest()
	p.transfer(p.server, p.client, Uni, 100, time.Minute)
	p.rest()
	if p.now.Sub(began) > p.client.cfg.withDefaults().MaxIdleTimeout {
		t.Fatal("resting took longer than the idle timeout")
	}
	for _, c := range []*Conn{p.client, p.server} {
		if err := c.Err(); err != nil {
			t.Error(err)
		}
	}
	if err := p.client.UpdateKeys(); err != nil {
		t.Fatal(err)
	}
	p.rest()
	p.transfer(p.server, p.client, Uni, 100, time.Minute)
	// And it ends when it would have ended.
	last := max(p.client.life.idleStart, p.server.life.idleStart)
	p.until("idle timeout", time.Hour, func() bool { return p.client.IO().Gone() && p.server.IO().Gone() })
	if d := p.now.Sub(epStart) - last; d > 2*p.client.life.idleTimeout {
		t.Errorf("gone %v after the last packet", d)
	}
}

// TestRestOnce: a packet that is not authentic does not begin another time of being busy, so that nobody
// who is not the peer can have keys built again and again.
func TestRestOnce(t *testing.T) {
	p := idlePair(t)
	junk := append([]byte{0x40}, p.server.ids.local[0].id.Bytes()...)
	junk = append(junk, make([]byte, 40)...)
	for range 3 {
		p.now = p.now.Add(2 * restAfter)
		p.serverRecv(&Datagram{Data: append([]byte(nil), junk...), Remote: p.clientAddr, Local: pairServerAddr.Addr()})
		if _, ok := p.server.restDeadline(); ok {
			t.Fatal("junk has the connection rest anew")
		}
	}
	p.transfer(p.client, p.server, Bidi, 100, time.Minute)
	p.rest()
}
