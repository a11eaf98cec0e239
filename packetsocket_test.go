package frittata

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
)

// packetTransport makes a Transport of both roles on a net.PacketConn that is no
// more than that.
func packetTransport(t *testing.T) *Transport {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := PacketSocket(struct{ net.PacketConn }{pc})
	if err != nil {
		t.Fatal(err)
	}
	cfg := serverConfig()
	_, cfg.QUIC.TLS.RootCAs = testCert()
	tr, err := NewTransport(s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	l, err := tr.Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, func() Application { return newEcho() })
	return tr
}

// Many connections of both roles share one net.PacketConn at each end, and one
// of a server at the other.
func TestPacketSocketIsShared(t *testing.T) {
	leak.Check(t)
	a, b := packetTransport(t), packetTransport(t)
	third := listen(t, serverConfig())
	serve(t, third, func() Application { return newEcho() })
	const each = 8
	var wg sync.WaitGroup
	failed := make(chan error, 3*each)
	for range each {
		for _, way := range []struct {
			from *Transport
			to   *Transport
		}{{a, b}, {b, a}, {a, third.Transport()}} {
			wg.Go(func() {
				u := newUpload(2, 50_000)
				c, err := way.from.Dial(testContext(t), way.to.LocalAddr(), "localhost", nil, u)
				if err != nil {
					failed <- err
					return
				}
				<-u.done
				switch {
				case u.err != nil:
					failed <- u.err
				case c.Transport() != way.from || c.LocalAddr() != way.from.LocalAddr() || c.RemoteAddr() != way.to.LocalAddr():
					failed <- fmt.Errorf("a connection from %v to %v", c.LocalAddr(), c.RemoteAddr())
				}
			})
		}
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	if st := a.Stats(); st.ConnsDialed != 2*each || st.ConnsAccepted != each || st.Conns != 3*each {
		t.Errorf("%+v", st)
	}
	if st := b.Stats(); st.ConnsDialed != each || st.ConnsAccepted != each {
		t.Errorf("%+v", st)
	}
}

// endingConn is a net.PacketConn of which nothing more comes at some time.
type endingConn struct {
	net.PacketConn
	err  error
	over chan struct{}
}

func (c *endingConn) ReadFrom([]byte) (int, net.Addr, error) {
	<-c.over
	return 0, nil, c.err
}

// Where a net.PacketConn has come to its end nobody waits for more.
func TestPacketSocketEnds(t *testing.T) {
	leak.Check(t)
	for _, end := range []error{net.ErrClosed, io.EOF, io.ErrClosedPipe} {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c := &endingConn{PacketConn: pc, err: fmt.Errorf("reading: %w", end), over: make(chan struct{})}
		s, err := PacketSocket(c)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := NewTransport(s, serverConfig())
		if err != nil {
			t.Fatal(err)
		}
		l, err := tr.Listen(nil)
		if err != nil {
			t.Fatal(err)
		}
		close(c.over)
		if _, err := l.Accept(testContext(t)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after %v Accept returned %v", end, err)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
}

// stringAddr is an address of another kind than *net.UDPAddr.
type stringAddr string

func (a stringAddr) Network() string { return "udp" }
func (a stringAddr) String() string  { return string(a) }

func TestPacketSocketAddresses(t *testing.T) {
	leak.Check(t)
	for in, want := range map[net.Addr]string{
		stringAddr("192.0.2.1:80"):    "192.0.2.1:80",
		stringAddr("[2001:db8::1]:8"): "[2001:db8::1]:8",
		stringAddr("a name:80"):       "",
		nil:                           "",
	} {
		got, err := addrPort(in)
		if want == "" {
			if err == nil || !strings.HasPrefix(err.Error(), "frittata: ") {
				t.Errorf("%v: %v", in, err)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%v: %v, %v", in, got, err)
		}
	}
	mapped := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1).To16(), Port: 9}
	if got, err := addrPort(mapped); err != nil || got.String() != "192.0.2.1:9" {
		t.Error(got, err)
	}
}
