package frittata

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// recorder keeps what it is told.
type recorder struct {
	mu          sync.Mutex
	opened      map[*Transport]int
	ended       map[*Transport]int
	established []HandshakeInfo
	closed      []ConnRecord
	flights     [NumFlightOutcomes]int
	flight      chan FlightOutcome // what came, if there is room
}

func newRecorder() *recorder {
	return &recorder{opened: make(map[*Transport]int), ended: make(map[*Transport]int), flight: make(chan FlightOutcome, 100)}
}

func (r *recorder) TransportOpened(t *Transport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened[t]++
}

func (r *recorder) TransportClosed(t *Transport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[t]++
}

func (r *recorder) ConnEstablished(info *HandshakeInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.established = append(r.established, *info)
}

func (r *recorder) ConnClosed(rec *ConnRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = append(r.closed, *rec)
}

func (r *recorder) FirstFlight(_ netip.AddrPort, o FlightOutcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flights[o]++
	select {
	case r.flight <- o:
	default:
	}
}

// only returns the one record that there is.
func (r *recorder) only(t *testing.T) ConnRecord {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.closed) != 1 {
		t.Fatalf("%d connections closed, not 1", len(r.closed))
	}
	return r.closed[0]
}

// finished checks that each Transport was told of twice.
func (r *recorder) finished(t *testing.T, transports int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.opened) != transports || len(r.ended) != transports {
		t.Errorf("%d Transports opened and %d closed, not %d", len(r.opened), len(r.ended), transports)
	}
	for tr, n := range r.ended {
		if n != 1 || r.opened[tr] != 1 {
			t.Errorf("a Transport opened %d times and closed %d times", r.opened[tr], n)
		}
	}
}

func TestMetricsOfConnection(t *testing.T) {
	leak.Check(t)
	server, client := newRecorder(), newRecorder()
	cfg := serverConfig()
	cfg.Metrics = server
	l := listen(t, cfg)
	accepted := one(t, l, newEcho())
	ccfg := clientConfig()
	ccfg.Metrics = client
	const size = 300_000
	u := newUpload(2, size)
	c := dial(t, l, ccfg, u)
	s := <-accepted
	wait(t, "all came back", u.done)
	if _, ok := c.Record(); ok {
		t.Error("an open connection has a record")
	}
	open := l.Transport().Stats()
	if open.ConnsAccepted != 1 || open.ConnsClosed != 0 || open.HandshakesCompleted != 1 || open.Socket.DatagramsReceived == 0 {
		t.Errorf("the server's counters are %+v", open)
	}
	_ = c.CloseWithError(quic.CloseError{Application: true, Code: 42, Reason: "enough"})
	wait(t, "the client has closed", c.Closed())
	wait(t, "the server has closed", s.Closed())

	for _, end := range []struct {
		name   string
		r      *recorder
		c      *Conn
		client bool
	}{{"client", client, c, true}, {"server", server, s, false}} {
		got := end.r.only(t)
		if rec, ok := end.c.Record(); !ok || rec != got {
			t.Errorf("%s: the Conn has another record, or none", end.name)
		}
		if got.Client != end.client || got.Remote == end.client || got.Kind != CloseApplication || got.Code != 42 || got.Reason != "enough" {
			t.Errorf("%s: %+v", end.name, got)
		}
		if !errors.Is(got.Err, end.c.Err()) || !got.HandshakeDone || got.ALPN != "test" || got.RemoteAddr != end.c.RemoteAddr() {
			t.Errorf("%s: %+v", end.name, got)
		}
		if n := got.Stats; n.StreamBytesSent < 2*size || n.StreamBytesReceived != 2*size || n.SmoothedRTT <= 0 || n.BytesSent < 2*size {
			t.Errorf("%s: %+v", end.name, n)
		}
		if x := got.Times; x.Started.IsZero() || x.Established.Before(x.Started) || got.Closed.Before(x.Established) || x.Accepted.IsZero() != end.client {
			t.Errorf("%s: %+v, closed %v", end.name, x, got.Closed)
		}
		if got.MaxWritable < 0 || got.MaxWritable > 2 {
			t.Errorf("%s: %d streams were writable", end.name, got.MaxWritable)
		}
		if len(end.r.established) != 1 || end.r.established[0].Client != end.client || end.r.established[0].Conn != end.c {
			t.Errorf("%s: established %+v", end.name, end.r.established)
		}
		n := end.c.Transport().Stats()
		dialed, accepted := uint64(1), uint64(0)
		if !end.client {
			dialed, accepted = 0, 1
		}
		if n.ConnsDialed != dialed || n.ConnsAccepted != accepted || n.ConnsClosed != 1 || n.HandshakesCompleted != 1 || n.HandshakesFailed != 0 {
			t.Errorf("%s: %+v", end.name, n)
		}
	}
	if a, b := client.only(t).OriginalDstID, server.only(t).OriginalDstID; a != b || a.Len() == 0 {
		t.Errorf("the ends name the connection %v and %v", a, b)
	}
	if server.flights[FlightQueued] != 1 {
		t.Errorf("first flights: %v", server.flights)
	}
	_ = l.Close()
	_ = c.Transport().Close()
	server.finished(t, 1)
	client.finished(t, 1)
}

func TestMetricsOfFailedHandshakes(t *testing.T) {
	t.Run("certificate", func(t *testing.T) {
		leak.Check(t)
		server, client := newRecorder(), newRecorder()
		cfg := serverConfig()
		cfg.Metrics = server
		l := listen(t, cfg)
		accepted := one(t, l, &app{})
		ccfg := clientConfig()
		ccfg.Metrics = client
		ccfg.QUIC.TLS.RootCAs = x509.NewCertPool()
		if _, err := Dial(testContext(t), l.Addr().String(), ccfg, &app{}); err == nil {
			t.Fatal("the certificate was accepted")
		}
		wait(t, "the server has heard of it", (<-accepted).Closed())
		for _, r := range []*recorder{client, server} {
			got := r.only(t)
			_, alert := quic.TransportErrorCode(got.Code).Alert()
			if got.HandshakeDone || !got.Times.Established.IsZero() || got.Kind != CloseTransport || !alert || got.Remote == got.Client {
				t.Errorf("%+v", got)
			}
		}
		if n := l.Transport().Stats(); n.HandshakesFailed != 1 || n.HandshakesCompleted != 0 || n.ConnsClosed != 1 {
			t.Errorf("%+v", n)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		leak.Check(t)
		deaf, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer deaf.Close()
		ccfg := clientConfig()
		r := newRecorder()
		ccfg.Metrics = r
		ccfg.QUIC.HandshakeTimeout = 50 * time.Millisecond
		if _, err := Dial(testContext(t), deaf.LocalAddr().String(), ccfg, &app{}); err == nil {
			t.Fatal("Dial succeeded")
		}
		if got := r.only(t); got.HandshakeDone || got.Kind != CloseNoAnswer || got.Remote || !got.Client {
			t.Errorf("%+v", got)
		}
	})
	t.Run("expired", func(t *testing.T) {
		leak.Check(t)
		cfg := serverConfig()
		r := newRecorder()
		cfg.Metrics = r
		l := listen(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		dialed := make(chan struct{})
		go func() {
			defer close(dialed)
			if c, err := Dial(ctx, l.Addr().String(), clientConfig(), &app{}); err == nil {
				t.Error("Dial succeeded")
				_ = c.Transport().Close()
			}
		}()
		in, err := l.Accept(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		in.Ignore()
		if _, err := in.Start(&app{}); !errors.Is(err, ErrIncomingGone) {
			t.Fatal(err)
		}
		if got := r.only(t); got.HandshakeDone || got.Kind != CloseOther || !errors.Is(got.Err, ErrIncomingGone) {
			t.Errorf("%+v", got)
		}
		if n := l.Transport().Stats(); n.HandshakesFailed != 1 || n.Conns != 0 {
			t.Errorf("%+v", n)
		}
		cancel()
		wait(t, "Dial returned", dialed)
	})
}

func TestMetricsOfFirstFlights(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*Config)
		want FlightOutcome
	}{
		{"queued", func(*Config) {}, FlightQueued},
		{"retried", func(c *Config) { c.Retry = RetryAlways }, FlightRetried},
		{"refused", func(c *Config) { c.MaxConns = 1 }, FlightRefused},
		{"dropped", func(c *Config) { c.MaxHandshakes = 1; c.Retry = RetryNever }, FlightDropped},
		{"ignored", nil, FlightIgnored},
	} {
		t.Run(test.name, func(t *testing.T) {
			leak.Check(t)
			r := newRecorder()
			cfg := serverConfig()
			cfg.Metrics = r
			if test.set != nil {
				test.set(cfg)
			}
			l := listen(t, cfg)
			switch test.want {
			case FlightRefused:
				accepted := one(t, l, &app{})
				dial(t, l, clientConfig(), &app{})
				<-accepted
				<-r.flight
			case FlightDropped:
				// The one that waits is all that there may be.
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				first := make(chan struct{})
				go func() {
					defer close(first)
					_, _ = Dial(ctx, l.Addr().String(), clientConfig(), &app{}) // it is never accepted
				}()
				defer func() { cancel(); <-first }()
				<-r.flight
			case FlightIgnored:
				l.stop(false)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = Dial(ctx, l.Addr().String(), clientConfig(), &app{}) // it is never accepted
			}()
			if got := <-r.flight; got != test.want {
				t.Errorf("the outcome is %v", got)
			}
			if test.want == FlightRetried {
				if got := <-r.flight; got != FlightQueued {
					t.Errorf("the outcome after the Retry is %v", got)
				}
			}
			cancel()
			<-done
		})
	}
}

func TestSetClose(t *testing.T) {
	for _, test := range []struct {
		err  error
		want ConnRecord
	}{
		{quic.ErrClosed, ConnRecord{}},
		{&quic.TransportError{Code: quic.FlowControlError, Reason: "x", Remote: true}, ConnRecord{Code: 3, Reason: "x", Remote: true}},
		{fmt.Errorf("wrapped: %w", &quic.TransportError{Code: quic.InternalError, Err: ErrPanic}), ConnRecord{Code: 1}},
		{&quic.ApplicationError{Code: 7, Reason: "y"}, ConnRecord{Kind: CloseApplication, Code: 7, Reason: "y"}},
		{&quic.ApplicationError{Code: 7, Remote: true}, ConnRecord{Kind: CloseApplication, Code: 7, Remote: true}},
		{&quic.IdleTimeoutError{}, ConnRecord{Kind: CloseIdleTimeout}},
		{&quic.HandshakeTimeoutError{Heard: true}, ConnRecord{Kind: CloseHandshakeTimeout}},
		{&quic.HandshakeTimeoutError{}, ConnRecord{Kind: CloseNoAnswer}},
		{&quic.StatelessResetError{}, ConnRecord{Kind: CloseStatelessReset, Remote: true}},
		{&quic.VersionNegotiationError{}, ConnRecord{Kind: CloseVersionNegotiation, Remote: true}},
		{ErrTransportClosed, ConnRecord{Kind: CloseOther}},
	} {
		var got ConnRecord
		got.setClose(test.err)
		test.want.Err = test.err
		if got != test.want {
			t.Errorf("%v: %+v", test.err, got)
		}
	}
	for k := range CloseKind(NumCloseKinds) {
		if k.String() == "" || k.String() == "unknown" {
			t.Errorf("kind %d has no name", k)
		}
	}
	for o := range FlightOutcome(NumFlightOutcomes) {
		if o.String() == "" || o.String() == "unknown" {
			t.Errorf("outcome %d has no name", o)
		}
	}
	if CloseKind(200).String() != "unknown" || FlightOutcome(200).String() != "unknown" {
		t.Error("what there is not has a name")
	}
}
