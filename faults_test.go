package frittata

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/udp"
)

// faulty is a Socket on which some calls fail.
type faulty struct {
	*udp.Conn
	writes, reads atomic.Int64
	// write returns how many datagrams of the n-th train go out, and with what error the rest does not.
	write func(n int64, t *udp.Train) (sent int, err error)
	// read returns the error of the n-th read.
	read func(n int64) error
}

func (s *faulty) WriteTrain(t *udp.Train) (int, error) {
	if s.write == nil {
		return s.Conn.WriteTrain(t)
	}
	sent, fault := s.write(s.writes.Add(1), t)
	if fault == nil {
		return s.Conn.WriteTrain(t)
	}
	if sent > 0 {
		part := *t
		part.Data = t.Data[:min(sent*t.Segment, len(t.Data))]
		if n, err := s.Conn.WriteTrain(&part); err != nil {
			return n, err
		}
	}
	return sent, fault
}

func (s *faulty) ReadBatch(m []udp.Message) (int, error) {
	if s.read != nil {
		if err := s.read(s.reads.Add(1)); err != nil {
			return 0, err
		}
	}
	return s.Conn.ReadBatch(m)
}

// Connections survive what a socket's calls fail with: what was not sent is sent
// again, smaller if that was the fault.
func TestSocketFaults(t *testing.T) {
	tooLarge := fmt.Errorf("sendmsg: %w", udp.ErrTooLarge)
	for _, test := range []struct {
		name   string
		write  func(n int64, t *udp.Train) (int, error)
		read   func(n int64) error
		mtu    int // the path MTU is at most that in the end
		failed bool
	}{
		{name: "EMSGSIZE above 1300 bytes", mtu: 1300, failed: true, write: func(_ int64, t *udp.Train) (int, error) {
			if t.Segment > 1300 {
				return 0, tooLarge
			}
			return 0, nil
		}},
		{name: "EMSGSIZE above 1250 bytes after a while", mtu: 1250, failed: true, write: func(n int64, t *udp.Train) (int, error) {
			if n > 20 && t.Segment > 1250 {
				return 0, tooLarge
			}
			return 0, nil
		}},
		{name: "EIO now and then", failed: true, write: func(n int64, t *udp.Train) (int, error) {
			if n%7 == 0 {
				return 0, syscall.EIO
			}
			return 0, nil
		}},
		{name: "ENOBUFS in the midst of trains", failed: true, write: func(n int64, t *udp.Train) (int, error) {
			if n%5 == 0 {
				return t.Count() / 2, syscall.ENOBUFS
			}
			return 0, nil
		}},
		{name: "a route that is gone for a while", failed: true, write: func(n int64, t *udp.Train) (int, error) {
			if n > 20 && n < 25 {
				return 0, udp.ErrNoRoute
			}
			return 0, nil
		}},
		{name: "reads that fail", read: func(n int64) error {
			if n%3 == 0 {
				return syscall.ECONNREFUSED
			}
			return nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			leak.Check(t)
			cfg := serverConfig()
			_, cfg.QUIC.TLS.RootCAs = testCert()
			var ts [2]*Transport
			for i := range ts {
				u, err := udp.Listen("udp", "127.0.0.1:0", nil)
				if err != nil {
					t.Fatal(err)
				}
				if ts[i], err = NewTransport(&faulty{Conn: u, write: test.write, read: test.read}, cfg); err != nil {
					t.Fatal(err)
				}
				defer ts[i].Close()
			}
			l, err := ts[0].Listen(nil)
			if err != nil {
				t.Fatal(err)
			}
			server := one(t, l, newEcho())
			// So many bytes are more than 20 trains.
			u := newUpload(2, 1<<20)
			c, err := ts[1].Dial(testContext(t), ts[0].LocalAddr(), "localhost", nil, u)
			if err != nil {
				t.Fatal(err)
			}
			wait(t, "all came back", u.done)
			if u.err != nil {
				t.Fatal(u.err)
			}
			for _, end := range []*Conn{c, <-server} {
				s, err := end.Stats(testContext(t))
				if err != nil {
					t.Fatal(err)
				}
				if test.mtu > 0 && s.PathMTU > test.mtu {
					t.Errorf("the path MTU is %d", s.PathMTU)
				}
			}
			var writes, reads uint64
			for _, tr := range ts {
				s := tr.Stats()
				writes, reads = writes+s.WriteErrors, reads+s.ReadErrors
			}
			if (writes > 0) != test.failed || (reads > 0) != (test.read != nil) {
				t.Errorf("%d errors of writes and %d of reads were counted", writes, reads)
			}
		})
	}
}

// TestDialWithoutRoute: Dial tells at once that the system has no route, and does not wait for its timeout.
func TestDialWithoutRoute(t *testing.T) {
	leak.Check(t)
	u, err := udp.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	noRoute := fmt.Errorf("sendmsg: %w", udp.ErrNoRoute)
	tr, err := NewTransport(&faulty{Conn: u, write: func(int64, *udp.Train) (int, error) { return 0, noRoute }}, clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	app := newUpload(1, 1)
	if _, err := tr.Dial(testContext(t), netip.MustParseAddrPort("192.0.2.1:1"), "localhost", nil, app); !errors.Is(err, udp.ErrNoRoute) {
		t.Errorf("error %v", err)
	}
	wait(t, "OnClose", app.done)
	if !errors.Is(app.err, udp.ErrNoRoute) {
		t.Errorf("OnClose was told %v", app.err)
	}
}
