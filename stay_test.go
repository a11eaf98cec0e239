package frittata

import (
	"runtime"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/udp"
)

// TestStays checks when a router that waits keeps its processor.
func TestStays(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	polls := 0
	newOne := func() *router {
		r := &router{worker: worker{t: &Transport{load: new(load)}}}
		r.patience.poll = func(d time.Duration) bool {
			if d != stayTime {
				t.Errorf("%v", d)
			}
			polls++
			return true
		}
		return r
	}
	const short, long = stayTime / 2, 2 * stayTime
	r := newOne()
	if r.stays() {
		t.Error("it stays, and knows of no wait")
	}
	r.waited(short)
	if !r.stays() {
		t.Error("it does not stay after a short wait")
	}
	r.waited(long)
	if !r.stays() {
		t.Error("it does not stay after one long wait")
	}
	r.waited(long)
	if r.stays() {
		t.Error("it stays after two long waits")
	}
	r.waited(short)
	for _, n := range []interface {
		Add(int64) int64
	}{&r.t.handshakes, &r.t.dialing, &r.t.load.flights} {
		n.Add(1)
		if r.stays() {
			t.Error("it stays while there is a handshake, or a first flight")
		}
		n.Add(-1)
	}
	r.crowded = true
	if r.stays() {
		t.Error("it stays though others wait for a processor")
	}
	// Once: it may be long until it lets others run again.
	if !r.stays() || !r.stay() || polls != 1 || staying.Load() != 0 {
		t.Errorf("%d polls, %d stay", polls, staying.Load())
	}
	r.patience.poll = nil
	if r.stays() {
		t.Error("it stays by a socket that cannot wait so")
	}

	// One processor is left to others.
	staying.Add(2)
	defer staying.Add(-2)
	r = newOne()
	r.waited(short)
	if !r.stays() || r.stay() || polls != 1 || staying.Load() != 2 {
		t.Errorf("%d polls, %d stay", polls, staying.Load())
	}
	runtime.GOMAXPROCS(1)
	r = newOne()
	r.waited(short)
	if r.stays() {
		t.Error("it keeps the only processor")
	}
}

// polledSocket is a socket whose Poll is wrong.
type polledSocket struct {
	*udp.Conn
	ready bool
}

func (s *polledSocket) Poll(time.Duration) bool { return s.ready }

// TestPollMayBeWrong has sockets claim that there is something to read, or nothing, whatever there is.
func TestPollMayBeWrong(t *testing.T) {
	leak.Check(t)
	for _, ready := range []bool{false, true} {
		transport := func(cfg *Config) *Transport {
			u, err := udp.Listen("udp4", "127.0.0.1:0", nil)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := NewTransport(&polledSocket{u, ready}, cfg)
			if err != nil {
				t.Fatal(err)
			}
			return tr
		}
		server, client := transport(serverConfig()), transport(clientConfig())
		l, err := server.Listen(nil)
		if err != nil {
			t.Fatal(err)
		}
		serve(t, l, func() Application { return newEcho() })
		// One after the other, for the waits to be short.
		for range 20 {
			u := newUpload(1, 100_000)
			c, err := client.Dial(testContext(t), l.Addr(), "localhost", nil, u)
			if err != nil {
				t.Fatal(err)
			}
			wait(t, "all came back", u.done)
			if u.err != nil {
				t.Fatal(u.err)
			}
			_ = c.Close()
		}
		for _, tr := range []*Transport{client, server} {
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
