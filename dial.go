package frittata

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/frittata-go/frittata/udp"
)

// Listen opens a UDP socket and accepts connections on it, with a Transport that
// belongs to the Listener. network is "udp", "udp4" or "udp6"; addr is
// host:port as for [net.ListenPacket].
func Listen(network, addr string, cfg *Config) (*Listener, error) {
	t, err := Open(network, addr, cfg)
	if err != nil {
		return nil, err
	}
	l, err := t.Listen(nil)
	if err != nil {
		_ = t.Close() // the error that matters is the one before
		return nil, err
	}
	l.ownsT = true
	return l, nil
}

// listenTransport opens a socket, and logs small buffers at level warn.
func listenTransport(network, addr string, cfg *Config, warn slog.Level) (*Transport, error) {
	var o *udp.Options
	if cfg != nil {
		o = &cfg.UDP
	}
	s, err := udp.Listen(network, addr, o)
	if err != nil {
		return nil, err
	}
	t, err := startTransport(s, cfg)
	if err == nil {
		t.logSocket(warn)
	}
	return t, err
}

// Dial connects to addr, which is host:port, from a socket of its own that is
// closed when the connection is gone. The server's certificate has to name the
// host, unless tls.Config.ServerName says otherwise. If the host has several addresses they
// are tried one after the other, each for its share of the time that ctx leaves.
func Dial(ctx context.Context, addr string, cfg *Config, app Application) (*Conn, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, err
	}
	addrs, err := lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	if cfg == nil || cfg.QUIC.TLS == nil {
		return nil, errNoTLS
	}
	serverName := host
	if cfg.QUIC.TLS.ServerName != "" {
		serverName = ""
	}
	for i, a := range addrs {
		var c *Conn
		c, err = dialFrom(ctx, netip.AddrPortFrom(a, uint16(port)), serverName, cfg, app, len(addrs)-i)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("frittata: dialing %s: %w", net.JoinHostPort(host, strconv.Itoa(port)), err)
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// dialFrom connects to one address from a socket of its family. It has 1/share of the time.
func dialFrom(ctx context.Context, remote netip.AddrPort, serverName string, cfg *Config, app Application, share int) (*Conn, error) {
	network, local := "udp4", "0.0.0.0:0"
	if remote.Addr().Is6() {
		network, local = "udp6", "[::]:0"
	}
	// There may be very many sockets like this one: no warning for each.
	t, err := listenTransport(network, local, cfg, slog.LevelDebug)
	if err != nil {
		return nil, err
	}
	ctx, cancel := shareOf(ctx, share)
	defer cancel()
	c, err := t.dial(ctx, remote, serverName, nil, app, true)
	if err != nil {
		// The error that matters is the one before. While a callback of tls.Config blocks, closing takes
		// seconds, for which whoever has cancelled ctx does not wait.
		go t.Close()
		select {
		case <-t.closeDone:
		case <-time.After(dialCloseWait):
		}
		return nil, err
	}
	return c, nil
}

// dialCloseWait is how long a Dial that failed waits for its socket to be closed.
const dialCloseWait = 100 * time.Millisecond

// shareOf gives one of several attempts its share of the time that is left.
func shareOf(ctx context.Context, share int) (context.Context, context.CancelFunc) {
	d, ok := ctx.Deadline()
	if !ok || share <= 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(d)/time.Duration(share))
}
