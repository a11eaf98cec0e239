package quic

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	randv2 "math/rand/v2"
	"net/netip"
	"time"
)

// VerdictKind tells what to do with a datagram.
type VerdictKind uint8

const (
	// VerdictDrop: nothing to do; Verdict.Drop tells why.
	VerdictDrop VerdictKind = iota
	// VerdictRoute: hand the datagram to the connection of Verdict.Route.
	VerdictRoute
	// VerdictIncoming: a client begins a connection; Admit, Retry, Refuse or Ignore Verdict.Incoming.
	VerdictIncoming
	// VerdictReply: send Verdict.Reply to where the datagram came from.
	VerdictReply
)

var verdictNames = [...]string{
	VerdictDrop: "drop", VerdictRoute: "route", VerdictIncoming: "incoming", VerdictReply: "reply",
}

// String names the kind.
func (k VerdictKind) String() string {
	if int(k) < len(verdictNames) {
		return verdictNames[k]
	}
	return "unknown"
}

// DropReason tells why a datagram was dropped.
type DropReason uint8

const (
	DropMalformed   DropReason = iota + 1 // no QUIC header, or one that no client may send
	DropUnknownID                         // no connection has that ID, and no reset was sent
	DropPending                           // kept: it joined an Incoming that waits for its decision
	DropPendingFull                       // a limit on first flights that wait
	DropTooSmall                          // an Initial in less than 1200 bytes
	DropNotServer                         // an Initial, but the endpoint accepts no connections
	DropToken                             // an Initial whose destination ID only a Retry could have given, without such a token
	DropRateLimited                       // a reply would have exceeded its rate
	DropVersion                           // a version that is not spoken, in a datagram too small to answer
	DropBusy                              // a first Initial, under DropFlights

	numDropReasons
)

var dropNames = [...]string{
	DropMalformed: "malformed", DropUnknownID: "unknown connection ID", DropPending: "pending",
	DropPendingFull: "pending full", DropTooSmall: "too small", DropNotServer: "not a server",
	DropToken: "token", DropRateLimited: "rate limited", DropVersion: "version", DropBusy: "busy",
}

// String names the reason; it is empty for no reason.
func (r DropReason) String() string {
	if int(r) < len(dropNames) {
		return dropNames[r]
	}
	return "unknown"
}

// Verdict is what Endpoint.Handle says of a datagram.
type Verdict struct {
	Kind     VerdictKind
	Drop     DropReason
	Route    any       // what RouteChanges.Route or Admit gave for that connection
	Incoming *Incoming // of VerdictIncoming
	Answer   Answer    // of VerdictReply, and of DropRateLimited, for which it was due
	Reply    []byte    // of VerdictReply: valid until the next call of a method of the Endpoint
}

// RouteChanges tells an Endpoint which connection IDs lead to a connection, as
// the difference to what the previous RouteChanges of that connection told.
type RouteChanges struct {
	// Route is the caller's handle for the connection (a pointer, say). The
	// caller sets it; TakeRoutes leaves it nil. It has to be comparable, and
	// another one for each connection.
	Route any
	// Added and Removed are this end's connection IDs.
	Added, Removed []ConnID
	// AddedResets and RemovedResets are the peer's stateless reset tokens.
	AddedResets, RemovedResets [][16]byte
	// Remote is the peer's address, by which datagrams are routed where
	// connection IDs are empty.
	Remote netip.AddrPort
}

// EndpointConfig has the settings of an Endpoint; the zero value is a client's.
// A zero field means its default.
type EndpointConfig struct {
	Server            bool            // accept connections
	ConnIDs           ConnIDGenerator // default: 8 random bytes
	StatelessResetKey *[32]byte       // nil: no stateless resets are sent
	Tokens            *TokenKeys      // of Retry tokens; nil: keys of its own
	Rand              io.Reader       // read once, for a seed; default crypto/rand.Reader

	MaxPending       int           // first flights that wait for a decision; default 1024
	MaxPendingBytes  int           // of all of them; default 8 MiB
	MaxPendingFlight int           // bytes of one of them; default 16 KiB
	PendingAge       time.Duration // default 5 s
	TokenLifetime    time.Duration // of Retry tokens; default 30 s
	ResetRate        int           // stateless resets a second; default 100; negative: none
	ReplyRate        int           // Version Negotiation, refusals and Retries a second; default 10000; negative: none
}

// The defaults of EndpointConfig.
const (
	defaultMaxPending       = 1024
	defaultMaxPendingBytes  = 8 << 20
	defaultMaxPendingFlight = 16 << 10 // a ClientHello with post-quantum keys and a large ticket is some 4 kB
	defaultPendingAge       = 5 * time.Second
	defaultTokenLifetime    = 30 * time.Second // a client that doubles its timeout has its fifth try after 15 s
	defaultResetRate        = 100
	defaultReplyRate        = 10000
)

// minServerConnIDLen is the least length of a server's connection IDs. Many
// clients may come from one address, so a server cannot route by address, and
// shorter IDs collide too soon.
const minServerConnIDLen = 4

// Endpoint owns a space of connection IDs. It reads the invariant header of
// datagrams (RFC 8999), finds the connection that they belong to, and answers
// what needs no connection. It holds no Conn: whoever drives the connections
// tells it by Apply which IDs lead to which handle.
//
// An Endpoint is not safe for concurrent use.
type Endpoint struct {
	cfg   EndpointConfig
	idLen int
	first FlightPolicy
	now   time.Time // the latest time that the caller told
	rng   *randv2.ChaCha8

	routes   map[ConnID]any
	addrs    map[netip.AddrPort]any // instead of routes, where our IDs are empty
	addrOf   map[any]netip.AddrPort // the key in addrs of each route
	flights  map[flightKey]flight   // first flights, by what the client chose
	flightOf map[any]flightKey      // the key in flights of each admitted route
	resets   map[resetKey]any
	hidden   cipher.Block // makes resetKeys
	scratch  resetKey

	pending      pendingList
	pendingBytes int

	replyLimit, resetLimit tokenBucket
	out                    []byte // what Verdict.Reply aliases
	reply                  replyScratch
	counts                 EndpointCounts
}

// EndpointCounts are the counters of an Endpoint, and its gauges.
type EndpointCounts struct {
	Verdicts [VerdictReply + 1]uint64 // by VerdictKind
	Drops    [numDropReasons]uint64   // by DropReason

	VersionNegotiations uint64 // sent
	StatelessResets     uint64 // sent
	InvalidTokens       uint64 // refusals of Retry tokens of ours that are too old or another address's
	Retries             uint64 // sent
	Refusals            uint64 // sent
	Admitted            uint64
	Ignored             uint64
	Expired             uint64 // first flights that nobody decided on in time
	ResetsReceived      uint64 // datagrams routed by the peer's reset token
	Collisions          uint64 // routes that were not added, as another connection has that ID, token or address

	Routes       int // connection IDs, or addresses where those are empty
	ResetTokens  int
	Pending      int
	PendingBytes int // memory of pending first flights, bookkeeping included
}

// NewEndpoint makes an Endpoint. cfg may be nil, for a client. It is an error
// if the settings contradict each other or if reading randomness fails.
func NewEndpoint(cfg *EndpointConfig) (*Endpoint, error) {
	e := &Endpoint{}
	if cfg != nil {
		e.cfg = *cfg
	}
	c := &e.cfg
	setDefault(&c.MaxPending, defaultMaxPending)
	setDefault(&c.MaxPendingBytes, defaultMaxPendingBytes)
	setDefault(&c.MaxPendingFlight, defaultMaxPendingFlight)
	setDefault(&c.PendingAge, defaultPendingAge)
	setDefault(&c.TokenLifetime, defaultTokenLifetime)
	setDefault(&c.ResetRate, defaultResetRate)
	setDefault(&c.ReplyRate, defaultReplyRate)
	if c.ConnIDs == nil {
		c.ConnIDs = RandomConnIDs(defaultConnIDLen)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	e.idLen = c.ConnIDs.Len()
	switch {
	case e.idLen < 0 || e.idLen > MaxConnIDLen:
		return nil, errors.New("quic: EndpointConfig.ConnIDs makes IDs longer than 20 bytes")
	case c.Server && e.idLen < minServerConnIDLen:
		return nil, errors.New("quic: a server needs connection IDs of at least 4 bytes")
	case c.MaxPending < 0 || c.MaxPendingBytes < 0 || c.MaxPendingFlight < 0 || c.PendingAge < 0 || c.TokenLifetime < 0:
		return nil, errors.New("quic: negative limit in EndpointConfig")
	}

	var seed struct{ rng, token, reset [32]byte }
	for _, b := range [][]byte{seed.rng[:], seed.token[:], seed.reset[:]} {
		if _, err := io.ReadFull(c.Rand, b); err != nil {
			return nil, fmt.Errorf("quic: reading randomness: %w", err)
		}
	}
	e.rng = randv2.NewChaCha8(seed.rng)
	if c.Tokens == nil {
		c.Tokens = NewTokenKeys(seed.token)
	}
	hidden, err := aes.NewCipher(seed.reset[:16])
	if err != nil {
		panic("BUG: AES with a key of 16 bytes: " + err.Error())
	}
	e.hidden = hidden
	e.routes = make(map[ConnID]any)
	e.addrs = make(map[netip.AddrPort]any)
	e.addrOf = make(map[any]netip.AddrPort)
	e.flights = make(map[flightKey]flight)
	e.flightOf = make(map[any]flightKey)
	e.resets = make(map[resetKey]any)
	e.replyLimit.init(c.ReplyRate)
	e.resetLimit.init(c.ResetRate)
	return e, nil
}

// Counts returns a snapshot of the counters.
func (e *Endpoint) Counts() EndpointCounts {
	c := e.counts
	c.Routes = len(e.routes) + len(e.addrs)
	c.ResetTokens = len(e.resets)
	c.Pending = e.pending.n
	c.PendingBytes = e.pendingBytes
	return c
}

// SetTokenKeys replaces the keys of Retry tokens. Keys that are no longer among
// k's open no tokens any more; see [TokenKeys.With].
func (e *Endpoint) SetTokenKeys(k *TokenKeys) {
	if k != nil {
		e.cfg.Tokens = k
	}
}

// setNow takes the caller's time. Time that runs backwards stands still.
func (e *Endpoint) setNow(t time.Time) {
	if t.After(e.now) {
		e.now = t
	}
}

func (e *Endpoint) random(b []byte) {
	// ChaCha8.Read never fails.
	_, _ = e.rng.Read(b)
}
