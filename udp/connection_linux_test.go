package udp_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// These tests run whole connections over sockets that lack one thing or another.

var certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, priv)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv, Leaf: leaf}, pool
})

func config() *frittata.Config {
	cert, pool := certificate()
	return &frittata.Config{QUIC: quic.Config{TLS: &tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: pool, NextProtos: []string{"test"},
	}}}
}

// mover is an Application that moves bytes both ways on one stream: what the client
// has, and back all that came.
type mover struct {
	client    bool
	data      []byte // what is to be written; of a server, what came
	off       int
	id        quic.StreamID
	open, fin bool
	got       []byte
	done      chan struct{}
	err       error
}

func (m *mover) OnEstablished(c *quic.Conn, _ frittata.HandshakeInfo) (err error) {
	if m.client {
		m.id, err = c.OpenStream(quic.Bidi)
		m.open, m.fin = true, true
	}
	return err
}

func (m *mover) ProcessReads(c *quic.Conn) error {
	var b [32 << 10]byte
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		m.id, m.open = id, true
		for {
			n, fin, err := c.StreamRead(id, b[:])
			if err != nil {
				return err
			}
			m.got = append(m.got, b[:n]...)
			if !m.client {
				m.data, m.fin = m.got, m.fin || fin
			} else if fin {
				close(m.done)
			}
			if n == 0 || fin {
				break
			}
		}
	}
}

func (m *mover) ProcessWrites(c *quic.Conn) error {
	for {
		if _, ok := c.NextWritable(); !ok {
			break
		}
	}
	if !m.open || m.off > len(m.data) || m.off == len(m.data) && !m.fin {
		return nil
	}
	n, err := c.StreamWrite(m.id, m.data[m.off:], m.fin)
	if m.off += n; m.off == len(m.data) && m.fin {
		m.off++ // the end is written
	}
	return err
}

func (m *mover) OnClose(_ *quic.Conn, err error) {
	select {
	case <-m.done:
	default:
		if m.client {
			m.err = err
			close(m.done)
		}
	}
}

// timed gives each train a release time, if the socket takes one.
type timed struct{ *udp.Conn }

func (s timed) WriteTrain(t *udp.Train) (int, error) {
	t.Time = time.Now()
	return s.Conn.WriteTrain(t)
}

// pair is two sockets with a Transport on each, of which the first is a server.
type pair struct {
	sockets [2]*udp.Conn
	ts      [2]*frittata.Transport
	before  [2]udp.Caps   // as they were opened
	stats   [2]quic.Stats // of the last connection
}

func newPair(t *testing.T, addr string, o *udp.Options) *pair {
	t.Helper()
	p := new(pair)
	for i := range p.ts {
		s, err := udp.Listen("udp", addr, o)
		if err != nil {
			t.Fatal(err)
		}
		p.sockets[i], p.before[i] = s, s.Caps()
		if p.ts[i], err = frittata.NewTransport(timed{s}, config()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.ts[i].Close() })
	}
	return p
}

// exchange runs a connection that moves n bytes there and back.
func (p *pair) exchange(t *testing.T, n int) {
	t.Helper()
	l, err := p.ts[0].Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	served := serveOne(ctx, l)
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.sockets[0].LocalAddr().Port())
	c := move(t, ctx, p.ts[1], to, n)
	for i, end := range []*frittata.Conn{<-served, c} {
		if end == nil {
			t.Fatal("nothing was accepted")
		}
		if p.stats[i], err = end.Stats(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// serveOne accepts one connection.
func serveOne(ctx context.Context, l *frittata.Listener) <-chan *frittata.Conn {
	served := make(chan *frittata.Conn, 1)
	go func() {
		defer close(served)
		in, err := l.Accept(ctx)
		if err != nil {
			return
		}
		if c, err := in.Start(&mover{done: make(chan struct{})}); err == nil {
			served <- c
		}
	}()
	return served
}

// move dials, and has n bytes moved there and back.
func move(t *testing.T, ctx context.Context, tr *frittata.Transport, to netip.AddrPort, n int) *frittata.Conn {
	t.Helper()
	m := &mover{client: true, data: make([]byte, n), done: make(chan struct{})}
	mathrand.NewChaCha8([32]byte{7}).Read(m.data)
	c, err := tr.Dial(ctx, to, "localhost", nil, m)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.done:
	case <-ctx.Done():
		t.Fatal("the transfer does not end")
	}
	if m.err != nil {
		t.Fatal(m.err)
	}
	if !bytes.Equal(m.got, m.data) {
		t.Fatalf("%d bytes came back, not the %d that were sent", len(m.got), len(m.data))
	}
	return c
}

// transferred is how much a connection moves each way: many trains.
const transferred = 512 << 10

// all asks for everything that has a price.
func all() *udp.Options { return &udp.Options{Timestamps: true, TxTime: true} }

// capability is something that a socket can do, and how it fails.
type capability struct {
	name  string
	what  string // the same for all of one kind
	addr  string // to listen on
	has   func(k udp.Caps) bool
	used  func(s udp.Stats, q quic.Stats) bool // nil: not to be seen from here
	off   func(o *udp.Options)
	lacks func(level, opt int) bool
	lack  udp.Faults // if it is not a socket option
}

func is(level, opt int) func(level, opt int) bool {
	return func(l, o int) bool { return l == level && o == opt }
}

var capabilities = []capability{
	{
		name: "GSO", what: "GSO", has: func(k udp.Caps) bool { return k.GSO && k.GSOReason == "" },
		used:  func(s udp.Stats, _ quic.Stats) bool { return s.TrainsSent > 0 },
		off:   func(o *udp.Options) { o.DisableGSO = true },
		lacks: is(unix.IPPROTO_UDP, unix.UDP_SEGMENT),
	},
	{
		name: "GRO", what: "GRO", has: func(k udp.Caps) bool { return k.GRO },
		off:   func(o *udp.Options) { o.DisableGRO = true },
		lacks: is(unix.IPPROTO_UDP, unix.UDP_GRO),
	},
	{
		name: "batching", what: "batching", has: func(k udp.Caps) bool { return k.Batching },
		off:  func(o *udp.Options) { o.DisableBatching = true },
		lack: udp.Faults{Batch: unix.ENOSYS},
	},
	{
		name: "batching, by a sandbox", what: "batching", has: func(k udp.Caps) bool { return k.Batching },
		off:  func(o *udp.Options) { o.DisableBatching = true },
		lack: udp.Faults{Batch: unix.EPERM},
	},
	{
		name: "a poller of its own", what: "a poller of its own", has: func(k udp.Caps) bool { return k.Poll },
		off:  func(o *udp.Options) { o.DisablePoll = true },
		lack: udp.Faults{Poll: unix.EMFILE},
	},
	{
		name: "ECN", what: "ECN", has: func(k udp.Caps) bool { return k.ECN },
		off:   func(o *udp.Options) { o.DisableECN = true },
		lacks: is(unix.IPPROTO_IP, unix.IP_RECVTOS),
	},
	{
		name: "ECN of IPv6", what: "ECN", addr: ":0", has: func(k udp.Caps) bool { return k.ECN },
		off:   func(o *udp.Options) { o.DisableECN = true },
		lacks: is(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS),
	},
	{
		name: "pktinfo", what: "pktinfo", has: func(k udp.Caps) bool { return k.Pktinfo },
		off:   func(o *udp.Options) { o.DisablePktinfo = true },
		lacks: is(unix.IPPROTO_IP, unix.IP_PKTINFO),
	},
	{
		name: "pktinfo of IPv6", what: "pktinfo", addr: ":0", has: func(k udp.Caps) bool { return k.Pktinfo },
		off:   func(o *udp.Options) { o.DisablePktinfo = true },
		lacks: is(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO),
	},
	{
		name: "DF", what: "DF", has: func(k udp.Caps) bool { return k.DF },
		off:   func(o *udp.Options) { o.DisableDF = true },
		lacks: is(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER),
	},
	{
		name: "drop count", what: "drop count", has: func(k udp.Caps) bool { return k.DropCount },
		off:   func(o *udp.Options) { o.DisableDropCount = true },
		lacks: is(unix.SOL_SOCKET, unix.SO_RXQ_OVFL),
	},
	{
		name: "timestamps", what: "timestamps", has: func(k udp.Caps) bool { return k.Timestamps },
		used: func(s udp.Stats, _ quic.Stats) bool { return s.Timestamped > 0 },
		off:  func(o *udp.Options) { o.Timestamps = false },
		lacks: func(level, opt int) bool {
			return level == unix.SOL_SOCKET && (opt == unix.SO_TIMESTAMPNS_NEW || opt == unix.SO_TIMESTAMPNS_OLD)
		},
	},
	{
		name: "TxTime", what: "TxTime", has: func(k udp.Caps) bool { return k.TxTime },
		used:  func(s udp.Stats, _ quic.Stats) bool { return s.DatagramsTimed > 0 },
		off:   func(o *udp.Options) { o.TxTime = false },
		lacks: is(unix.SOL_SOCKET, unix.SO_TXTIME),
	},
}

// Connections work without any of what a socket can do, be it switched off or not there, and
// what it can do is told.
func TestConnectionsWithout(t *testing.T) {
	for _, k := range capabilities {
		addr := k.addr
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		check := func(t *testing.T, o *udp.Options, want bool) {
			leak.Check(t)
			p := newPair(t, addr, o)
			if c := p.sockets[0]; addr == ":0" && c.LocalAddr().Addr().Is4() {
				t.Skip("no IPv6")
			}
			p.exchange(t, transferred)
			for i, s := range p.sockets {
				if got := k.has(s.Caps()); got != want {
					t.Errorf("socket %d has it: %v; %+v", i, got, s.Caps())
				}
				if k.used != nil && k.used(s.Stats(), p.stats[i]) != want {
					t.Errorf("socket %d used it: %v; %+v", i, !want, s.Stats())
				}
				if n := s.Stats().Fallbacks; n != 0 {
					t.Errorf("socket %d fell back %d times", i, n)
				}
			}
		}
		t.Run(k.name+" there", func(t *testing.T) {
			check(t, all(), true)
		})
		t.Run(k.name+" switched off", func(t *testing.T) {
			o := all()
			k.off(o)
			check(t, o, false)
		})
		t.Run(k.name+" not there", func(t *testing.T) {
			f := k.lack
			f.Lacks = k.lacks
			udp.Inject(t, f)
			check(t, all(), false)
		})
	}
	t.Run("nothing there", func(t *testing.T) {
		leak.Check(t)
		udp.Inject(t, udp.Faults{Batch: unix.ENOSYS, Poll: unix.EMFILE, Lacks: func(level, opt int) bool {
			return level != unix.SOL_SOCKET || opt != unix.SO_DOMAIN
		}})
		p := newPair(t, "127.0.0.1:0", all())
		p.exchange(t, transferred)
		for _, s := range p.sockets {
			k := s.Caps()
			for _, c := range capabilities {
				if c.has(k) {
					t.Errorf("there is %s: %+v", c.name, k)
				}
			}
		}
	})
}

// Connections go on when what a socket can do, as its options told, fails at work; and what failed for
// good is left.
func TestConnectionsFallBack(t *testing.T) {
	// some is true of every n-th call.
	some := func(n int64) func() bool {
		var calls atomic.Int64
		return func() bool { return calls.Add(1)%n == 0 }
	}
	late := func(n int64) func() bool {
		var calls atomic.Int64
		return func() bool { return calls.Add(1) > n }
	}
	fail := func(e syscall.Errno, what func(s udp.Sent) bool, when func() bool) udp.Faults {
		return udp.Faults{Send: func(s udp.Sent) syscall.Errno {
			if what(s) && (when == nil || when()) {
				return e
			}
			return 0
		}}
	}
	train := func(s udp.Sent) bool { return s.Segment }
	anything := func(udp.Sent) bool { return true }
	fell := func(s udp.Stats) bool { return s.Fallbacks > 0 }
	for _, tt := range []struct {
		name   string
		faults udp.Faults
		left   []string // the capabilities that are not there at the end
		told   func(s udp.Stats) bool
		mtu    int // the path MTU is at most that
	}{
		{"GSO: EIO", fail(unix.EIO, train, nil), []string{"GSO"}, func(s udp.Stats) bool { return s.GSODisabled == 1 && s.TrainsSent == 0 && fell(s) }, 0},
		{"GSO: EIO after a while", fail(unix.EIO, train, late(3)), []string{"GSO"}, func(s udp.Stats) bool { return s.GSODisabled == 1 && fell(s) }, 0},
		{"GSO: EINVAL", fail(unix.EINVAL, train, nil), []string{"GSO"}, func(s udp.Stats) bool { return s.GSODisabled == 1 && fell(s) }, 0},
		{"GSO: EINVAL after a while", fail(unix.EINVAL, train, late(3)), []string{"GSO"}, func(s udp.Stats) bool { return s.GSODisabled == 1 && fell(s) }, 0},
		// That of a train says nothing about the next one.
		{"GSO: EMSGSIZE", fail(unix.EMSGSIZE, train, nil), nil, func(s udp.Stats) bool { return s.GSODisabled == 0 && fell(s) }, 0},
		{"ECN: EINVAL", fail(unix.EINVAL, func(s udp.Sent) bool { return s.Mark }, nil), []string{"ECN"}, fell, 0},
		{"ECN: EINVAL after a while", fail(unix.EINVAL, func(s udp.Sent) bool { return s.Mark }, late(3)), []string{"ECN"}, fell, 0},
		{"pktinfo: EINVAL", fail(unix.EINVAL, func(s udp.Sent) bool { return s.Source }, nil), []string{"pktinfo"}, fell, 0},
		{"pktinfo: EINVAL after a while", fail(unix.EINVAL, func(s udp.Sent) bool { return s.Source }, late(3)), []string{"pktinfo"}, fell, 0},
		{"TxTime: EINVAL", fail(unix.EINVAL, func(s udp.Sent) bool { return s.Time }, nil), []string{"TxTime"}, fell, 0},
		{"TxTime: EINVAL after a while", fail(unix.EINVAL, func(s udp.Sent) bool { return s.Time }, late(3)), []string{"TxTime"}, fell, 0},
		{"all that is added: EINVAL", fail(unix.EINVAL, func(s udp.Sent) bool { return s.Segment || s.Mark || s.Source || s.Time }, nil),
			[]string{"GSO", "TxTime"}, fell, 0},
		{"batching: ENOSYS after a while", udp.Faults{
			Send: func(when func() bool) func(udp.Sent) syscall.Errno {
				return func(s udp.Sent) syscall.Errno {
					if s.Batch && when() {
						return unix.ENOSYS
					}
					return 0
				}
			}(late(3)),
		}, []string{"batching"}, fell, 0},
		{"batching: ENOSYS of reading", udp.Faults{
			Receive: func(batch bool) syscall.Errno {
				if batch {
					return unix.ENOSYS
				}
				return 0
			},
		}, []string{"batching"}, fell, 0},
		{"DF: EMSGSIZE above 1300 bytes", fail(unix.EMSGSIZE, func(s udp.Sent) bool { return s.Size > 1300 }, nil), nil,
			func(s udp.Stats) bool { return s.TooLarge > 0 }, 1300},
		// As Linux before 6.14 says it of trains.
		{"DF: EMSGSIZE and EINVAL above 1300 bytes", udp.Faults{Send: func(s udp.Sent) syscall.Errno {
			switch {
			case s.Size <= 1300:
				return 0
			case s.Segment:
				return unix.EINVAL
			}
			return unix.EMSGSIZE
		}}, nil, func(s udp.Stats) bool { return s.TooLarge > 0 }, 1300},
		{"sending: ENOBUFS now and then", fail(unix.ENOBUFS, anything, some(7)), nil, func(s udp.Stats) bool { return s.SoftErrors > 0 && s.DatagramsLost > 0 }, 0},
		{"sending: ENOMEM now and then", fail(unix.ENOMEM, anything, some(7)), nil, func(s udp.Stats) bool { return s.SoftErrors > 0 && s.DatagramsLost > 0 }, 0},
		{"sending: EPERM now and then", fail(unix.EPERM, anything, some(5)), nil, func(s udp.Stats) bool { return s.SoftErrors > 0 }, 0},
		{"sending: EHOSTUNREACH now and then", fail(unix.EHOSTUNREACH, anything, some(5)), nil, func(s udp.Stats) bool { return s.SoftErrors > 0 }, 0},
		{"receiving: ECONNREFUSED now and then", udp.Faults{Receive: func(when func() bool) func(bool) syscall.Errno {
			return func(bool) syscall.Errno {
				if when() {
					return unix.ECONNREFUSED
				}
				return 0
			}
		}(some(3))}, nil, func(s udp.Stats) bool { return s.SoftErrors > 0 }, 0},
		{"receiving: ENOMEM now and then", udp.Faults{Receive: func(when func() bool) func(bool) syscall.Errno {
			return func(bool) syscall.Errno {
				if when() {
					return unix.ENOMEM
				}
				return 0
			}
		}(some(9))}, nil, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leak.Check(t)
			udp.Inject(t, tt.faults)
			p := newPair(t, "127.0.0.1:0", all())
			for _, caps := range p.before {
				for _, k := range capabilities {
					if !k.has(caps) {
						t.Fatalf("%s is not there from the first: %+v", k.name, caps)
					}
				}
			}
			p.exchange(t, transferred)
			told := false // by one of the two: what happens now and then may all happen to it
			for i, s := range p.sockets {
				client := i == 1
				for _, k := range capabilities {
					gone := slices.Contains(tt.left, k.what)
					switch {
					case k.what == "pktinfo" && client:
						gone = false // it leaves the address to the system
					case len(tt.left) > 1 && (k.what == "ECN" || k.what == "pktinfo"):
						continue // marks end, and sources begin, at different times
					}
					if k.has(s.Caps()) == gone {
						t.Errorf("socket %d: %s, %+v", i, k.name, s.Caps())
					}
				}
				told = told || tt.told == nil || tt.told(s.Stats())
				if tt.mtu > 0 && p.stats[i].PathMTU > tt.mtu {
					t.Errorf("the path MTU is %d", p.stats[i].PathMTU)
				}
			}
			if !told {
				t.Errorf("%+v, %+v", p.sockets[0].Stats(), p.sockets[1].Stats())
			}
		})
	}
}

// A source address that is refused because it is not this host's is the caller's error, and pktinfo stays.
func TestForeignSource(t *testing.T) {
	leak.Check(t)
	c, err := udp.Listen("udp4", "0.0.0.0:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.LocalAddr().Port())
	for _, local := range []string{"192.0.2.77", "224.0.0.1", "255.255.255.255"} {
		_, err := c.WriteTrain(&udp.Train{Data: []byte("x"), Remote: to, Local: netip.MustParseAddr(local)})
		if err == nil || !c.Caps().Pktinfo || c.Stats().Fallbacks != 0 {
			t.Errorf("%s: %v, %+v", local, err, c.Caps())
		}
	}
}

// Where sockets cannot share a port, whoever asks for as many as the system can do gets one.
func TestConnectionsWithoutReusePort(t *testing.T) {
	leak.Check(t)
	for _, share := range []error{fmt.Errorf("no: %w", errors.ErrUnsupported), os.NewSyscallError("setsockopt", unix.EPERM)} {
		udp.Inject(t, udp.Faults{Share: share})
		if _, err := udp.Listen("udp", "127.0.0.1:0", &udp.Options{ReusePort: true}); !errors.Is(err, share) {
			t.Errorf("Listen: %v", err)
		}
		if _, err := udp.ListenGroup("udp", "127.0.0.1:0", 2, nil); !errors.Is(err, share) {
			t.Errorf("ListenGroup: %v", err)
		}
		if _, err := frittata.ListenGroup("udp", "127.0.0.1:0", 2, config()); !errors.Is(err, share) {
			t.Errorf("frittata.ListenGroup: %v", err)
		}
	}
	udp.Inject(t, udp.Faults{Share: fmt.Errorf("no: %w", errors.ErrUnsupported)})
	exchangeWithGroup(t, 0, 1)
}

// A group of sockets works where the kernel does not steer.
func TestConnectionsWithoutSteering(t *testing.T) {
	leak.Check(t)
	for _, lacks := range []bool{false, true} {
		udp.Inject(t, udp.Faults{Steer: lacks})
		exchangeWithGroup(t, 3, 3)
	}
}

// exchangeWithGroup runs connections with a server that asks for n sockets.
func exchangeWithGroup(t *testing.T, n, want int) {
	t.Helper()
	l, err := frittata.ListenGroup("udp", "127.0.0.1:0", n, config())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := len(l.Transports()); got != want {
		t.Errorf("%d sockets", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 4 {
		tr, err := frittata.Open("udp", "127.0.0.1:0", config())
		if err != nil {
			t.Fatal(err)
		}
		served := serveOne(ctx, l)
		move(t, ctx, tr, l.Addr(), transferred/4)
		<-served
		tr.Close()
	}
}

// A socket whose trains get lost but for their first datagrams works, for each connection after a while,
// and leaves GSO when three peers are concerned; but not if a train ever arrived.
func TestConnectionsWhoseTrainsAreLost(t *testing.T) {
	for _, arrived := range []bool{false, true} {
		t.Run(fmt.Sprintf("arrived %v", arrived), func(t *testing.T) {
			leak.Check(t)
			var lose atomic.Bool
			udp.Inject(t, udp.Faults{Firsts: lose.Load})
			s, err := udp.Listen("udp", "127.0.0.1:0", nil)
			if err != nil {
				t.Fatal(err)
			}
			server, err := frittata.NewTransport(s, config())
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			l, err := server.Listen(nil)
			if err != nil {
				t.Fatal(err)
			}
			udp.Inject(t, udp.Faults{}) // of the clients
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			dial := func(from string) {
				tr, err := frittata.Open("udp", from+":0", config())
				if err != nil {
					t.Fatal(err)
				}
				defer tr.Close()
				served := serveOne(ctx, l)
				move(t, ctx, tr, l.Addr(), transferred)
				<-served
			}
			if arrived {
				dial("127.0.0.9")
			}
			lose.Store(true)
			peers := []string{"127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.3"}
			for i, from := range peers {
				if k := s.Caps(); !k.GSO {
					t.Errorf("no GSO before peer %d: %+v", i, k)
				}
				dial(from)
			}
			if n := server.Stats().TrainsLost; int(n) != len(peers) {
				t.Errorf("%d connections lost their trains", n)
			}
			if k := s.Caps(); k.GSO != arrived || (k.GSOReason == "") != arrived {
				t.Errorf("%+v", k)
			}
			if n := s.Stats().GSODisabled; (n == 0) != arrived {
				t.Errorf("GSO was left %d times", n)
			}
			dial("127.0.0.4")
		})
	}
}
