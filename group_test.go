package frittata

import (
	"errors"
	"net/netip"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

func listenTestGroup(t *testing.T, n int, cfg *Config) *Listener {
	t.Helper()
	cfg.Logger = testLogger()
	l, err := ListenGroup("udp", "127.0.0.1:0", n, cfg)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system has no groups of sockets")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// listenUnsteered makes a group whose sockets get what a hash gives them.
func listenUnsteered(t *testing.T, n int, cfg *Config) *Listener {
	t.Helper()
	conns, err := udp.ListenGroup("udp", "127.0.0.1:0", n, nil)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system has no groups of sockets")
	}
	if err != nil {
		t.Fatal(err)
	}
	sockets := make([]Socket, n)
	for i, c := range conns {
		sockets[i] = c
	}
	cfg.Logger = testLogger()
	cfg.UDP.Steer = &udp.Steer{Offset: 3, Bits: 2}
	l, err := listenOn(sockets, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// Many clients are served by all Transports, and one Accept has them all.
func TestGroup(t *testing.T) {
	leak.Check(t)
	for _, n := range []int{2, 4} {
		l := listenTestGroup(t, n, serverConfig())
		serve(t, l, func() Application { return newEcho() })
		const clients = 32
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				u := newUpload(2, 50_000)
				c, err := Dial(testContext(t), l.Addr().String(), clientConfig(), u)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Transport().Close()
				wait(t, "all came back", u.done)
				if u.err != nil {
					t.Error(u.err)
				}
			})
		}
		wg.Wait()
		if ts := l.Transports(); len(ts) != n {
			t.Errorf("%d Transports", len(ts))
		}
		sum := l.Stats()
		if sum.ConnsAccepted != clients || sum.Endpoint.Admitted != clients {
			t.Errorf("%+v", sum)
		}
		busy := 0
		for _, tr := range l.Transports() {
			if tr.Stats().ConnsAccepted > 0 {
				busy++
			}
		}
		// That all 32 ports have one hash is impossible for all practical purposes.
		if busy < 2 {
			t.Errorf("%d Transports have connections", busy)
		}
	}
}

// A client whose port changes all the time stays with its connection, be its
// packets steered by the kernel or handed over.
func TestGroupMigration(t *testing.T) {
	for name, listen := range map[string]func(*testing.T, int, *Config) *Listener{"steered": listenTestGroup, "unsteered": listenUnsteered} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			l := listen(t, 4, serverConfig())
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
			for range 16 {
				before := remoteOf(t, s)
				n.rebind(t)
				u := newUpload(1, 20_000)
				if err := c.Call(testContext(t), func(qc *quic.Conn) { c.app = u; err = u.onEstablished(qc, HandshakeInfo{}) }); err != nil {
					t.Fatal(err)
				}
				wait(t, "all came back by the new way", u.done)
				if u.err != nil || err != nil {
					t.Fatal(u.err, err)
				}
				if remoteOf(t, s) == before {
					t.Error("the server has not noticed the new address")
				}
			}
			st := l.Stats()
			if st.ConnsAccepted != 1 || st.Endpoint.StatelessResets != 0 {
				t.Errorf("%+v", st)
			}
			// 16 ports that all have the hash of the first are impossible for all practical purposes.
			if name == "unsteered" && st.Forwarded == 0 {
				t.Error("nothing was handed over")
			}
			if steering := l.t.socket.Caps().Steering; name == "steered" && steering && st.Forwarded > 0 {
				t.Errorf("%d datagrams were handed over though the kernel steers", st.Forwarded)
			}
		})
	}
}

// remoteOf asks the connection itself: the handle knows after the turn.
func remoteOf(t *testing.T, c *Conn) (a netip.AddrPort) {
	t.Helper()
	if err := c.Call(testContext(t), func(qc *quic.Conn) { a = qc.RemoteAddr() }); err != nil {
		t.Fatal(err)
	}
	return a
}

// Each datagram of a client comes to the next socket, those of the handshake too.
func TestGroupStrays(t *testing.T) {
	leak.Check(t)
	conns, err := udp.ListenGroup("udp", "127.0.0.1:0", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	deal := newDealer(conns[0], 3)
	cfg := serverConfig()
	cfg.Logger = testLogger()
	cfg.UDP.Steer = &udp.Steer{Offset: 0, Bits: 2}
	l, err := listenOn(deal.sockets(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	serve(t, l, func() Application { return newEcho() })
	for range 8 {
		u := newUpload(4, 100_000)
		c := dial(t, l, clientConfig(), u)
		wait(t, "all came back", u.done)
		if u.err != nil {
			t.Error(u.err)
		}
		_ = c.Close()
		wait(t, "the client is closed", c.Closed())
	}
	st := l.Stats()
	if st.Forwarded == 0 || st.Endpoint.StatelessResets != 0 {
		t.Errorf("%d datagrams were handed over, %d resets", st.Forwarded, st.Endpoint.StatelessResets)
	}
}

// dealer makes several sockets of one: they get messages in turn.
type dealer struct {
	*udp.Conn
	boxes []chan dealt
	end   chan struct{}
	once  sync.Once
}

type dealt struct {
	udp.Message
	data []byte
}

func newDealer(c *udp.Conn, n int) *dealer {
	d := &dealer{Conn: c, end: make(chan struct{})}
	for range n {
		d.boxes = append(d.boxes, make(chan dealt, 1024))
	}
	go func() {
		m := []udp.Message{{Buf: make([]byte, 64<<10)}}
		for i := 0; ; i++ {
			if k, err := c.ReadBatch(m); err != nil || k == 0 {
				return
			}
			d.boxes[i%n] <- dealt{m[0], append([]byte(nil), m[0].Buf[:m[0].N]...)}
		}
	}()
	return d
}

func (d *dealer) sockets() (s []Socket) {
	for _, box := range d.boxes {
		s = append(s, &hand{d, box})
	}
	return s
}

type hand struct {
	*dealer
	box chan dealt
}

func (h *hand) TryReadBatch([]udp.Message) (int, error) { return 0, nil }

func (h *hand) ReadBatch(m []udp.Message) (int, error) {
	select {
	case d := <-h.box:
		buf := m[0].Buf
		m[0] = d.Message
		m[0].Buf = buf
		copy(buf, d.data)
		return 1, nil
	case <-h.end:
		return 0, ErrTransportClosed
	}
}

func (h *hand) Close() (err error) {
	h.once.Do(func() { close(h.end); err = h.dealer.Conn.Close() })
	return err
}

// The user's generator makes the rest of the connection IDs, and the key of resets is one.
func TestGroupConnIDs(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	cfg.QUIC.ConnIDs = constantIDs{}
	l := listenTestGroup(t, 3, cfg)
	for i, tr := range l.Transports() {
		id := make([]byte, 12)
		tr.cfg.QUIC.ConnIDs.Generate(id, make([]byte, 12))
		want := []byte("ABCDEFGHIJK" + string(rune('L'&^3|i)))
		if tr.cfg.QUIC.ConnIDs.Len() != 12 || !reflect.DeepEqual(id, want) {
			t.Errorf("Transport %d: ID %q, want %q", i, id, want)
		}
		if *tr.cfg.QUIC.StatelessResetKey != *l.t.cfg.QUIC.StatelessResetKey || tr.cfg.TokenKeys != l.t.cfg.TokenKeys || tr.LocalAddr() != l.Addr() {
			t.Errorf("Transport %d differs in more than its number", i)
		}
	}
	if cfg.QUIC.StatelessResetKey != nil || cfg.UDP.Steer != nil || cfg.TokenKeys != nil {
		t.Error("the caller's Config was changed")
	}
}

type constantIDs struct{}

func (constantIDs) Len() int              { return 12 }
func (constantIDs) Generate(id, _ []byte) { copy(id, "ABCDEFGHIJKL") }

func TestGroupErrors(t *testing.T) {
	leak.Check(t)
	for name, test := range map[string]struct {
		n      int
		change func(*Config)
	}{
		"negative":       {-1, func(*Config) {}},
		"too many":       {257, func(*Config) {}},
		"no TLS":         {2, func(c *Config) { c.QUIC.TLS = nil }},
		"negative limit": {2, func(c *Config) { c.InboxBytes = -1 }},
		"empty IDs":      {2, func(c *Config) { c.QUIC.ConnIDs = quic.RandomConnIDs(0) }},
		"short IDs":      {2, func(c *Config) { c.QUIC.ConnIDs = quic.RandomConnIDs(3) }},
		"long IDs":       {2, func(c *Config) { c.QUIC.ConnIDs = quic.RandomConnIDs(21) }},
		"a byte too far": {2, func(c *Config) { c.UDP.Steer = &udp.Steer{Offset: 8} }},
		"few bits":       {3, func(c *Config) { c.UDP.Steer = &udp.Steer{Bits: 1} }},
	} {
		cfg := serverConfig()
		test.change(cfg)
		if l, err := ListenGroup("udp", "127.0.0.1:0", test.n, cfg); err == nil {
			l.Close()
			t.Errorf("%s: no error", name)
		}
	}
	l, err := ListenGroup("udp", "127.0.0.1:0", 0, serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	want := 1
	if runtime.GOOS == "linux" {
		want = runtime.GOMAXPROCS(0)
	}
	if n := len(l.Transports()); n != want {
		t.Errorf("%d Transports for %d processors", n, want)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if runtime.GOOS == "linux" {
		return
	}
	if _, err := ListenGroup("udp", "127.0.0.1:0", 2, serverConfig()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("on %s: %v", runtime.GOOS, err)
	}
}

func TestOwnID(t *testing.T) {
	id := "12345678"
	for _, test := range []struct{ data, want string }{
		{"", ""},
		{"\x40", ""},
		{"\x401234567", ""},
		{"\x40" + id, id},
		{"\x40" + id + "rest", id},
		{"\xc0\x00\x00\x00\x01\x08" + id, id},
		{"\xc0\x00\x00\x00\x01\x081234567", ""},
		{"\xc0\x00\x00\x00\x01\x071234567890", ""},
		{"\xc0\x00\x00\x00\x01\x091234567890", ""},
		{"\xc0\x00\x00\x00\x01", ""},
	} {
		if got := ownID([]byte(test.data), 8); string(got) != test.want {
			t.Errorf("%q: %q", test.data, got)
		}
	}
}

// All that Stats counts can be added.
func TestStatsAdd(t *testing.T) {
	var a, b Stats
	a.Conns, b.Conns = 1, 2
	a.Endpoint.Drops[quic.DropBusy], b.Endpoint.Drops[quic.DropBusy] = 3, 4
	a.Admission.DroppedDelay, b.Admission.DroppedDelay = 5, 6
	addNumbers(reflect.ValueOf(&a).Elem(), reflect.ValueOf(b))
	if a.Conns != 3 || a.Endpoint.Drops[quic.DropBusy] != 7 || a.Admission.DroppedDelay != 11 {
		t.Errorf("%+v", a)
	}
}

// The limits are those of the group.
func TestGroupLimits(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	cfg.MaxConns = 3
	l := listenTestGroup(t, 4, cfg)
	serve(t, l, func() Application { return &app{} })
	for range 3 {
		dial(t, l, clientConfig(), &app{})
	}
	for range 4 {
		_, err := Dial(testContext(t), l.Addr().String(), clientConfig(), &app{})
		if te, ok := errors.AsType[*quic.TransportError](err); !ok || te.Code != quic.ConnectionRefused {
			t.Errorf("one too many: %v", err)
		}
	}
	if st := l.Stats(); st.Conns != 3 || st.TooManyConns != 4 {
		t.Errorf("%+v", st)
	}
}

// Junk that names each Transport in turn does no harm.
func TestGroupJunk(t *testing.T) {
	leak.Check(t)
	l := listenUnsteered(t, 4, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	s, err := udp.Dial(t.Context(), "udp", l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	junk := make([]byte, 40*64)
	for i := range junk {
		junk[i] = byte(i * i >> 3)
	}
	for i := range 64 {
		junk[i*40] = byte(i << 2)
		junk[i*40+1+3] = byte(i)
	}
	for range 8 {
		if _, err := s.WriteTrain(&udp.Train{Data: junk, Segment: 40, Remote: netip.AddrPort{}}); err != nil {
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
