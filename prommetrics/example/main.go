// Example serves a greeting over HTTP/3, and its metrics for Prometheus over
// HTTP at /metrics.
//
//	go run ./example -cert cert.pem -key key.pem
//	curl http://localhost:9100/metrics
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/http3"
	"github.com/frittata-go/frittata/prommetrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	addr := flag.String("addr", ":4433", "UDP address of the HTTP/3 server")
	metrics := flag.String("metrics", "localhost:9100", "TCP address of the metrics")
	certFile := flag.String("cert", "cert.pem", "certificate chain in PEM")
	keyFile := flag.String("key", "key.pem", "its key in PEM")
	flag.Parse()

	cert, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", *metrics)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err = serve(ctx, *addr, cert, l, func(quic, metrics net.Addr) {
		log.Printf("HTTP/3 at https://%v/, metrics at http://%v/metrics", quic, metrics)
	})
	if err != nil {
		log.Fatal(err)
	}
}

// serve serves until ctx ends. It calls ready when it has begun.
func serve(ctx context.Context, addr string, cert tls.Certificate, l net.Listener, ready func(quic, metrics net.Addr)) error {
	// A registry of one's own has what is put there, and nothing else.
	reg := prometheus.NewRegistry()
	m := prommetrics.New(&prommetrics.Options{Networks: 100})
	reg.MustRegister(m,
		// How long goroutines wait for a processor, among others.
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsScheduler)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	srv := &http3.Server{
		Addr:      addr,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "Hello,", r.RemoteAddr) }),
		Config:    &frittata.Config{Metrics: m, Logger: slog.Default()},
	}
	ql, err := srv.Listen()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(ql) }()
	go func() { ended <- web.Serve(l) }()
	ready(net.UDPAddrFromAddrPort(ql.Addr()), l.Addr())
	waiting := 2
	select {
	case <-ctx.Done():
		err = nil
	case err = <-ended: // one of them could not go on
		waiting--
	}
	limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = errors.Join(err, srv.Shutdown(limit), web.Shutdown(limit))
	for range waiting {
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}
