package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

func lossy(p float64) *link {
	return &link{up: func() []Node { return []Node{&Loss{P: p}, delay(20)} }}
}

func TestIdleTimeout(t *testing.T) {
	d := newDuo(t, lossy(0), Peer{Streams: 1, Size: 1000}, Peer{}, func(c, s *HostConfig) {
		c.Config, s.Config = FakeConfig(), FakeConfig()
		c.Config.MaxIdleTimeout, s.Config.MaxIdleTimeout = 20*time.Second, 10*time.Second
	})
	d.connect(time.Second)
	d.Pass(9 * time.Second)
	s := d.serverConn()
	if d.conn.Closed() || s.Closed() {
		t.Fatalf("closed early: %v, %v", d.conn.Q.Err(), s.Q.Err())
	}
	sent := d.Counts().Sent
	d.Until("idle timeout", 2*time.Second, func() bool { return d.conn.Gone() && s.Gone() })
	for _, c := range []*Conn{d.conn, s} {
		var idle *quic.IdleTimeoutError
		if !errors.As(c.Q.Err(), &idle) {
			t.Errorf("%v: %v", c.Host.addr, c.Q.Err())
		}
	}
	if n := d.Counts().Sent - sent; n != 0 {
		t.Errorf("%d datagrams sent at the end: it should be silent", n)
	}
	if n := d.server.endpoint.Counts(); n.Routes != 0 {
		t.Errorf("%d routes are left", n.Routes)
	}
}

// The idle period begins anew with the first packet that asks for an answer,
// and not with the later ones, else a dead peer would never be found out.
func TestIdleTimeoutOfDeadPeer(t *testing.T) {
	down := &Switch{}
	l := &link{up: func() []Node { return []Node{lan(), delay(20)} }, down: func() []Node { return []Node{down, delay(20)} }}
	d := newDuo(t, l, Peer{Streams: 1, Size: 1 << 40, Dir: quic.Uni}, Peer{}, nil)
	d.connect(time.Second)
	down.Off = true
	d.Pass(29 * time.Second)
	if d.conn.Closed() {
		t.Fatalf("closed early: %v", d.conn.Q.Err())
	}
	d.Until("idle timeout", 5*time.Second, d.conn.Gone)
}

func TestKeepAlive(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		t.Run(side, func(t *testing.T) {
			d := newDuo(t, lossy(0.1), Peer{Streams: 1, Size: 1000}, Peer{}, func(c, s *HostConfig) {
				c.Config, s.Config = FakeConfig(), FakeConfig()
				c.Config.MaxIdleTimeout, s.Config.MaxIdleTimeout = 10*time.Second, 10*time.Second
				if side == "client" {
					c.Config.KeepAlive = 4 * time.Second
				} else {
					s.Config.KeepAlive = 4 * time.Second
				}
			})
			d.connect(10 * time.Second)
			d.Pass(5 * time.Second)
			sent := d.Counts().Sent
			d.Pass(2 * time.Minute)
			if d.conn.Closed() || d.serverConn().Closed() {
				t.Fatalf("closed: %v, %v", d.conn.Q.Err(), d.serverConn().Q.Err())
			}
			if n := d.Counts().Sent - sent; n > 150 {
				t.Errorf("%d datagrams in two minutes of silence", n)
			}
			d.finish()
		})
	}
}

func TestRetryUnderLoss(t *testing.T) {
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			d := newDuo(t, lossy(0.2), Peer{Streams: 1, Size: 100000}, Peer{Streams: 1, Size: 100000}, func(_, s *HostConfig) {
				s.Admit = func(*quic.Incoming) Admission { return Retry }
			})
			d.Until("transfer", time.Minute, func() bool { return d.app.Finished == 1 && d.app.Received == 1 })
			if d.server.endpoint.Counts().Retries == 0 {
				t.Error("no Retry was sent")
			}
			d.finish()
		})
	}
}

func TestHandshakesUnderLoss(t *testing.T) {
	for i := range 40 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p := []float64{0.1, 0.25, 0.4}[i%3]
			d := newDuo(t, lossy(p), Peer{Streams: 1, Size: 1000}, Peer{}, func(c, s *HostConfig) {
				c.Config, s.Config = FakeConfig(), FakeConfig()
				c.Config.HandshakeTimeout, s.Config.HandshakeTimeout = 15*time.Minute, 15*time.Minute
				c.Config.MaxIdleTimeout, s.Config.MaxIdleTimeout = -1, -1
			})
			d.Until("answer", 15*time.Minute, func() bool { return d.app.Finished == 1 })
		})
	}
}

func TestRefused(t *testing.T) {
	d := newDuo(t, lossy(0), Peer{}, Peer{}, func(_, s *HostConfig) {
		s.Admit = func(*quic.Incoming) Admission { return Refuse }
	})
	d.Until("refusal", time.Second, d.conn.Closed)
	var te *quic.TransportError
	if err := d.conn.Q.Err(); !errors.As(err, &te) || te.Code != quic.ConnectionRefused || !te.Remote {
		t.Errorf("error: %v", err)
	}
}

func TestNoServer(t *testing.T) {
	d := newDuo(t, lossy(0), Peer{}, Peer{}, func(_, s *HostConfig) {
		s.Admit = func(*quic.Incoming) Admission { return Ignore }
	})
	d.Until("handshake timeout", 11*time.Second, d.conn.Gone)
	var he *quic.HandshakeTimeoutError
	if err := d.conn.Q.Err(); !errors.As(err, &he) || he.Heard {
		t.Errorf("error: %v", err)
	}
}

// A server that was started anew knows nothing of its connections, but has its key.
func TestStatelessReset(t *testing.T) {
	for _, dir := range directions[:2] {
		t.Run(dir.name, func(t *testing.T) {
			l := &link{up: func() []Node { return []Node{&Rate{BytesPerSecond: 5e6}, &Loss{P: 0.02}, delay(10)} }}
			d := newDuo(t, l, dir.client, dir.serve, func(c, _ *HostConfig) {
				c.Config = FakeConfig()
				c.Config.KeepAlive = time.Second
			})
			d.Until("half of the transfer", time.Minute, d.halfway)
			d.server.Reboot()
			d.Until("reset", 5*time.Second, d.conn.Closed)
			var re *quic.StatelessResetError
			if err := d.conn.Q.Err(); !errors.As(err, &re) {
				t.Errorf("error: %v", err)
			}
			d.Until("the end", 10*time.Second, d.conn.Gone)
			if n := d.client.endpoint.Counts(); n.Routes != 0 || n.ResetTokens != 0 {
				t.Errorf("%d routes, %d tokens are left", n.Routes, n.ResetTokens)
			}
		})
	}
}

func TestKeyUpdates(t *testing.T) {
	for _, who := range []string{"client", "server", "both"} {
		for _, loss := range []float64{0, 0.02} {
			t.Run(fmt.Sprintf("%s loss %v", who, loss), func(t *testing.T) {
				l := &link{up: func() []Node {
					return []Node{&Rate{BytesPerSecond: 5e6}, &Loss{P: loss}, &Reorder{P: 0.02, By: 5 * time.Millisecond}, delay(10)}
				}}
				client, serve := Peer{Streams: 1, Size: full}, Peer{Streams: 1, Size: full}
				d := newDuo(t, l, client, serve, nil)
				updates := 0
				var again func()
				again = func() {
					if who != "server" && d.conn.Q.UpdateKeys() == nil {
						updates++
						d.conn.Wake()
					}
					if s := d.serverConn(); who != "client" && s != nil && s.Q.UpdateKeys() == nil {
						updates++
						s.Wake()
					}
					d.After(37*time.Millisecond, again)
				}
				again()
				d.Until("transfer", 5*time.Minute, d.moved(&client, &serve))
				if updates < int(full/mb) {
					t.Errorf("%d key updates", updates)
				}
				c, s := d.conn.Q.Stats().KeyUpdates, d.serverConn().Q.Stats().KeyUpdates
				if c+1 < s || s+1 < c {
					t.Errorf("%d updates at the client, %d at the server", c, s)
				}
				t.Logf("%d updates", c)
				d.finish()
			})
		}
	}
}

// Both sides go through connection IDs in mid-transfer, and routes follow.
func TestConnectionIDsRotate(t *testing.T) {
	for _, loss := range []float64{0, 0.03} {
		t.Run(fmt.Sprint("loss ", loss), func(t *testing.T) {
			nat := NewNAT("203.0.113.9:5000")
			l := &link{up: func() []Node {
				return []Node{&Rate{BytesPerSecond: 5e6}, &Loss{P: loss}, &Reorder{P: 0.02, By: 5 * time.Millisecond}, delay(10)}
			}}
			client, serve := Peer{Streams: 1, Size: full}, Peer{Streams: 1, Size: full}
			d := newDuo(t, l, client, serve, func(c, _ *HostConfig) { c.NAT = nat })
			var rotated [2]int
			var again func()
			again = func() {
				for i, c := range []*Conn{d.conn, d.serverConn()} {
					if c != nil && c.Q.RotateConnID() {
						rotated[i]++
						c.Wake()
					}
				}
				if n := d.server.endpoint.Counts(); n.Routes > 8 || n.ResetTokens > 8 {
					d.Fail(fmt.Errorf("%d routes and %d reset tokens for one connection", n.Routes, n.ResetTokens))
				}
				d.After(29*time.Millisecond, again)
			}
			again()
			d.Until("half of the transfer", 5*time.Minute, d.halfway)
			nat.RebindAddr()
			d.Until("transfer", 5*time.Minute, d.moved(&client, &serve))
			if least := int(2 * full / mb); rotated[0] < least || rotated[1] < least {
				t.Errorf("%d IDs taken by the client, %d by the server", rotated[0], rotated[1])
			}
			if n := d.server.endpoint.Counts(); n.StatelessResets != 0 {
				t.Errorf("%d stateless resets", n.StatelessResets)
			}
			d.finish()
		})
	}
}

// What came before the peer's close is read, though both come at once.
func TestLastWords(t *testing.T) {
	d := newDuo(t, &link{up: func() []Node { return []Node{delay(20)} }}, Peer{Streams: 1, Size: 5000, Dir: quic.Uni}, Peer{}, nil)
	d.connect(time.Second)
	s := d.serverConn()
	got := d.peer.Received
	d.Pass(time.Second)
	if got+d.peer.Received == 0 {
		t.Fatal("nothing came")
	}
	id, err := d.conn.Q.OpenStream(quic.Uni)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.conn.Q.StreamWrite(id, pattern(id, 0, 5000), true); err != nil {
		t.Fatal(err)
	}
	d.conn.Wake()
	d.After(10*time.Microsecond+defaultPacketCost*8, func() { d.conn.Close(1) })
	d.Until("close", 10*time.Second, s.Closed)
	d.Until("the end", 10*time.Second, s.Gone)
	if d.peer.Received != 2 {
		t.Errorf("%d streams came before the close", d.peer.Received)
	}
}

// versionNegotiation answers the packet by one that offers those versions.
func versionNegotiation(pkt []byte, versions ...uint32) []byte {
	dst := pkt[6 : 6+pkt[5]]
	rest := pkt[6+pkt[5]:]
	src := rest[1 : 1+rest[0]]
	b := []byte{0xc0, 0, 0, 0, 0}
	b = append(append(b, byte(len(src))), src...)
	b = append(append(b, byte(len(dst))), dst...)
	for _, v := range versions {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func TestVersionNegotiation(t *testing.T) {
	for name, tc := range map[string]struct {
		versions []uint32
		late     bool // beside the server's answer instead of in its place
		fails    bool
	}{
		"no version in common": {versions: []uint32{0xff00001d, 0x0a0a0a0a}, fails: true},
		"with ours":            {versions: []uint32{0xff00001d, quic.Version1}},
		"after the answer":     {versions: []uint32{0xff00001d}, late: true},
	} {
		t.Run(name, func(t *testing.T) {
			var d *duo
			n := 0
			up := Func(func(w *World, p *Packet, next Next) {
				if n++; n == 1 {
					q := w.packet(versionNegotiation(p.Data, tc.versions...))
					q.Src, q.Dst = p.Dst, p.Src
					after := 10 * time.Millisecond
					if tc.late {
						after = 100 * time.Millisecond
					}
					w.After(after, func() { w.route(q) })
				}
				if tc.fails {
					w.Drop(p)
					return
				}
				next(p)
			})
			l := &link{up: func() []Node { return []Node{up, delay(20)} }, down: func() []Node { return []Node{delay(20)} }}
			d = newDuo(t, l, Peer{Streams: 1, Size: 100000}, Peer{}, nil)
			if tc.fails {
				d.Until("end", time.Second, d.conn.Gone)
				var ve *quic.VersionNegotiationError
				if err := d.conn.Q.Err(); !errors.As(err, &ve) || len(ve.Offered) != len(tc.versions) {
					t.Errorf("error: %v", err)
				}
				return
			}
			d.Until("transfer", 10*time.Second, func() bool { return d.app.Finished == 1 })
			d.finish()
		})
	}
}

// A server answers a version that it does not speak.
func TestServerNegotiatesVersion(t *testing.T) {
	changed, answered := false, false
	up := Func(func(w *World, p *Packet, next Next) {
		if !changed {
			changed = true
			binary.BigEndian.PutUint32(p.Data[1:], 0x1a2a3a4a)
		}
		next(p)
	})
	down := Func(func(w *World, p *Packet, next Next) {
		if len(p.Data) > 5 && binary.BigEndian.Uint32(p.Data[1:]) == 0 {
			answered = true
		}
		next(p)
	})
	l := &link{up: func() []Node { return []Node{up, delay(20)} }, down: func() []Node { return []Node{down, delay(20)} }}
	d := newDuo(t, l, Peer{Streams: 1, Size: 1000}, Peer{}, nil)
	d.Until("transfer", 10*time.Second, func() bool { return d.app.Finished == 1 })
	if !answered {
		t.Error("no Version Negotiation packet came")
	}
	d.finish()
}

func TestCloseUnderLoss(t *testing.T) {
	for i := range 20 {
		for _, side := range []string{"client", "server"} {
			t.Run(fmt.Sprintf("%s %d", side, i), func(t *testing.T) {
				l := &link{up: func() []Node { return []Node{lan(), &Loss{P: 0.3}, delay(20)} }}
				d := newDuo(t, l, Peer{Streams: 1, Size: 1 << 40}, Peer{Streams: 1, Size: 1 << 40}, func(c, s *HostConfig) {
					c.Config, s.Config = FakeConfig(), FakeConfig()
					c.Config.HandshakeTimeout, s.Config.HandshakeTimeout = time.Minute, time.Minute
				})
				d.connect(time.Minute)
				closer, other := d.conn, d.serverConn()
				if side == "server" {
					closer, other = other, closer
				}
				closer.Close(42)
				d.Until("close", time.Minute, func() bool { return closer.Gone() && other.Gone() })
				var ae *quic.ApplicationError
				var ie *quic.IdleTimeoutError
				var re *quic.StatelessResetError
				switch err := other.Q.Err(); {
				case errors.As(err, &ae):
					if ae.Code != 42 || !ae.Remote || ae.Reason != "closed" {
						t.Errorf("error: %v", err)
					}
				case errors.As(err, &ie), errors.As(err, &re):
					// The closing period is over before a CONNECTION_CLOSE came through.
				default:
					t.Errorf("error: %v", err)
				}
			})
		}
	}
}

// Whoever closes while the handshake is under way tells the other side so.
func TestCloseInHandshake(t *testing.T) {
	for ms := 1; ms < 120; ms += 7 {
		for _, side := range []string{"client", "server"} {
			t.Run(fmt.Sprintf("%s %d ms", side, ms), func(t *testing.T) {
				d := newDuo(t, lossy(0), Peer{Streams: 1, Size: 1 << 40}, Peer{Streams: 1, Size: 1 << 40}, nil)
				if side == "server" {
					d.Until("server", time.Second, func() bool { return d.serverConn() != nil })
				}
				d.Pass(time.Duration(ms) * time.Millisecond)
				closer := d.conn
				if side == "server" {
					closer = d.serverConn()
				}
				closer.Close(42)
				d.Until("close", time.Minute, func() bool {
					s := d.serverConn()
					return d.conn.Gone() && (s == nil || s.Gone())
				})
			})
		}
	}
}

// Worlds in which a handshake once came to a standstill.
func TestHandshakeSeeds(t *testing.T) {
	for _, seed := range []uint64{
		0xddfe02547400fa9a, // the server's window was full of Handshake packets, and its Initial was lost
	} {
		t.Run(fmt.Sprintf("%#x", seed), func(t *testing.T) {
			l := &link{up: func() []Node { return []Node{lan(), &Loss{P: 0.3}, delay(20)} }}
			d := newSeededDuo(t, seed, l, Peer{Streams: 1, Size: 1 << 40}, Peer{Streams: 1, Size: 1 << 40}, func(c, s *HostConfig) {
				c.Config, s.Config = FakeConfig(), FakeConfig()
				c.Config.HandshakeTimeout, s.Config.HandshakeTimeout = time.Minute, time.Minute
			})
			d.connect(30 * time.Second)
		})
	}
}
