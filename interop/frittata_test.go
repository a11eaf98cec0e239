package interop

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"testing"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/http3"
)

var frittataStack = stack{
	name:   "frittata",
	need:   func(*testing.T) {},
	serve:  frittataServe,
	client: frittataClient,
}

func frittataServe(t *testing.T, o serverOptions) string {
	cfg := &frittata.Config{}
	if o.retry {
		cfg.Retry = frittata.RetryAlways
	}
	srv := &http3.Server{Handler: handler(), TLSConfig: getIdentity(t).server, Config: cfg, Addr: "127.0.0.1:0"}
	l, err := srv.Listen()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return l.Addr().String()
}

func frittataClient(t *testing.T, addr string) client {
	to := mustAddrPort(t, addr)
	rt := &http3.Transport{
		TLSClientConfig:    getIdentity(t).client,
		DisableCompression: true,
		Resolve:            func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{to.Addr()}, nil },
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Errorf("closing the client: %v", err)
		}
	})
	return &roundTripClient{rt, addr}
}
