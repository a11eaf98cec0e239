package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// Where all but the first datagram of each train is lost, in one direction or both, a transfer completes, and
// who sends goes over to datagrams that go alone.
func TestTrainsThatAreLost(t *testing.T) {
	nodes := func(firsts bool) func() []Node {
		return func() []Node {
			if firsts {
				return []Node{Firsts{}, lan(), delay(10)}
			}
			return []Node{lan(), delay(10)}
		}
	}
	for _, up := range []bool{true, false} {
		for _, down := range []bool{true, false} {
			t.Run(fmt.Sprintf("up %v down %v", up, down), func(t *testing.T) {
				l := &link{up: nodes(up), down: nodes(down)}
				run := func(seed uint64) (*duo, time.Duration) {
					d := newSeededDuo(t, seed, l, Peer{Streams: 1, Size: 2 * mb}, Peer{Streams: 1, Size: 2 * mb, Dir: quic.Uni}, nil)
					d.Until("transfer", time.Minute, func() bool { return d.app.Finished == 1 && d.app.Received == 1 })
					if d.app.Bytes != 2*mb || d.peer.Bytes != 2*mb {
						t.Errorf("%d and %d bytes arrived", d.app.Bytes, d.peer.Bytes)
					}
					took := d.Elapsed()
					for _, end := range []struct {
						c    *Conn
						lost bool
					}{{d.conn, up}, {d.serverConn(), down}} {
						n, fate := uint64(0), quic.TrainsArrived
						if end.lost {
							n, fate = 1, quic.TrainsLost
						}
						if s := end.c.Q.Stats(); s.PathsAlone != n || end.c.Q.IO().TrainFate() != fate {
							t.Errorf("%d paths alone, trains %d: %+v", s.PathsAlone, end.c.Q.IO().TrainFate(), s)
						}
					}
					return d, took
				}
				seed := Seed(t.Name())
				d, took := run(seed)
				t.Logf("%v, %d dropped", took, d.Counts().Dropped)
				if e, again := run(seed); took != again || d.Counts() != e.Counts() {
					t.Errorf("another run with the same seed took %v instead of %v: %+v, %+v", again, took, e.Counts(), d.Counts())
				}
			})
		}
	}
}

// Other losses are not taken for that: at random, in bursts, of what is too large, or because queues are short.
func TestTrainsSurviveOtherLoss(t *testing.T) {
	check := func(t *testing.T, l *link, seed uint64) {
		d := newSeededDuo(t, seed, l, Peer{Streams: 1, Size: mb}, Peer{Streams: 1, Size: mb, Dir: quic.Uni}, nil)
		d.Until("transfer", time.Hour, func() bool { return d.app.Finished == 1 && d.app.Received == 1 })
		for _, c := range []*Conn{d.conn, d.serverConn()} {
			if s := c.Q.Stats(); s.PathsAlone != 0 || c.Q.IO().TrainFate() != quic.TrainsArrived {
				t.Errorf("%d paths alone, trains %d: %+v", s.PathsAlone, c.Q.IO().TrainFate(), s)
			}
		}
	}
	heavy := &link{up: withLoss(0.3)}
	for i := range uint64(10) {
		t.Run(fmt.Sprintf("loss 30%% %d", i), func(t *testing.T) { check(t, heavy, Seed(t.Name())) })
	}
	for i := range links {
		t.Run(links[i].name, func(t *testing.T) { check(t, &links[i], Seed(t.Name())) })
	}
}
