package frittata

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"reflect"
	"runtime"
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// group is what the Transports on one port know of each other. Which of them a
// connection belongs to is told by its connection IDs, in the low bits of one byte.
type group struct {
	ts     []*Transport
	offset int // of that byte
	mask   byte
}

// maxGroup is the most that a byte can tell apart.
const maxGroup = 256

// ListenGroup is [Listen] with n sockets on one port, among which the kernel
// spreads the load, and a Transport on each: on a machine with many
// processors one goroutine that reads a socket is not enough. One Listener accepts for all. An n of 0 is one
// for each processor that Go uses, as far as the system can do that; 1 is the same as Listen.
// More are possible on Linux alone; elsewhere the error wraps [errors.ErrUnsupported].
//
// Each connection ID has the number of its Transport in the low bits of its last byte,
// whatever Config.QUIC.ConnIDs puts there (Config.UDP.Steer may name another byte, and
// a number of bits). By that the kernel finds the socket, also when
// a client's address has changed; and what comes to a wrong one nevertheless is
// handed over: see Stats.Forwarded. An observer sees the number too: [udp.Steer] has more on that.
//
// TokenKeys and the key of stateless resets are the same for all. The limits of cfg on connections, handshakes and
// first flights are for all of them together. A stateless reset by a client is recognized if it
// comes to the socket of the connection, which is a matter of chance; else the connection times out.
func ListenGroup(network, addr string, n int, cfg *Config) (*Listener, error) {
	asCan := n == 0
	if asCan {
		n = 1
		if runtime.GOOS == "linux" {
			n = min(runtime.GOMAXPROCS(0), maxGroup)
		}
	}
	if n < 0 || n > maxGroup {
		return nil, fmt.Errorf("frittata: group of %d sockets", n)
	}
	if n == 1 {
		return Listen(network, addr, cfg)
	}
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if c.UDP.Steer == nil {
		c.UDP.Steer = &udp.Steer{Offset: connIDLen(&c) - 1, Bits: bits.Len(uint(n - 1))}
	}
	if c.UDP.Steer.Offset >= connIDLen(&c) {
		return nil, fmt.Errorf("frittata: Config.UDP.Steer.Offset is %d, and connection IDs have %d bytes", c.UDP.Steer.Offset, connIDLen(&c))
	}
	if connIDLen(&c) < minServerConnIDLen {
		return nil, errShortConnIDs(connIDLen(&c))
	}
	conns, err := udp.ListenGroup(network, addr, n, &c.UDP)
	if asCan && errors.Is(err, errors.ErrUnsupported) {
		return Listen(network, addr, cfg)
	}
	if err != nil {
		return nil, err
	}
	sockets := make([]Socket, n)
	for i, s := range conns {
		sockets[i] = s
	}
	return listenOn(sockets, &c)
}

// connIDLen is the length of the connection IDs that c asks for.
func connIDLen(c *Config) int {
	if c.QUIC.ConnIDs == nil {
		return defaultConnIDLen
	}
	return c.QUIC.ConnIDs.Len()
}

// listenOn makes a group on sockets, which belong to it from then on. cfg has what
// tells the numbers' place, and is changed.
func listenOn(sockets []Socket, cfg *Config) (*Listener, error) {
	fail := func(err error) (*Listener, error) {
		for _, s := range sockets {
			_ = s.Close() // the error that matters is the one before
		}
		return nil, err
	}
	g := &group{offset: cfg.UDP.Steer.Offset, mask: byte(1<<cfg.UDP.Steer.Bits - 1)}
	if cfg.UDP.Steer.Bits == 0 {
		g.mask = 0xff
	}
	if cfg.QUIC.ConnIDs == nil {
		cfg.QUIC.ConnIDs = quic.RandomConnIDs(defaultConnIDLen)
	}
	if cfg.TokenKeys == nil {
		key, err := randomKey()
		if err != nil {
			return fail(err)
		}
		cfg.TokenKeys = quic.NewTokenKeys(*key)
	}
	if cfg.QUIC.StatelessResetKey == nil {
		key, err := randomKey()
		if err != nil {
			return fail(err)
		}
		cfg.QUIC.StatelessResetKey = key
	}
	ids := cfg.QUIC.ConnIDs
	shared := new(load)
	for i, s := range sockets {
		cfg.QUIC.ConnIDs = &numberedIDs{ConnIDGenerator: ids, offset: g.offset, mask: g.mask, number: byte(i)}
		t, err := newTransport(s, cfg)
		if err != nil {
			return fail(err)
		}
		t.load, t.group, t.shard = shared, g, i
		g.ts = append(g.ts, t)
	}
	for _, t := range g.ts {
		t.start()
	}
	g.ts[0].logSocket(slog.LevelWarn)
	l, err := acceptOn(g.ts, nil)
	if err != nil {
		_ = closeAll(g.ts) // the error that matters is the one before
		return nil, err
	}
	l.ownsT = true
	return l, nil
}

// numberedIDs makes connection IDs with the number of a Transport in them.
type numberedIDs struct {
	quic.ConnIDGenerator
	offset       int
	mask, number byte
}

func (n *numberedIDs) Generate(id, random []byte) {
	n.ConnIDGenerator.Generate(id, random)
	id[n.offset] = id[n.offset]&^n.mask | n.number
}

// Transports returns the Transports that the Listener hangs on, in the order of
// the numbers in connection IDs. Those of [ListenGroup] belong to the Listener:
// they are not to be closed one by one.
func (l *Listener) Transports() []*Transport { return append([]*Transport(nil), l.ts...) }

// Stats returns the sums of the counters of all Transports of the Listener; those of
// one are told by [Transport.Stats].
func (l *Listener) Stats() Stats {
	s := l.t.Stats()
	for _, t := range l.ts[1:] {
		one := t.Stats()
		one.HandshakeDelay, one.HandshakeMemory = 0, 0 // which are the same for all
		addNumbers(reflect.ValueOf(&s).Elem(), reflect.ValueOf(one))
	}
	return s
}

// addNumbers adds the numbers in src to those in dst, which are of the same type.
func addNumbers(dst, src reflect.Value) {
	switch dst.Kind() {
	case reflect.Struct:
		for i := range dst.NumField() {
			addNumbers(dst.Field(i), src.Field(i))
		}
	case reflect.Array:
		for i := range dst.Len() {
			addNumbers(dst.Index(i), src.Index(i))
		}
	case reflect.Int, reflect.Int64:
		dst.SetInt(dst.Int() + src.Int())
	case reflect.Uint64, reflect.Uint32:
		dst.SetUint(dst.Uint() + src.Uint())
	default:
		panic("BUG: Stats has a field that cannot be added: " + dst.Type().String())
	}
}

// stray is what came to one Transport of a group and is for another one, or
// may be: datagrams of one message.
type stray struct {
	to      *Transport
	m       *udp.Message
	data    []byte
	segment int
	n       int // datagrams
}

// isStray tells whether a datagram has a connection ID of another Transport. If
// so, it is noted. Of long headers that is no more than a possibility: the client may have
// chosen the ID.
func (r *router) isStray(m *udp.Message, data []byte, segment int) bool {
	t := r.t
	id := ownID(data, t.idLen)
	if id == nil {
		return false
	}
	i := int(id[t.group.offset] & t.group.mask)
	if i == t.shard || i >= len(t.group.ts) {
		return false
	}
	to := t.group.ts[i]
	if n := len(r.strays); n > 0 && data[0]&longHeader == 0 {
		// Datagrams of one message and one connection go together.
		s := &r.strays[n-1]
		if s.m == m && s.to == to && len(s.data) == s.n*segment && sameShort(s.data, id) && follows(s.data, data) {
			s.data = s.data[:len(s.data)+len(data)]
			s.n++
			return true
		}
	}
	r.strays = append(r.strays, stray{to: to, m: m, data: data, segment: segment, n: 1})
	return true
}

// follows tells whether b lies behind a in the same memory.
func follows(a, b []byte) bool {
	return cap(a) > len(a) && &a[:len(a)+1][len(a)] == &b[0]
}

// ownID returns the destination ID of a datagram if it has the length of ours, else nil.
func ownID(data []byte, length int) []byte {
	const (
		short = 1         // bytes before the ID (RFC 8999, Section 5.2)
		long  = 1 + 4 + 1 // the version, and the ID's length (RFC 8999, Section 5.1)
	)
	switch {
	case len(data) == 0:
		return nil
	case data[0]&longHeader == 0:
		if len(data) < short+length {
			return nil
		}
		return data[short : short+length]
	case len(data) < long+length || int(data[long-1]) != length:
		return nil
	}
	return data[long : long+length]
}

// forward hands strays over. It is called without any epMu: two routers that do so at the same
// time would wait for each other.
func (r *router) forward(now time.Time) {
	for i := range r.strays {
		s := &r.strays[i]
		if s.data[0]&longHeader != 0 && !s.to.knows(ownID(s.data, s.to.idLen)) {
			// The client has made up the ID.
			r.keepHere(now, s)
			continue
		}
		r.t.stats.forwarded.Add(uint64(s.n))
		s.to.takeStray(now, s)
	}
	clear(r.strays)
	r.strays = r.strays[:0]
}

// keepHere treats what is no stray after all as all else.
func (r *router) keepHere(now time.Time, s *stray) {
	t := r.t
	t.epMu.Lock()
	if !r.watched {
		r.watched = true
		t.watch(now)
	}
	c, answer := t.decide(now, s.m, s.data)
	if answer != nil {
		r.reply(s.m, answer)
	}
	t.epMu.Unlock()
	r.add(c, s.m, s.data, s.segment)
}

func (t *Transport) knows(id []byte) bool {
	t.epMu.Lock()
	defer t.epMu.Unlock()
	return t.ep.Knows(id)
}

// takeStray takes what another Transport of the group has received. The connection gets it by
// its inbox, and what does not fit there is dropped and counted. It is called by the other's router.
func (t *Transport) takeStray(now time.Time, s *stray) {
	if t.stopping.Load() {
		return
	}
	t.epMu.Lock()
	t.watch(now)
	c, answer := t.decide(now, s.m, s.data[:min(s.segment, len(s.data))])
	answer = bytes.Clone(answer)
	t.epMu.Unlock()
	if c != nil {
		c.keep(&run{data: s.data, segment: s.segment, remote: s.m.Remote, local: s.m.Local, ecn: quic.ECN(s.m.ECN)})
		c.Wake()
	}
	if answer != nil {
		t.reply(&reply{train: quic.Train{N: len(answer), Segment: len(answer), Remote: s.m.Remote, Local: s.m.Local}, data: answer})
	}
}
