package frittata

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// CloseKind is by what a connection was closed.
type CloseKind uint8

// What closes a connection.
const (
	CloseTransport          CloseKind = iota // with a code of the transport: ConnRecord.Code is a quic.TransportErrorCode
	CloseApplication                         // with a code of the application protocol
	CloseIdleTimeout                         // nothing came for too long
	CloseHandshakeTimeout                    // the handshake took too long
	CloseNoAnswer                            // the same, and nothing ever came of the peer
	CloseStatelessReset                      // the peer has lost its state
	CloseVersionNegotiation                  // the server speaks no version of ours
	CloseOther                               // what is not QUIC's: the first flight had expired, say

	// NumCloseKinds is the number of kinds.
	NumCloseKinds = int(CloseOther) + 1
)

var closeNames = [NumCloseKinds]string{
	CloseTransport: "transport", CloseApplication: "application", CloseIdleTimeout: "idle_timeout",
	CloseHandshakeTimeout: "handshake_timeout", CloseNoAnswer: "no_answer", CloseStatelessReset: "stateless_reset",
	CloseVersionNegotiation: "version_negotiation", CloseOther: "other",
}

// String names the kind in a word.
func (k CloseKind) String() string {
	if int(k) < len(closeNames) {
		return closeNames[k]
	}
	return "unknown"
}

// ConnRecord is what there is to say of a connection once it has closed: who closed
// it, how and why, when it began and ended, what it moved.
type ConnRecord struct {
	Client     bool // this end dialed
	RemoteAddr netip.AddrPort
	LocalAddr  netip.AddrPort
	ServerName string // of an established connection
	ALPN       string // of an established connection
	Retried    bool   // the client's address was validated by a Retry
	// OriginalDstID is the destination ID of the client's very first packet, by
	// which both ends, and a qlog, name the connection.
	OriginalDstID quic.ConnID

	HandshakeDone bool // the handshake was complete when the connection closed
	Times         HandshakeTimes
	Closed        time.Time

	Kind   CloseKind
	Remote bool   // the peer closed the connection, else this end did
	Code   uint64 // of CloseTransport, where 0 is NO_ERROR, and of CloseApplication
	Reason string // that was told to the other end, for people. Of a peer it may be any 64 kB.
	Err    error  // why, as Conn.Err has it

	Stats       quic.Stats // when the connection closed
	MaxWritable int        // the most streams at a time for which the application was to be asked for more
}

// Record returns what there is to say of the connection once it has closed, and
// false before that. It is there when Closed is closed, and for as long as the Conn is kept.
func (c *Conn) Record() (ConnRecord, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.record == nil {
		return ConnRecord{}, false
	}
	return *c.record, true
}

// setClose takes what an error says of how a connection closed.
func (r *ConnRecord) setClose(err error) {
	r.Err = err
	var te *quic.TransportError
	var ae *quic.ApplicationError
	var idle *quic.IdleTimeoutError
	var late *quic.HandshakeTimeoutError
	var reset *quic.StatelessResetError
	var version *quic.VersionNegotiationError
	switch {
	case errors.Is(err, quic.ErrClosed):
		r.Kind, r.Code = CloseTransport, uint64(quic.NoError)
	case errors.As(err, &te):
		r.Kind, r.Remote, r.Code, r.Reason = CloseTransport, te.Remote, uint64(te.Code), te.Reason
	case errors.As(err, &ae):
		r.Kind, r.Remote, r.Code, r.Reason = CloseApplication, ae.Remote, ae.Code, ae.Reason
	case errors.As(err, &idle):
		r.Kind = CloseIdleTimeout
	case errors.As(err, &late):
		r.Kind = CloseHandshakeTimeout
		if !late.Heard {
			r.Kind = CloseNoAnswer
		}
	case errors.As(err, &reset):
		r.Kind, r.Remote = CloseStatelessReset, true
	case errors.As(err, &version):
		r.Kind, r.Remote = CloseVersionNegotiation, true
	default:
		r.Kind = CloseOther
	}
}

// noteClosed makes the record of a connection that has closed, and tells it to
// whom it concerns. It is called once, on the strand if there ever was one.
func (c *Conn) noteClosed(now time.Time) {
	r := &ConnRecord{Client: c.client, Retried: c.retried, Times: c.times, Closed: now, MaxWritable: c.maxWritable}
	if c.qc != nil {
		r.OriginalDstID = c.qc.OriginalDstID()
		r.HandshakeDone = c.qc.Connected()
		r.Stats = c.qc.Stats()
	}
	if r.HandshakeDone && !c.connected {
		// It closed in the turn in which it came to be.
		c.connected = true
		c.noteEstablished()
		r.Times = c.times
	}
	c.mu.Lock()
	r.setClose(c.err)
	r.RemoteAddr, r.LocalAddr = c.remote, c.t.localAddr(c.local)
	if c.info != nil {
		r.ServerName, r.ALPN = c.info.ServerName, c.info.ALPN
	}
	c.record = r
	c.mu.Unlock()

	n := &c.t.stats
	n.closed.Add(1)
	if !r.HandshakeDone {
		n.handshakesFailed.Add(1)
	}
	c.callOut()
	if !r.HandshakeDone {
		c.logFailed(r)
	}
	if m := c.t.cfg.Metrics; m != nil {
		m.ConnClosed(r)
	}
	c.callBack()
}

// logFailed logs a handshake that failed. Anybody can make it happen as often as
// they like: it is for those who look for something.
func (c *Conn) logFailed(r *ConnRecord) {
	log := c.t.logger()
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	log.Debug("handshake failed", "remote", r.RemoteAddr, "client", r.Client, "kind", r.Kind.String(), "by_peer", r.Remote, "error", r.Err)
}
