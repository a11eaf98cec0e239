package quic

import (
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// TestOptimisticAck: whoever acknowledges what was never sent is found out before it
// has gained much (RFC 9000, Section 21.4).
func TestOptimisticAck(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	id, _ := s.conn.OpenStream(Uni)
	data := make([]byte, 100_000)
	window := s.conn.Stats().CongestionWindow
	for i := uint64(0); s.conn.Err() == nil && i < 2000; i++ {
		s.conn.StreamWrite(id, data, false)
		s.write(wire.AppendMaxData(nil, 1<<40), wire.AppendMaxStreamData(nil, uint64(id), 1<<40))
		if s.conn.Err() == nil {
			s.write(s.ackFrame(0, s.next[wire.SpaceApp]-1)) // with all that was left out
		}
	}
	if grown := s.conn.Stats().CongestionWindow; grown > 16*window {
		t.Errorf("the window grew from %d to %d", window, grown)
	}
	s.wantClose(ProtocolViolation)
}

// TestAckRanges sends ACK frames that are as expensive as can be.
func TestAckRanges(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	id, _ := s.conn.OpenStream(Uni)
	s.conn.StreamWrite(id, make([]byte, 100_000), false)
	s.collect()
	top := s.next[wire.SpaceApp] - 1
	for round := range 200 {
		// Every second packet that came, then a range that is as long as the frame allows.
		var r []wire.Range
		for i := uint64(round % 2); i <= top; i += 2 {
			if s.received.Contains(i) {
				r = append(r, wire.Range{Start: i, End: i + 1})
			}
		}
		s.write(wire.AppendAck(nil, r, 1<<60, &wire.ECNCounts{}, 1000))
		if s.conn.Err() != nil {
			break
		}
	}
	s.wantOpen()
	if n := s.conn.Stats().BytesInFlight; n < 0 {
		t.Error(n)
	}
	if s.conn.Stats().SmoothedRTT > time.Second {
		t.Error("an absurd delay was believed")
	}
}

// TestSpuriousLoss: a late ACK undoes a loss, and nothing is delivered twice.
func TestSpuriousLoss(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	id, _ := s.conn.OpenStream(Uni)
	s.conn.StreamWrite(id, []byte("abc"), true)
	s.want("STREAM id=3 off=0 len=3 fin")
	first := s.next[wire.SpaceApp] - 1
	for range 5 {
		s.conn.Ping()
		s.collect()
	}
	last := s.next[wire.SpaceApp] - 1
	s.got = nil
	s.write(s.ackFrame(last, last))
	s.tick(100 * time.Millisecond)
	s.want("STREAM id=3 off=0 len=3 fin")
	s.write(s.ackFrame(first, first)) // it was late
	if got := s.conn.Stats(); got.PacketsSpuriousLost != 1 || got.PacketsLost == 0 {
		t.Errorf("%d lost, %d of them not", got.PacketsLost, got.PacketsSpuriousLost)
	}
	s.ackAll()
	if s.conn.OpenStreams() != 0 {
		t.Error("the stream is left")
	}
	s.wantOpen()
}

// TestAckDelay: a single packet is acknowledged after max_ack_delay, the second one and those out of
// order at once, and a batch by one frame (RFC 9000, Section 13.2).
func TestAckDelay(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	ping := func() []byte { return s.packet(wire.Packet1RTT, []byte{wire.FramePing}) }
	s.forget()
	s.recvConn(ping())
	s.collect()
	if len(s.acks) != 0 {
		t.Error("acknowledged at once")
	}
	began := s.now
	s.timer()
	if len(s.acks) != 1 || s.now.Sub(began) != defaultMaxAckDelay {
		t.Errorf("%d ACKs after %v", len(s.acks), s.now.Sub(began))
	}
	s.forget()
	for range 20 {
		s.recvConn(ping())
	}
	s.collect()
	if len(s.acks) != 1 {
		t.Errorf("%d ACKs of a batch", len(s.acks))
	}
	s.forget()
	late := ping()
	s.recvConn(ping())
	s.collect()
	if len(s.acks) != 1 || !strings.Contains(s.acks[0], " ") {
		t.Errorf("a gap is not told at once: %v", s.acks)
	}
	s.forget()
	s.recvConn(late)
	s.collect()
	if len(s.acks) != 1 {
		t.Errorf("a late packet is not acknowledged at once: %v", s.acks)
	}
	s.forget()
	// ACKs alone are never acknowledged.
	for range 10 {
		s.ackAll()
		s.tick(time.Second)
	}
	if len(s.acks) != 0 {
		t.Errorf("ACKs of ACKs: %v", s.acks)
	}
}

// TestAcksGetAcknowledged: an end that only receives has its ACKs acknowledged now and then, so that
// they do not grow (RFC 9000, Section 13.2.4).
func TestAcksGetAcknowledged(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	for i := range 1000 {
		if i%3 == 0 {
			s.pn[wire.SpaceApp]++ // lost
		}
		s.write([]byte{wire.FramePing})
		if len(s.got) > 0 && s.got[0] == "PING" {
			s.ackAll()
			s.got = nil
		}
	}
	if n := len(s.conn.spaces[wire.SpaceApp].acks.Ranges()); n > 32 {
		t.Errorf("%d ranges", n)
	}
	s.wantOpen()
}

// TestECN: what is sent is marked while the peer confirms it, and marks that come are told.
func TestECN(t *testing.T) {
	s := newScript(t, scriptOptions{}, true)
	s.startPeer()
	s.finish()
	if s.out[0].ecn != ECT0 {
		t.Error("no marks")
	}
	remote := pairClientAddr
	for _, e := range []ECN{ECT0, ECT0, CE, ECT1, NotECT} {
		s.recv(&Datagram{Data: s.packet(wire.Packet1RTT, []byte{wire.FramePing}), Remote: remote, ECN: e})
	}
	s.collect()
	if n := s.conn.spaces[wire.SpaceApp].acks.ECN(); n == nil || n.ECT0 != 2 || n.ECT1 != 1 || n.CE != 1 {
		t.Errorf("counts %+v", n)
	}
	// A peer that acknowledges without counts sees no marks: they end.
	s.ackAll()
	s.conn.Ping()
	s.collect()
	if s.out[len(s.out)-1].ecn != NotECT {
		t.Error("marks go on though they do not arrive")
	}
	s = newClientScript(t, scriptOptions{config: func(c *Config) { c.DisableECN = true }})
	s.conn.Ping()
	s.collect()
	if s.out[len(s.out)-1].ecn != NotECT {
		t.Error("marks although they are disabled")
	}
}

// TestECNCongestion: a congestion mark makes the window smaller.
func TestECNCongestion(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.connect()
	p.transfer(p.client, p.server, Uni, 500_000, time.Minute)
	if !p.client.paths.active.rp.ECT() {
		t.Fatal("marks do not arrive")
	}
	p.until("the ACK", time.Second, func() bool { return p.client.OpenStreams() == 0 })
	before := p.client.Stats().CongestionWindow
	marked := false
	p.mark = func(toServer bool) ECN {
		if toServer && !marked {
			marked = true
			return CE
		}
		return ECT0
	}
	p.transfer(p.client, p.server, Uni, 20_000, time.Minute)
	p.until("the ACK", time.Second, func() bool { return p.client.OpenStreams() == 0 })
	if after := p.client.Stats().CongestionWindow; after >= before {
		t.Errorf("window %d, then %d", before, after)
	}
}

// TestMTU: the search finds what the path takes, notices when it takes less, and heeds the
// peer's limit and the system's.
func TestMTU(t *testing.T) {
	for _, limit := range []int{1200, 1280, 1300, 1400, 1452, 1500} {
		p := newPair(t, fakeConfig(1), fakeConfig(2))
		path := limit
		p.drop = func(_ bool, _ int, b []byte) bool { return len(b) > path }
		p.connect()
		for i := 0; i < 20 && p.client.paths.active.mtu.again == 0; i++ {
			p.transfer(p.client, p.server, Uni, 100_000, time.Minute)
		}
		got := p.client.Stats().PathMTU
		if want := min(limit, defaultMaxUDPPayload); got > want || got < want-mtuStep {
			t.Errorf("path of %d: size %d", limit, got)
		}
		if lost := p.client.Stats().PacketsLost; lost > 0 {
			t.Errorf("path of %d: %d packets lost, probes do not count", limit, lost)
		}
		// The path changes.
		path = 1200
		p.transfer(p.client, p.server, Uni, 200_000, time.Minute)
		if got := p.client.Stats().PathMTU; got != 1200 {
			t.Errorf("path of %d, then 1200: size %d", limit, got)
		}
	}
}

// TestMTUBlackHole: small packets pass and large ones do not, so probe timeouts are few.
func TestMTUBlackHole(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	path := 1452
	p.drop = func(_ bool, _ int, b []byte) bool { return len(b) > path }
	p.connect()
	p.transfer(p.client, p.server, Uni, 100_000, time.Minute)
	path = 1250
	id, _ := p.client.OpenStream(Uni)
	buf := make([]byte, 64<<10)
	got, sent := 0, 0
	last := p.now
	p.until("transfer beside small packets", 30*time.Second, func() bool {
		if sent < 300_000 {
			n, _ := p.client.StreamWrite(id, buf[:min(len(buf), 300_000-sent)], false)
			sent += n
		}
		if p.now.Sub(last) > 5*time.Millisecond {
			p.client.Ping() // a packet that passes
			last = p.now
		}
		n, _, _ := p.server.StreamRead(id, buf)
		for ; n > 0; n, _, _ = p.server.StreamRead(id, buf) {
			got += n
		}
		return got == 300_000
	})
	if n := p.client.Stats().PathMTU; n > 1250 {
		t.Errorf("size %d", n)
	}
}

// TestMTUBlackHoleOfLittle: there is little to send, and with each probe timeout one packet that is large and lost, and
// one that is small and passes, so that there are never many timeouts in a row.
func TestMTUBlackHoleOfLittle(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	path := 1452
	p.drop = func(_ bool, _ int, b []byte) bool { return len(b) > path }
	p.connect()
	p.transfer(p.client, p.server, Uni, 100_000, time.Minute)
	path = 1400
	for _, size := range []int{1430, 3000, 1430} {
		p.transfer(p.client, p.server, Uni, size, 10*time.Second)
	}
	p.until("the search", time.Minute, func() bool {
		n := p.client.Stats().PathMTU
		return n <= path && n > path-2*mtuStep
	})
}

// TestMTUWithLoss: losses at random are none of a black hole.
func TestMTUWithLoss(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.connect()
	p.transfer(p.client, p.server, Uni, 100_000, time.Minute)
	p.drop = func(toServer bool, n int, b []byte) bool { return int(uint32(n)*2654435761>>7)%5 == 0 }
	for _, size := range []int{1430, 3000, 1430, 100_000, 1430, 300_000} {
		p.transfer(p.client, p.server, Uni, size, time.Minute)
	}
	if n := p.client.Stats().PathMTU; n != 1452 {
		t.Errorf("size %d", n)
	}
}

// TestMTUFirst: the first search waits a little, but not when there is much to send.
func TestMTUFirst(t *testing.T) {
	for _, much := range []bool{false, true} {
		p := newPair(t, fakeConfig(1), fakeConfig(2))
		largest := 0
		p.drop = func(_ bool, _ int, b []byte) bool {
			largest = max(largest, len(b))
			return false
		}
		p.connect()
		if largest > minUDPPayload {
			t.Errorf("%d bytes in the handshake", largest)
		}
		begun := p.now
		if much {
			p.transfer(p.client, p.server, Uni, 100_000, time.Minute)
		}
		p.until("the search", time.Minute, func() bool { return p.client.Stats().PathMTU == defaultMaxUDPPayload })
		if took := p.now.Sub(begun); !much && took < mtuDelay {
			t.Errorf("searched after %v", took)
		}
		if got := p.server.Stats().PathMTU; much && got != minUDPPayload && p.now.Sub(begun) < mtuDelay {
			t.Errorf("the server has sent nothing and searched: size %d", got)
		}
	}
}

// TestMTULimits: the peer's max_udp_payload_size, and EMSGSIZE.
func TestMTULimits(t *testing.T) {
	s := newClientScript(t, scriptOptions{
		config: func(c *Config) { c.DisablePathMTUDiscovery = false },
		params: func(p *wire.TransportParameters) { p.MaxUDPPayloadSize = 1300 },
	})
	for range 10 {
		s.conn.Ping()
		s.collect()
		s.ackAll()
	}
	if got := s.conn.Stats().PathMTU; got != 1300 {
		t.Errorf("size %d, the peer's limit is 1300", got)
	}
	s = newClientScript(t, scriptOptions{system: 1380, config: func(c *Config) { c.DisablePathMTUDiscovery = false }})
	for range 40 {
		s.conn.Ping()
		s.collect()
		s.tick(10 * time.Millisecond)
		s.ackAll()
	}
	if got := s.conn.Stats().PathMTU; got > 1380 || got < 1380-2*mtuStep {
		t.Errorf("size %d, the system's limit is 1380 (%d probes were too large)", got, s.tooLarge)
	}
	if s.tooLarge > 5 {
		t.Errorf("%d sends failed", s.tooLarge)
	}
	// The interface takes less now.
	s.conn.IO().HandleTooLarge(s.now, &Train{N: 5000, Segment: s.conn.Stats().PathMTU})
	if got := s.conn.Stats().PathMTU; got != 1200 {
		t.Errorf("size %d", got)
	}
	s.conn.IO().HandleTooLarge(s.now, &Train{N: 1200, Segment: 1200}) // there is no less than that
	if got := s.conn.Stats().PathMTU; got != 1200 {
		t.Errorf("size %d", got)
	}
	s.wantOpen()
}
