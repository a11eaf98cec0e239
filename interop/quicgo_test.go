package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go"
	qgohttp3 "github.com/quic-go/quic-go/http3"
)

var quicgoStack = stack{
	name:   "quic-go",
	need:   func(*testing.T) {},
	serve:  quicgoServe,
	client: quicgoClient,
}

func quicgoServe(t *testing.T, o serverOptions) string {
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: sock, VerifySourceAddress: func(net.Addr) bool { return o.retry }}
	ln, err := tr.ListenEarly(getIdentity(t).server, &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	srv := &qgohttp3.Server{Handler: handler()}
	done := make(chan error, 1)
	go func() { done <- srv.ServeListener(ln) }()
	t.Cleanup(func() {
		srv.Close()
		tr.Close()
		sock.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, quic.ErrServerClosed) {
			t.Errorf("quic-go's server: %v", err)
		}
	})
	return sock.LocalAddr().String()
}

func quicgoClient(t *testing.T, addr string) client {
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: sock}
	to := net.UDPAddrFromAddrPort(mustAddrPort(t, addr))
	rt := &qgohttp3.Transport{
		TLSClientConfig:    getIdentity(t).client,
		DisableCompression: true,
		Dial: func(ctx context.Context, _ string, tlsConfig *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			return tr.DialEarly(ctx, to, tlsConfig, cfg)
		},
	}
	t.Cleanup(func() {
		rt.Close()
		tr.Close()
		sock.Close()
	})
	return &roundTripClient{rt, addr}
}
