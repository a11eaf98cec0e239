package quic

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// pair is a client and a server with a network of constant delay between them, in
// virtual time.
type pair struct {
	t              testing.TB
	now            time.Time
	delay          time.Duration
	endpoint       *Endpoint
	client, server *Conn
	clientAddr     netip.AddrPort
	toClient       []flying
	toServer       []flying
	serverCfg      *Config
	buf            []byte
	segments       int

	// drop tells whether a datagram is lost; n counts those of its direction.
	drop      func(toServer bool, n int, b []byte) bool
	sent      [2]int
	mark      func(toServer bool) ECN // instead of what the sender asks for
	admission func(in *Incoming)      // instead of Accept
}

type flying struct {
	at   time.Time
	data []byte
	from netip.AddrPort
	ecn  ECN
}

var (
	pairClientAddr = netip.MustParseAddrPort("192.0.2.1:1000")
	pairServerAddr = netip.MustParseAddrPort("198.51.100.1:443")
	pairReset      = [32]byte{7}
)

func testTLS(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"example.org"},
		IPAddresses: []net.IP{net.ParseIP("198.51.100.1")},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	server = ServerTLS(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: priv}}, NextProtos: []string{"test"}})
	client = ClientTLS(&tls.Config{RootCAs: pool, NextProtos: []string{"test"}})
	return server, client
}

// fakeConfig is a configuration without TLS; seed makes both ends' randomness differ.
func fakeConfig(seed byte) *Config {
	return &Config{InsecureFakeHandshake: true, TLS: &tls.Config{NextProtos: []string{"test"}}, StatelessResetKey: &pairReset, Rand: &epRand{seed}}
}

func newPair(t testing.TB, clientCfg, serverCfg *Config) *pair {
	t.Helper()
	p := &pair{t: t, now: epStart, delay: 10 * time.Millisecond, serverCfg: serverCfg, clientAddr: pairClientAddr, buf: make([]byte, 64<<10), segments: 64}
	p.endpoint = newTestEndpoint(t, EndpointConfig{Server: true, StatelessResetKey: &pairReset})
	var err error
	p.client, err = Connect(p.now, clientCfg, pairServerAddr, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// flush sends what c has to send.
func (p *pair) flush(c *Conn) {
	for i := 0; ; i++ {
		if i > 10000 {
			p.t.Fatal("Transmit does not come to an end")
		}
		if c == p.server {
			if r, ok := c.IO().TakeRoutes(); ok {
				r.Route = p
				p.endpoint.Apply(&r)
			}
		}
		tr, ok := c.IO().Transmit(p.now, p.buf, p.segments)
		if !ok {
			return
		}
		if err := c.checkInvariants(); err != nil {
			p.t.Fatal(err)
		}
		for b := p.buf[:tr.N]; len(b) > 0; b = b[min(tr.Segment, len(b)):] {
			p.send(c == p.client, append([]byte(nil), b[:min(tr.Segment, len(b))]...), tr.ECN)
		}
	}
}

func (p *pair) send(toServer bool, b []byte, ecn ECN) {
	dir := 0
	if toServer {
		dir = 1
	}
	p.sent[dir]++
	if p.drop != nil && p.drop(toServer, p.sent[dir], b) {
		return
	}
	if p.mark != nil {
		ecn = p.mark(toServer)
	}
	p.deliver(toServer, flying{at: p.now.Add(p.delay), data: b, ecn: ecn})
}

// enqueue delivers a datagram that nobody has sent, or not now, so much later than others.
func (p *pair) enqueue(toServer bool, b []byte, later time.Duration) {
	p.deliver(toServer, flying{at: p.now.Add(p.delay + later), data: b})
}

func (p *pair) deliver(toServer bool, f flying) {
	q := &p.toClient
	f.from = pairServerAddr
	if toServer {
		q = &p.toServer
		f.from = p.clientAddr
	}
	i := len(*q)
	for i > 0 && (*q)[i-1].at.After(f.at) {
		i--
	}
	*q = slices.Insert(*q, i, f)
}

// step moves time to the next thing that happens. False: nothing will.
func (p *pair) step() bool {
	var next time.Time
	earlier := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, c := range []*Conn{p.client, p.server} {
		if c != nil {
			p.flush(c)
			if d, ok := c.IO().Deadline(); ok {
				earlier(d)
			}
		}
	}
	if len(p.toClient) > 0 {
		earlier(p.toClient[0].at)
	}
	if len(p.toServer) > 0 {
		earlier(p.toServer[0].at)
	}
	if next.IsZero() {
		return false
	}
	if next.After(p.now) {
		p.now = next
	}
	for len(p.toClient) > 0 && !p.toClient[0].at.After(p.now) {
		f := p.toClient[0]
		p.toClient = p.toClient[1:]
		p.client.IO().Recv(p.now, &Datagram{Data: f.data, Remote: f.from, ECN: f.ecn})
	}
	for len(p.toServer) > 0 && !p.toServer[0].at.After(p.now) {
		f := p.toServer[0]
		p.toServer = p.toServer[1:]
		p.serverRecv(&Datagram{Data: f.data, Remote: f.from, Local: pairServerAddr.Addr(), ECN: f.ecn})
	}
	for _, c := range []*Conn{p.client, p.server} {
		if c == nil {
			continue
		}
		if d, ok := c.IO().Deadline(); ok && !d.After(p.now) {
			c.IO().HandleDeadline(p.now)
		}
		if err := c.checkInvariants(); err != nil {
			p.t.Fatal(err)
		}
	}
	return true
}

func (p *pair) serverRecv(d *Datagram) {
	switch v := p.endpoint.Handle(p.now, d); v.Kind {
	case VerdictRoute:
		if p.server != nil { // its Endpoint may have survived it
			p.server.IO().Recv(p.now, d)
		}
	case VerdictReply:
		p.send(false, append([]byte(nil), v.Reply...), NotECT)
	case VerdictIncoming:
		if p.admission != nil {
			p.admission(v.Incoming)
			return
		}
		p.accept(v.Incoming)
	}
}

func (p *pair) accept(in *Incoming) {
	if !p.endpoint.Admit(in, p) {
		p.t.Fatal("not admitted")
	}
	c, err := Accept(p.now, in, p.serverCfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.server = c
	p.flush(c)
}

// until steps until the goal is met.
func (p *pair) until(what string, limit time.Duration, goal func() bool) {
	p.t.Helper()
	end := p.now.Add(limit)
	for !goal() {
		if !p.step() || p.now.After(end) {
			err := p.client.Err()
			var serr error
			if p.server != nil {
				serr = p.server.Err()
			}
			p.t.Fatalf("%s: not within %v of virtual time (client: %v, server: %v)", what, limit, err, serr)
		}
	}
}

func (p *pair) connect() {
	p.t.Helper()
	p.until("handshake", 20*time.Second, func() bool {
		return p.client.Confirmed() && p.server != nil && p.server.Confirmed()
	})
}

// transfer moves size bytes from one end to the other on a new stream, and checks them.
func (p *pair) transfer(from, to *Conn, dir Dir, size int, limit time.Duration) {
	p.t.Helper()
	id, err := from.OpenStream(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	sent, got := 0, make([]byte, 0, size)
	fin := false
	buf := make([]byte, 32<<10)
	p.until("transfer", limit, func() bool {
		for sent < size {
			n, err := from.StreamWrite(id, want[sent:], true)
			if err != nil {
				p.t.Fatal(err)
			}
			sent += n
			if n == 0 {
				break
			}
		}
		for {
			rid, ok := to.NextReadable()
			if !ok {
				break
			}
			if rid != id {
				p.t.Fatalf("readable stream %d, want %d", rid, id)
			}
			for !fin {
				n, end, err := to.StreamRead(rid, buf)
				if err != nil {
					p.t.Fatal(err)
				}
				got = append(got, buf[:n]...)
				fin = end
				if n == 0 {
					break
				}
			}
		}
		return fin
	})
	if !bytes.Equal(got, want) {
		p.t.Fatalf("%d bytes arrived, %d were sent, or they differ", len(got), len(want))
	}
}

func TestHandshake(t *testing.T) {
	server, client := testTLS(t)
	for name, cfg := range map[string][2]*Config{
		"fake": {fakeConfig(1), fakeConfig(2)},
		"tls":  {{TLS: client}, {TLS: server, StatelessResetKey: &pairReset}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, cfg[0], cfg[1])
			p.connect()
			if p.client.TLS().NegotiatedProtocol != "test" || p.server.TLS().ServerName != "example.org" {
				t.Errorf("client's protocol %q, server's name %q", p.client.TLS().NegotiatedProtocol, p.server.TLS().ServerName)
			}
			p.transfer(p.client, p.server, Bidi, 1<<20, time.Minute)
			p.transfer(p.server, p.client, Uni, 1<<20, time.Minute)
			if got := p.client.Stats().PathMTU; got != defaultMaxUDPPayload {
				t.Errorf("path MTU %d after the search, want %d", got, defaultMaxUDPPayload)
			}
			p.client.Close(CloseError{Application: true, Code: 42, Reason: "done"})
			p.until("close", time.Minute, func() bool { return p.server.Err() != nil && p.client.IO().Gone() && p.server.IO().Gone() })
			ae, ok := p.server.Err().(*ApplicationError)
			if !ok || ae.Code != 42 || !ae.Remote || ae.Reason != "done" {
				t.Errorf("server's error: %v", p.server.Err())
			}
			if r, ok := p.server.IO().TakeRoutes(); ok {
				r.Route = p
				p.endpoint.Apply(&r)
			}
			if n := p.endpoint.Counts(); n.Routes != 0 || n.ResetTokens != 0 {
				t.Errorf("%d routes and %d reset tokens are left", n.Routes, n.ResetTokens)
			}
		})
	}
}

func TestTransferWithLoss(t *testing.T) {
	for _, every := range []int{3, 10, 50} {
		p := newPair(t, fakeConfig(1), fakeConfig(2))
		p.drop = func(toServer bool, n int, b []byte) bool { return int(uint32(n)*2654435761>>7)%every == 0 }
		p.connect()
		p.transfer(p.client, p.server, Bidi, 2<<20, 10*time.Minute)
		p.transfer(p.server, p.client, Bidi, 2<<20, 10*time.Minute)
	}
}
