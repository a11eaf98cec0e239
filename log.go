package frittata

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

var silent = slog.New(slog.DiscardHandler)

func (t *Transport) logger() *slog.Logger {
	if t.cfg.Logger != nil {
		return t.cfg.Logger
	}
	return silent
}

// logPause is how long a socket that keeps on failing is not logged again.
const logPause = 10 * time.Second

// occasional lets something be logged that may happen for each packet: now and
// then, with a count.
type occasional struct {
	mu   sync.Mutex
	next time.Time
	n    uint64
}

// happened tells whether to log that it happened, and how often it did since that was logged.
func (o *occasional) happened(now time.Time) (times uint64, log bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n++
	if now.Before(o.next) {
		return 0, false
	}
	o.next = now.Add(logPause)
	times, o.n = o.n, 0
	return times, true
}

// logRead logs that reading the socket failed.
func (t *Transport) logRead(err error) {
	if n, ok := t.readLog.happened(time.Now()); ok {
		t.logger().Warn("reading the socket failed", "local", t.local, "error", err, "times", n)
	}
}

// logStuck logs that a handshake has not come to its end in time, nor to its timeout.
func (t *Transport) logStuck(c *Conn) {
	if n, ok := t.stuckLog.happened(time.Now()); ok {
		t.logger().Warn("a handshake is stuck: maybe a callback of tls.Config does not return", "remote", c.RemoteAddr(), "client", c.client, "times", n)
	}
}

// logWrite logs that writing to the socket failed. What is too large for a path is
// nothing to tell: paths are probed that way. And to where there is no way, or
// seems to be none, a client leads us who made up its address.
func (t *Transport) logWrite(err error, train *quic.Train) {
	if errors.Is(err, udp.ErrTooLarge) || errors.Is(err, net.ErrClosed) {
		return
	}
	level, o := slog.LevelWarn, &t.writeLog
	if errors.Is(err, udp.ErrUnreachable) {
		level, o = slog.LevelDebug, &t.unreachableLog
	}
	if n, ok := o.happened(time.Now()); ok {
		t.logger().Log(context.Background(), level, "writing to the socket failed", "local", t.local, "remote", train.Remote, "error", err, "times", n)
	}
}

// logSocket logs what the system does for the socket, and at level warn if its
// buffers are small.
func (t *Transport) logSocket(warn slog.Level) {
	log, k := t.logger(), t.socket.Caps()
	log.Debug("socket opened", "local", t.local, "gso", k.GSO, "gso_reason", k.GSOReason, "max_segments", k.MaxSegments, "gro", k.GRO,
		"ecn", k.ECN, "pktinfo", k.Pktinfo, "df", k.DF)
	if w := k.Warning(); w != "" {
		log.Log(context.Background(), warn, "the socket has small buffers: bursts of packets will get lost", "local", t.local, "advice", w,
			"receive_buffer", k.ReceiveBuffer, "receive_buffer_wanted", k.ReceiveBufferWanted,
			"send_buffer", k.SendBuffer, "send_buffer_wanted", k.SendBufferWanted)
	}
}
