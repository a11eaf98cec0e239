package frittata

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

func testLadder(t *testing.T, change func(*Config)) ladder {
	t.Helper()
	cfg := &Config{MaxHandshakes: 100}
	if change != nil {
		change(cfg)
	}
	tr, err := newTransport(&sendSocket{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr.ladder
}

func TestLadder(t *testing.T) {
	const mib = 1 << 20
	always := func(c *Config) { c.Retry = RetryAlways }
	never := func(c *Config) { c.Retry = RetryNever }
	own := func(c *Config) {
		c.Admission = Admission{RetryHandshakes: 3, RetryDelay: 5 * time.Millisecond, MaxDelay: 7 * time.Millisecond, RetryMemory: 1000, MaxMemory: 2000}
	}
	unlimited := func(c *Config) {
		c.Admission = Admission{RetryHandshakes: -1, RetryDelay: -1, MaxDelay: -1, RetryMemory: -1, MaxMemory: -1}
	}
	for _, test := range []struct {
		name      string
		change    func(*Config)
		p         pressure
		validated bool
		want      rung
		cause     admissionCause
	}{
		{"at rest", nil, pressure{}, false, rungAccept, 0},
		{"below all limits", nil, pressure{24, 99 * time.Millisecond, 32*mib - 1}, false, rungAccept, 0},
		{"many handshakes", nil, pressure{halfOpen: 25}, false, rungRetry, causeHandshakes},
		{"many handshakes, validated", nil, pressure{halfOpen: 99}, true, rungAccept, 0},
		{"most handshakes", nil, pressure{halfOpen: 100}, true, rungDrop, causeHandshakes},
		{"some delay", nil, pressure{delay: 100 * time.Millisecond}, false, rungRetry, causeDelay},
		{"some delay, validated", nil, pressure{delay: 999 * time.Millisecond}, true, rungAccept, 0},
		{"much delay", nil, pressure{delay: time.Second}, true, rungDrop, causeDelay},
		{"much delay, no proof", nil, pressure{delay: time.Second}, false, rungDrop, causeDelay},
		{"some memory", nil, pressure{memory: 32 * mib}, false, rungRetry, causeMemory},
		{"some memory, validated", nil, pressure{memory: 128*mib - 1}, true, rungAccept, 0},
		{"much memory", nil, pressure{memory: 128 * mib}, true, rungDrop, causeMemory},

		{"always", always, pressure{}, false, rungRetry, causePolicy},
		{"always, validated", always, pressure{}, true, rungAccept, 0},
		{"always, full", always, pressure{halfOpen: 100}, false, rungDrop, causeHandshakes},
		{"never", never, pressure{99, 999 * time.Millisecond, 127 * mib}, false, rungAccept, 0},
		{"never, full", never, pressure{delay: time.Second}, false, rungDrop, causeDelay},

		{"own, below", own, pressure{2, 4 * time.Millisecond, 999}, false, rungAccept, 0},
		{"own handshakes", own, pressure{halfOpen: 3}, false, rungRetry, causeHandshakes},
		{"own delay", own, pressure{delay: 5 * time.Millisecond}, false, rungRetry, causeDelay},
		{"own delay, much", own, pressure{delay: 7 * time.Millisecond}, true, rungDrop, causeDelay},
		{"own memory", own, pressure{memory: 1000}, false, rungRetry, causeMemory},
		{"own memory, much", own, pressure{memory: 2000}, true, rungDrop, causeMemory},

		{"no limits", unlimited, pressure{99, time.Hour, 1 << 29}, false, rungAccept, 0},
		{"no limits, but MaxHandshakes", unlimited, pressure{100, time.Hour, 1 << 29}, true, rungDrop, causeHandshakes},
	} {
		l := testLadder(t, test.change)
		if got, cause := l.decide(test.p, test.validated); got != test.want || cause != test.cause {
			t.Errorf("%s: %d because of %d, want %d because of %d", test.name, got, cause, test.want, test.cause)
		}
	}
}

func TestSlotsInOrder(t *testing.T) {
	s := newSlots(2)
	s.enter()
	s.enter()
	if d := s.delay(time.Now().Add(time.Hour)); d != 0 {
		t.Errorf("nobody waits, but for %v", d)
	}
	order := make(chan int, 3)
	queued := func() (n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for w := s.first; w != nil; w = w.next {
			n++
		}
		return n
	}
	for i := range 3 {
		go func() { s.enter(); order <- i }()
		for queued() <= i {
			time.Sleep(time.Millisecond)
		}
	}
	later := time.Now().Add(time.Hour)
	d := s.delay(later)
	if d < time.Hour {
		t.Errorf("the first waits, but for %v", d)
	}
	for i := range 3 {
		s.leave()
		if got := <-order; got != i {
			t.Errorf("%d came when it was the turn of %d", got, i)
		}
		next := s.delay(later)
		if i < 2 && (next > d || next < time.Hour) || i == 2 && next != 0 {
			t.Errorf("the next waits for %v, the one before did for %v", next, d)
		}
		d = next
	}
	s.leave()
	s.leave()
	if s.free != 2 || s.first != nil || s.last != nil {
		t.Errorf("%d slots are free", s.free)
	}
}

// A server whose processors are busy with handshakes asks for proofs and then drops,
// and does not even look at tokens; when they are free all is as before.
func TestAdmissionByDelay(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	cfg.Admission.RetryDelay = time.Nanosecond
	cfg.Admission.MaxDelay = time.Nanosecond
	l := listen(t, cfg)
	one(t, l, &app{})

	slots := freeSlots(handshakeSlots)
	for range slots {
		enterHandshake()
	}
	waits := make(chan struct{})
	go func() { enterHandshake(); leaveHandshake(); close(waits) }()
	for handshakeSlots.delay(time.Now()) == 0 {
		time.Sleep(time.Millisecond)
	}
	firstFlight(t, l.Addr())
	for deadline := time.Now().Add(testTime); l.Stats().Admission.DroppedDelay == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", l.Stats())
		}
	}
	st := l.Stats()
	if st.Endpoint.Drops[quic.DropBusy] != 1 || st.Endpoint.PendingBytes != 0 || st.TooManyHandshakes != 1 || st.HandshakeDelay == 0 {
		t.Errorf("%+v", st)
	}
	for range slots {
		leaveHandshake()
	}
	wait(t, "the slots are free", waits)
	dial(t, l, clientConfig(), &app{})
	if st := l.Stats(); st.Admission.Accepted != 1 || st.HandshakeDelay != 0 {
		t.Errorf("%+v", st)
	}
}

// freeSlots is how many slots nobody has.
func freeSlots(s *slots) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free
}

// While a callback of tls.Config takes its time, what the client sends is bounded and
// counts as memory of half-open connections, and others are turned away.
func TestAdmissionByMemory(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	entered, proceed := make(chan struct{}), make(chan struct{})
	cert := cfg.QUIC.TLS.Certificates[0]
	cfg.QUIC.TLS.Certificates = nil
	cfg.QUIC.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		entered <- struct{}{}
		<-proceed
		return &cert, nil
	}
	cfg.Admission.RetryMemory = handshakeMemory + 10_000
	cfg.Admission.MaxMemory = 2*handshakeMemory + halfOpenInboxBytes
	l := listen(t, cfg)
	conns := make(chan *Conn, 1)
	go func() {
		in, err := l.Accept(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		c, err := in.Start(&app{})
		if err != nil {
			t.Error(err)
		}
		conns <- c
	}()
	pc, flight := firstFlightBytes(t, l)
	c := <-conns
	<-entered
	for range 200 {
		if _, err := pc.WriteTo(flight, net.UDPAddrFromAddrPort(l.Addr())); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(testTime); l.Stats().InboxDropped == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", l.Stats())
		}
	}
	tr := l.Transport()
	if n := tr.load.inbox.Load(); n > halfOpenInboxBytes || n < halfOpenInboxBytes-int64(len(flight)) {
		t.Errorf("%d bytes wait for the handshake", n)
	}
	firstFlight(t, l.Addr())
	for deadline := time.Now().Add(testTime); l.Stats().Admission.RetriedMemory == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", l.Stats())
		}
	}
	// The time for the handshake is over: nothing is kept for it any more.
	c.giveUp()
	dropped := l.Stats().InboxDropped
	if _, err := pc.WriteTo(flight, net.UDPAddrFromAddrPort(l.Addr())); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(testTime); l.Stats().InboxDropped == dropped; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", l.Stats())
		}
	}
	if n := tr.load.memory(); n != handshakeMemory {
		t.Errorf("%d bytes are taken by a handshake that is stuck", n)
	}
	close(proceed)
	wait(t, "the connection is closed", c.Closed())
	for deadline := time.Now().Add(testTime); tr.load.memory() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of half-open connections are left", tr.load.memory())
		}
	}
}

// firstFlightBytes sends a client's first datagram, and returns it.
func firstFlightBytes(t *testing.T, l *Listener) (net.PacketConn, []byte) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	cfg := clientConfig().QUIC
	qc, err := quic.Connect(time.Now(), &cfg, l.Addr(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer qc.IO().Abort(errors.New("test"))
	buf := make([]byte, 2048)
	train, ok := qc.IO().Transmit(time.Now(), buf, 1)
	if !ok {
		t.Fatal("a client that says nothing")
	}
	if _, err := pc.WriteTo(buf[:train.N], net.UDPAddrFromAddrPort(l.Addr())); err != nil {
		t.Fatal(err)
	}
	return pc, buf[:train.N]
}
