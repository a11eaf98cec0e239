package frittata

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// Two Transports, each of them client and server, and a Listener that is closed.
func TestOneTransportForBothRoles(t *testing.T) {
	leak.Check(t)
	var ts [2]*Transport
	for i := range ts {
		cfg := serverConfig()
		_, cfg.QUIC.TLS.RootCAs = testCert()
		tr, err := Open("udp", "127.0.0.1:0", cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		ts[i] = tr
		l, err := tr.Listen(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Listen(nil); !errors.Is(err, ErrListening) {
			t.Errorf("a second Listener: %v", err)
		}
		serve(t, l, func() Application { return newEcho() })
		defer l.Close()
	}
	for i := range 6 {
		u := newUpload(1, 50_000)
		if _, err := ts[i%2].Dial(testContext(t), ts[1-i%2].LocalAddr(), "localhost", nil, u); err != nil {
			t.Fatal(err)
		}
		wait(t, "all came back", u.done)
		if u.err != nil {
			t.Error(u.err)
		}
	}
	if st := ts[0].Stats(); st.Conns != 6 {
		t.Errorf("%+v", st)
	}
}

func TestPacketSocket(t *testing.T) {
	leak.Check(t)
	var ts [2]*Transport
	for i := range ts {
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
		if ts[i], err = NewTransport(s, cfg); err != nil {
			t.Fatal(err)
		}
		defer ts[i].Close()
	}
	l, err := ts[0].Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	serve(t, l, func() Application { return newEcho() })
	u := newUpload(3, 200_000)
	if _, err := ts[1].Dial(testContext(t), ts[0].LocalAddr(), "localhost", nil, u); err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back", u.done)
	if u.err != nil {
		t.Error(u.err)
	}
}

// nat forwards datagrams between a client and a server, from a port that changes.
type nat struct {
	inside *net.UDPConn
	server *net.UDPAddr
	mu     sync.Mutex
	client *net.UDPAddr
	out    *net.UDPConn
	all    []*net.UDPConn
}

func newNAT(t *testing.T, server netip.AddrPort) *nat {
	n := &nat{server: net.UDPAddrFromAddrPort(server)}
	var err error
	if n.inside, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	n.rebind(t)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			m, from, err := n.inside.ReadFromUDP(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.client = from
			_, _ = n.out.Write(buf[:m])
			n.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		n.inside.Close()
		for _, c := range n.all {
			c.Close()
		}
	})
	return n
}

func (n *nat) rebind(t *testing.T) {
	out, err := net.DialUDP("udp", nil, n.server)
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	n.out = out
	n.all = append(n.all, out)
	n.mu.Unlock()
	go func() {
		buf := make([]byte, 64<<10)
		for {
			m, err := out.Read(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			_, _ = n.inside.WriteToUDP(buf[:m], n.client)
			n.mu.Unlock()
		}
	}()
}

func TestNATRebinding(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	server := one(t, l, newEcho())
	n := newNAT(t, l.Addr())
	u := newUpload(1, 1000)
	c, err := Dial(testContext(t), n.inside.LocalAddr().String(), clientConfig(), u)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Transport().Close()
	wait(t, "all came back", u.done)
	s := <-server
	before := s.RemoteAddr()
	n.rebind(t)
	u2 := newUpload(1, 100_000)
	if err := c.Call(testContext(t), func(qc *quic.Conn) { c.app = u2; err = u2.onEstablished(qc, HandshakeInfo{}) }); err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back by the new way", u2.done)
	if u2.err != nil || err != nil {
		t.Fatal(u2.err, err)
	}
	if after := s.RemoteAddr(); after == before {
		t.Errorf("the server has not noticed the new address: %v", after)
	}
}

func TestInboxIsBounded(t *testing.T) {
	tr := &Transport{cfg: Config{InboxBytes: 10_000}, buffers: &sharedBuffers}
	c := newConn(tr, &app{}, netip.AddrPort{})
	r := run{data: make([]byte, 3000), segment: 1000}
	for range 100 {
		c.keep(&r)
	}
	if c.boxBytes != 9000 || len(c.box) != 3 {
		t.Errorf("%d bytes in %d entries", c.boxBytes, len(c.box))
	}
	if n := tr.stats.inboxDropped.Load(); n != 97*3000 {
		t.Errorf("%d bytes were dropped", n)
	}
}

// Small datagrams count as the memory that they take.
func TestInboxOfSmallDatagrams(t *testing.T) {
	tr := &Transport{cfg: Config{InboxBytes: 10_000}, buffers: &sharedBuffers}
	c := newConn(tr, &app{}, netip.AddrPort{})
	r := run{data: make([]byte, 21), segment: 21}
	for range 1000 {
		c.keep(&r)
	}
	memory := 0
	for i := range c.box {
		memory += c.box[i].buf.Size()
	}
	if memory > tr.cfg.InboxBytes || len(c.box) == 0 {
		t.Errorf("%d datagrams of 21 bytes take %d bytes", len(c.box), memory)
	}
}

func TestConfigErrors(t *testing.T) {
	leak.Check(t)
	for name, change := range map[string]func(*Config){
		"no TLS":         func(c *Config) { c.QUIC.TLS = nil },
		"no ALPN":        func(c *Config) { c.QUIC.TLS = &tls.Config{} },
		"negative limit": func(c *Config) { c.MaxHandshakes = -1 },
		"short IDs":      func(c *Config) { c.QUIC.ConnIDs = quic.RandomConnIDs(2) },
		"long IDs":       func(c *Config) { c.QUIC.ConnIDs = quic.RandomConnIDs(21) },
	} {
		cfg := serverConfig()
		change(cfg)
		if l, err := Listen("udp", "127.0.0.1:0", cfg); err == nil {
			l.Close()
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Listen("tcp", "127.0.0.1:0", serverConfig()); err == nil {
		t.Error("a network that is not UDP")
	}
	if _, err := Dial(t.Context(), "127.0.0.1:1", nil, &app{}); err == nil {
		t.Error("Dial without a configuration")
	}
	if _, err := Dial(t.Context(), "127.0.0.1:1", clientConfig(), nil); err == nil {
		t.Error("Dial without an Application")
	}
}

// An empty connection ID makes a client's datagrams be routed by address.
func TestEmptyConnIDs(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	cfg := clientConfig()
	cfg.QUIC.ConnIDs = quic.RandomConnIDs(0)
	u := newUpload(2, 100_000)
	c := dial(t, l, cfg, u)
	wait(t, "all came back", u.done)
	if u.err != nil {
		t.Error(u.err)
	}
	if _, err := c.Transport().Listen(serverConfigQUIC()); err == nil {
		t.Error("a server with empty connection IDs")
	}
}

func serverConfigQUIC() *quic.Config { return &serverConfig().QUIC }

// Datagrams that are no QUIC, or of no connection, do no harm.
func TestStrayDatagrams(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	s, err := udp.Dial(t.Context(), "udp", l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	garbage := make([]byte, 1200*20)
	for i := range garbage {
		garbage[i] = byte(i * i >> 3)
	}
	for i := range 20 {
		garbage[i*1200] = byte(i * 37)
		if _, err := s.WriteTrain(&udp.Train{Data: garbage, Segment: 1200}); err != nil {
			t.Fatal(err)
		}
	}
	u := newUpload(1, 100_000)
	dial(t, l, clientConfig(), u)
	wait(t, "all came back", u.done)
	if u.err != nil {
		t.Error(u.err)
	}
}
