package frittata

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// TestYield checks that what was made runnable runs before a yielder goes on, and that one which has waited long does
// not wait behind all others for a while.
func TestYield(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var y yielder
	// A goroutine whose processor was taken away is not behind the others any more, and race builds shuffle them: not each time.
	tries := func(ok func() bool) bool {
		for range 200 {
			y.shared = 0
			if ok() {
				return true
			}
		}
		return false
	}
	if !tries(func() bool {
		const n = 10
		var ran atomic.Int32
		for range n {
			go ran.Add(1)
		}
		y.yield(false)
		return ran.Load() == n
	}) {
		t.Error("it goes on before those that were made runnable have run")
	}
	if !tries(func() bool {
		go func() {
			for began := time.Now(); time.Since(began) <= 2*yieldLong; {
			}
		}()
		return y.yield(false) > yieldLong && y.shared == yieldShared
	}) {
		t.Errorf("after one that took long the next %d are shared", y.shared)
	}
	if bulk := new(yielder); bulk.yield(true) < 0 || bulk.back != nil {
		t.Error("it waits behind all others while much is copied")
	}
	y.yield(false)
	if y.shared != yieldShared-1 {
		t.Errorf("the next %d are shared", y.shared)
	}
}

// TestYieldToWhoAsked: whoever called Do gets to run when packets have come in, once, as it may wait for what the callbacks make of them.
// The router would keep its processor else, with that goroutine in the queue of it.
func TestYieldToWhoAsked(t *testing.T) {
	l := listen(t, serverConfig())
	server := one(t, l, newEcho())
	var conn *Conn
	var id quic.StreamID
	yields := make(chan bool, 1)
	yield := false
	client := dial(t, l, clientConfig(), &app{established: func(_ *quic.Conn, info HandshakeInfo) error {
		conn = info.Conn
		return nil
	}, reads: func(q *quic.Conn) error {
		yield = yield || conn.yield
		var buf [8]byte
		for {
			id, ok := q.NextReadable()
			if !ok {
				return nil
			}
			if n, _, err := q.StreamRead(id, buf[:]); err != nil {
				return err
			} else if n > 0 {
				yields <- yield
				yield = false
			}
		}
	}})
	var err error
	if cerr := client.Call(testContext(t), func(q *quic.Conn) {
		yield = false
		if id, err = q.OpenStream(quic.Bidi); err == nil {
			_, err = q.StreamWrite(id, []byte("x"), false)
		}
	}); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	if !<-yields {
		t.Error("no yield to whoever had called")
	}
	if err := (<-server).Do(func(q *quic.Conn) { _, _ = q.StreamWrite(id, []byte("y"), false) }); err != nil {
		t.Fatal(err)
	}
	if <-yields {
		t.Error("a yield though nobody has asked for anything since")
	}
}

func BenchmarkYield(b *testing.B) {
	var y yielder
	b.ReportAllocs()
	for b.Loop() {
		y.wait()
	}
}
