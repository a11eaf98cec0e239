package quic

import (
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic/internal/handshake"
	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/recovery"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// Conn is one QUIC connection, of a client or of a server. It is not safe for
// concurrent use. After the connection was closed every method stays defined:
// commands return the error that closed it.
type Conn struct {
	cfg Config

	// Side by side, for want of room.
	client  bool
	dirty   bool // the routes changed since TakeRoutes
	pingDue bool

	epoch time.Time     // when the connection began
	now   time.Duration // the latest time that the caller told, since epoch
	rng   *rand.Rand

	life   lifeState
	hs     handshakeState
	ids    idState
	paths  pathsState
	strs   streamsState
	dgrams datagramState
	loss   recovery.Recovery[*streamState]

	peerMaxAckDelay time.Duration
	keyError        error // what an ACK showed of the peer's keys

	keys   keyState
	spaces [wire.NumSpaces]*spaceState // nil when it is discarded
	events eventSet
	stats  counters
	frame  *wire.Frame // memory for that of the packet that is being read; nil at rest
	out    outState

	glitches glitches

	restedAt time.Duration // busyAt of the last rest

	io IO
}

// spaceState is what a packet number space has besides sent packets.
type spaceState struct {
	acks   recovery.AckTracker
	crypto cryptoStream
}

// keyState has the packet protection of each encryption level.
type keyState struct {
	initialSeal, handshakeSeal *protect.Sealer
	initialOpen, handshakeOpen *protect.Opener
	app                        protect.AppKeys
	version                    uint32
}

// IO is the side of a Conn that is for whoever moves its packets and keeps its
// timer, and for nobody else.
type IO struct{ c *Conn }

// IO returns the connection's packet side.
func (c *Conn) IO() *IO { return &c.io }

// Accept makes the server's connection of a first flight that
// [Endpoint.Admit] let in, and processes that flight. It computes the
// handshake and calls the callbacks of Config.TLS, so it may take long; any
// goroutine may call it. An error means that cfg is not usable: what is wrong
// with the client's packets closes the connection, with an answer to send.
func Accept(now time.Time, in *Incoming, cfg *Config) (*Conn, error) {
	c, err := newConn(now, cfg, false)
	if err != nil {
		return nil, err
	}
	c.keys.version = in.version
	c.ids.initServer(c, in)
	p := c.addPath(in.remote, in.local, in.socket)
	p.validated = in.validated
	c.setActive(p)
	c.setInitialKeys(in.dstID.Bytes())
	c.hs.retried, c.hs.retrySrcID = in.retried, in.retrySrcID
	if err := c.startHandshake(""); err != nil {
		return nil, err
	}
	for i := range in.datagrams {
		d := &in.datagrams[i]
		c.io.Recv(now, &Datagram{Data: d.data, Remote: in.remote, Local: in.local, Socket: in.socket, ECN: d.ecn})
	}
	return c, nil
}

// Connect makes a client's connection to remote. serverName is whom the
// certificate has to name, and overrides Config.TLS.ServerName unless empty.
// The first flight is there for Transmit at once.
func Connect(now time.Time, cfg *Config, remote netip.AddrPort, serverName string) (*Conn, error) {
	if !remote.IsValid() || remote.Port() == 0 {
		return nil, errors.New("quic: no valid address to connect to")
	}
	c, err := newConn(now, cfg, true)
	if err != nil {
		return nil, err
	}
	c.keys.version = Version1
	c.ids.initClient(c)
	p := c.addPath(remote, netip.Addr{}, 0)
	p.validated = true
	c.setActive(p)
	c.setInitialKeys(c.ids.remote[0].id.Bytes())
	if err := c.startHandshake(serverName); err != nil {
		return nil, err
	}
	return c, nil
}

func newConn(now time.Time, cfg *Config, client bool) (*Conn, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Conn{cfg: cfg.withDefaults(), client: client, epoch: now}
	c.io.c = c
	var seed [32]byte
	if _, err := readFull(c.cfg.Rand, seed[:]); err != nil {
		return nil, err
	}
	c.rng = rand.New(rand.NewChaCha8(seed))
	c.loss.Init(client, c.rng)
	// The first two go together, a moment after the handshake.
	first := new([wire.SpaceApp]spaceState)
	c.spaces = [wire.NumSpaces]*spaceState{&first[wire.SpaceInitial], &first[wire.SpaceHandshake], new(spaceState)}
	for i, s := range c.spaces {
		s.acks.Init(wire.Space(i), c.cfg.MaxAckDelay)
	}
	c.peerMaxAckDelay = defaultMaxAckDelay // RFC 9000, Section 18.2
	c.strs.init(&c.cfg)
	c.life.init(&c.cfg)
	c.glitches.init(c.cfg.GlitchLimit)
	return c, nil
}

// setNow takes the caller's time. Time that runs backwards stands still.
func (c *Conn) setNow(t time.Time) {
	if d := t.Sub(c.epoch); d > c.now {
		c.now = d
	}
}

// SetSocket sets the source address and the caller's socket number of the path
// in use. A client calls it before the first Transmit, if it has several sockets.
func (io *IO) SetSocket(local netip.Addr, socket uint32) {
	p := io.c.paths.active
	p.local, p.socket = local, socket
}

// Handshaking tells whether Recv may still compute handshake cryptography and
// call TLS callbacks.
func (io *IO) Handshaking() bool { return io.c.life.phase == phaseOpen && !io.c.hs.complete }

// Gone tells that the connection is over and its draining period too: nothing
// more will be sent, and TakeRoutes has listed, or will list, all of its
// routes as removed.
func (io *IO) Gone() bool { return io.c.life.phase == phaseGone }

// TrainFate returns what became of trains on the path in use.
func (io *IO) TrainFate() TrainFate {
	switch rp := io.c.paths.active.rp; {
	case rp.Alone():
		return TrainsLost
	case rp.Arrived():
		return TrainsArrived
	}
	return TrainsUnknown
}

// RetryTrains has the path in use find out anew what becomes of trains. Call it when those before may have been
// sent datagram by datagram.
func (io *IO) RetryTrains() { io.c.paths.active.rp.RetryTrains(io.c.now) }

// Writable returns how many streams NextWritable would return, and one more if NextEvent
// would return EventDatagramWritable. Transmit makes room in send buffers and in the queue of
// datagrams: when it has grown, run the application again, which may have more to send.
func (io *IO) Writable() int {
	n := io.c.strs.write.Len()
	if io.c.events.has(EventDatagramWritable) {
		n++
	}
	return n
}

// NextEvent returns what happened, one event at a time.
func (c *Conn) NextEvent() (Event, bool) { return c.events.next() }

// Err returns why the connection is closed, nil while it is open.
func (c *Conn) Err() error { return c.life.err }

// IsClient tells whether Connect made the connection.
func (c *Conn) IsClient() bool { return c.client }

// Connected tells whether streams and datagrams can be sent: EventConnected has happened.
func (c *Conn) Connected() bool { return c.hs.connected }

// Confirmed tells whether the handshake is confirmed (RFC 9001, Section 4.1.2).
func (c *Conn) Confirmed() bool { return c.hs.confirmed }

// TLS returns the state of the TLS connection. It is complete from EventConnected on a client,
// and from the end of the handshake on a server.
func (c *Conn) TLS() tls.ConnectionState { return c.hs.state() }

// RemoteAddr returns the peer's address on the path in use.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.paths.active.remote }

// LocalAddr returns this end's address on the path in use, the zero Addr if it is not known.
func (c *Conn) LocalAddr() netip.Addr { return c.paths.active.local }

// OriginalDstID returns the destination connection ID of the client's very first
// Initial, the one before a Retry.
func (c *Conn) OriginalDstID() ConnID { return c.ids.origDst }

// Ping makes the next packet elicit an acknowledgement.
func (c *Conn) Ping() {
	if c.life.phase == phaseOpen {
		c.pingDue = true
	}
}

// UpdateKeys begins a key update (RFC 9001, Section 6.1). It is an error before
// the handshake is confirmed and while another update is under way.
func (c *Conn) UpdateKeys() error {
	if c.life.err != nil {
		return c.life.err
	}
	if !c.hs.confirmed {
		return ErrNotConnected
	}
	if err := c.keys.app.Update(c.now); err != nil {
		return err
	}
	c.stats.KeyUpdates++
	c.pingDue = true
	return nil
}

// Stats returns a snapshot of the counters and of the path in use.
func (c *Conn) Stats() Stats {
	n := &c.stats
	s := Stats{
		PacketsSent: n.PacketsSent, PacketsReceived: n.PacketsReceived, PacketsDropped: n.PacketsDropped,
		BytesSent: n.BytesSent, BytesReceived: n.BytesReceived,
		StreamBytesSent: n.StreamBytesSent, StreamBytesRetransmitted: n.StreamBytesRetransmitted, StreamBytesReceived: n.StreamBytesReceived,
		DatagramsSent: n.DatagramsSent, DatagramsReceived: n.DatagramsReceived, DatagramsDropped: n.DatagramsDropped,
		StreamsOpened: n.StreamsOpened, StreamsAccepted: n.StreamsAccepted,
		KeyUpdates: n.KeyUpdates, PathChanges: n.PathChanges, Glitches: n.Glitches,
	}
	p := c.paths.active
	s.LatestRTT, s.SmoothedRTT, s.MinRTT, s.RTTVar = p.rp.RTT.Latest(), p.rp.RTT.Smoothed(), p.rp.RTT.Min(), p.rp.RTT.Var()
	s.CongestionWindow, s.BytesInFlight = p.rp.CC.Window(), p.rp.InFlight
	s.PacingRate = p.rp.PacingRate()
	s.PathMTU = p.mtu.size
	l := c.loss.Counts()
	s.PacketsLost, s.BytesLost, s.PacketsSpuriousLost, s.PTOs = l.Lost, l.LostBytes, l.SpuriousLost, l.PTOs
	s.PathsAlone = l.Alone
	return s
}

// level names, for the code that treats all spaces alike.
var spaceLevels = [wire.NumSpaces]handshake.Level{
	wire.SpaceInitial: handshake.LevelInitial, wire.SpaceHandshake: handshake.LevelHandshake, wire.SpaceApp: handshake.LevelApp,
}

// eventSet holds at most one event of each kind.
type eventSet struct {
	bits uint16
	dirs [2]bool // EventStreamsAvailable, by direction
}

func (s *eventSet) set(k EventKind) { s.bits |= 1 << k }

func (s *eventSet) has(k EventKind) bool { return s.bits&(1<<k) != 0 }

func (s *eventSet) setStreams(d Dir) { s.dirs[d] = true; s.set(EventStreamsAvailable) }

func (s *eventSet) next() (Event, bool) {
	for k := EventConnected; k <= EventClosed && s.bits != 0; k++ {
		if s.bits&(1<<k) == 0 {
			continue
		}
		if k == EventStreamsAvailable {
			for d := range s.dirs {
				if s.dirs[d] {
					s.dirs[d] = false
					return Event{Kind: k, Dir: Dir(d)}, true
				}
			}
			s.bits &^= 1 << k
			continue
		}
		s.bits &^= 1 << k
		return Event{Kind: k}, true
	}
	return Event{}, false
}
