package frittata

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	recs []slog.Record
	came chan struct{} // has an entry if there may be more in recs
}

func newLogged() *logged { return &logged{came: make(chan struct{}, 1)} }

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	l.recs = append(l.recs, r)
	l.mu.Unlock()
	select {
	case l.came <- struct{}{}:
	default:
	}
	return nil
}

// find returns the level and the attributes of what was logged with that message, and how often it was.
func (l *logged) find(message string) (level slog.Level, attrs map[string]any, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.recs {
		if r.Message != message {
			continue
		}
		n++
		level, attrs = r.Level, make(map[string]any)
		r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.Any(); return true })
	}
	return level, attrs, n
}

// want waits until something was logged with that message, and checks level and attributes.
func (l *logged) want(t *testing.T, message string, level slog.Level, keys ...string) map[string]any {
	t.Helper()
	for deadline := time.After(testTime); ; {
		got, attrs, n := l.find(message)
		if n == 0 {
			select {
			case <-l.came:
				continue
			case <-deadline:
				t.Fatalf("nobody logged %q", message)
			}
		}
		if got != level {
			t.Errorf("%q was logged at level %v", message, got)
		}
		for _, k := range keys {
			if _, ok := attrs[k]; !ok {
				t.Errorf("%q has no attribute %q, but %v", message, k, attrs)
			}
		}
		return attrs
	}
}

// Without a Logger nothing is logged anywhere, whatever happens.
func TestSilentByDefault(t *testing.T) {
	leak.Check(t)
	var out bytes.Buffer
	was, flags, std := log.Writer(), log.Flags(), slog.Default()
	log.SetOutput(&out)
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer func() { slog.SetDefault(std); log.SetOutput(was); log.SetFlags(flags) }()

	l, err := Listen("udp", "127.0.0.1:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	accepted := one(t, l, &app{established: func(*quic.Conn, HandshakeInfo) error { panic("oops") }})
	c, err := Dial(testContext(t), l.Addr().String(), clientConfig(), &app{})
	if err == nil {
		wait(t, "the panic has closed the connection", c.Closed())
		_ = c.Transport().Close()
	}
	<-accepted
	ccfg := clientConfig()
	ccfg.QUIC.TLS.RootCAs = x509.NewCertPool()
	accepted = one(t, l, &app{})
	if _, err := Dial(testContext(t), l.Addr().String(), ccfg, &app{}); err == nil {
		t.Error("the certificate was accepted")
	}
	wait(t, "the server has heard of it", (<-accepted).Closed())
	if n := l.Transport().Stats().Panics; n != 1 {
		t.Errorf("%d panics", n)
	}
	s := newFailing()
	s.caps = smallBuffers
	tr, err := NewTransport(s, clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-s.read; <-s.wrote; cancel() }()
	if _, err := tr.Dial(ctx, l.Addr(), "localhost", nil, &app{}); err == nil {
		t.Error("a socket that sends nothing has sent something")
	}
	if err := errors.Join(tr.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if out.Len() > 0 {
		t.Errorf("something was logged:\n%s", out.String())
	}
}

func TestLogOfPanicsAndHandshakes(t *testing.T) {
	leak.Check(t)
	lg := newLogged()
	cfg := serverConfig()
	cfg.Logger = slog.New(lg)
	l := listen(t, cfg)
	lg.want(t, "socket opened", slog.LevelDebug, "local", "gso", "gro", "ecn", "max_segments")

	accepted := one(t, l, &app{})
	ccfg := clientConfig()
	ccfg.QUIC.TLS.RootCAs = x509.NewCertPool()
	if _, err := Dial(testContext(t), l.Addr().String(), ccfg, &app{}); err == nil {
		t.Fatal("the certificate was accepted")
	}
	<-accepted
	if a := lg.want(t, "handshake failed", slog.LevelDebug, "remote", "error"); a["kind"] != "transport" || a["by_peer"] != true || a["client"] != false {
		t.Errorf("%v", a)
	}
	if _, _, n := lg.find("panic in a callback"); n != 0 {
		t.Error("a panic that was none")
	}

	accepted = one(t, l, &app{reads: func(*quic.Conn) error { panic("oops") }})
	// It may hear of the end before it is told that it has begun.
	if c, err := Dial(testContext(t), l.Addr().String(), clientConfig(), opener()); err == nil {
		defer c.Transport().Close()
	}
	<-accepted
	if a := lg.want(t, "panic in a callback", slog.LevelError, "remote", "stack"); a["panic"] != "oops" || !strings.Contains(fmt.Sprint(a["stack"]), "log_test.go") {
		t.Errorf("%v", a)
	}
}

// failing is a Socket that can do nothing.
type failing struct {
	caps        udp.Caps
	err         error
	read, wrote chan struct{} // closed when each has failed
	closed      chan struct{}
	mu          sync.Mutex
	reads       int
	writes      int
}

var (
	errBroken    = errors.New("broken")
	smallBuffers = udp.Caps{ReceiveBuffer: 100 << 10, ReceiveBufferWanted: 4 << 20, SendBuffer: 4 << 20, SendBufferWanted: 4 << 20}
)

func newFailing() *failing {
	return &failing{err: errBroken, read: make(chan struct{}), wrote: make(chan struct{}), closed: make(chan struct{})}
}

func (s *failing) fail(n *int, enough chan struct{}) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *n++; *n == 1 {
		close(enough)
	}
	return s.err
}

func (s *failing) ReadBatch([]udp.Message) (int, error) {
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
		return 0, s.fail(&s.reads, s.read)
	}
}

func (s *failing) TryReadBatch([]udp.Message) (int, error) { return 0, nil }
func (s *failing) WriteTrain(*udp.Train) (int, error)      { return 0, s.fail(&s.writes, s.wrote) }
func (s *failing) SetReadDeadline(time.Time) error         { return nil }
func (s *failing) LocalAddr() netip.AddrPort               { return netip.MustParseAddrPort("192.0.2.1:1000") }
func (s *failing) Caps() udp.Caps                          { return s.caps }
func (s *failing) Close() error                            { close(s.closed); return nil }

func TestLogOfSocket(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   error
		level slog.Level
		none  bool
	}{
		{"broken", errBroken, slog.LevelWarn, false},
		{"unreachable", fmt.Errorf("wrapped: %w", udp.ErrUnreachable), slog.LevelDebug, false},
		{"too large", udp.ErrTooLarge, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			leak.Check(t)
			lg := newLogged()
			s := newFailing()
			s.err, s.caps = test.err, smallBuffers
			cfg := clientConfig()
			cfg.Logger = slog.New(lg)
			tr, err := NewTransport(s, cfg)
			if err != nil {
				t.Fatal(err)
			}
			a := lg.want(t, "the socket has small buffers: bursts of packets will get lost", slog.LevelWarn, "local", "send_buffer", "send_buffer_wanted", "receive_buffer_wanted")
			if a["receive_buffer"] != int64(100<<10) || !strings.Contains(fmt.Sprint(a["advice"]), "receive buffer") {
				t.Errorf("%v", a)
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-s.read; <-s.wrote; cancel() }()
			to := netip.MustParseAddrPort("192.0.2.2:443")
			if _, err := tr.Dial(ctx, to, "localhost", nil, &app{}); err == nil {
				t.Error("a socket that sends nothing has sent something")
			}
			if a := lg.want(t, "reading the socket failed", slog.LevelWarn, "local", "times"); !errors.Is(a["error"].(error), test.err) {
				t.Errorf("%v", a)
			}
			if !test.none {
				a := lg.want(t, "writing to the socket failed", test.level, "local", "times")
				if a["remote"] != to || !errors.Is(a["error"].(error), test.err) {
					t.Errorf("%v", a)
				}
			}
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
			if _, _, n := lg.find("writing to the socket failed"); test.none && n > 0 {
				t.Errorf("what is too large for a path was logged %d times", n)
			}
		})
	}
}

func TestOccasional(t *testing.T) {
	var o occasional
	now := time.Unix(1000, 0)
	if n, ok := o.happened(now); n != 1 || !ok {
		t.Errorf("the first time: %d, %v", n, ok)
	}
	for range 99 {
		now = now.Add(logPause / 100)
		if _, ok := o.happened(now); ok {
			t.Error("logged too soon")
		}
	}
	if n, ok := o.happened(now.Add(logPause)); n != 100 || !ok {
		t.Errorf("after a pause: %d, %v", n, ok)
	}
}

// A socket for one connection does not warn: there may be very many.
func TestDialDoesNotWarn(t *testing.T) {
	leak.Check(t)
	lg := newLogged()
	cfg := clientConfig()
	cfg.Logger = slog.New(lg)
	cfg.UDP.ReceiveBuffer = 1 << 30 // more than any system gives by default
	l := listen(t, serverConfig())
	accepted := one(t, l, &app{})
	dial(t, l, cfg, &app{})
	<-accepted
	const message = "the socket has small buffers: bursts of packets will get lost"
	if level, _, n := lg.find(message); n > 0 && level != slog.LevelDebug {
		t.Errorf("logged at level %v", level)
	}
	tr, err := Open("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if tr.socket.Caps().Warning() == "" {
		t.Skip("the system gives as much as it is asked for")
	}
	lg.want(t, message, slog.LevelWarn, "advice")
}
