package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/http3"
	"github.com/frittata-go/frittata/quic"
)

// The ways of a request.
const (
	wayPlain     = "plain"
	wayEarly     = "early"     // the handler answers without a look at the request's body
	wayAbort     = "abort"     // the handler aborts its response at cut
	wayCancel    = "cancel"    // the client cancels the request at cut of the response
	wayCloseBody = "closebody" // the client closes the response's body at cut
	wayBreak     = "break"     // the request's body fails at cut
)

// exchanged is what a request and its response are, and what goes wrong with them.
type exchanged struct {
	way      string
	key, id  uint64
	up, down int64 // bytes of the bodies
	cut      int64
}

func (e *exchanged) query() string {
	return url.Values{
		"way": {e.way}, "key": {strconv.FormatUint(e.key, 10)}, "id": {strconv.FormatUint(e.id, 10)},
		"up": {strconv.FormatInt(e.up, 10)}, "down": {strconv.FormatInt(e.down, 10)}, "cut": {strconv.FormatInt(e.cut, 10)},
	}.Encode()
}

func parseExchanged(q url.Values) (e exchanged, err error) {
	e.way = q.Get("way")
	for name, p := range map[string]*uint64{"key": &e.key, "id": &e.id} {
		v, perr := strconv.ParseUint(q.Get(name), 10, 64)
		*p, err = v, errors.Join(err, perr)
	}
	for name, p := range map[string]*int64{"up": &e.up, "down": &e.down, "cut": &e.cut} {
		v, perr := strconv.ParseInt(q.Get(name), 10, 64)
		*p, err = v, errors.Join(err, perr)
	}
	return e, err
}

// web is HTTP/3. It has two sockets, of which one sends a Retry to everybody.
type web struct {
	tally     *tally
	client    *frittata.Config
	srv       *http3.Server
	listeners []*frittata.Listener
	serving   sync.WaitGroup
}

func newHTTP(cfg, client *frittata.Config, t *tally, _ uint64) (stack, error) {
	s := &web{tally: t, client: client}
	s.srv = &http3.Server{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(s.handle), Config: cfg, Logger: t.logger()}
	for _, retry := range []frittata.RetryPolicy{frittata.RetryNever, frittata.RetryAlways} {
		lc, err := s.srv.ListenerConfig()
		if err != nil {
			return nil, err
		}
		own := *lc
		own.Retry = retry
		l, err := frittata.Listen("udp4", s.srv.Addr, &own)
		if err != nil {
			return nil, err
		}
		s.listeners = append(s.listeners, l)
		s.serving.Go(func() {
			if err := s.srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				t.fail("serving: %v", err)
			}
		})
	}
	return s, nil
}

func (s *web) conns() (n int) {
	for _, l := range s.listeners {
		n += l.Transport().Stats().Conns
	}
	return n
}

func (s *web) close() error {
	err := s.srv.Close()
	s.serving.Wait()
	return err
}

// handle is the server. It reads and writes in turn, so that both bodies are under way at once.
func (s *web) handle(w http.ResponseWriter, r *http.Request) {
	e, err := parseExchanged(r.URL.Query())
	if err != nil {
		s.tally.fail("a request's query: %v", err)
		return
	}
	s.tally.streams.Add(1)
	up, down := originOf(e.key, e.id, true), originOf(e.key, e.id, false)
	buf := readBuffers.Get().(*[maxPiece]byte)
	defer readBuffers.Put(buf)
	var read, wrote int64
	reading := e.way != wayEarly
	for reading || wrote < e.down {
		if reading {
			n, err := r.Body.Read(buf[:])
			if err := up.check(read, buf[:n]); err != nil {
				s.tally.fail("a request's body: %v", err)
				return
			}
			read += int64(n)
			s.tally.bytes.Add(int64(n))
			switch {
			case errors.Is(err, io.EOF):
				reading = false
				if read != e.up || e.way == wayBreak {
					s.tally.fail("a request's body (%s) ended after %d bytes of %d", e.way, read, e.up)
				}
			case err != nil:
				s.tally.count("requests cut off")
				panic(http.ErrAbortHandler)
			}
		}
		if e.way == wayAbort && wrote >= e.cut {
			panic(http.ErrAbortHandler)
		}
		if wrote < e.down {
			n, err := w.Write(down.at(wrote, e.down-wrote))
			wrote += int64(n)
			if err != nil {
				s.tally.count("responses cut off")
				panic(http.ErrAbortHandler)
			}
		}
	}
	if e.way == wayAbort {
		panic(http.ErrAbortHandler)
	}
}

// live is a client's life.
func (s *web) live(ctx context.Context, r *rand.Rand, l *life) {
	target := s.listeners[r.IntN(len(s.listeners))].Addr()
	rt := &http3.Transport{
		Transport: l.tr, Config: s.client, DisableCompression: true,
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{target.Addr()}, nil },
	}
	defer func() {
		if err := rt.Close(); err != nil {
			s.tally.fail("closing a client: %v", err)
		}
	}()
	c := &webClient{web: s, rt: rt, base: "https://" + serverName + ":" + strconv.Itoa(int(target.Port())), key: r.Uint64()}
	if l.end == endCancel {
		dial, cancel := dialContext(ctx, r, l.end)
		defer cancel()
		if err := c.do(dial, exchanged{way: wayPlain, key: c.key, down: 100}, nil); err != nil {
			c.failed(ctx, dial, err)
		}
		return
	}
	s.tally.open.Add(1)
	defer s.tally.open.Add(-1)
	for i := range l.rounds {
		if i > 0 {
			think(ctx, r)
		}
		if !c.round(ctx, r) {
			return
		}
	}
	if l.end == endDie {
		// In the middle of something, half of the time.
		if r.IntN(2) == 0 {
			dying, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(5000))*time.Microsecond)
			defer cancel()
			_ = c.do(dying, exchanged{way: wayPlain, key: c.key, id: r.Uint64(), up: 1 << 20, down: 1 << 20}, nil)
		}
		l.kill()
	}
}

// webClient is a client's connection.
type webClient struct {
	*web
	rt   *http3.Transport
	base string
	key  uint64
}

// round has some requests at a time. It returns false if one failed.
func (c *webClient) round(ctx context.Context, r *rand.Rand) bool {
	limited, cancel := context.WithTimeoutCause(ctx, stuckTime, errStuck)
	defer cancel()
	var all sync.WaitGroup
	errs := make([]error, 1+r.IntN(8))
	for i := range errs {
		e := exchanged{way: wayPlain, key: c.key, id: r.Uint64(), up: size(r), down: size(r)}
		if r.IntN(2) == 0 {
			e.way = []string{wayEarly, wayAbort, wayCancel, wayCloseBody, wayBreak}[r.IntN(5)]
		}
		switch e.way {
		case wayAbort, wayCancel, wayCloseBody:
			e.cut = r.Int64N(e.down + 1)
		case wayBreak:
			e.cut = r.Int64N(e.up + 1)
		}
		all.Go(func() {
			own, cancel := context.WithCancel(limited)
			defer cancel()
			if err := c.do(own, e, cancel); err != nil {
				errs[i] = fmt.Errorf("%s request of %d bytes, response of %d, cut %d: %w", e.way, e.up, e.down, e.cut, err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		c.failed(ctx, limited, err)
		return false
	}
	return true
}

// failed takes the error of a request.
func (c *webClient) failed(ctx, own context.Context, err error) {
	var idle *quic.IdleTimeoutError
	var gone *quic.StatelessResetError
	if (errors.As(err, &idle) || errors.As(err, &gone)) && ctx.Err() == nil {
		c.tally.lose("%v", err)
		return
	}
	c.tally.dialFailed(ctx, own, err)
}

var errBroken = errors.New("the body breaks here")

// do has one request, and checks that it ends as it should. cancel cancels ctx.
func (c *webClient) do(ctx context.Context, e exchanged, cancel func()) error {
	body := &upload{origin: originOf(e.key, e.id, true), size: e.up, cut: -1}
	if e.way == wayBreak {
		body.cut = e.cut
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/?"+e.query(), body)
	if err != nil {
		return err
	}
	if e.id%2 == 0 && e.up > 0 {
		req.ContentLength = e.up
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		if e.way == wayAbort && isAbort(err) || e.way == wayBreak && (errors.Is(err, errBroken) || isAbort(err)) {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	buf := readBuffers.Get().(*[maxPiece]byte)
	defer readBuffers.Put(buf)
	origin, off := originOf(e.key, e.id, false), int64(0)
	for {
		n, err := resp.Body.Read(buf[:])
		if err := origin.check(off, buf[:n]); err != nil {
			return err
		}
		off += int64(n)
		c.tally.bytes.Add(int64(n))
		switch {
		case off > e.down:
			return fmt.Errorf("%d bytes came", off)
		case e.way == wayCancel && off >= e.cut:
			cancel()
			return nil
		case e.way == wayCloseBody && off >= e.cut:
			return nil
		case errors.Is(err, io.EOF) && off == e.down && e.way != wayAbort:
			return nil
		case err != nil && (e.way == wayAbort || e.way == wayBreak) && !errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("after %d bytes of the response: %w", off, err)
		}
	}
}

// isAbort tells whether the server has given up the request's stream.
func isAbort(err error) bool {
	var se *h3.StreamError
	return errors.As(err, &se) && se.Remote
}

// upload is a request's body.
type upload struct {
	origin
	off, size int64
	cut       int64 // where it breaks; -1: nowhere
}

func (u *upload) Read(p []byte) (int, error) {
	if u.cut >= 0 && u.off >= u.cut {
		return 0, errBroken
	}
	if u.off == u.size {
		return 0, io.EOF
	}
	n := copy(p, u.at(u.off, u.size-u.off))
	u.off += int64(n)
	return n, nil
}

func (u *upload) Close() error { return nil }
