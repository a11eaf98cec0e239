package frittata

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/udp"
)

func TestTrainWatch(t *testing.T) {
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for _, tt := range []struct {
		addrs []string
		want  bool // after the last
	}{
		{[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, true},
		{[]string{"192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1", "192.0.2.2"}, false},
		{[]string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"}, false}, // one peer may have them all
		{[]string{"2001:db8::1", "2001:db8:0:1::1", "192.0.2.1"}, true},
		{[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, false}, // it was told before
	} {
		var w, arrived trainWatch
		c := new(Conn)
		arrived.onArrived(c)
		got := false
		for _, s := range tt.addrs {
			got = w.onLost(c, a(s), time.Time{})
			if arrived.onLost(c, a(s), time.Time{}) {
				t.Errorf("%v: though one had arrived", tt.addrs)
			}
		}
		if got != tt.want {
			t.Errorf("%v: %v", tt.addrs, got)
		}
	}
}

// gsoCounter is a Socket that counts how often GSO is left and tried again.
type gsoCounter struct {
	Socket
	disabled, enabled int
	refuses           bool
}

func (s *gsoCounter) DisableGSO(string) { s.disabled++ }
func (s *gsoCounter) EnableGSO() bool   { s.enabled++; return !s.refuses }

// A socket that has left GSO tries it again, with one connection at a time, and more and more seldom.
func TestTrainTrials(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var w trainWatch
	s := new(gsoCounter)
	old, addr := new(Conn), netip.MustParseAddr("192.0.2.9")
	for i := range trainsLost {
		w.onLost(old, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), now)
	}
	if !w.alone(old) {
		t.Fatal("GSO was not left")
	}
	w.onArrived(old) // of trains that were none
	pause := trainPause
	for range 20 {
		for range 3 {
			if w.maybeTry(new(Conn), s, now.Add(pause-1)) {
				t.Fatal("a connection tries it too early")
			}
		}
		now = now.Add(pause)
		idle, c := new(Conn), new(Conn)
		if !w.maybeTry(idle, s, now) || w.alone(idle) || !w.alone(old) || w.maybeTry(c, s, now) {
			t.Fatal("not one connection tries it")
		}
		if w.onLost(old, addr, now) {
			t.Fatal("another connection tells")
		}
		// The one has nothing to send, and is relieved by another.
		now = now.Add(pause)
		if !w.maybeTry(c, s, now) || w.alone(c) || !w.alone(idle) || w.onLost(idle, addr, now) {
			t.Fatal("it is not relieved")
		}
		if !w.onLost(c, addr, now) || !w.alone(c) {
			t.Fatal("GSO was not left again")
		}
		pause = min(2*pause, trainPauseMost)
	}
	if pause != trainPauseMost {
		t.Errorf("the pause is %v", pause)
	}

	now = now.Add(pause)
	refusing := &gsoCounter{refuses: true}
	for range 3 {
		if w.maybeTry(old, refusing, now) {
			t.Error("it is tried where the system refuses")
		}
	}
	if refusing.enabled != 1 {
		t.Errorf("the system was asked %d times", refusing.enabled)
	}
	now = now.Add(pause)
	c := new(Conn)
	if !w.maybeTry(c, s, now) {
		t.Fatal("it is not tried any more")
	}
	if w.onArrived(c); w.alone(old) || w.trial.Load() != nil || w.onLost(old, addr, now) || w.maybeTry(old, s, now.Add(2*pause)) {
		t.Error("a train has arrived, and that is not all")
	}
	if s.enabled != 41 {
		t.Errorf("tried %d times", s.enabled)
	}
}

// trainEater is a Socket that loses all but the first datagram of each train, while it has GSO.
type trainEater struct {
	*udp.Conn
	mu                sync.Mutex
	eats, off         bool
	disabled, enabled int
	trains            map[uint16]int // to which ports they went
}

func (s *trainEater) DisableGSO(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disabled++
	s.off = true
}

func (s *trainEater) EnableGSO() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enabled++
	s.off = false
	return true
}

func (s *trainEater) WriteTrain(t *udp.Train) (int, error) {
	s.mu.Lock()
	train := t.Count() > 1 && !t.Alone && !s.off
	if train {
		s.trains[t.Remote.Port()]++
	}
	eats := s.eats
	s.mu.Unlock()
	n := t.Count()
	if train && eats {
		first := *t
		first.Data = t.Data[:t.Segment]
		_, err := s.Conn.WriteTrain(&first)
		return n, err
	}
	return s.Conn.WriteTrain(t)
}

// see looks at the counts.
func (s *trainEater) see(see func() bool) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return see()
	}
}

// A socket leaves GSO where trains get lost, has one connection try it again when it is time, and uses it again once
// that one's trains arrive. All connections get through meanwhile.
func TestTrainsTriedAgain(t *testing.T) {
	leak.Check(t)
	u, err := udp.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &trainEater{Conn: u, eats: true, trains: make(map[uint16]int)}
	tr, err := NewTransport(s, serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	l, err := tr.Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, func() Application { return newEcho() })
	due := func() {
		tr.trains.mu.Lock()
		tr.trains.next = time.Time{}
		tr.trains.mu.Unlock()
	}
	// transfer has data come and go on a connection until goal.
	transfer := func(what string, goal func() bool) *Conn {
		t.Helper()
		u := newUpload(2, 4<<20)
		c := dial(t, l, clientConfig(), u)
		wait(t, "all came back", u.done)
		until(t, what, goal)
		return c
	}
	// Two others were here before.
	for i := range trainsLost - 1 {
		tr.trains.onLost(new(Conn), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), time.Now())
	}
	transfer("GSO is left", s.see(func() bool { return s.disabled == 1 }))
	s.see(func() bool { clear(s.trains); return true })()
	transfer("no trains", s.see(func() bool { return len(s.trains) == 0 && s.enabled == 0 }))

	due()
	first := transfer("it is tried, and left again", s.see(func() bool { return s.enabled == 1 && s.disabled == 2 }))
	transfer("others have no trains", s.see(func() bool { return len(s.trains) == 1 && s.trains[first.LocalAddr().Port()] > 0 }))

	s.see(func() bool { s.eats = false; return true })()
	due()
	transfer("it is used again", func() bool { return tr.trains.arrived.Load() && !tr.trains.off.Load() })
	s.see(func() bool { clear(s.trains); return true })()
	last := transfer("by others too", s.see(func() bool { return len(s.trains) > 0 }))
	s.see(func() bool {
		if s.trains[last.LocalAddr().Port()] == 0 || s.enabled != 2 || s.disabled != 2 {
			t.Errorf("trains to %v; enabled %d times, disabled %d times", s.trains, s.enabled, s.disabled)
		}
		return true
	})()
}
