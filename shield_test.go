package frittata

import (
	"errors"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// fakeShield notes what the kernel would drop.
type fakeShield struct {
	up   udp.Shield
	sets int
	err  error
}

func (s *fakeShield) SetShield(up udp.Shield) error {
	s.sets++
	if s.err == nil {
		s.up = up
	}
	return s.err
}

// shielded returns a Transport that nothing comes to, with a shield of a test's own.
func shielded(t *testing.T) (*Transport, *fakeShield) {
	tr, err := Open("udp", "127.0.0.1:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	f := &fakeShield{}
	tr.shield.socket = f
	tr.shield.timer = time.AfterFunc(time.Hour, func() {}) // which lowers nothing
	return tr, f
}

// away has first flights turned away, each by after the one before.
func away(tr *Transport, n int, now time.Time, by time.Duration) time.Time {
	tr.epMu.Lock()
	defer tr.epMu.Unlock()
	for range n {
		now = now.Add(by)
		tr.turnedAway(now)
	}
	return now
}

func TestShieldIsRaised(t *testing.T) {
	leak.Check(t)
	tr, f := shielded(t)
	now := time.Now()
	tr.flights = quic.RetryFlights
	// As many as are no harm.
	now = away(tr, 10*shieldAfter, now, shieldWindow/(shieldAfter/2))
	if f.sets != 0 {
		t.Fatalf("raised %d times", f.sets)
	}
	now = away(tr, shieldAfter, now.Add(time.Second), time.Microsecond)
	if f.up != udp.ShieldTokens || f.sets != 1 || tr.Stats().Shields != 1 {
		t.Fatalf("%+v", f)
	}
	// They have tokens, made up as they may be.
	now = away(tr, shieldAfter, now, time.Microsecond)
	if f.up != udp.ShieldAll || f.sets != 2 {
		t.Fatalf("%+v", f)
	}
	away(tr, 10*shieldAfter, now, time.Microsecond)
	if f.sets != 2 {
		t.Fatalf("%+v", f)
	}
	tr.lowerShield()
	if f.up != udp.ShieldOff {
		t.Fatalf("%+v", f)
	}
	// Nobody is admitted, with a token or without.
	tr.flights = quic.DropFlights
	away(tr, shieldAfter, now.Add(time.Second), time.Microsecond)
	if f.up != udp.ShieldAll {
		t.Fatalf("%+v", f)
	}
}

// While a connection is being dialed, what servers say has to come in.
func TestShieldAndDial(t *testing.T) {
	leak.Check(t)
	tr, f := shielded(t)
	now := away(tr, shieldAfter, time.Now(), time.Microsecond)
	if f.up == udp.ShieldOff {
		t.Fatal("not raised")
	}
	tr.beginDialing()
	if f.up != udp.ShieldOff {
		t.Fatal("not lowered")
	}
	now = away(tr, 10*shieldAfter, now, time.Microsecond)
	if f.up != udp.ShieldOff {
		t.Fatal("raised while dialing")
	}
	tr.dialing.Add(-1)
	away(tr, shieldAfter, now, time.Microsecond)
	if f.up == udp.ShieldOff {
		t.Fatal("not raised")
	}
}

func TestShieldIsRefused(t *testing.T) {
	leak.Check(t)
	tr, f := shielded(t)
	f.err = errors.New("no memory")
	away(tr, 10*shieldAfter, time.Now(), time.Microsecond)
	if f.sets != 1 || tr.shield.raised.Load() || tr.Stats().Shields != 0 {
		t.Errorf("%+v", f)
	}
}

// A flood as fast as the system takes it makes the kernel drop first flights. Connections
// that there are go on, and when the flood is over new ones come in again.
func TestShieldInFlood(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	cfg.MaxHandshakes = 4
	cfg.QUIC.HandshakeTimeout = time.Second // of what the flood leaves behind
	l := listen(t, cfg)
	if !l.Transport().socket.Caps().Shield {
		t.Skip("the system drops nothing on demand")
	}
	tr := l.Transport()
	tr.epMu.Lock()
	tr.shield.after = 1 // however slow the machine is
	tr.epMu.Unlock()
	server := one(t, l, newEcho())
	u := newUpload(1, 10)
	c := dial(t, l, clientConfig(), u)
	wait(t, "the connection is up", u.done)
	<-server
	serve(t, l, func() Application { return &app{} })

	s, err := udp.Dial(t.Context(), "udp", l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stop := make(chan struct{})
	flooding := make(chan struct{})
	go func() {
		defer close(flooding)
		f := newFlood()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if f.send(s) != nil {
				return
			}
		}
	}()
	for deadline := time.Now().Add(testTime); l.Stats().Shields == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", l.Stats())
		}
	}
	u = newUpload(2, 1_000_000)
	if err := c.Call(testContext(t), func(qc *quic.Conn) { c.app = u; err = u.onEstablished(qc, HandshakeInfo{}) }); err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back in the flood", u.done)
	if u.err != nil || err != nil {
		t.Fatal(u.err, err)
	}
	close(stop)
	wait(t, "the flood is over", flooding)
	again := clientConfig()
	again.QUIC.HandshakeTimeout = testTime
	dial(t, l, again, &app{})
}
