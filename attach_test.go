package frittata

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// Two attached connections whose packets go from one to the other by function calls.
func TestAttach(t *testing.T) {
	leak.Check(t)
	clientAddr, serverAddr := netip.MustParseAddrPort("192.0.2.1:1000"), netip.MustParseAddrPort("192.0.2.2:443")
	scfg, ccfg := serverConfig().QUIC, clientConfig().QUIC
	scfg.ConnIDs = quic.RandomConnIDs(8)
	ep, err := quic.NewEndpoint(&quic.EndpointConfig{Server: true, ConnIDs: scfg.ConnIDs})
	if err != nil {
		t.Fatal(err)
	}
	type handle struct{ a *Attached }
	var (
		mu       sync.Mutex // of ep and the handles
		client   *Attached
		server   = make(chan *Attached, 1)
		incoming = make(chan *quic.Incoming, 1)
		h        handle
	)
	toClient := func(tr *udp.Train) error {
		mu.Lock()
		defer mu.Unlock()
		client.Feed(&udp.Message{Buf: tr.Data, N: len(tr.Data), Segment: tr.Segment, Remote: serverAddr})
		return nil
	}
	toServer := func(tr *udp.Train) error {
		mu.Lock()
		defer mu.Unlock()
		v := ep.Handle(time.Now(), &quic.Datagram{Data: tr.Data, Remote: clientAddr})
		switch v.Kind {
		case quic.VerdictRoute:
			if a := v.Route.(*handle).a; a != nil {
				a.Feed(&udp.Message{Buf: tr.Data, N: len(tr.Data), Remote: clientAddr})
			}
		case quic.VerdictIncoming:
			incoming <- v.Incoming
		}
		return nil
	}
	go func() {
		in := <-incoming
		mu.Lock()
		admitted := ep.Admit(in, &h)
		mu.Unlock()
		if !admitted {
			t.Error("not admitted")
		}
		qc, err := quic.Accept(time.Now(), in, &scfg)
		if err != nil {
			t.Error(err)
			return
		}
		a, err := Attach(qc, newEcho(), AttachConfig{
			Send: toClient,
			Routes: func(r *quic.RouteChanges) {
				mu.Lock()
				defer mu.Unlock()
				r.Route = &h
				ep.Apply(r)
			},
			Local: serverAddr,
		})
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		h.a = a
		mu.Unlock()
		server <- a
	}()

	u := newUpload(3, 50_000)
	qc, err := quic.Connect(time.Now(), &ccfg, serverAddr, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	metrics := newRecorder()
	client, err = Attach(qc, u, AttachConfig{Send: toServer, Local: clientAddr, Config: &Config{Metrics: metrics}})
	mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back", u.done)
	if u.err != nil {
		t.Fatal(u.err)
	}
	if a := client.LocalAddr(); a != clientAddr {
		t.Errorf("the local address is %v", a)
	}
	s := <-server
	_ = client.Close()
	wait(t, "the client is gone", client.Done())
	wait(t, "the server is gone", s.Done())
	_ = client.Transport().Close()
	metrics.finished(t, 1)
	if got := metrics.only(t); !got.Client || !got.HandshakeDone || got.Remote || got.Kind != CloseTransport {
		t.Errorf("%+v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if n := ep.Counts().Routes; n != 0 {
		t.Errorf("%d routes are left", n)
	}
}

func TestAttachErrors(t *testing.T) {
	leak.Check(t)
	if _, err := Attach(nil, nil, AttachConfig{}); err == nil {
		t.Error("without an Application")
	}
	if _, err := Attach(nil, &app{}, AttachConfig{}); err == nil {
		t.Error("without a way to send")
	}
}

// How long the handshake may take only the connection's own configuration says.
func TestAttachHandshakeTimeout(t *testing.T) {
	leak.Check(t)
	cfg := clientConfig().QUIC
	cfg.HandshakeTimeout = testTime
	qc, err := quic.Connect(time.Now(), &cfg, netip.MustParseAddrPort("192.0.2.2:443"), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	a, err := Attach(qc, &app{}, AttachConfig{
		Send:   func(*udp.Train) error { return nil },
		Config: &Config{QUIC: quic.Config{HandshakeTimeout: time.Millisecond}},
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(handshakeGrace + 500*time.Millisecond)
	if err := a.Err(); err != nil {
		t.Error(err)
	}
	_ = a.Transport().Close()
	wait(t, "it is gone", a.Done())
}
