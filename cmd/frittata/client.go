package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/http3"
)

// client sends the requests of one command.
type client struct {
	e         *env
	o         *getOptions
	rt        http.RoundTripper
	closers   []io.Closer
	closedUDP func(ctx context.Context, addr string) bool // see probe.go
	openTCP   func(ctx context.Context, addr string) bool
	progress  func(total, have int64, what string) *progress

	mu    sync.Mutex
	conns []*frittata.Conn // that were dialed, for the statistics under -v
}

func newClient(e *env, o *getOptions) (*client, error) {
	c := &client{e: e, o: o, closedUDP: closedUDP, openTCP: openTCP}
	c.progress = c.newProgress
	cfg := &tls.Config{}
	switch {
	case o.pin != nil:
		cfg = pinTLS(*o.pin)
	case o.insecure:
		cfg.InsecureSkipVerify = true
	case o.ca != "":
		pool, err := loadAuthorities(o.ca)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	keys, err := keyLog(e)
	if err != nil {
		return nil, err
	}
	rt := &http3.Transport{
		TLSClientConfig: cfg,
		Config:          &frittata.Config{},
		// What is written is what the server sent.
		DisableCompression: true,
	}
	rt.Config.QUIC.HandshakeTimeout = min(o.timeout, handshakeTimeout)
	rt.Config.QUIC.MaxIdleTimeout = max(o.timeout, handshakeTimeout)
	c.rt = rt
	c.closers = append(c.closers, rt)
	if keys != nil {
		cfg.KeyLogWriter = keys
		c.closers = append(c.closers, keys)
	}
	return c, nil
}

// handshakeTimeout lets three probes be lost.
const handshakeTimeout = 10 * time.Second

func (c *client) close() {
	for _, x := range c.closers {
		_ = x.Close() // nothing is left to lose
	}
}

// errSilence is why a request ends when nothing has come for --timeout.
var errSilence = errors.New("timeout")

// watchdog ends a request when nothing has come for some time.
type watchdog struct {
	timer *time.Timer
	wait  time.Duration
}

// watch returns a context that ends when the watchdog is not fed. Before it is fed for
// the first time there is time for a handshake, which has a limit of its own and
// tells more when it fails.
func watch(ctx context.Context, wait time.Duration) (context.Context, *watchdog, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watchdog{time.AfterFunc(wait+handshakeTimeout, func() { cancel(errSilence) }), wait}, cancel
}

func (w *watchdog) feed() { w.timer.Reset(w.wait) }
func (w *watchdog) stop() { w.timer.Stop() }

// newRequest makes the request for u. extra fields are put on top of those of -H.
func (c *client) newRequest(ctx context.Context, u *url.URL, dog *watchdog, extra http.Header) (*http.Request, error) {
	var rc io.ReadCloser
	var length int64
	if c.o.body.open != nil {
		var err error
		if rc, length, err = c.o.body.open(); err != nil {
			return nil, err
		}
		rc = &fedBody{rc, dog}
		if length == 0 {
			_ = rc.Close() // it was not written to
			rc = http.NoBody
		}
	}
	req, err := http.NewRequestWithContext(ctx, c.o.method, u.String(), rc)
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	req.Header = http.Header{"User-Agent": {"frittata/" + version()}}
	if c.o.body.contentType != "" {
		req.Header.Set("Content-Type", c.o.body.contentType)
	}
	for k, v := range c.o.header {
		req.Header[k] = v
	}
	for k, v := range extra {
		req.Header[k] = v
	}
	if c.o.host != "" {
		req.Host = c.o.host
	}
	if u.User != nil && req.Header.Get("Authorization") == "" {
		p, _ := u.User.Password() // some servers want a name alone
		req.SetBasicAuth(u.User.Username(), p)
	}
	return req, nil
}

// fedBody feeds the watchdog while a request's body goes out.
type fedBody struct {
	io.ReadCloser
	dog *watchdog
}

func (b *fedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.dog.feed()
	return n, err
}

// send sends a request and returns the response, whose body is still to come.
// cancel ends the request, for the reason that it is given.
func (c *client) send(ctx context.Context, cancel context.CancelCauseFunc, req *http.Request, dog *watchdog, r *result) (*http.Response, error) {
	dial := &dialWatch{c: c, ctx: ctx, cancel: cancel, dog: dog}
	ctx = httptrace.WithClientTrace(ctx, dial.trace())
	ctx = http3.WithTrace(ctx, &http3.Trace{GotConn: func(info http3.ConnInfo) {
		r.gotConn(info)
		if !c.o.verbose {
			return
		}
		if !info.Reused {
			c.mu.Lock()
			c.conns = append(c.conns, info.Conn)
			c.mu.Unlock()
			c.tellHandshake(info)
		}
		if c.o.requests == 0 {
			c.tellRequest(req)
		}
	}})
	resp, err := c.rt.RoundTrip(req.WithContext(ctx))
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	if c.o.verbose && c.o.requests == 0 {
		c.tellResponse(resp)
	}
	r.gotHead(resp)
	return resp, nil
}
