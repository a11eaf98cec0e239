package prommetrics

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/http3"
	"github.com/frittata-go/frittata/quic"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const testTime = time.Minute

var testCert = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
})

func serverConfig() *frittata.Config {
	cert, _ := testCert()
	return &frittata.Config{QUIC: quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}}}}
}

func clientConfig() *frittata.Config {
	_, pool := testCert()
	return &frittata.Config{QUIC: quic.Config{TLS: &tls.Config{RootCAs: pool, NextProtos: []string{"test"}}}}
}

// app is an Application that does what established says, and as a server answers streams.
type app struct {
	established func(c *quic.Conn) error
}

func (a *app) OnEstablished(c *quic.Conn, _ frittata.HandshakeInfo) error {
	if a.established == nil {
		return nil
	}
	return a.established(c)
}

func (a *app) ProcessReads(c *quic.Conn) error {
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		for {
			var b [4096]byte
			n, fin, err := c.StreamRead(id, b[:])
			if err != nil {
				return err
			}
			if fin && !c.IsClient() {
				_, err := c.StreamWrite(id, []byte("thanks"), true)
				return err
			}
			if n == 0 || fin {
				break
			}
		}
	}
}

func (a *app) ProcessWrites(*quic.Conn) error { return nil }
func (a *app) OnClose(*quic.Conn, error)      {}

func listen(t *testing.T, cfg *frittata.Config) (*frittata.Listener, <-chan *frittata.Conn) {
	t.Helper()
	l, err := frittata.Listen("udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // the test has done so, unless it failed
	conns := make(chan *frittata.Conn, 100)
	go func() {
		for {
			in, err := l.Accept(context.Background())
			if err != nil {
				return // the Listener is closed
			}
			if c, err := in.Start(&app{}); err == nil {
				conns <- c
			}
		}
	}()
	return l, conns
}

func dial(t *testing.T, l *frittata.Listener, cfg *frittata.Config, a *app) (*frittata.Conn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	defer cancel()
	return frittata.Dial(ctx, l.Addr().String(), cfg, a)
}

func wait(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(testTime):
		t.Fatal("waited in vain until ", what)
	}
}

// scraped is what Prometheus sees: each sample as it is written, and its value.
type scraped map[string]string

// scrape asks for the metrics as Prometheus does.
func scrape(t *testing.T, m *Metrics) scraped {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(m)
	srv := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %v\n%s", resp.Status, err, b)
	}
	s := make(scraped)
	for line := range strings.Lines(string(b)) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && !strings.HasPrefix(line, "#") {
			s[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return s
}

func (s scraped) want(t *testing.T, samples map[string]string) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(samples)) {
		if got := s["frittata_"+k]; got != samples[k] {
			t.Errorf("%s is %q, not %q", k, got, samples[k])
		}
	}
}

// positive checks that there are such samples, and that they are more than 0.
func (s scraped) positive(t *testing.T, samples ...string) {
	t.Helper()
	for _, k := range samples {
		if got := s["frittata_"+k]; got == "" || got == "0" {
			t.Errorf("%s is %q", k, got)
		}
	}
}

func TestScrape(t *testing.T) {
	server, client := New(nil), New(nil)
	scfg, ccfg := serverConfig(), clientConfig()
	scfg.Metrics, ccfg.Metrics = server, client
	l, accepted := listen(t, scfg)

	scrape(t, server).want(t, map[string]string{
		"transports": "1", `connections{state="open"}`: "0", `connections_begun_total{role="server"}`: "0", "received_datagrams_total": "0",
		`first_flights_total{outcome="queued"}`: "0",
	})
	scrape(t, client).want(t, map[string]string{"transports": "0", "received_datagrams_total": "0"})

	c, err := dial(t, l, ccfg, &app{established: func(c *quic.Conn) error {
		id, err := c.OpenStream(quic.Bidi)
		if err == nil {
			_, err = c.StreamWrite(id, make([]byte, 5000), true)
		}
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := <-accepted
	up := map[string]string{
		"transports": "1", `connections{state="open"}`: "1", `connections{state="closing"}`: "0",
	}
	scrape(t, client).want(t, up)
	scrape(t, server).want(t, up)

	if err := c.CloseWithError(quic.CloseError{Application: true, Code: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	wait(t, "the client has closed", c.Closed())
	wait(t, "the server has closed", s.Closed())
	// Counters go on when the Transports are closed, and then they stand still.
	if err := errors.Join(c.Transport().Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		m        *Metrics
		c        *frittata.Conn
		role, by string
	}{{client, c, "client", "local"}, {server, s, "server", "peer"}} {
		got := scrape(t, end.m)
		label := `{role="` + end.role + `"}`
		got.want(t, map[string]string{
			"transports": "0", `connections{state="open"}`: "0", `connections{state="closing"}`: "0", "connection_ids": "0",
			"connections_begun_total" + label: "1",
			`connections_closed_total{by="` + end.by + `",code="UNKNOWN",kind="application",role="` + end.role + `"}`: "1",
			"handshake_duration_seconds_count" + label:                                                                "1",
			`handshake_stage_duration_seconds_count{role="` + end.role + `",stage="protocol"}`:                        "1",
			"connection_duration_seconds_count" + label:                                                               "1",
			"connection_loss_ratio_count" + label:                                                                     "1",
			"connection_sent_bytes_count" + label:                                                                     "1",
			"connection_pacing_rate_bytes_per_second_count" + label:                                                   "1",
			"connection_max_writable_streams_count" + label:                                                           "1",
			`connection_received_bytes_bucket{role="` + end.role + `",le="+Inf"}`:                                     "1",
			`handshakes_failed_total{by="` + end.by + `",code="UNKNOWN",kind="application",role="` + end.role + `"}`:  "",
			"closed_connections_opened_streams_total" + label:                                                         map[string]string{"client": "1", "server": "0"}[end.role],
			"closed_connections_accepted_streams_total" + label:                                                       map[string]string{"client": "0", "server": "1"}[end.role],
			"callback_panics_total":                                                                                   "0",
		})
		got.positive(t, "received_bytes_total", "sent_bytes_total", "sent_trains_total", "read_batches_total", `verdicts_total{verdict="route"}`,
			"closed_connections_sent_packets_total"+label, "closed_connections_received_bytes_total"+label,
			"connection_smoothed_rtt_seconds_sum"+label, "connection_min_rtt_seconds_sum"+label, "handshake_duration_seconds_sum"+label)
		// All that the Transport counts is what is scraped.
		stats := end.c.Transport().Stats()
		for i := range end.m.fields {
			f := &end.m.fields[i]
			sample := f.name
			if f.label != "" {
				sample += "{" + f.label + `="` + f.value + `"}`
			}
			want := f.get(&stats)
			if f.name == "connections" {
				continue // compared above
			}
			if v := got["frittata_"+sample]; v != formatted(want) {
				t.Errorf("%s is %q, but the Transport has %v", sample, v, want)
			}
		}
	}
	scrape(t, server).want(t, map[string]string{
		`first_flights_total{outcome="queued"}`: "1", "first_flights_admitted_total": "1",
		`handshake_stage_duration_seconds_count{role="server",stage="accept_wait"}`: "1",
	})
}

// formatted is a float as Prometheus writes it.
func formatted(v float64) string {
	var b strings.Builder
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "x"}, func() float64 { return v }))
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	for line := range strings.Lines(rec.Body.String()) {
		if s, ok := strings.CutPrefix(line, "x "); ok {
			b.WriteString(strings.TrimSpace(s))
		}
	}
	return b.String()
}

// The counters of Transports that are closed stay, those of new ones are added.
func TestSeveralTransports(t *testing.T) {
	server, client := New(nil), New(nil)
	scfg, ccfg := serverConfig(), clientConfig()
	scfg.Metrics, ccfg.Metrics = server, client
	l, accepted := listen(t, scfg)
	var want float64
	const dials = 3
	for range dials {
		c, err := dial(t, l, ccfg, &app{})
		if err != nil {
			t.Fatal(err)
		}
		s := <-accepted
		_ = c.Close()
		wait(t, "the server has closed", s.Closed())
		if err := c.Transport().Close(); err != nil {
			t.Fatal(err)
		}
		want += float64(c.Transport().Stats().DatagramsSent)
	}
	scrape(t, client).want(t, map[string]string{
		"transports": "0", `connections_begun_total{role="client"}`: "3", "sent_datagrams_total": formatted(want),
		`connections_closed_total{by="local",code="NO_ERROR",kind="transport",role="client"}`: "3",
	})
	scrape(t, server).want(t, map[string]string{
		"transports": "1", `connections_begun_total{role="server"}`: "3",
		`connections_closed_total{by="peer",code="NO_ERROR",kind="transport",role="server"}`: "3",
	})
	client.TransportClosed(new(frittata.Transport)) // one that it never heard of changes nothing
	scrape(t, client).want(t, map[string]string{"sent_datagrams_total": formatted(want)})
}

func TestFailedHandshake(t *testing.T) {
	m := New(nil)
	cfg := serverConfig()
	cfg.Metrics = m
	l, accepted := listen(t, cfg)
	ccfg := clientConfig()
	ccfg.QUIC.TLS.RootCAs = x509.NewCertPool()
	if _, err := dial(t, l, ccfg, &app{}); err == nil {
		t.Fatal("the certificate was accepted")
	}
	wait(t, "the server has closed", (<-accepted).Closed())
	got := scrape(t, m)
	got.want(t, map[string]string{
		`handshakes_failed_total{by="peer",code="CRYPTO_ERROR 0x12a (bad certificate)",kind="transport",role="server"}`: "1",
		`handshake_duration_seconds_count{role="server"}`:                                                               "",
		`connection_duration_seconds_count{role="server"}`:                                                              "",
	})
}

// A server of http3 is measured by its Config, and so is a client.
func TestHTTP3(t *testing.T) {
	server, client := New(nil), New(nil)
	cert, pool := testCert()
	srv := &http3.Server{
		Addr: "127.0.0.1:0", TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }),
		Config:  &frittata.Config{Metrics: server},
	}
	l, err := srv.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Config: &frittata.Config{Metrics: client}}
	resp, err := (&http.Client{Transport: tr, Timeout: testTime}).Get("https://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hello" {
		t.Fatal(string(b), err)
	}
	_ = resp.Body.Close() // it has been read
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	scrape(t, client).want(t, map[string]string{`connections_closed_total{by="local",code="H3_NO_ERROR",kind="application",role="client"}`: "1"})
	scrape(t, server).want(t, map[string]string{`connections_closed_total{by="peer",code="H3_NO_ERROR",kind="application",role="server"}`: "1"})
}

// The README names each metric that there is, and no other.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := New(&Options{Networks: 1})
	ch := make(chan *prometheus.Desc)
	go func() { m.Describe(ch); close(ch) }()
	there := make(map[string]bool)
	for d := range ch {
		_, name, _ := strings.Cut(d.String(), `fqName: "frittata_`)
		name, _, _ = strings.Cut(name, `"`)
		there[name] = true
		if !strings.Contains(string(b), "| `"+name+"`") {
			t.Errorf("README.md does not tell of %s", name)
		}
	}
	for line := range strings.Lines(string(b)) {
		name, ok := strings.CutPrefix(line, "| `")
		if name, _, _ = strings.Cut(name, "`"); ok && !there[name] {
			t.Errorf("README.md tells of %s, which there is not", name)
		}
	}
}
