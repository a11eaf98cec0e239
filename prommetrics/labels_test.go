package prommetrics

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
)

func TestCode(t *testing.T) {
	m := New(nil)
	own := New(&Options{CodeName: func(alpn string, code uint64) string { return alpn + "!" }})
	for _, test := range []struct {
		m    *Metrics
		r    frittata.ConnRecord
		want string
	}{
		{m, frittata.ConnRecord{}, "NO_ERROR"},
		{m, frittata.ConnRecord{Code: uint64(quic.ConnectionRefused)}, "CONNECTION_REFUSED"},
		{m, frittata.ConnRecord{Code: uint64(quic.NoViablePath)}, "NO_VIABLE_PATH"},
		{m, frittata.ConnRecord{Code: 0x11}, "UNKNOWN"},
		{m, frittata.ConnRecord{Code: 1<<62 - 1}, "UNKNOWN"},
		{m, frittata.ConnRecord{Code: 0x178}, "CRYPTO_ERROR 0x178 (no application protocol)"},
		{m, frittata.ConnRecord{Code: 0x1fe}, "CRYPTO_ERROR"},
		{m, frittata.ConnRecord{Kind: frittata.CloseIdleTimeout}, ""},
		{m, frittata.ConnRecord{Kind: frittata.CloseApplication, ALPN: "h3", Code: 0x100}, "H3_NO_ERROR"},
		{m, frittata.ConnRecord{Kind: frittata.CloseApplication, ALPN: "h3", Code: 0x200}, "QPACK_DECOMPRESSION_FAILED"},
		{m, frittata.ConnRecord{Kind: frittata.CloseApplication, ALPN: "h3", Code: 0x21}, "H3_GREASE"},
		{m, frittata.ConnRecord{Kind: frittata.CloseApplication, ALPN: "h3", Code: 0x21 + 0x1f*1000}, "H3_GREASE"},
		{m, frittata.ConnRecord{Kind: frittata.CloseApplication, ALPN: "h3", Code: 2}, "UNKNOWN"},
		{m, frittata.ConnRecord{Kind: frittata.CloseApplication, ALPN: "doq", Code: 0x100}, "UNKNOWN"},
		{own, frittata.ConnRecord{Kind: frittata.CloseApplication, ALPN: "doq", Code: 0x100}, "doq!"},
	} {
		if got := test.m.code(&test.r); got != test.want {
			t.Errorf("%+v: %q, not %q", test.r, got, test.want)
		}
	}
}

// A peer that closes with all codes that there are makes a bounded number of series.
func TestCodesAreBounded(t *testing.T) {
	m := New(nil)
	for i := range uint64(20_000) {
		for _, kind := range []frittata.CloseKind{frittata.CloseTransport, frittata.CloseApplication} {
			m.ConnClosed(&frittata.ConnRecord{Kind: kind, Remote: true, Code: i * 7, ALPN: "h3"})
			m.ConnClosed(&frittata.ConnRecord{Kind: kind, Remote: true, Code: i, ALPN: "h3"})
		}
	}
	n := 0
	for sample := range scrape(t, m) {
		if strings.HasPrefix(sample, "frittata_handshakes_failed_total{") {
			n++
		}
	}
	if n < 20 || n > 120 {
		t.Errorf("%d series", n)
	}
}

func TestNetworks(t *testing.T) {
	m := New(&Options{Networks: 3})
	count := func(a string, o frittata.FlightOutcome) {
		m.FirstFlight(netip.AddrPortFrom(netip.MustParseAddr(a), 1), o)
	}
	count("192.0.2.1", frittata.FlightQueued)
	count("::ffff:192.0.2.200", frittata.FlightQueued)
	count("192.0.15.1", frittata.FlightDropped)
	count("192.0.16.1", frittata.FlightQueued)
	count("2001:db8:1::1", frittata.FlightRetried)
	// What comes now finds no place, however much it is.
	for i := range 10_000 {
		m.FirstFlight(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 4), byte(i << 4), 0}), 1), frittata.FlightQueued)
	}
	m.FirstFlight(netip.AddrPort{}, frittata.FlightQueued)
	count("fe80::1%eth0", frittata.FlightRefused)
	got := scrape(t, m)
	got.want(t, map[string]string{
		`first_flights_by_network_total{network="192.0.0.0/20",outcome="queued"}`:   "2",
		`first_flights_by_network_total{network="192.0.0.0/20",outcome="dropped"}`:  "1",
		`first_flights_by_network_total{network="192.0.16.0/20",outcome="queued"}`:  "1",
		`first_flights_by_network_total{network="2001:db8::/32",outcome="retried"}`: "1",
		`first_flights_by_network_total{network="other",outcome="queued"}`:          "10001",
		`first_flights_by_network_total{network="other",outcome="refused"}`:         "1",
		`first_flights_total{outcome="queued"}`:                                     "10004",
	})
	if n := len(m.networks.counts); n != 3 {
		t.Errorf("%d networks", n)
	}
	off := New(nil)
	off.FirstFlight(netip.AddrPort{}, frittata.FlightQueued)
	if len(off.networks.counts) != 0 || off.networks.others != (flights{}) {
		t.Error("networks are counted that nobody asked for")
	}
}

// Many goroutines tell and ask at a time; the race detector looks on.
func TestConcurrent(t *testing.T) {
	m := New(&Options{Networks: 2})
	done := make(chan struct{})
	for i := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 200 {
				m.ConnEstablished(&frittata.HandshakeInfo{Client: i%2 == 0})
				m.ConnClosed(&frittata.ConnRecord{Client: i%2 == 0, HandshakeDone: true, Stats: quic.Stats{PacketsSent: 1}})
				m.FirstFlight(netip.AddrPort{}, frittata.FlightQueued)
			}
		}()
	}
	for range 5 {
		scrape(t, m)
	}
	for range 4 {
		<-done
	}
	scrape(t, m).want(t, map[string]string{
		`connections_closed_total{by="local",code="NO_ERROR",kind="transport",role="client"}`: "400",
		`closed_connections_sent_packets_total{role="server"}`:                                "400",
		`first_flights_total{outcome="queued"}`:                                               "800",
	})
}
