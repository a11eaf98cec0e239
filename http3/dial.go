package http3

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
)

// dialStagger is how long an address has before the next one is tried too (RFC 8305, Section 5).
const dialStagger = 250 * time.Millisecond

// dial connects to the first of the host's addresses that answers.
func (t *Transport) dial(ctx context.Context, call *dialCall, tr *frittata.Transport, qcfg *quic.Config, trace *tracer) (*clientConn, error) {
	addrs, port, err := t.resolve(ctx, call, trace)
	if err != nil {
		return nil, &requestError{"connecting to " + call.key.String(), err}
	}
	call.info.DialStart = time.Now()
	call.info.Addrs = addrs
	c, err := race(ctx, addrs, dialStagger, func(ctx context.Context, a netip.Addr) (*clientConn, error) {
		remote := netip.AddrPortFrom(a, port)
		trace.connectStart(remote)
		c, err := t.dialOne(ctx, call.key, tr, qcfg, remote)
		trace.connectDone(remote, c, err)
		if err != nil {
			return nil, &addrError{remote, err}
		}
		return c, nil
	}, (*clientConn).close)
	if err != nil {
		return nil, &requestError{"connecting to " + call.key.String(), err}
	}
	return c, nil
}

// addrError tells by which address it did not work.
type addrError struct {
	addr netip.AddrPort
	err  error
}

func (e *addrError) Error() string { return e.addr.String() + ": " + e.err.Error() }
func (e *addrError) Unwrap() error { return e.err }

// resolve returns the addresses of a host, the families by turns.
func (t *Transport) resolve(ctx context.Context, call *dialCall, trace *tracer) ([]netip.Addr, uint16, error) {
	key := call.key
	port, err := parsePort(ctx, key.port)
	if err != nil {
		return nil, 0, err
	}
	if a, err := netip.ParseAddr(key.host); err == nil {
		return []netip.Addr{a.Unmap()}, port, nil
	}
	call.info.ResolveStart = time.Now()
	var addrs []netip.Addr
	if t.Resolve == nil {
		// It calls the hooks for name resolution that are in ctx itself.
		addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", key.host)
	} else {
		trace.dnsStart(key.host)
		addrs, err = t.Resolve(ctx, key.host)
		trace.dnsDone(addrs, err)
	}
	call.info.ResolveDone = time.Now()
	if err != nil {
		return nil, 0, err
	}
	if len(addrs) == 0 {
		return nil, 0, &net.DNSError{Err: "no addresses", Name: key.host, IsNotFound: true}
	}
	return byTurns(addrs), port, nil
}

func parsePort(ctx context.Context, s string) (uint16, error) {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil {
		return uint16(n), nil
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", s)
	return uint16(n), err
}

// byTurns orders addresses so that the families take turns, beginning with that of the
// first one (RFC 8305, Section 4).
func byTurns(addrs []netip.Addr) []netip.Addr {
	var lists [2][]netip.Addr
	first := addrs[0].Unmap().Is4()
	for _, a := range addrs {
		a = a.Unmap()
		i := 0
		if a.Is4() != first {
			i = 1
		}
		lists[i] = append(lists[i], a)
	}
	out := make([]netip.Addr, 0, len(addrs))
	for i := 0; len(lists[0])+len(lists[1]) > 0; i = 1 - i {
		if len(lists[i]) > 0 {
			out = append(out, lists[i][0])
			lists[i] = lists[i][1:]
		}
	}
	return out
}

// race tries what try does with each of the addresses until it works for one, a new one
// whenever one has failed or has taken longer than stagger. The others are
// cancelled, and dropped if they work all the same.
func race[T any](ctx context.Context, addrs []netip.Addr, stagger time.Duration, try func(context.Context, netip.Addr) (T, error), drop func(T)) (won T, err error) {
	type result struct {
		v   T
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan result, len(addrs))
	running := 0
	defer func() {
		cancel()
		if running > 0 {
			go func() {
				for range running {
					if r := <-results; r.err == nil {
						drop(r.v)
					}
				}
			}()
		}
	}()
	next := 0
	begin := func() {
		a := addrs[next]
		next++
		running++
		go func() {
			v, err := try(ctx, a)
			results <- result{v, err}
		}()
	}
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	begin()
	var errs []error
	for running > 0 {
		select {
		case r := <-results:
			running--
			if r.err == nil {
				return r.v, nil
			}
			errs = append(errs, r.err)
			if ctx.Err() != nil {
				return won, r.err
			}
		case <-timer.C:
		case <-ctx.Done():
			return won, context.Cause(ctx)
		}
		if next < len(addrs) {
			begin()
			timer.Reset(stagger)
		}
	}
	if len(errs) == 1 {
		return won, errs[0]
	}
	return won, errors.Join(errs...)
}
