package frittata_test

import (
	"context"
	"net/netip"

	"github.com/frittata-go/frittata"
)

// A client of QUIC in QUIC: the inner connection goes through the outer one to
// whatever listens on a Transport on the other end's Tunnel.
func ExampleTunnel() {
	ctx := context.Background()
	var outer, inner frittata.Config // with QUIC.TLS
	outer.QUIC.EnableDatagrams = true
	var app frittata.Application

	near := netip.MustParseAddrPort("192.0.2.1:1")
	far := netip.MustParseAddrPort("192.0.2.2:1")
	tunnel, err := frittata.NewTunnel(near, far)
	if err != nil {
		return
	}
	conn, err := frittata.Dial(ctx, "proxy.example:443", &outer, tunnel)
	if err != nil {
		return
	}
	defer conn.Close()
	tr, err := frittata.NewTransport(tunnel, &inner)
	if err != nil {
		return
	}
	defer tr.Close()
	_, _ = tr.Dial(ctx, tunnel.RemoteAddr(), "inner.example", nil, app)
}
