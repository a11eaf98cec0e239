package quic

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"
)

// TestConfigForClient has the server choose the settings by the name that the
// client asks for: the client is told of them, and they are in force.
func TestConfigForClient(t *testing.T) {
	server, client := testTLS(t)
	// A group that the client has no key for, so that there is a HelloRetryRequest.
	again := server.Clone()
	again.CurvePreferences = []tls.CurveID{tls.CurveP521}
	for _, test := range []struct {
		name           string
		client, server *Config
		retry          bool
	}{
		{"fake", fakeConfig(1), fakeConfig(2), false},
		{"fake after a Retry", fakeConfig(1), fakeConfig(2), true},
		{"TLS", &Config{TLS: client}, &Config{TLS: server}, false},
		{"TLS after a HelloRetryRequest", &Config{TLS: client}, &Config{TLS: again}, false},
		{"TLS after a Retry", &Config{TLS: client}, &Config{TLS: server}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked []ClientInfo
			test.client.EnableDatagrams = true
			test.server.MaxStreamsBidi = -1
			test.server.ConfigForClient = func(info ClientInfo) (*Config, error) {
				asked = append(asked, info)
				return &Config{
					MaxStreamsBidi: 3, MaxIdleTimeout: 7 * time.Second, EnableDatagrams: true,
					StreamWindow: 5000, MaxStreamWindow: 5000, ConnWindow: 9000, MaxConnWindow: 9000, SendBuffer: 1234, DisablePathMTUDiscovery: true,
				}, nil
			}
			p := newPair(t, test.client, test.server)
			if test.retry {
				p.admission = func(in *Incoming) {
					if in.Validated() {
						p.accept(in)
						return
					}
					b, err := p.endpoint.Retry(p.now, in)
					if err != nil {
						t.Fatal(err)
					}
					p.send(false, append([]byte(nil), b...), NotECT)
				}
			}
			p.connect()
			want := ClientInfo{ServerName: "example.org", ALPN: "test", RemoteAddr: pairClientAddr, LocalAddr: p.server.LocalAddr(), Validated: test.retry}
			if len(asked) != 1 || asked[0] != want {
				t.Fatalf("asked %+v", asked)
			}
			told := &p.client.strs
			if told.own[Bidi].limit != 3 || told.sendWindow.Limit() != 9000 || told.peerBidiRemote != 5000 || p.client.dgrams.peerMax == 0 {
				t.Errorf("the client was told of %d streams of %d bytes, %d bytes in all, and datagrams of %d",
					told.own[Bidi].limit, told.peerBidiRemote, told.sendWindow.Limit(), p.client.dgrams.peerMax)
			}
			if p.server.life.idleTimeout != 7*time.Second || p.client.life.idleTimeout != 7*time.Second {
				t.Errorf("idle timeouts %v and %v", p.server.life.idleTimeout, p.client.life.idleTimeout)
			}
			p.transfer(p.client, p.server, Bidi, 20_000, time.Minute)
			if err := p.client.SendDatagram([]byte("datagram")); err != nil {
				t.Fatal(err)
			}
			p.until("datagram", time.Minute, func() bool {
				n, ok := p.server.ReadDatagram(p.buf)
				return ok && string(p.buf[:n]) == "datagram"
			})
			id, err := p.server.OpenStream(Uni)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := p.server.StreamWrite(id, make([]byte, 5000), false); n != 1234 || err != nil {
				t.Errorf("%d bytes buffered, %v", n, err)
			}
			if n := p.server.Stats().PathMTU; n != minUDPPayload {
				t.Errorf("the path MTU is %d", n)
			}
		})
	}
}

// TestConfigForClientStays: nil changes nothing.
func TestConfigForClientStays(t *testing.T) {
	scfg := fakeConfig(2)
	scfg.MaxStreamsBidi = 5
	scfg.ConfigForClient = func(ClientInfo) (*Config, error) { return nil, nil }
	p := newPair(t, fakeConfig(1), scfg)
	p.connect()
	if n := p.client.strs.own[Bidi].limit; n != 5 {
		t.Errorf("%d streams", n)
	}
	// A client has nobody to ask for.
	ccfg := fakeConfig(1)
	ccfg.ConfigForClient = func(ClientInfo) (*Config, error) { panic("asked at a client") }
	newPair(t, ccfg, fakeConfig(2)).connect()
}

func TestConfigForClientRefuses(t *testing.T) {
	server, client := testTLS(t)
	no := errors.New("not for you")
	for _, test := range []struct {
		name   string
		cfg    *Config
		err    error
		code   TransportErrorCode
		reason string
	}{
		{"an error", nil, no, ConnectionRefused, ""},
		{"an error with a code", nil, &TransportError{Code: ApplicationErrorOccurred, Reason: "busy", Err: no}, ApplicationErrorOccurred, "busy"},
		{"settings that make no sense", &Config{MaxUDPPayload: 1}, nil, ConnectionRefused, ""},
	} {
		for kind, cfgs := range map[string][2]*Config{"fake": {fakeConfig(1), fakeConfig(2)}, "TLS": {{TLS: client}, {TLS: server}}} {
			t.Run(test.name+" "+kind, func(t *testing.T) {
				cfgs[1].ConfigForClient = func(ClientInfo) (*Config, error) { return test.cfg, test.err }
				p := newPair(t, cfgs[0], cfgs[1])
				p.until("failure", 20*time.Second, func() bool {
					return p.client.Err() != nil && p.server != nil && p.server.Err() != nil
				})
				for _, c := range []*Conn{p.client, p.server} {
					te, ok := errors.AsType[*TransportError](c.Err())
					if !ok || te.Code != test.code || te.Reason != test.reason || te.Remote != (c == p.client) {
						t.Errorf("%v", c.Err())
					}
				}
				if test.err != nil && !errors.Is(p.server.Err(), no) {
					t.Errorf("the server's end has lost the cause: %v", p.server.Err())
				}
			})
		}
	}
}
