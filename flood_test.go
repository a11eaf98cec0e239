package frittata

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// While first flights without end come from many made-up clients, connections that there are go on,
// and what the flood occupies is bounded.
func TestInitialFlood(t *testing.T) {
	for name, test := range map[string]struct {
		n      int
		policy RetryPolicy
	}{
		"one socket": {1, RetryAuto}, "one socket, no Retry": {1, RetryNever}, "group": {3, RetryAuto},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			cfg := serverConfig()
			cfg.MaxHandshakes = 16
			cfg.Retry = test.policy
			l := listenTestGroup(t, test.n, cfg)
			server := one(t, l, newEcho())
			u := newUpload(1, 10)
			c := dial(t, l, clientConfig(), u)
			wait(t, "the connection is up", u.done)
			<-server
			serve(t, l, func() Application { return &app{} })

			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop()
			s, err := udp.Dial(t.Context(), "udp", l.Addr().String(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			wg.Go(func() { flood(ctx, s) })

			for range 5 {
				u := newUpload(2, 1_000_000)
				if err := c.Call(testContext(t), func(qc *quic.Conn) { c.app = u; err = u.onEstablished(qc, HandshakeInfo{}) }); err != nil {
					t.Fatal(err)
				}
				wait(t, "all came back in the flood", u.done)
				if u.err != nil || err != nil {
					t.Fatal(u.err, err)
				}
				st := l.Stats()
				if st.Handshakes > cfg.MaxHandshakes || st.HandshakeMemory > cfg.MaxHandshakes*(handshakeMemory+halfOpenInboxBytes)+(8<<20) {
					t.Errorf("%+v", st)
				}
			}
		})
	}
}

// flood sends first flights, each of another client's, no faster than the system can take them:
// what is lost in front of the socket is nobody's choice.
func flood(ctx context.Context, s *udp.Conn) {
	f := newFlood()
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		if f.send(s) != nil {
			return
		}
	}
}

// firstFlights makes those of clients that do not exist.
type firstFlights struct {
	rng   *rand.Rand
	train []byte
}

const floodSize, floodCount = 1200, 8

func newFlood() *firstFlights {
	return &firstFlights{rng: rand.New(rand.NewPCG(1, 2)), train: make([]byte, floodSize*floodCount)}
}

// send sends eight of them.
func (f *firstFlights) send(s *udp.Conn) error {
	for i := range floodCount {
		p := f.train[i*floodSize:][:floodSize]
		copy(p, "\xc3\x00\x00\x00\x01\x08--------\x08--------\x00")
		binary.BigEndian.PutUint64(p[6:], f.rng.Uint64())
		binary.BigEndian.PutUint64(p[15:], f.rng.Uint64())
		binary.BigEndian.PutUint16(p[24:], uint16(floodSize-26)|0x4000)
	}
	_, err := s.WriteTrain(&udp.Train{Data: f.train, Segment: floodSize})
	return err
}
