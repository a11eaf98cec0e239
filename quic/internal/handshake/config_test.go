package handshake

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"
)

// resume makes one connection that ends with a ticket, and then another, and reports whether that resumed.
func resume(t *testing.T, server, client *tls.Config) bool {
	t.Helper()
	for range 2 {
		c, s := newTLSPair(t, server, client)
		if err := pump(c, s, 1<<20); err != nil {
			t.Fatal(err)
		}
		checkDone(t, c, s)
		if c.h.State().DidResume != s.h.State().DidResume {
			t.Fatal("the sides do not agree whether they resumed")
		}
		if c.h.State().DidResume {
			return true
		}
		if err := s.h.SendTicket(); err != nil {
			t.Fatal(err)
		}
		s.drain()
		if err := carry(c, s, 100); err != nil {
			t.Fatal(err)
		}
	}
	return false
}

func caching(t *testing.T) *tls.Config {
	cfg := clientConfig1(t)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	return cfg
}

func TestResumption(t *testing.T) {
	key := [32]byte{1}
	for _, test := range []struct {
		name   string
		client func(*tls.Config)
		server func(*tls.Config)
		fixed  bool // the server's config is prepared once
		want   bool
	}{
		{name: "prepared once", fixed: true, want: true},
		{name: "prepared for each connection", want: true},
		{name: "explicit keys", server: func(s *tls.Config) { s.SetSessionTicketKeys([][32]byte{key}) }, want: true},
		{name: "tickets disabled", server: func(s *tls.Config) { s.SessionTicketsDisabled = true }},
		{name: "no cache", client: func(c *tls.Config) { c.ClientSessionCache = nil }},
		{name: "keyed by address", client: func(c *tls.Config) { c.ServerName = "" }, want: true},
		{
			name: "own wrapping", want: true,
			server: func(s *tls.Config) {
				keys := s.Clone()
				s.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
					return keys.EncryptTicket(cs, ss)
				}
				s.UnwrapSession = func(b []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
					return keys.DecryptTicket(b, cs)
				}
			},
		},
		{
			name: "callback with the same config", want: true,
			server: func(s *tls.Config) {
				s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s, nil }
			},
		},
		{
			name: "callback with nothing", want: true,
			server: func(s *tls.Config) {
				s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
			},
		},
		{
			name: "callback with another config", fixed: true, want: true,
			server: func(s *tls.Config) {
				other := &tls.Config{Certificates: s.Certificates}
				s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return other, nil }
			},
		},
		{
			name: "callback with a new config each time", fixed: true, want: true,
			server: func(s *tls.Config) {
				base := serverConfig1(t)
				s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return base.Clone(), nil }
			},
		},
		{
			name: "callback with keys of its own", want: true,
			server: func(s *tls.Config) {
				other := serverConfig1(t)
				other.SetSessionTicketKeys([][32]byte{key})
				s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return other.Clone(), nil }
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, client := serverConfig1(t), caching(t)
			if test.server != nil {
				test.server(server)
			}
			if test.client != nil {
				test.client(client)
			}
			if test.fixed {
				server = ServerTLSConfig(server)
			}
			if got := resume(t, server, client); got != test.want {
				t.Errorf("resumed: %v, want %v", got, test.want)
			}
		})
	}
}

// TestTicketKeyRotation: keys that are set on the user's config reach the listener that runs with a copy of it.
func TestTicketKeyRotation(t *testing.T) {
	cfg, client := serverConfig1(t), caching(t)
	cfg.SetSessionTicketKeys([][32]byte{{1}})
	server := ServerTLSConfig(cfg)
	if !resume(t, server, client) {
		t.Fatal("not resumed")
	}
	cfg.SetSessionTicketKeys([][32]byte{{2}, {1}})
	c, s := newTLSPair(t, server, client)
	if err := pump(c, s, 1<<20); err != nil || !s.h.State().DidResume {
		t.Errorf("not resumed with the former key: %v", err)
	}
	cfg.SetSessionTicketKeys([][32]byte{{3}})
	c, s = newTLSPair(t, server, client)
	if err := pump(c, s, 1<<20); err != nil || s.h.State().DidResume {
		t.Errorf("resumed with a key that is gone: %v", err)
	}
}

// earlyTicket makes a connection to a server of other software, that sends a ticket for early data.
func earlyTicket(t *testing.T, server *tls.Config, client Handshaker) {
	t.Helper()
	client.SetParams([]byte("client params"))
	t.Cleanup(client.Close)
	c := &end{h: client, name: "client"}
	_, s := newTLSPair(t, server, clientConfig1(t))
	if err := pump(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	h := s.h.(*tlsHandshaker)
	if err := h.q.SendSessionTicket(tls.QUICSessionTicketOptions{EarlyData: true}); err != nil {
		t.Fatal(err)
	}
	if err := h.finish(nil); err != nil {
		t.Fatal(err)
	}
	s.drain()
	if err := carry(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
}

// rawClient is a client of other software, that takes early data from its cache and offers it.
func rawClient(t *testing.T, cfg *tls.Config) *tlsHandshaker {
	cfg = cfg.Clone()
	cfg.MinVersion = tls.VersionTLS13
	return &tlsHandshaker{client: true, ctx: t.Context(), q: tls.QUICClient(&tls.QUICConfig{TLSConfig: cfg})}
}

func TestEarlyData(t *testing.T) {
	const earlyData = 42
	var offered bool
	server := serverConfig1(t)
	server.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		offered = slices.Contains(info.Extensions, earlyData)
		return nil, nil
	}
	server = ServerTLSConfig(server)

	// A client is sent a ticket that allows early data, by a server that is not ours.
	client := caching(t)
	h, err := NewTLS(client, true, "", localIP, remoteAddr)
	if err != nil {
		t.Fatal(err)
	}
	earlyTicket(t, server, h)
	c, s := newTLSPair(t, server, client)
	if err := pump(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	if offered || !s.h.State().DidResume {
		t.Errorf("early data offered: %v; resumed: %v", offered, s.h.State().DidResume)
	}

	// It finds one in its cache that other software put there.
	client = caching(t)
	earlyTicket(t, server, rawClient(t, client))
	c, s = newTLSPair(t, server, client)
	if err := pump(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	if offered || !s.h.State().DidResume {
		t.Errorf("early data offered from a foreign session: %v; resumed: %v", offered, s.h.State().DidResume)
	}

	// A server is offered early data, and resumes without it.
	raw := rawClient(t, client)
	raw.SetParams([]byte("client params"))
	t.Cleanup(raw.Close)
	c = &end{h: raw, name: "client"}
	_, s = newTLSPair(t, server, client)
	if err := pump(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	checkDone(t, c, s)
	if !offered || !s.h.State().DidResume {
		t.Errorf("early data offered: %v; resumed: %v", offered, s.h.State().DidResume)
	}
	// It would be accepted in EncryptedExtensions; then crypto/tls has read keys for it.
	if slices.Contains(s.log, "1/3") {
		t.Error("early data was accepted")
	}
}

// TestManyTickets: a server may send more of them than crypto/tls takes.
func TestManyTickets(t *testing.T) {
	client := caching(t)
	c, s := newTLSPair(t, serverConfig1(t), client)
	if err := pump(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := s.h.SendTicket(); err != nil {
		t.Fatal(err)
	}
	if err := s.h.SendTicket(); err == nil {
		t.Error("second ticket")
	}
	s.drain()
	ticket := s.out[0].data
	s.out = nil
	for range 100 {
		s.out = append(s.out, chunk{LevelApp, ticket})
	}
	if err := carry(c, s, 50); err != nil {
		t.Fatal(err)
	}
	// Anything else is still looked at.
	if err := c.h.HandleCrypto(LevelApp, []byte{24, 0, 0, 1, 0}); err == nil {
		t.Error("KeyUpdate was accepted")
	}
}

// TestHelloConn: every callback that takes a ClientHelloInfo finds the addresses of its connection, through any number of configs.
func TestHelloConn(t *testing.T) {
	var calls []string
	check := func(name string) func(info *tls.ClientHelloInfo) {
		return func(info *tls.ClientHelloInfo) {
			calls = append(calls, name)
			c := info.Conn
			if c == nil {
				t.Fatalf("%s: no Conn", name)
			}
			if c.RemoteAddr().String() != "192.0.2.1:5555" || c.LocalAddr().(*net.UDPAddr).IP.String() != "192.0.2.7" {
				t.Errorf("%s: addresses %v and %v", name, c.LocalAddr(), c.RemoteAddr())
			}
			_, rerr := c.Read(nil)
			_, werr := c.Write(nil)
			for _, err := range []error{rerr, werr, c.Close(), c.SetDeadline(time.Time{}), c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})} {
				if !errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	getCert := func(name string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
			check(name)(info)
			cert := leaf()
			return &cert, nil
		}
	}
	inner := &tls.Config{GetCertificate: getCert("inner certificate")}
	server := &tls.Config{
		NextProtos:     []string{"h3"},
		GetCertificate: getCert("certificate"),
	}
	c, s := newTLSPair(t, server, clientConfig1(t))
	if err := pump(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	server.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		check("config")(info)
		return inner, nil
	}
	c, s = newTLSPair(t, server, clientConfig1(t))
	if err := pump(c, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	if want := []string{"certificate", "config", "inner certificate"}; !slices.Equal(calls, want) {
		t.Errorf("called %v, want %v", calls, want)
	}
}

func TestConfigError(t *testing.T) {
	cause := errors.New("no config today")
	server := serverConfig1(t)
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, cause }
	c, s := newTLSPair(t, server, clientConfig1(t))
	_ = pump(c, s, 1<<20)
	wantAlert(t, s, alertInternalError)
	if !errors.Is(s.err, cause) {
		t.Errorf("cause is %v", s.err)
	}
}

func TestPreparedOnce(t *testing.T) {
	for name, prepare := range map[string]func(*tls.Config) *tls.Config{"server": ServerTLSConfig, "client": ClientTLSConfig} {
		cfg := &tls.Config{NextProtos: []string{"h3"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		cache := cfg.ClientSessionCache
		p := prepare(cfg)
		if p == cfg || p.MinVersion != tls.VersionTLS13 || cfg.MinVersion != 0 || cfg.ClientSessionCache != cache {
			t.Errorf("%s: not a copy for TLS 1.3", name)
		}
		if prepare(p) != p {
			t.Errorf("%s: prepared twice", name)
		}
		clone := p.Clone()
		if prepare(clone) == clone {
			t.Errorf("%s: a clone, which may have been changed, is taken for prepared", name)
		}
		if c, ok := prepare(clone).ClientSessionCache.(*clientConfig); ok && c.cache != cache {
			t.Errorf("%s: caches are stacked", name)
		}
		if prepare(nil) != nil {
			t.Errorf("%s: something for nothing", name)
		}
	}
}

// TestReturnedConfigs: what a callback returns is prepared once, and what it makes anew each time does not pile up.
func TestReturnedConfigs(t *testing.T) {
	s := serverOf(ServerTLSConfig(serverConfig1(t)))
	cfg := serverConfig1(t)
	first, err := s.prepared(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := s.prepared(cfg); again != first {
		t.Error("prepared twice")
	}
	if same, _ := s.prepared(first); same != first {
		t.Error("a prepared config was prepared")
	}
	var keep []*tls.Config
	for range 3 * maxReturned {
		cfg := serverConfig1(t)
		keep = append(keep, cfg)
		if _, err := s.prepared(cfg); err != nil {
			t.Fatal(err)
		}
		if len(s.returned) > maxReturned {
			t.Fatalf("%d configs are kept", len(s.returned))
		}
	}
	runtime.KeepAlive(keep)
}
