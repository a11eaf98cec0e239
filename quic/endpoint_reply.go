package quic

import (
	"errors"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

const (
	// resetTokenLen is the length of a stateless reset token in bytes (RFC 9000, Section 10.3).
	resetTokenLen = 16
	// minResetSize is the least size of a stateless reset in bytes: 5 that look
	// like a short header, and the token (RFC 9000, Section 10.3).
	minResetSize = 5 + resetTokenLen
	// resetFullSize is the size up to which a stateless reset is only one byte
	// shorter than its cause (RFC 9000, Section 10.3). Beyond, it looks
	// like a packet with an ID of any length and up to resetSpread bytes of payload more.
	resetFullSize = 43
	resetSpread   = 32
)

// Errors of Endpoint.Retry.
var (
	errRetryValidated = errors.New("quic: the client's address is validated already")
	errNotPending     = errors.New("quic: the first flight does not wait any more")
	errReplyRate      = errors.New("quic: more replies than EndpointConfig.ReplyRate")
)

// statelessResetToken makes the token of a connection ID (RFC 9000, Section 10.3.2).
func statelessResetToken(key *[32]byte, id []byte) [resetTokenLen]byte {
	mac := protect.MAC(key, id)
	return [resetTokenLen]byte(mac[:resetTokenLen])
}

// Answer tells what an Endpoint answers to a datagram that no connection gets.
type Answer uint8

const (
	AnswerNone               Answer = iota
	AnswerVersionNegotiation        // RFC 9000, Section 6
	AnswerReset                     // a stateless reset: RFC 9000, Section 10.3
	AnswerRetry                     // RFC 9000, Section 8.1.2
	AnswerRefusal                   // CONNECTION_REFUSED in an Initial packet
	AnswerInvalidToken              // INVALID_TOKEN in an Initial packet: RFC 9000, Section 8.1.3
)

// answer counts and returns what is in e.out.
func (e *Endpoint) answer(a Answer, count *uint64) Verdict {
	*count++
	return Verdict{Kind: VerdictReply, Answer: a, Reply: e.out}
}

// rateLimited is the verdict on what would have had an answer.
func rateLimited(a Answer) Verdict {
	return Verdict{Kind: VerdictDrop, Drop: DropRateLimited, Answer: a}
}

// replyScratch is memory for what is handed to an interface, and would be allocated for each answer if it were on the stack.
type replyScratch struct {
	retry      *protect.RetryKey
	id, random [MaxConnIDLen]byte
	token      [maxTokenLen]byte
}

// versionNegotiation answers a version that is not spoken (RFC 9000, Section
// 6.1). The IDs may be of any length that the invariants allow (RFC 8999, Section 6).
func (e *Endpoint) versionNegotiation(inv *wire.Invariant) Verdict {
	if !e.replyLimit.take(e.now) {
		return rateLimited(AnswerVersionNegotiation)
	}
	random := e.rng.Uint64()
	// RFC 9000, Section 6.3: a reserved version, so that clients stay able to ignore what they do not know.
	grease := uint32(random)&^0x0f0f0f0f | 0x0a0a0a0a
	if grease == inv.Version {
		grease ^= 0x10101010 // Section 6.2: a client ignores a list with its own version
	}
	var versions [len(supportedVersions) + 1]uint32
	versions[0] = grease
	copy(versions[1:], supportedVersions[:])
	first := 0xc0 | byte(random>>32)&0x3f
	e.out = wire.AppendVersionNegotiation(e.out[:0], first, inv.SrcID, inv.DstID, versions[:])
	return e.answer(AnswerVersionNegotiation, &e.counts.VersionNegotiations)
}

// statelessReset answers a short header packet of n bytes to an ID that no
// connection has (RFC 9000, Section 10.3).
func (e *Endpoint) statelessReset(n int, id []byte) Verdict {
	// Section 10.3.3: smaller than its cause, so that two ends cannot go on resetting each other.
	if e.cfg.StatelessResetKey == nil || len(id) == 0 || n <= minResetSize {
		return drop(DropUnknownID)
	}
	if !e.resetLimit.take(e.now) {
		return rateLimited(AnswerReset)
	}
	size := n - 1
	if n > resetFullSize {
		size = min(size, resetFullSize-1+int(e.rng.Uint64()%resetSpread))
	}
	e.out = resize(e.out, size)
	e.random(e.out[:size-resetTokenLen])
	e.out[0] = e.out[0]&0x3f | 0x40 // a short header: fixed bit set, form bit not
	token := statelessResetToken(e.cfg.StatelessResetKey, id)
	copy(e.out[size-resetTokenLen:], token[:])
	return e.answer(AnswerReset, &e.counts.StatelessResets)
}

func resize(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// Retry makes the client prove that it receives at its address: it returns a
// Retry packet to send to it (RFC 9000, Section 8.1.2), valid until the next
// call of a method, and forgets in. It is an error if the client has proved that
// already, if in does not wait any more, or if there would be more replies than
// EndpointConfig.ReplyRate; in the last case in is forgotten too.
func (e *Endpoint) Retry(now time.Time, in *Incoming) ([]byte, error) {
	e.setNow(now)
	switch {
	case in.state != incomingPending:
		return nil, errNotPending
	case in.validated:
		return nil, errRetryValidated // RFC 9000, Section 17.2.5.1: once for a connection attempt
	}
	e.unlink(in, incomingGone)
	if !e.replyLimit.take(e.now) {
		return nil, errReplyRate
	}
	e.sealRetry(in)
	e.counts.Retries++
	return e.out, nil
}

// sealRetry writes a Retry packet to e.out.
func (e *Endpoint) sealRetry(in *Incoming) {
	x := &e.reply
	if x.retry == nil {
		x.retry = protect.NewRetryKey(Version1)
	}
	t := retryToken{issued: e.now, remote: tokenAddr(in.remote), origDstID: in.origDstID, retrySrcID: e.newRetryID(in.dstID)}
	token := e.cfg.Tokens.seal(x.token[:0], e.rng, &t)
	first := 0xf0 | byte(e.rng.Uint64())&0x0f
	e.out = wire.AppendRetry(e.out[:0], in.version, first, in.srcID.Bytes(), t.retrySrcID.Bytes(), token)
	tag := x.retry.Tag(in.dstID.Bytes(), e.out)
	e.out = append(e.out, tag[:]...)
}

// newRetryID makes the source ID of a Retry, which the client then uses as its
// destination. It has to be another one than the client chose (RFC 9000, Section
// 17.2.5.1), and must not lead to a connection.
func (e *Endpoint) newRetryID(dst ConnID) ConnID {
	id, random := e.reply.id[:e.idLen], e.reply.random[:e.idLen]
	for try := 0; ; try++ {
		e.random(random)
		e.cfg.ConnIDs.Generate(id, random)
		c := NewConnID(id)
		if _, taken := e.routes[c]; !taken && c != dst {
			return c
		}
		if try == 8 {
			// The generator is not random enough. Only a plain ID is sure to differ.
			for c == dst {
				e.random(id)
				c = NewConnID(id)
			}
			return c
		}
	}
}

// Refuse returns an Initial packet that closes the connection attempt with
// CONNECTION_REFUSED, to send to the client, valid until the next call of a
// method, and forgets in. It returns nil if in does not wait any more and if
// there would be more replies than EndpointConfig.ReplyRate.
func (e *Endpoint) Refuse(in *Incoming) []byte {
	if in.state != incomingPending {
		return nil
	}
	e.unlink(in, incomingGone)
	if !e.replyLimit.take(e.now) {
		return nil
	}
	e.sealClose(in, ConnectionRefused)
	e.counts.Refusals++
	return e.out
}

// sealClose writes an Initial with CONNECTION_CLOSE to e.out. Its source ID is
// the client's own choice: nothing will be sent to it, and it needs no state.
func (e *Endpoint) sealClose(in *Incoming, code TransportErrorCode) {
	const pnLen = 2
	seal := protect.InitialSealer(in.version, in.dstID.Bytes(), false)
	b, lengthOffset := wire.AppendLongHeader(e.out[:0], wire.PacketInitial, in.version, in.srcID.Bytes(), in.dstID.Bytes(), nil, 0, pnLen)
	pnOff := len(b) - pnLen
	b = wire.AppendConnectionClose(b, false, uint64(code), 0, "")
	wire.SetLength(b, lengthOffset, len(b)-pnOff+protect.Overhead)
	if cap(b) < len(b)+protect.Overhead {
		b = append(b, make([]byte, protect.Overhead)...)[:len(b)]
	}
	e.out = seal.Seal(b, pnOff, pnLen, 0)
}

// tokenBucket limits a rate. Credit is time: a reply costs a second's share.
type tokenBucket struct {
	cost, credit, most time.Duration
	last               time.Time
}

// burstShare is the part of a second's replies that may go out at once.
const burstShare = 10

func (b *tokenBucket) init(rate int) {
	if rate < 0 {
		return
	}
	b.cost = max(time.Second/time.Duration(rate), 1)
	b.most = max(time.Second/burstShare, b.cost)
	b.credit = b.most
}

// take tells whether a reply may go out at now, which never runs backwards.
func (b *tokenBucket) take(now time.Time) bool {
	if b.cost == 0 {
		return false
	}
	// Sub saturates; the sum cannot overflow after the first min.
	b.credit = min(b.credit+min(max(now.Sub(b.last), 0), b.most), b.most)
	b.last = now
	if b.credit < b.cost {
		return false
	}
	b.credit -= b.cost
	return true
}

// tokenState tells what openToken found.
type tokenState uint8

const (
	tokenUnknown tokenState = iota // not ours, or of a key that we have no longer
	tokenValid
	tokenInvalid // ours, but too old, or of another address or ID
)

// openToken checks the token of a client's Initial to dst.
func (e *Endpoint) openToken(b []byte, remote netip.AddrPort, dst ConnID) (retryToken, tokenState) {
	var t retryToken
	if !e.cfg.Tokens.open(b, &t) {
		return t, tokenUnknown
	}
	age := e.now.Sub(t.issued)
	// Another process may have issued the token, whose clock may be ahead.
	if age > e.cfg.TokenLifetime || age < -e.cfg.TokenLifetime || t.remote != tokenAddr(remote) || t.retrySrcID != dst {
		return t, tokenInvalid
	}
	return t, tokenValid
}
