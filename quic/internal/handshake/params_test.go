package handshake

import (
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestLateParams has the server tell its transport parameters when it knows the
// client's name and protocol, also after a HelloRetryRequest.
func TestLateParams(t *testing.T) {
	again := serverConfig1(t)
	again.CurvePreferences = []tls.CurveID{tls.CurveP521}
	newTLS := func(server *tls.Config) func() (Handshaker, Handshaker) {
		return func() (Handshaker, Handshaker) {
			c, err := NewTLS(clientConfig1(t), true, "", netip.Addr{}, netip.MustParseAddrPort("192.0.2.1:443"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := NewTLS(server, false, "", netip.Addr{}, netip.MustParseAddrPort("192.0.2.2:1000"))
			if err != nil {
				t.Fatal(err)
			}
			return c, s
		}
	}
	for name, make := range map[string]func() (client, server Handshaker){
		"fake": func() (Handshaker, Handshaker) {
			return NewFake(true, "example.org", []string{"x"}, rand.NewChaCha8([32]byte{1})), NewFake(false, "", []string{"x"}, rand.NewChaCha8([32]byte{2}))
		},
		"TLS":               newTLS(serverConfig1(t)),
		"HelloRetryRequest": newTLS(again),
	} {
		for _, piece := range []int{1, 100, 1 << 20} {
			ch, sh := make()
			defer ch.Close()
			defer sh.Close()
			if err := ch.Start(); err == nil {
				t.Errorf("%s: a client started without parameters", name)
			}
			if err := ch.SetParams([]byte("client params")); err != nil {
				t.Fatal(err)
			}
			client, server := &end{h: ch, name: "client"}, &end{h: sh, name: "server", late: []byte("server params")}
			if err := pump(client, server, piece); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			checkDone(t, client, server)
			if string(client.params) != "server params" || string(server.params) != "client params" {
				t.Errorf("%s: %q and %q", name, client.params, server.params)
			}
			if err := sh.SetParams([]byte("others")); !errors.Is(err, errParamsTwice) {
				t.Errorf("%s: set twice: %v", name, err)
			}
		}
	}
}

// TestFakeTypeZero: no message is expected after the handshake, nor one of type 0.
func TestFakeTypeZero(t *testing.T) {
	client, server := fakeEnds([]string{"x"}, []string{"x"})
	if err := pump(client, server, 1<<20); err != nil {
		t.Fatal(err)
	}
	for _, e := range []*end{client, server} {
		if err := e.h.HandleCrypto(LevelApp, []byte{0, 0, 0, 0}); err == nil {
			t.Errorf("%s: no error", e.name)
		}
	}
	if err := server.h.SetParams(nil); err == nil {
		t.Error("parameters after a failure")
	}
}
