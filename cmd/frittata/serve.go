package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/http3"
)

const serveHelp = `Usage: frittata serve [options]

Serves the files of a directory over HTTP/3: with ranges, an index.html in place
of a directory's listing, and ETags. Symbolic links do not lead out of the directory.
A line is logged for each request, on standard error.

Options:
  --addr HOST:PORT    the UDP address to listen on (default :4433; port 0: any
                      that is free)
  --root DIR          the directory to serve (default: the current one)
  --cert FILE         the certificate, with its chain, in PEM
  --key FILE          its private key in PEM
                      Without these a certificate for localhost is made on the
                      spot, and the command to get from it is printed
  --retry WHEN        make clients prove their address first, at the price of a
                      round trip: auto (under load, the default), always, never
  --debug-endpoints   also serve /.frittata/bytes/N (N bytes), /.frittata/echo
                      (sends the body back) and /.frittata/sink (answers the
                      length of the body)

The keys of TLS are written to the file that the environment's SSLKEYLOGFILE names.

SIGINT or SIGTERM stops accepting and completes the transfers under way. A second
one cuts them off.

Examples:
  frittata serve --root public
  frittata serve --addr :443 --cert fullchain.pem --key privkey.pem --root /srv/www
  frittata serve --addr 127.0.0.1:0 --debug-endpoints

` + exitCodesOfServe

type serveOptions struct {
	addr, root, cert, key string
	retry                 frittata.RetryPolicy
	debug                 bool
}

func parseServe(e *env, args []string) (*serveOptions, error) {
	o := &serveOptions{}
	fs := newFlags("serve")
	fs.StringVar(&o.addr, "addr", ":4433", "")
	fs.StringVar(&o.root, "root", ".", "")
	fs.StringVar(&o.cert, "cert", "", "")
	fs.StringVar(&o.key, "key", "", "")
	fs.BoolVar(&o.debug, "debug-endpoints", false, "")
	fs.Func("retry", "", func(s string) error {
		switch s {
		case "auto":
			o.retry = frittata.RetryAuto
		case "always":
			o.retry = frittata.RetryAlways
		case "never":
			o.retry = frittata.RetryNever
		default:
			return errors.New("auto, always or never")
		}
		return nil
	})
	rest, err := parseFlags(fs, args, e.stdout, serveHelp)
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, usageError("%q is no option; the directory is given by --root", rest[0])
	case (o.cert == "") != (o.key == ""):
		return nil, usageError("--cert and --key belong together")
	}
	_, port, err := net.SplitHostPort(o.addr)
	if err != nil {
		return nil, usageError("--addr %s: want host:port, like :4433 or 127.0.0.1:4433", o.addr)
	}
	if _, err := strconv.Atoi(port); err == nil && !validPort(port, 0) {
		return nil, usageError("--addr %s: the port has to be from 0 to 65535", o.addr)
	}
	return o, nil
}

func runServe(ctx context.Context, e *env, args []string) error {
	o, err := parseServe(e, args)
	if err != nil {
		return err
	}
	root, err := openRoot(o.root)
	if err != nil {
		return err
	}
	defer root.Close()
	host, _, _ := net.SplitHostPort(o.addr) // parseServe has tried
	var cert tls.Certificate
	if o.cert != "" {
		cert, err = loadPair(o.cert, o.key)
	} else {
		cert, err = selfSigned(time.Now(), specific(host))
	}
	if err != nil {
		return err
	}
	keys, err := keyLog(e)
	if err != nil {
		return err
	}
	tlsConfig := &tls.Config{Certificates: []tls.Certificate{cert}}
	if keys != nil {
		defer keys.Close()
		tlsConfig.KeyLogWriter = keys
	}

	logger := slog.New(slog.NewTextHandler(e.stderr, nil))
	files := http.Handler(&fileServer{root: root})
	if o.debug {
		mux := http.NewServeMux()
		mux.Handle(debugPrefix, debugEndpoints())
		mux.Handle("/", files)
		files = mux
	}
	handler := &accessLog{handler: files, logger: logger}
	srv := &http3.Server{
		Addr:      o.addr,
		Handler:   handler,
		TLSConfig: tlsConfig,
		Config:    &frittata.Config{Retry: o.retry, Logger: logger},
		Logger:    logger,
	}
	l, err := srv.Listen()
	if err != nil {
		return listenError(err, o.addr)
	}
	announce(e, o, l.Addr(), host, cert)
	if e.listening != nil {
		e.listening(l.Addr().String())
	}

	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		_ = srv.Close() // Serve's error is the one that matters
		return err
	case s := <-e.signals:
		logger.Info("shutting down: transfers under way are completed, a second signal cuts them off",
			"signal", s.String(), "transfers", handler.active.Load())
	case <-ctx.Done():
	}
	return shutdown(ctx, e, srv, logger, handler, served)
}

// shutdown ends the server: gracefully, or at once when there is a second signal.
func shutdown(ctx context.Context, e *env, srv *http3.Server, logger *slog.Logger, handler *accessLog, served <-chan error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	complete := make(chan error, 1)
	go func() { complete <- srv.Shutdown(ctx) }()
	var err error
	select {
	case err = <-complete:
	case <-e.signals:
		left := handler.active.Load()
		cancel(errors.New("second signal"))
		err = &failure{code: exitOther, what: fmt.Sprintf("ended by a second signal with %d transfers under way", left)}
		<-complete
	}
	_ = srv.Close()
	<-served
	if err == nil {
		logger.Info("all transfers are complete")
	}
	return err
}

func openRoot(dir string) (*os.Root, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fileError(err, "--root names the directory to serve.")
	}
	if !info.IsDir() {
		return nil, &failure{code: exitFile, what: dir + " is no directory",
			try: "--root names a directory; to serve this file: --root " + shellQuote(filepath.Dir(dir))}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fileError(err, "")
	}
	return root, nil
}

// specific returns host unless it stands for all addresses.
func specific(host string) string {
	if a, err := netip.ParseAddr(host); err == nil && a.IsUnspecified() {
		return ""
	}
	return host
}

// announce prints where the server is and how to get from it.
func announce(e *env, o *serveOptions, addr netip.AddrPort, host string, cert tls.Certificate) {
	host = specific(host)
	if host == "" {
		host = "localhost"
	}
	url := "https://" + host + "/"
	if strings.Contains(host, ":") {
		url = "https://[" + host + "]/"
	}
	if addr.Port() != 443 {
		url = "https://" + net.JoinHostPort(host, strconv.Itoa(int(addr.Port()))) + "/"
	}
	where := o.root
	if abs, err := filepath.Abs(where); err == nil {
		where = abs
	}
	fmt.Fprintf(e.stdout, "Serving %s at %s (UDP %v)\n", where, url, addr)
	if cert.Leaf == nil {
		return
	}
	p := pinOf(cert.Leaf)
	fmt.Fprintf(e.stdout, "SPKI SHA-256: %v\n", p)
	get := e.self + " get "
	if o.cert == "" {
		get += "--pin " + shellQuote(p.String()) + " "
	}
	fmt.Fprintf(e.stdout, "Get from it:  %s%s\n", get, url)
}

// listenError tells why an address cannot be listened on, and what to try.
func listenError(err error, addr string) error {
	f := &failure{code: exitListen, what: err.Error(), err: err}
	host, port, _ := net.SplitHostPort(addr) // parseServe has tried
	var dns *net.DNSError
	switch {
	case addressTaken(err):
		f.what = "UDP port " + port + " is taken"
		f.try = "Another program listens there, another frittata perhaps.\n" +
			"Choose another port, --addr " + shellQuote(net.JoinHostPort(host, "4434")) + ", or --addr " + shellQuote(net.JoinHostPort(host, "0")) + " for any that is free."
		if port == "4434" {
			f.try = "Choose another port: --addr " + shellQuote(net.JoinHostPort(host, "0")) + " takes any that is free."
		}
		if runtime.GOOS == "linux" {
			f.try += "\nWho has it: ss -ulpn 'sport = :" + port + "'"
		}
	case errors.Is(err, os.ErrPermission):
		f.what = "no permission to listen on " + addr
		f.try = "Ports below 1024 are reserved: choose one above, like --addr " + shellQuote(net.JoinHostPort(host, "4433")) + "."
	case errors.As(err, &dns):
		f.what = host + " has no address: " + err.Error()
		f.try = "--addr wants an address of this host, or none at all, like :4433."
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.what = host + " is no address of this host"
		f.try = "--addr :" + port + " listens on all of its addresses."
	}
	return f
}

// addressTaken: the numbers of Windows are not those of package syscall.
func addressTaken(err error) bool {
	const wsaEADDRINUSE = syscall.Errno(10048)
	return errors.Is(err, syscall.EADDRINUSE) || runtime.GOOS == "windows" && errors.Is(err, wsaEADDRINUSE)
}
