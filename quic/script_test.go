package quic

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/handshake"
	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/ranges"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// script plays a peer with keys of its own against a Conn, so that a test reads
// as a transcript: frames sent, frames expected. The peer does nothing by itself
// but the handshake; it acknowledges only what it is told to.
type script struct {
	t      testing.TB
	now    time.Time
	conn   *Conn
	client bool // the peer is the client
	hs     handshake.Handshaker
	after  []byte                   // frames at the end of each Handshake packet
	params wire.TransportParameters // of the Conn
	done   bool                     // the peer's handshake is complete

	id, connID  ConnID // of the peer, of the Conn
	origDst     ConnID
	initialSeal *protect.Sealer
	initialOpen *protect.Opener
	hsSeal      *protect.Sealer
	hsOpen      *protect.Opener
	app         protect.AppKeys
	pn, next    [wire.NumSpaces]uint64 // of the next packet to send, of the next one to receive
	received    ranges.Set             // 1-RTT packets
	cryptoOut   [wire.NumSpaces]uint64
	cryptoIn    [wire.NumSpaces]uint64

	got   []string // frames that came and were not asked for yet, but ACK and PADDING
	acks  []string
	raw   []wire.Frame // all frames
	texts []string     // their descriptions
	buf   []byte
	out   []outDatagram // the datagrams that came

	tooLarge int       // trains that options.system did not let go
	hold     *[][]byte // instead of sending what the peer's handshake wants sent
	options  scriptOptions
	endpoint *Endpoint // of a Conn that is a server
}

// outDatagram is a datagram of the Conn.
type outDatagram struct {
	to     netip.AddrPort
	size   int
	ecn    ECN
	dst    string   // connection ID of its last packet
	frames []string // of all packets
}

// scriptOptions change what a script begins with.
type scriptOptions struct {
	config func(*Config)
	params func(*wire.TransportParameters) // of the peer
	raw    func([]byte) []byte             // of the encoded parameters
	system int                             // the largest datagram that the Conn's system sends, 0: any
}

func scriptParams() wire.TransportParameters {
	return wire.TransportParameters{
		MaxUDPPayloadSize: 1452, InitialMaxData: 1 << 20, InitialMaxStreamDataBidiLocal: 1 << 18,
		InitialMaxStreamDataBidiRemote: 1 << 18, InitialMaxStreamDataUni: 1 << 18, InitialMaxStreamsBidi: 10,
		InitialMaxStreamsUni: 10, AckDelayExponent: 3, MaxAckDelay: 25, ActiveConnIDLimit: 4, MaxDatagramFrameSize: 65535,
	}
}

// newClientScript has the Conn under test be a server, and the peer a client, up to the
// end of the handshake.
func newClientScript(t testing.TB, o scriptOptions) *script {
	t.Helper()
	s := newScript(t, o, true)
	s.startPeer()
	s.flushPeer()
	if s.conn == nil {
		t.Fatal("no connection")
	}
	s.finishHandshake()
	return s
}

// newServerScript has the Conn under test be a client.
func newServerScript(t testing.TB, o scriptOptions) *script {
	t.Helper()
	s := newScript(t, o, false)
	cfg := s.config()
	c, err := Connect(s.now, cfg, pairServerAddr, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	s.conn = c
	s.collect()
	s.finishHandshake()
	return s
}

func newScript(t testing.TB, o scriptOptions, client bool) *script {
	return &script{t: t, options: o, now: epStart, client: client, id: NewConnID([]byte("peer-id")), buf: make([]byte, 64<<10)}
}

func (s *script) config() *Config {
	cfg := fakeConfig(9)
	cfg.EnableDatagrams = true
	cfg.DisablePathMTUDiscovery = true
	if s.options.config != nil {
		s.options.config(cfg)
	}
	return cfg
}

// startPeer has a peer that is the client begin. The first flight goes by an
// Endpoint, as it does for real.
func (s *script) startPeer() {
	s.prepareClient()
	s.pumpPeer(s.toServer)
}

func (s *script) prepareClient() {
	s.origDst = NewConnID([]byte("original"))
	s.connID = s.origDst
	s.initialSeal, s.initialOpen = protect.InitialKeys(Version1, s.origDst.Bytes(), true)
	s.endpoint = newTestEndpoint(s.t, EndpointConfig{Server: true, StatelessResetKey: &pairReset})
	s.startHandshake()
}

// toServer sends a datagram of the first flight.
func (s *script) toServer(b []byte) {
	switch v := s.endpoint.Handle(s.now, epFrom(pairClientAddr, b)); v.Kind {
	case VerdictIncoming:
		if !s.endpoint.Admit(v.Incoming, s) {
			s.t.Fatal("not admitted")
		}
		c, err := Accept(s.now, v.Incoming, s.config())
		if err != nil {
			s.t.Fatal(err)
		}
		s.conn = c
	case VerdictRoute:
		s.recvConn(b)
	}
}

func (s *script) startHandshake() {
	name := ""
	if s.client {
		name = "example.org"
	}
	s.hs = handshake.NewFake(s.client, name, []string{"test"}, rngReader{rand.New(rand.NewPCG(1, 2))})
	p := scriptParams()
	p.InitialSrcID, p.HasInitialSrcID = wire.NewConnID(s.id.Bytes()), true
	if !s.client {
		p.OriginalDstID, p.HasOriginalDstID = wire.NewConnID(s.origDst.Bytes()), true
	}
	if s.options.params != nil {
		s.options.params(&p)
	}
	raw := p.Append(nil)
	if s.options.raw != nil {
		raw = s.options.raw(raw)
	}
	s.hs.SetParams(raw)
	if err := s.hs.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// pumpPeer sends what the peer's handshake wants sent.
func (s *script) pumpPeer(send func([]byte)) {
	for {
		ev := s.hs.NextEvent()
		switch ev.Kind {
		case handshake.EventNone:
			return
		case handshake.EventWriteCrypto:
			data := ev.Data
			for len(data) > 0 {
				n := min(len(data), 1000)
				space, typ := wire.SpaceInitial, wire.PacketInitial
				switch ev.Level {
				case handshake.LevelHandshake:
					space, typ = wire.SpaceHandshake, wire.PacketHandshake
				case handshake.LevelApp:
					space, typ = wire.SpaceApp, wire.Packet1RTT
				}
				f := wire.AppendCryptoHeader(nil, s.cryptoOut[space], n)
				f = append(f, data[:n]...)
				s.cryptoOut[space] += uint64(n)
				send(s.packet(typ, f))
				data = data[n:]
			}
		case handshake.EventReadSecret, handshake.EventWriteSecret:
			s.setSecret(&ev)
		case handshake.EventPeerParams:
			if err := wire.ParseTransportParameters(ev.Data, !s.client, &s.params); err != nil {
				s.t.Fatal(err)
			}
		case handshake.EventDone:
			s.done = true
			if !s.client {
				s.hs.SendTicket()
			}
		}
	}
}

func (s *script) setSecret(ev *handshake.Event) {
	var err error
	read := ev.Kind == handshake.EventReadSecret
	switch {
	case ev.Level == handshake.LevelHandshake && read:
		s.hsOpen, err = protect.NewOpener(Version1, ev.Suite, ev.Data)
	case ev.Level == handshake.LevelHandshake:
		s.hsSeal, err = protect.NewSealer(Version1, ev.Suite, ev.Data)
	case ev.Level == handshake.LevelApp && read:
		err = s.app.SetReadSecret(Version1, ev.Suite, ev.Data)
	case ev.Level == handshake.LevelApp:
		err = s.app.SetWriteSecret(Version1, ev.Suite, ev.Data)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// packet seals a packet with the frames. Initials are padded to 1200 bytes.
func (s *script) packet(typ wire.PacketType, frames ...[]byte) []byte {
	var payload []byte
	for _, f := range frames {
		payload = append(payload, f...)
	}
	if typ == wire.PacketHandshake {
		payload = append(payload, s.after...)
	}
	const pnLen = 4
	space := wire.SpaceInitial
	var b []byte
	off := 0
	switch typ {
	case wire.Packet1RTT:
		space = wire.SpaceApp
		b = wire.AppendShortHeader(nil, s.connID.Bytes(), s.pn[space], pnLen, s.app.KeyPhase(), false)
	default:
		if typ == wire.PacketHandshake {
			space = wire.SpaceHandshake
		}
		b, off = wire.AppendLongHeader(nil, typ, Version1, s.connID.Bytes(), s.id.Bytes(), nil, s.pn[space], pnLen)
	}
	pnOff := len(b) - pnLen
	b = append(b, payload...)
	if typ == wire.PacketInitial && len(b)+protect.Overhead < 1200 {
		b = append(b, make([]byte, 1200-len(b)-protect.Overhead)...)
	}
	if typ != wire.Packet1RTT {
		wire.SetLength(b, off, len(b)-pnOff+protect.Overhead)
	}
	b = append(b, make([]byte, protect.Overhead)...)[:len(b)]
	pn := s.pn[space]
	s.pn[space]++
	switch typ {
	case wire.PacketInitial:
		return s.initialSeal.Seal(b, pnOff, pnLen, pn)
	case wire.PacketHandshake:
		return s.hsSeal.Seal(b, pnOff, pnLen, pn)
	}
	return s.app.Seal(b, pnOff, pnLen, pn)
}

func (s *script) recvConn(b []byte) {
	if s.client {
		s.recvFrom(pairClientAddr, b)
	} else {
		s.recvFrom(pairServerAddr, b)
	}
}

// recvFrom has the Conn receive a datagram from an address.
func (s *script) recvFrom(remote netip.AddrPort, b []byte) {
	s.recv(&Datagram{Data: b, Remote: remote})
}

func (s *script) recv(d *Datagram) {
	if s.client {
		d.Local, d.Socket = epLocal, 7
	}
	s.conn.IO().Recv(s.now, d)
	if err := s.conn.checkInvariants(); err != nil {
		s.t.Fatal(err)
	}
}

// write sends a 1-RTT packet with the frames to the Conn, and takes in what it answers.
func (s *script) write(frames ...[]byte) {
	s.t.Helper()
	s.recvConn(s.packet(wire.Packet1RTT, frames...))
	s.collect()
}

// flushPeer sends what the peer's handshake has to send.
func (s *script) flushPeer() {
	s.pumpPeer(func(b []byte) {
		if s.hold != nil {
			*s.hold = append(*s.hold, b)
			return
		}
		s.recvConn(b)
	})
}

// collect takes in what the Conn sends now.
func (s *script) collect() {
	for i := 0; ; i++ {
		if i > 10_000 {
			s.t.Fatal("Transmit does not come to an end")
		}
		tr, ok := s.conn.IO().Transmit(s.now, s.buf, 64)
		if !ok {
			return
		}
		if err := s.conn.checkInvariants(); err != nil {
			s.t.Fatal(err)
		}
		if s.options.system != 0 && tr.Segment > s.options.system {
			s.tooLarge++
			s.conn.IO().HandleTooLarge(s.now, &tr)
			continue
		}
		for b := s.buf[:tr.N]; len(b) > 0; {
			n := min(tr.Segment, len(b))
			s.out = append(s.out, outDatagram{to: tr.Remote, size: n, ecn: tr.ECN})
			s.open(b[:n])
			b = b[n:]
		}
	}
}

func (s *script) open(b []byte) {
	for len(b) > 0 {
		var h wire.Header
		if err := wire.ParseHeader(b, s.id.Len(), &h); err != nil {
			s.t.Fatalf("the Conn sent %x: %v", b, err)
		}
		pkt := b[:h.End]
		b = b[h.End:]
		if s.initialOpen == nil {
			s.origDst = NewConnID(h.DstID)
			s.initialSeal, s.initialOpen = protect.InitialKeys(Version1, h.DstID, false)
			s.connID = NewConnID(h.SrcID)
			s.startHandshake()
		}
		if h.Type != wire.Packet1RTT {
			s.connID = NewConnID(h.SrcID)
		}
		if h.Type == wire.PacketHandshake && s.hsOpen == nil || h.Type == wire.Packet1RTT && !s.app.CanRead() {
			continue // as a peer does that has not got so far
		}
		var pn uint64
		var payload []byte
		var err error
		space := wire.SpaceInitial
		switch h.Type {
		case wire.PacketInitial:
			pn, payload, err = s.initialOpen.Open(pkt, h.PNOffset, s.next[space])
		case wire.PacketHandshake:
			space = wire.SpaceHandshake
			pn, payload, err = s.hsOpen.Open(pkt, h.PNOffset, s.next[space])
		case wire.Packet1RTT:
			space = wire.SpaceApp
			pn, payload, _, err = s.app.Open(pkt, h.PNOffset, s.next[space], s.now.Sub(epStart), time.Second)
		}
		if err != nil {
			s.t.Fatalf("cannot open what the Conn sent: %v", err)
		}
		s.next[space] = max(s.next[space], pn+1)
		if space == wire.SpaceApp {
			s.received.Add(pn, pn+1)
		}
		if n := len(s.out); n > 0 {
			s.out[n-1].dst = string(h.DstID)
		}
		s.frames(space, h.Type, payload)
	}
}

func (s *script) frames(space wire.Space, typ wire.PacketType, payload []byte) {
	for len(payload) > 0 {
		var f wire.Frame
		n, err := wire.ParseFrame(payload, typ, &f)
		if err != nil {
			s.t.Fatalf("the Conn sent a bad frame: %v", err)
		}
		payload = payload[n:]
		f.Data = append([]byte(nil), f.Data...)
		f.ConnID = append([]byte(nil), f.ConnID...)
		text := describe(&f)
		f.Ack = wire.Ack{} // which is of the datagram's memory
		s.raw = append(s.raw, f)
		s.texts = append(s.texts, text)
		if n := len(s.out); n > 0 {
			s.out[n-1].frames = append(s.out[n-1].frames, text)
		}
		switch f.Type {
		case wire.FramePadding:
		case wire.FrameAck, wire.FrameAckECN:
			s.acks = append(s.acks, text)
		case wire.FrameCrypto:
			if f.Offset == s.cryptoIn[space] {
				s.cryptoIn[space] += uint64(len(f.Data))
				level := []handshake.Level{handshake.LevelInitial, handshake.LevelHandshake, handshake.LevelApp}[space]
				if err := s.hs.HandleCrypto(level, f.Data); err != nil {
					s.t.Fatal(err)
				}
				s.flushPeer()
			}
		default:
			s.got = append(s.got, text)
		}
	}
}

// finish runs the handshake to its end.
func (s *script) finish() {
	s.t.Helper()
	for i := 0; i < 20 && !(s.done && s.conn.Connected()); i++ {
		s.collect()
		s.tick(time.Millisecond)
	}
	if !s.done || !s.conn.Connected() {
		s.t.Fatalf("no handshake: %v", s.conn.Err())
	}
	if !s.client {
		s.write(wire.AppendHandshakeDone(nil))
	}
	s.collect()
}

// finishHandshake runs the handshake to its end and forgets what was exchanged.
func (s *script) finishHandshake() {
	s.t.Helper()
	s.finish()
	s.ackAll()
	s.ackAll() // the connection IDs that followed the first ACK
	if s.conn.paths.active.mtu.first != 0 {
		s.tick(mtuDelay)
		s.ackAll()
	}
	s.forget()
	for {
		if _, ok := s.conn.NextEvent(); !ok {
			return
		}
	}
}

// forget forgets what came so far.
func (s *script) forget() { s.got, s.acks, s.raw, s.texts, s.out = nil, nil, nil, nil, nil }

// ackAll acknowledges all that came from the Conn.
func (s *script) ackAll() {
	s.write(wire.AppendAck(nil, s.received, 0, nil, 1000))
}

// ackFrame acknowledges the packets from first to last.
func (s *script) ackFrame(first, last uint64) []byte {
	return wire.AppendAck(nil, []wire.Range{{Start: first, End: last + 1}}, 0, nil, 100)
}

// tick lets time go by, in one step, and has the Conn act on it.
func (s *script) tick(d time.Duration) {
	s.now = s.now.Add(d)
	if at, ok := s.conn.IO().Deadline(); ok && !at.After(s.now) {
		s.conn.IO().HandleDeadline(s.now)
	}
	s.collect()
}

// timer lets time go by until the Conn's deadline.
func (s *script) timer() {
	s.t.Helper()
	at, ok := s.conn.IO().Deadline()
	if !ok {
		s.t.Fatal("no deadline")
	}
	s.tick(max(at.Sub(s.now), 0))
}

// want expects a frame among those that came, in any order, by a prefix of its description.
func (s *script) want(prefix string) wire.Frame {
	s.t.Helper()
	s.collect()
	for i, g := range s.got {
		if strings.HasPrefix(g, prefix) {
			s.got = append(s.got[:i], s.got[i+1:]...)
			return s.frame(g)
		}
	}
	s.t.Fatalf("want %s, got %q (error: %v)", prefix, s.got, s.conn.Err())
	return wire.Frame{}
}

// frame returns the newest frame of that description.
func (s *script) frame(text string) wire.Frame {
	s.t.Helper()
	for j := len(s.raw) - 1; j >= 0; j-- {
		if s.texts[j] == text {
			return s.raw[j]
		}
	}
	s.t.Fatalf("no %s", text)
	return wire.Frame{}
}

// wantNone expects no frame with that prefix.
func (s *script) wantNone(prefix string) {
	s.t.Helper()
	s.collect()
	for _, g := range s.got {
		if strings.HasPrefix(g, prefix) {
			s.t.Fatalf("got %s", g)
		}
	}
}

// wantClose expects the Conn to have closed with that error, and to say so.
func (s *script) wantClose(code TransportErrorCode) {
	s.t.Helper()
	s.collect()
	te, ok := s.conn.Err().(*TransportError)
	if !ok || te.Code != code || te.Remote {
		s.t.Fatalf("want the connection closed with %v, got %v", code, s.conn.Err())
	}
	s.want(fmt.Sprintf("CONNECTION_CLOSE code=%#x", uint64(code)))
}

// wantOpen expects the connection to be in order.
func (s *script) wantOpen() {
	s.t.Helper()
	if err := s.conn.Err(); err != nil {
		s.t.Fatalf("the connection is closed: %v", err)
	}
}

// streamFrame makes a STREAM frame.
func streamFrame(id StreamID, off uint64, data string, fin bool) []byte {
	b := wire.AppendStreamHeader(nil, uint64(id), off, len(data), fin, true)
	return append(b, data...)
}

// bothRoles runs a test against a server and against a client.
func bothRoles(t *testing.T, f func(t *testing.T, s *script)) {
	t.Run("server", func(t *testing.T) { f(t, newClientScript(t, scriptOptions{})) })
	t.Run("client", func(t *testing.T) { f(t, newServerScript(t, scriptOptions{})) })
}
