package sim

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// The defaults of HostConfig.
const (
	defaultPacketCost    = 5 * time.Microsecond
	defaultHandshakeCost = 300 * time.Microsecond
	defaultReplyCost     = 5 * time.Microsecond
	defaultSocketBuffer  = 2 << 20
)

// The bounds of a turn, so that a host is fair among its connections.
const (
	turnCost      = time.Microsecond // of each turn, so that time never stands still
	batchSize     = 64               // datagrams read at once
	turnPackets   = 256              // sent by a connection in one turn
	trainSegments = 64
	maxIdleTurns  = 1000 // timers that fire in a row with nothing coming of it
)

// Admission is what a server does with a first flight.
type Admission uint8

// The choices of HostConfig.Admit.
const (
	Accept Admission = iota
	Retry            // unless the address is validated; then accept
	Refuse
	Ignore
)

// HostConfig has the settings of a Host.
type HostConfig struct {
	Addr     string              // address and port
	Up, Down []Node              // the access link, in the order in which packets pass it
	NAT      *NAT                // between the access link and the world
	Config   *quic.Config        // of the connections; nil: FakeConfig
	Endpoint quic.EndpointConfig // of the Endpoint; a server is one with Serve
	Serve    func() App          // makes the application of each connection that comes in

	Admit func(*quic.Incoming) Admission // nil: accept all

	PacketCost, HandshakeCost time.Duration // processor time; 0: 5 and 300 µs
	ReplyCost                 time.Duration // of what the endpoint answers without a connection; 0: 5 µs
	SocketBuffer              int           // bytes that wait for the processor; 0: 2 MiB
	TimerGrain                time.Duration // timers fire at multiples of it

	// CheckEvery has the invariants checked after so many turns of a connection. 0: after each,
	// but in race builds, and the more seldom the more is in flight.
	CheckEvery int
}

// FakeConfig returns a configuration without TLS, whose handshake is deterministic.
func FakeConfig() *quic.Config {
	return &quic.Config{InsecureFakeHandshake: true, TLS: &tls.Config{NextProtos: []string{"sim"}}}
}

// Host owns an Endpoint and the connections behind it, as a runtime does. It
// has one processor: what comes while it is busy waits.
type Host struct {
	w        *World
	cfg      HostConfig
	addr     netip.AddrPort
	quic     quic.Config
	endpoint *quic.Endpoint
	rng      *rand.Rand
	conns    []*Conn
	ready    []*Conn // that have something to do
	inbox    []*Packet
	inboxLen int // bytes
	busy     time.Duration
	planned  bool
	buf      []byte
	timer    time.Duration // of the endpoint

	// InboxDropped counts datagrams that found the socket buffer full.
	InboxDropped uint64
}

// NewHost adds a host to the world.
func (w *World) NewHost(cfg HostConfig) *Host {
	w.tb.Helper()
	h := &Host{
		w: w, cfg: cfg, addr: netip.MustParseAddrPort(cfg.Addr), buf: make([]byte, 64<<10),
		rng: rand.New(rand.NewPCG(w.rng.Uint64(), w.rng.Uint64())),
	}
	c := &h.cfg
	if c.Config == nil {
		c.Config = FakeConfig()
	}
	setDefault(&c.PacketCost, defaultPacketCost)
	setDefault(&c.HandshakeCost, defaultHandshakeCost)
	setDefault(&c.ReplyCost, defaultReplyCost)
	setDefault(&c.SocketBuffer, defaultSocketBuffer)
	setDefault(&c.CheckEvery, checkEvery)
	h.quic = *c.Config
	var key [32]byte
	_, _ = randReader{h.rng}.Read(key[:])
	if h.quic.StatelessResetKey == nil {
		h.quic.StatelessResetKey = &key
	}
	if h.quic.Rand == nil {
		h.quic.Rand = randReader{h.rng}
	}
	if h.quic.Buffers == nil {
		h.quic.Buffers = &w.buffers
	}
	c.Endpoint.Server = c.Serve != nil
	c.Endpoint.StatelessResetKey = h.quic.StatelessResetKey
	c.Endpoint.ConnIDs = h.quic.ConnIDs
	if c.Endpoint.Rand == nil {
		c.Endpoint.Rand = randReader{h.rng}
	}
	h.Reboot()
	w.hosts = append(w.hosts, h)
	if c.NAT != nil {
		c.NAT.host = h
		c.Up = append(c.Up[:len(c.Up):len(c.Up)], c.NAT.Out())
		c.Down = append([]Node{c.NAT.In()}, c.Down...)
		w.routes[c.NAT.outside] = h.arrive
	} else {
		w.routes[h.addr] = h.arrive
	}
	return h
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// randReader reads from a generator of the world.
type randReader struct{ r *rand.Rand }

func (r randReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.r.Uint64())
	}
	return len(b), nil
}

// Addr returns the address that others reach the host by.
func (h *Host) Addr() netip.AddrPort {
	if h.cfg.NAT != nil {
		return h.cfg.NAT.outside
	}
	return h.addr
}

// Conns returns all connections that the host had since it booted.
func (h *Host) Conns() []*Conn { return h.conns }

// Endpoint returns the host's endpoint.
func (h *Host) Endpoint() *quic.Endpoint { return h.endpoint }

// Reboot makes the host lose all of its state but its keys.
func (h *Host) Reboot() {
	e, err := quic.NewEndpoint(&h.cfg.Endpoint)
	if err != nil {
		h.w.tb.Fatalf("sim: %v", err)
	}
	h.endpoint = e
	for _, c := range h.conns {
		c.dead = true
	}
	h.conns, h.ready, h.timer = nil, nil, 0
}

// Dial opens a connection to another host.
func (h *Host) Dial(to *Host, app App) *Conn {
	h.w.tb.Helper()
	q, err := quic.Connect(h.w.Now(), &h.quic, to.Addr(), "sim.example")
	if err != nil {
		h.w.tb.Fatalf("sim: %v", err)
	}
	return h.add(q, app)
}

func (h *Host) add(q *quic.Conn, app App) *Conn {
	c := &Conn{Q: q, Host: h, App: app}
	h.conns = append(h.conns, c)
	c.Wake()
	return c
}

// arrive takes a packet that comes in by the access link.
func (h *Host) arrive(p *Packet) { h.w.pass(p, h.cfg.Down, h.deliver) }

func (h *Host) deliver(p *Packet) {
	if h.inboxLen+len(p.Data) > h.cfg.SocketBuffer {
		h.InboxDropped++
		h.w.Drop(p)
		return
	}
	h.inbox = append(h.inbox, p)
	h.inboxLen += len(p.Data)
	h.plan()
}

// plan has a turn run as soon as the processor is free.
func (h *Host) plan() {
	if !h.planned {
		h.planned = true
		h.w.events.push(max(h.w.now, h.busy), h.turn)
	}
}

// turn is what the host does at once: it reads a batch, and lets each
// connection that has to do something do it.
func (h *Host) turn() {
	h.planned = false
	now := h.w.Now()
	cost := turnCost
	n := min(len(h.inbox), batchSize)
	for _, p := range h.inbox[:n] {
		cost += h.cfg.PacketCost
		h.inboxLen -= len(p.Data)
		h.w.counts.Delivered++
		h.w.logPacket("arrived", p)
		cost += h.receive(now, p)
		h.w.free = append(h.w.free, p)
	}
	h.inbox = append(h.inbox[:0], h.inbox[n:]...)
	if t, ok := h.endpoint.Deadline(); ok {
		if !t.After(now) {
			h.endpoint.HandleDeadline(now)
		} else if at := t.Sub(epoch); at != h.timer {
			h.timer = at
			h.w.events.push(at, h.plan)
		}
	}
	ready := h.ready
	h.ready = nil
	for _, c := range ready {
		c.ready = false
		if !c.dead {
			cost += c.turn(now, cost)
		}
	}
	h.busy = h.w.now + cost
	if len(h.inbox) > 0 || len(h.ready) > 0 {
		h.plan()
	}
}

// receive hands a datagram to whom it belongs, and returns what that cost beyond a packet's share.
func (h *Host) receive(now time.Time, p *Packet) time.Duration {
	d := quic.Datagram{Data: p.Data, Remote: p.Src, Local: p.Dst.Addr(), ECN: p.ECN}
	v := h.endpoint.Handle(now, &d)
	switch v.Kind {
	case quic.VerdictRoute:
		c := v.Route.(*Conn)
		c.idle = 0
		c.Q.IO().Recv(now, &d)
		c.mark()
	case quic.VerdictReply:
		return h.reply(p.Src, v.Reply)
	case quic.VerdictIncoming:
		return h.incoming(now, v.Incoming)
	}
	return 0
}

// reply sends what the endpoint answers, and returns what that costs.
func (h *Host) reply(to netip.AddrPort, b []byte) time.Duration {
	h.w.send(h.addr, to, quic.NotECT, false, b, h.cfg.Up)
	return h.cfg.ReplyCost
}

func (h *Host) incoming(now time.Time, in *quic.Incoming) time.Duration {
	a := Accept
	if h.cfg.Admit != nil {
		a = h.cfg.Admit(in)
	}
	remote := in.RemoteAddr()
	switch {
	case a == Ignore:
		h.endpoint.Ignore(in)
	case a == Refuse:
		if b := h.endpoint.Refuse(in); b != nil {
			return h.reply(remote, b)
		}
	case a == Retry && !in.Validated():
		b, err := h.endpoint.Retry(now, in)
		if err != nil {
			h.w.Fail(fmt.Errorf("retry: %w", err))
			return 0
		}
		return h.reply(remote, b)
	default:
		c := &Conn{Host: h, App: h.cfg.Serve(), charged: true}
		if !h.endpoint.Admit(in, c) {
			h.w.Fail(errors.New("a first flight was not admitted"))
			return 0
		}
		q, err := quic.Accept(now, in, &h.quic)
		if err != nil {
			h.w.Fail(fmt.Errorf("accept: %w", err))
			return 0
		}
		c.Q = q
		h.conns = append(h.conns, c)
		c.mark()
		return h.cfg.HandshakeCost
	}
	return 0
}
