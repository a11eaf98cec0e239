package frittata

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

var (
	innerClient = netip.MustParseAddrPort("192.0.2.1:1000")
	innerServer = netip.MustParseAddrPort("192.0.2.2:443")
)

// tunnels makes an outer connection with a Tunnel at each end.
func tunnels(t *testing.T) (client, server *Tunnel, outer *Conn) {
	t.Helper()
	var err error
	if client, err = NewTunnel(innerClient, innerServer); err != nil {
		t.Fatal(err)
	}
	if server, err = NewTunnel(innerServer, innerClient); err != nil {
		t.Fatal(err)
	}
	scfg, ccfg := serverConfig(), clientConfig()
	scfg.QUIC.EnableDatagrams, ccfg.QUIC.EnableDatagrams = true, true
	l := listen(t, scfg)
	serve(t, l, func() Application { return server })
	return client, server, dial(t, l, ccfg, client)
}

// QUIC in QUIC: many inner connections of both directions, and a megabyte.
func TestTunnel(t *testing.T) {
	leak.Check(t)
	client, server, outer := tunnels(t)
	cfg := serverConfig()
	_, cfg.QUIC.TLS.RootCAs = testCert()
	cfg.QUIC.MaxUDPPayload = 1400
	at := func(tun *Tunnel) *Transport {
		tr, err := NewTransport(tun, cfg)
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
	ct, st := at(client), at(server)
	for i, n := range []int{1 << 20, 1000, 1000, 1000} {
		from, to := ct, innerServer
		if i%2 == 1 {
			from, to = st, innerClient
		}
		u := newUpload(1, n)
		c, err := from.Dial(testContext(t), to, "localhost", nil, u)
		if err != nil {
			t.Fatal(err)
		}
		wait(t, "all came back through the tunnel", u.done)
		if u.err != nil {
			t.Fatal(u.err)
		}
		if c.RemoteAddr() != to {
			t.Errorf("the inner connection's remote address is %v", c.RemoteAddr())
		}
		s, err := c.Stats(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if s.PathMTU > cfg.QUIC.MaxUDPPayload {
			t.Errorf("inner datagrams of %d bytes", s.PathMTU)
		}
	}
	if n := client.Limit(); n < 1200 || n >= 1452 {
		t.Errorf("the limit is %d", n)
	}

	// The inner end goes first, and is told to the peer; the outer connection stays.
	if err := ct.Close(); err != nil {
		t.Fatal(err)
	}
	if outer.Err() != nil {
		t.Error(outer.Err())
	}
	_ = outer.Close()
	wait(t, "the outer connection closed", outer.Closed())
	wait(t, "the server's end closed with it", server.end)
	if _, err := server.WriteTrain(&udp.Train{Data: make([]byte, 1200)}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing to a closed tunnel: %v", err)
	}
	if _, err := server.ReadBatch(make([]udp.Message, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading a closed tunnel: %v", err)
	}
}

// inner makes a listener on one end of a tunnel, and a Transport on the other.
func inner(t *testing.T, server, client *Tunnel, scfg, ccfg *Config) (*Listener, *Transport) {
	t.Helper()
	open := func(tun *Tunnel, cfg *Config) *Transport {
		tr, err := NewTransport(tun, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tr.Close() })
		return tr
	}
	st, ct := open(server, scfg), open(client, ccfg)
	l, err := st.Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	return l, ct
}

// The outer connection takes with it what is on the tunnel: connections that have no timeout, and whoever waits.
func TestTunnelEnds(t *testing.T) {
	leak.Check(t)
	client, server, outer := tunnels(t)
	scfg, ccfg := serverConfig(), clientConfig()
	for _, cfg := range []*Config{scfg, ccfg} {
		cfg.QUIC.MaxIdleTimeout = -1
		cfg.QUIC.HandshakeTimeout = time.Hour
	}
	l, ct := inner(t, server, client, scfg, ccfg)
	accepted := one(t, l, &app{})
	closed := make(chan error, 1)
	c, err := ct.Dial(testContext(t), innerServer, "localhost", nil, &app{closed: func(_ *quic.Conn, err error) { closed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	s := <-accepted
	_ = outer.Close()
	wait(t, "the inner client is gone", c.Done())
	wait(t, "the inner server is gone", s.Done())
	if err := <-closed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("OnClose got %v", err)
	}
	if _, err := l.Accept(testContext(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if _, err := ct.Dial(testContext(t), innerServer, "localhost", nil, &app{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial: %v", err)
	}
}

// An inner connection with no limit of its own finds out what the outer one takes.
func TestTunnelFindsSize(t *testing.T) {
	leak.Check(t)
	client, server, _ := tunnels(t)
	scfg, ccfg := serverConfig(), clientConfig()
	l, ct := inner(t, server, client, scfg, ccfg)
	serve(t, l, func() Application { return newEcho() })
	u := newUpload(2, 200_000)
	c, err := ct.Dial(testContext(t), client.RemoteAddr(), "localhost", nil, u)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back", u.done)
	if u.err != nil {
		t.Fatal(u.err)
	}
	s, err := c.Stats(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if s.PathMTU > client.Limit() {
		t.Errorf("inner datagrams of %d bytes, and %d fit", s.PathMTU, client.Limit())
	}
}

func TestTunnelQueueIsBounded(t *testing.T) {
	leak.Check(t)
	tun, err := NewTunnel(innerClient, innerServer)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody takes what is written, as there is no outer connection.
	train := &udp.Train{Data: make([]byte, 1200*tunnelTrain), Segment: 1200}
	for range 100 {
		if n, err := tun.WriteTrain(train); n != tunnelTrain || err != nil {
			t.Fatal(n, err)
		}
	}
	if tun.out.size > tunnelQueue {
		t.Errorf("%d bytes are queued", tun.out.size)
	}
	queued := uint64(tunnelQueue / (1200 + tunnelOverhead))
	if n := tun.Dropped(); n != 100*tunnelTrain-queued {
		t.Errorf("%d were dropped", n)
	}
	// One byte ones cost more than their bytes.
	n := 0
	for tun.in.push([]byte{1}) {
		n++
	}
	if n > tunnelQueue/tunnelOverhead {
		t.Errorf("%d small ones are queued", n)
	}
	for _, q := range []*datagramFIFO{&tun.in, &tun.out} {
		if m := q.list.Memory(); m > 2*tunnelQueue {
			t.Errorf("%d bytes of memory", m)
		}
	}
	_ = tun.Close()
	tun.OnClose(nil, nil)
	if tun.in.size != 0 || tun.out.size != 0 {
		t.Error("something is left in the queues")
	}
}

func TestTunnelSocket(t *testing.T) {
	leak.Check(t)
	tun, err := NewTunnel(innerClient, innerServer)
	if err != nil {
		t.Fatal(err)
	}
	// Datagrams of one size go together, another one ends that.
	for _, n := range []int{100, 100, 100, 50, 100} {
		tun.in.push(make([]byte, n))
	}
	m := []udp.Message{{Buf: make([]byte, 250)}, {Buf: make([]byte, 1000)}, {Buf: make([]byte, 1000)}}
	n, err := tun.TryReadBatch(m)
	if n != 3 || err != nil || m[0].N != 200 || m[0].Segment != 100 || m[1].N != 100 || m[2].N != 50 || m[0].Remote != innerServer {
		t.Errorf("%d messages, %v: %d %d %d", n, err, m[0].N, m[1].N, m[2].N)
	}
	if n, err := tun.ReadBatch(m); n != 1 || err != nil {
		t.Error(n, err)
	}
	// A deadline reaches a read that waits.
	failed := make(chan error)
	go func() {
		_, err := tun.ReadBatch(m)
		failed <- err
	}()
	_ = tun.SetReadDeadline(time.Now().Add(time.Hour))
	_ = tun.SetReadDeadline(time.Now().Add(-time.Second))
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	// Once it has passed there may be something.
	tun.in.push(make([]byte, 100))
	tun.in.push(make([]byte, 50))
	if n, err := tun.ReadBatch(m); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d messages after the deadline, %v", n, err)
	}
	if n, err := tun.TryReadBatch(m[:1]); n != 1 || err != nil {
		t.Errorf("%d messages, %v", n, err)
	}
	_ = tun.SetReadDeadline(time.Time{})
	if n, err := tun.ReadBatch(m); n != 1 || err != nil {
		t.Errorf("%d messages without a deadline, %v", n, err)
	}
	// What is too large for the outer connection is told.
	tun.opened, tun.limit = true, 1250
	if _, err := tun.WriteTrain(&udp.Train{Data: make([]byte, 1251)}); !errors.Is(err, udp.ErrTooLarge) {
		t.Error(err)
	}
	if n, err := tun.WriteTrain(&udp.Train{Data: make([]byte, 1251), Segment: 1250}); n != 2 || err != nil {
		t.Error(n, err)
	}
	for _, a := range []netip.AddrPort{{}, netip.AddrPortFrom(innerClient.Addr(), 0)} {
		if _, err := NewTunnel(innerClient, a); err == nil {
			t.Errorf("no error for %v", a)
		}
	}
}
