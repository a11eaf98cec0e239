package frittata

import (
	"strconv"
	"strings"
	"testing"

	"github.com/frittata-go/frittata/quic"
)

// partsErrand is an Errand of several parts.
type partsErrand struct {
	log   func(string)
	parts int
}

func (e *partsErrand) Run(*Duty) (more bool) {
	e.log("errand")
	e.parts--
	return e.parts > 0
}

// TestOrderOfTurns checks what comes before what when there are several turns to run: what a connection has to say goes
// out as soon as all is said, and the peer need not wait until others have had their turn.
func TestOrderOfTurns(t *testing.T) {
	const conns = 6
	yields := func(c *Conn, _ func(string)) { c.Yield() }
	lends := func(parts int) func(*Conn, func(string)) {
		return func(c *Conn, log func(string)) { c.Lend(&partsErrand{log, parts}) }
	}
	for _, test := range []struct {
		name  string
		reads func(c *Conn, log func(string)) // of each connection, the first time
		want  string
		again string // of those that need another turn
	}{
		{"nothing between", func(*Conn, func(string)) {},
			"in0 out0 in1 out1 in2 out2 in3 out3 in4 out4 in5 out5", ""},
		{"goroutines", yields,
			"in0 in1 in2 in3 out0 out1 out2 out3 in4 in5 out4 out5", ""},
		{"errands", lends(1),
			"in0 in1 in2 in3 errand0 out0 errand1 out1 errand2 out2 errand3 out3 in4 in5 errand4 out4 errand5 out5", ""},
		{"an errand of two parts", func(c *Conn, log func(string)) {
			if c.w.pos == 1 {
				lends(2)(c, log)
			}
		}, "in0 out0 in1 in2 out2 in3 out3 in4 out4 in5 out5 errand1 out1", "in1 errand1 out1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := listen(t, serverConfig())
			var log []string // of the test's goroutine, once it has the strands
			number := make(map[*Conn]int)
			came := make(chan *Conn, conns)
			w := &worker{t: l.Transport()}
			w.initDuties(func() { t.Error("somebody took over") })
			serve(t, l, func() Application {
				var conn *Conn
				first, in := true, false
				note := func(what string) {
					if conn.w != w || what == "in" && in {
						return // it is the router's turn, or a packet has come in this one
					}
					in = what != "out"
					log = append(log, what+strconv.Itoa(number[conn]))
				}
				return &app{
					established: func(_ *quic.Conn, info HandshakeInfo) error {
						conn = info.Conn
						came <- conn
						return nil
					},
					reads: func(*quic.Conn) error {
						note("in")
						if conn.w == w && first {
							first = false
							test.reads(conn, note)
						}
						return nil
					},
					writes: func(*quic.Conn) error { note("out"); return nil },
				}
			})
			for range conns {
				dial(t, l, clientConfig(), new(app))
			}
			for range conns {
				w.list = append(w.list, <-came)
			}
			for i, c := range w.list {
				number[c] = i
				// When its handshake is over the strand is everybody's.
				until(t, "the strand is free", func() bool { return c.strand.tryHold() })
			}
			run := func() string {
				log = nil
				if !w.run() {
					t.Fatal("the duties are lost")
				}
				return strings.Join(log, " ")
			}
			if got := run(); got != test.want {
				t.Errorf("turns: %s, want %s", got, test.want)
			}
			w.take()
			if got := run(); !strings.Contains(got, test.again) || strings.Contains(got, "errand") != strings.Contains(test.again, "errand") {
				t.Errorf("turns after these: %s, want %s", got, test.again)
			}
			for _, c := range w.due {
				w.t.queue.push(c)
			}
			w.release()
			w.duties.end()
		})
	}
}
