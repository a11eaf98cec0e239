package h3

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// pair is a client and a server over real quic.Conns in virtual time, with a
// network of constant delay that loses datagrams.
type pair struct {
	t              testing.TB
	now            time.Time
	endpoint       *quic.Endpoint
	cq, sq         *quic.Conn
	client, server *Conn
	serverCfg      *quic.Config
	toClient       []flying
	toServer       []flying
	buf            []byte
	rng            *rand.Rand
	loss           float64
}

type flying struct {
	at   time.Time
	data []byte
}

var (
	clientAddr = netip.MustParseAddrPort("192.0.2.1:1000")
	serverAddr = netip.MustParseAddrPort("198.51.100.1:443")
	resetKey   = [32]byte{1}
)

type seeded struct{ *rand.Rand }

func (s seeded) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s.Uint32())
	}
	return len(p), nil
}

func random(seed uint64) io.Reader { return seeded{rand.New(rand.NewPCG(seed, 0))} }

func quicConfig(seed uint64) *quic.Config {
	return &quic.Config{InsecureFakeHandshake: true, TLS: &tls.Config{NextProtos: []string{"h3"}}, StatelessResetKey: &resetKey, Rand: random(seed)}
}

// newPair connects; client and server begin HTTP/3 as soon as they can. edit changes the server's settings.
func newPair(t testing.TB, loss float64, seed uint64, edit ...func(*quic.Config)) *pair {
	t.Helper()
	p := &pair{t: t, now: time.Unix(1_700_000_000, 0), serverCfg: quicConfig(seed + 1), buf: make([]byte, 64<<10), loss: loss,
		rng: rand.New(rand.NewPCG(seed, 1))}
	for _, f := range edit {
		f(p.serverCfg)
	}
	var err error
	if p.endpoint, err = quic.NewEndpoint(&quic.EndpointConfig{Server: true, StatelessResetKey: &resetKey, Rand: random(seed + 2)}); err != nil {
		t.Fatal(err)
	}
	if p.cq, err = quic.Connect(p.now, quicConfig(seed+3), serverAddr, "example.org"); err != nil {
		t.Fatal(err)
	}
	p.until("handshake", func() bool { return p.client != nil && p.server != nil })
	return p
}

func (p *pair) begin(qc *quic.Conn, c **Conn) {
	if qc == nil || *c != nil {
		return
	}
	for {
		ev, ok := qc.NextEvent()
		if !ok {
			return
		}
		if ev.Kind == quic.EventConnected {
			var err error
			if *c, err = NewConn(qc, nil); err != nil {
				p.t.Fatal(err)
			}
			return
		}
	}
}

func (p *pair) flush(qc *quic.Conn) {
	if qc == p.sq {
		if r, ok := qc.IO().TakeRoutes(); ok {
			r.Route = p
			p.endpoint.Apply(&r)
		}
	}
	for {
		tr, ok := qc.IO().Transmit(p.now, p.buf, 16)
		if !ok {
			return
		}
		for b := p.buf[:tr.N]; len(b) > 0; b = b[min(tr.Segment, len(b)):] {
			f := flying{p.now.Add(5 * time.Millisecond), bytes.Clone(b[:min(tr.Segment, len(b))])}
			switch {
			case p.rng.Float64() < p.loss:
			case qc == p.cq:
				p.toServer = append(p.toServer, f)
			default:
				p.toClient = append(p.toClient, f)
			}
		}
	}
}

// step moves time to the next thing that happens.
func (p *pair) step() {
	p.begin(p.cq, &p.client)
	p.begin(p.sq, &p.server)
	var next time.Time
	earlier := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, qc := range []*quic.Conn{p.cq, p.sq} {
		if qc != nil {
			p.flush(qc)
			if d, ok := qc.IO().Deadline(); ok {
				earlier(d)
			}
		}
	}
	for _, q := range [][]flying{p.toClient, p.toServer} {
		if len(q) > 0 {
			earlier(q[0].at)
		}
	}
	if next.After(p.now) {
		p.now = next
	}
	for len(p.toClient) > 0 && !p.toClient[0].at.After(p.now) {
		p.cq.IO().Recv(p.now, &quic.Datagram{Data: p.toClient[0].data, Remote: serverAddr})
		p.toClient = p.toClient[1:]
	}
	for len(p.toServer) > 0 && !p.toServer[0].at.After(p.now) {
		d := &quic.Datagram{Data: p.toServer[0].data, Remote: clientAddr, Local: serverAddr.Addr()}
		p.toServer = p.toServer[1:]
		switch v := p.endpoint.Handle(p.now, d); v.Kind {
		case quic.VerdictRoute:
			p.sq.IO().Recv(p.now, d)
		case quic.VerdictIncoming:
			if !p.endpoint.Admit(v.Incoming, p) {
				p.t.Fatal("not admitted")
			}
			var err error
			if p.sq, err = quic.Accept(p.now, v.Incoming, p.serverCfg); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	for _, qc := range []*quic.Conn{p.cq, p.sq} {
		if qc != nil {
			if d, ok := qc.IO().Deadline(); ok && !d.After(p.now) {
				qc.IO().HandleDeadline(p.now)
			}
		}
	}
}

func (p *pair) until(what string, goal func() bool) {
	p.t.Helper()
	end := p.now.Add(time.Minute)
	for !goal() {
		if p.step(); p.now.After(end) {
			p.t.Fatalf("%s: not within a minute of virtual time (client %v)", what, p.cq.Err())
		}
	}
}

// TestOverQUIC exchanges messages with bodies and trailers over real connections, with loss.
func TestOverQUIC(t *testing.T) {
	for _, loss := range []float64{0, 0.1} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			p := newPair(t, loss, 7)
			body := make([]byte, 700_000)
			for i := range body {
				body[i] = byte(i * 7 >> 3)
			}
			a, b := &endpoint{t: t, c: p.client, body: body}, &endpoint{t: t, c: p.server, body: body, server: true}
			id, err := p.client.OpenRequest(fields(with(post, "content-length", fmt.Sprint(len(body)))...), false)
			if err != nil {
				t.Fatal(err)
			}
			a.send(id)
			p.until("exchange", func() bool { a.turn(); b.turn(); return a.done && b.done })
			for name, e := range map[string]*endpoint{"client": a, "server": b} {
				if !bytes.Equal(e.got, body) || len(e.trailers) != 1 {
					t.Errorf("%s got %d bytes, trailers %v", name, len(e.got), e.trailers)
				}
				if e.c.ActiveRequests() != 0 {
					t.Errorf("%s has %d requests", name, e.c.ActiveRequests())
				}
			}
			// Only the critical streams are left, three of each side.
			p.until("streams to go", func() bool { return p.cq.OpenStreams() == 6 && p.sq.OpenStreams() == 6 })
		})
	}
}

// TestManyOverQUIC has more requests than may be open at a time, some of them cancelled by either side.
func TestManyOverQUIC(t *testing.T) {
	p := newPair(t, 0.02, 11)
	const total = 2000
	opened, ended, answered := 0, 0, 0
	p.until("requests", func() bool {
		for opened < total {
			id, err := p.client.OpenRequest(fields(get...), opened%5 != 1)
			if err == quic.ErrStreamLimit {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if opened++; opened%5 == 2 {
				p.client.Cancel(id, CodeRequestCancelled)
				ended++
			}
		}
		for {
			ev, ok, err := p.server.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if ev.Kind == EventHeaders {
				if answered++; answered%7 == 0 {
					p.server.Cancel(ev.Stream, CodeInternalError)
					continue
				}
				p.server.SendHeaders(ev.Stream, fields(":status", "200"), true)
				p.server.StopSending(ev.Stream, CodeNoError)
			}
		}
		for {
			ev, ok, err := p.client.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if ev.End || ev.Kind == EventEnd || ev.Kind == EventReset {
				ended++
				p.client.Cancel(ev.Stream, CodeRequestCancelled)
			}
		}
		return ended == total
	})
	p.until("streams to go", func() bool {
		for _, c := range []*Conn{p.client, p.server} {
			for {
				ev, ok, err := c.Next()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				c.Cancel(ev.Stream, CodeRequestCancelled)
			}
		}
		return p.client.ActiveRequests() == 0 && p.server.ActiveRequests() == 0 && p.cq.OpenStreams() == 6 && p.sq.OpenStreams() == 6
	})
}

// TestErrorOverQUIC: the code of an Error is what the peer sees.
func TestErrorOverQUIC(t *testing.T) {
	p := newPair(t, 0, 3)
	id, err := p.cq.OpenStream(quic.Bidi)
	if err != nil {
		t.Fatal(err)
	}
	p.cq.StreamWrite(id, frame(FrameData, "x"), true)
	p.until("close", func() bool {
		if _, _, err := p.server.Next(); err != nil {
			e, ok := err.(*Error)
			if !ok || e.Code != CodeFrameUnexpected {
				t.Fatal(err)
			}
			p.sq.Close(e.CloseError())
		}
		return p.cq.Err() != nil
	})
	if e, ok := p.cq.Err().(*quic.ApplicationError); !ok || e.Code != uint64(CodeFrameUnexpected) || !e.Remote {
		t.Errorf("%v", p.cq.Err())
	}
}
