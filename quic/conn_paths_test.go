package quic

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

var (
	newPort = netip.AddrPortFrom(pairClientAddr.Addr(), 2000)
	newHost = netip.MustParseAddrPort("203.0.113.9:4000")
)

// from sends a 1-RTT packet from another address, padded to size bytes.
func (s *script) from(remote netip.AddrPort, size int, frames ...[]byte) {
	s.t.Helper()
	n := 0
	for _, f := range frames {
		n += len(f)
	}
	if pad := size - n - 29; pad > 0 { // 1+8+4 bytes of header, 16 of tag
		frames = append(frames, make([]byte, pad))
	}
	s.recvFrom(remote, s.packet(wire.Packet1RTT, frames...))
	s.collect()
}

// sentTo returns the datagrams to an address, and their bytes.
func (s *script) sentTo(to netip.AddrPort) (list []outDatagram, n int) {
	for _, d := range s.out {
		if d.to == to {
			list = append(list, d)
			n += d.size
		}
	}
	return list, n
}

// has tells whether the datagram has a frame with that beginning.
func (d *outDatagram) has(prefix string) bool {
	for _, f := range d.frames {
		if strings.HasPrefix(f, prefix) {
			return true
		}
	}
	return false
}

// TestRebinding follows a client whose port or address changed.
func TestRebinding(t *testing.T) {
	for name, to := range map[string]netip.AddrPort{"port": newPort, "address": newHost} {
		t.Run(name, func(t *testing.T) {
			s := newClientScript(t, scriptOptions{})
			rp := s.conn.paths.active.rp
			s.from(to, 1200, []byte{wire.FramePing})
			list, _ := s.sentTo(to)
			if len(list) == 0 || !list[0].has("PATH_CHALLENGE") || list[0].size < 1200 {
				t.Fatalf("the first datagram on the new path: %+v", list)
			}
			data := s.frame(list[0].frames[0]).PathData
			old, _ := s.sentTo(pairClientAddr)
			if asked := len(old) > 0 && old[0].has("PATH_CHALLENGE"); asked != (to == newHost) {
				t.Errorf("the old address was asked: %v", asked)
			}
			if s.conn.RemoteAddr() != to {
				t.Fatal("the client is not followed")
			}
			if ev, ok := s.conn.NextEvent(); !ok || ev.Kind != EventPathChanged {
				t.Errorf("event %v", ev)
			}
			if same := s.conn.paths.active.rp == rp; same != (to == newPort) {
				t.Errorf("congestion control and RTT are kept: %v", same)
			}
			s.from(to, 60, wire.AppendPathResponse(nil, &data))
			if !s.conn.paths.active.validated {
				t.Error("not validated")
			}
			// The old path leads nowhere any more, and goes.
			s.tick(10 * time.Second)
			s.tick(10 * time.Second)
			if to == newHost && len(s.conn.paths.list) != 1 {
				t.Errorf("%d paths", len(s.conn.paths.list))
			}
			s.wantOpen()
		})
	}
}

// TestResponseOnAnotherPath: a PATH_RESPONSE counts on whatever path it comes
// (RFC 9000, Section 8.2.3), and the limit before validation ends.
func TestResponseOnAnotherPath(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	id, err := s.conn.OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	s.from(newPort, 60, []byte{wire.FramePing})
	list, _ := s.sentTo(newPort)
	if len(list) != 1 {
		t.Fatalf("%+v", list)
	}
	f := s.want("PATH_CHALLENGE")
	if _, err := s.conn.StreamWrite(id, make([]byte, 10_000), true); err != nil {
		t.Fatal(err)
	}
	s.wantNone("STREAM")
	s.from(pairClientAddr, 60, wire.AppendPathResponse(nil, &f.PathData)) // a probing frame: nothing moves back
	if s.conn.RemoteAddr() != newPort {
		t.Fatal("went back")
	}
	s.want("STREAM")
	if _, ok := s.conn.loss.Deadline(); !ok {
		t.Error("no probe timeout")
	}
}

// TestNewPathIsLimited: before validation a new path gets three times what came from it.
func TestNewPathIsLimited(t *testing.T) {
	for _, size := range []int{40, 60, 200, 500, 1200} {
		s := newClientScript(t, scriptOptions{})
		id, err := s.conn.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.conn.StreamWrite(id, make([]byte, 100_000), false); err != nil {
			t.Fatal(err)
		}
		s.collect()
		s.ackAll()
		s.forget()
		s.from(newHost, size, []byte{wire.FramePing})
		for range 10 {
			s.tick(100 * time.Millisecond)
		}
		if _, n := s.sentTo(newHost); n > 3*size {
			t.Errorf("%d bytes were sent to an address that sent %d", n, size)
		} else if n == 0 {
			t.Errorf("%d bytes came, and nothing was sent", size)
		}
	}
}

// TestChallengeAgainAtTheLimit: a small packet from a new address allows for more than one PATH_CHALLENGE. The client may
// have nothing more to send, and hears nothing if the first is lost.
func TestChallengeAgainAtTheLimit(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	s.from(newPort, 60, []byte{wire.FramePing})
	s.want("PATH_CHALLENGE")
	s.timer()
	f := s.want("PATH_CHALLENGE")
	if _, n := s.sentTo(newPort); n > 3*60 {
		t.Errorf("%d bytes", n)
	}
	s.forget()
	s.from(newPort, 60, wire.AppendPathResponse(nil, &f.PathData))
	if !s.conn.paths.active.validated || s.conn.RemoteAddr() != newPort {
		t.Error("not validated")
	}
	// Now that the address is known, it is asked whether large packets come there (RFC 9000, Section 8.2.1).
	f = s.want("PATH_CHALLENGE")
	if _, n := s.sentTo(newPort); n < 1200 {
		t.Errorf("%d bytes", n)
	}
	s.forget()
	s.from(newPort, 1200, wire.AppendPathResponse(nil, &f.PathData))
	s.tick(time.Second)
	s.wantNone("PATH_CHALLENGE")
}

// TestSpoofedMove plays an attacker who sends a copy of a packet on from an address
// that he has not: the connection returns, in time, whatever the size of that packet.
func TestSpoofedMove(t *testing.T) {
	for _, size := range []int{40, 1200} {
		for _, to := range []netip.AddrPort{newPort, newHost} {
			s := newClientScript(t, scriptOptions{})
			s.from(to, size, []byte{wire.FramePing})
			if s.conn.RemoteAddr() != to {
				t.Fatal("not followed")
			}
			began := s.now
			for i := 0; s.conn.RemoteAddr() == to; i++ {
				if i > 100 {
					t.Fatal("no way back")
				}
				s.timer()
			}
			if d := s.now.Sub(began); s.conn.RemoteAddr() != pairClientAddr || d > 4*time.Second {
				t.Errorf("after %v at %v", d, s.conn.RemoteAddr())
			}
			s.wantOpen()
			// All is as before, probe timeouts included.
			s.forget()
			id, err := s.conn.OpenStream(Uni)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.conn.StreamWrite(id, []byte("x"), true); err != nil {
				t.Fatal(err)
			}
			s.want("STREAM id=3 off=0 len=1 fin")
			s.got = nil
			s.timer()
			s.want("STREAM id=3 off=0 len=1 fin")
		}
	}
}

// TestVictimStays: the victim of a spoofed move goes on sending, and the connection is back at once.
func TestVictimStays(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	s.from(newHost, 100, []byte{wire.FramePing})
	s.from(pairClientAddr, 100, []byte{wire.FramePing})
	if s.conn.RemoteAddr() != pairClientAddr {
		t.Fatal("not back")
	}
	for range 10 {
		s.tick(time.Second)
	}
	s.wantOpen()
	if len(s.conn.paths.list) != 1 || s.conn.RemoteAddr() != pairClientAddr {
		t.Errorf("%d paths, at %v", len(s.conn.paths.list), s.conn.RemoteAddr())
	}
}

// TestPathOfNoReturn: no address answers.
func TestPathOfNoReturn(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	s.from(newHost, 1200, []byte{wire.FramePing})
	for range 40 {
		s.tick(500 * time.Millisecond)
	}
	// The old address is where the connection is left to its idle timeout.
	if s.conn.RemoteAddr() != pairClientAddr && s.conn.Err() == nil {
		t.Errorf("at %v", s.conn.RemoteAddr())
	}
	s.tick(time.Minute)
	if s.conn.Err() == nil {
		t.Error("the connection lives on")
	}
}

// TestMigration: a client that moves on purpose uses another connection ID, and
// the Conn does too, from the first packet on the new path (RFC 9000, Section 9.5).
func TestMigration(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	s.write(newPeerID(1, 0), newPeerID(2, 0))
	s.forget()
	s.connID = s.conn.ids.local[1].id
	// A probe of the new path first.
	s.from(newHost, 1200, wire.AppendPathChallenge(nil, &[8]byte{7}))
	list, _ := s.sentTo(newHost)
	if len(list) != 1 || !list[0].has("PATH_RESPONSE 07") || list[0].size < 1200 || list[0].dst != string(peerID(1)) {
		t.Fatalf("answer to the probe: %+v", list)
	}
	if s.conn.RemoteAddr() != pairClientAddr {
		t.Fatal("moved by a probe")
	}
	s.from(newHost, 1200, []byte{wire.FramePing})
	list, _ = s.sentTo(newHost)
	for _, d := range list {
		if d.dst != string(peerID(1)) {
			t.Errorf("%q on the new path: %v", d.dst, d.frames)
		}
	}
	for _, d := range s.out {
		for _, g := range d.frames {
			if d.to == newHost && strings.HasPrefix(g, "PATH_CHALLENGE") {
				f := s.frame(g)
				s.from(newHost, 60, wire.AppendPathResponse(nil, &f.PathData))
			}
		}
	}
	if !s.conn.paths.active.validated {
		t.Fatal("not validated")
	}
	// When the old path is gone so is its ID.
	for range 8 {
		s.tick(time.Second)
	}
	s.want("RETIRE_CONNECTION_ID seq=0")
	s.wantOpen()
}

// TestPathFlood sends from ever new addresses: paths, and IDs in use, are bounded (row 23 of attacks).
func TestPathFlood(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	for i := range 2000 {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 1000)
		if i%3 == 0 {
			s.from(to, 1200, []byte{wire.FramePing})
		} else {
			s.from(to, 1200, wire.AppendPathChallenge(nil, &[8]byte{byte(i)}))
		}
		if n := len(s.conn.paths.list); n > maxPaths {
			t.Fatalf("%d paths", n)
		}
		if i%50 == 0 {
			s.tick(time.Second)
			s.ackAll()
		}
	}
	s.wantOpen()
	s.from(pairClientAddr, 100, []byte{wire.FramePing})
	if s.conn.RemoteAddr() != pairClientAddr {
		t.Error("the real client is lost")
	}
}

// TestChallengesDiffer: each PATH_CHALLENGE has new data, and an answer to any of them counts.
func TestChallengesDiffer(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	s.from(newPort, 1200, []byte{wire.FramePing})
	first := s.want("PATH_CHALLENGE")
	seen := map[[8]byte]bool{first.PathData: true}
	for range 8 {
		s.tick(150 * time.Millisecond)
		s.from(newPort, 1200, []byte{wire.FramePing})
		for len(s.got) > 0 && strings.HasPrefix(s.got[0], "PATH_CHALLENGE") {
			f := s.want("PATH_CHALLENGE")
			if seen[f.PathData] {
				t.Error("the same data again")
			}
			seen[f.PathData] = true
		}
		s.got = nil
	}
	if len(seen) < 2 || len(seen) > maxChallenges {
		t.Errorf("%d challenges", len(seen))
	}
	s.from(newPort, 60, wire.AppendPathResponse(nil, &first.PathData))
	if !s.conn.paths.active.validated {
		t.Error("the answer to the first challenge does not count")
	}
	// Answers that nobody asked for do nothing.
	s.write(wire.AppendPathResponse(nil, &[8]byte{1, 2, 3}))
	s.write(wire.AppendPathResponse(nil, &[8]byte{}))
	s.wantOpen()
}

// TestReorderedPacketDoesNotMove: only the newest packet tells where the peer is.
func TestReorderedPacketDoesNotMove(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	late := s.packet(wire.Packet1RTT, []byte{wire.FramePing})
	s.write([]byte{wire.FramePing})
	s.recvFrom(newHost, late)
	s.collect()
	if s.conn.RemoteAddr() != pairClientAddr {
		t.Error("followed an old packet")
	}
}

// TestServerDoesNotMove: a client drops what comes from elsewhere (RFC 9000, Section 9).
func TestServerDoesNotMove(t *testing.T) {
	s := newServerScript(t, scriptOptions{})
	s.from(newHost, 100, streamFrame(1, 0, "x", false))
	if _, ok := s.conn.NextReadable(); ok || s.conn.RemoteAddr() != pairServerAddr {
		t.Error("a packet from another server was processed")
	}
	s.wantOpen()
}

// TestNoMoveInTheHandshake: packets of the handshake count at the address where it began alone.
func TestNoMoveInTheHandshake(t *testing.T) {
	s := newScript(t, scriptOptions{}, true)
	s.startPeer()
	if s.conn.Confirmed() {
		t.Fatal("too far")
	}
	b := s.packet(wire.PacketInitial, []byte{wire.FramePing})
	s.recvFrom(newHost, b)
	s.collect()
	if _, n := s.sentTo(newHost); n > 0 || len(s.conn.paths.list) != 1 {
		t.Error("moved")
	}
}

// TestMoveToServicePort: whoever forges a source address does not make us speak to a service. (The client of the script
// has such a port from the beginning, and is served there.)
func TestMoveToServicePort(t *testing.T) {
	for port, follows := range map[uint16]bool{
		1: false, 53: false, 123: false, 443: false, 1023: false, 1024: true,
		1900: false, 3702: false, 5353: false, 5355: false, 11211: false, 11212: true, 65535: true,
	} {
		for _, host := range []netip.Addr{pairClientAddr.Addr(), newHost.Addr()} {
			s := newClientScript(t, scriptOptions{})
			to := netip.AddrPortFrom(host, port)
			before := s.conn.Stats()
			s.from(to, 1200, []byte{wire.FramePing})
			s.tick(10 * time.Second)
			list, _ := s.sentTo(to)
			if got := len(list) > 0; got != follows {
				t.Errorf("%v: something was sent: %v", to, got)
			}
			st := s.conn.Stats()
			if moved := st.PathChanges != before.PathChanges; moved != follows {
				t.Errorf("%v: the connection moved: %v", to, moved)
			}
			if dropped := st.PacketsDropped != before.PacketsDropped; dropped == follows {
				t.Errorf("%v: the packet was dropped: %v", to, dropped)
			}
			s.wantOpen()
		}
	}
}

// TestResponseWithFullWindow: a peer whose address is not validated asks, and may say no more before it has an
// answer. If nothing is acknowledged for that reason, the answer goes out although the window is full.
func TestResponseWithFullWindow(t *testing.T) {
	s := newServerScript(t, scriptOptions{params: func(p *wire.TransportParameters) { p.InitialMaxStreamDataUni = 1 << 20 }})
	id, err := s.conn.OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.StreamWrite(id, make([]byte, 200_000), true); err != nil {
		t.Fatal(err)
	}
	for s.conn.paths.active.rp.Window() >= minUDPPayload {
		s.tick(10 * time.Millisecond)
	}
	s.forget()
	s.write(wire.AppendPathChallenge(nil, &[8]byte{1}))
	s.wantNone("PATH_RESPONSE") // RFC 9000, Section 8.2.2: congestion control may hold it back
	for s.conn.loss.PTOCount() == 0 {
		s.timer()
	}
	s.write(wire.AppendPathChallenge(nil, &[8]byte{2}))
	s.want("PATH_RESPONSE 02")
	// A peer that goes on asking and acknowledges nothing does not get any number of them.
	n := 0
	for i := range 10 * maxPathProbes {
		s.forget()
		s.write(wire.AppendPathChallenge(nil, &[8]byte{3, byte(i), byte(i >> 8)}))
		for _, g := range s.got {
			if strings.HasPrefix(g, "PATH_RESPONSE") {
				n++
			}
		}
	}
	if n >= maxPathProbes || s.conn.paths.probes > maxPathProbes {
		t.Errorf("%d responses, %d in flight", n, s.conn.paths.probes)
	}
	s.wantOpen()
}

// TestChallengeCarriesAck: what may be sent to an address that is not validated is little, and the client's packets
// are acknowledged by it.
func TestChallengeCarriesAck(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	s.from(newHost, 100, []byte{wire.FramePing})
	list, n := s.sentTo(newHost)
	if len(list) == 0 || !list[0].has("PATH_CHALLENGE") || len(s.acks) == 0 {
		t.Fatalf("sent to the new address: %+v, ACKs %v", list, s.acks)
	}
	if n > 300 {
		t.Errorf("%d bytes for 100", n)
	}
}

// TestMigrationWithFewIDs: a client that takes on another ID each time it moves, and gives no more than two of its own,
// gets back the one of the oldest path, and the new path the ID that it issues for that (RFC 9000, Section 9.5).
func TestMigrationWithFewIDs(t *testing.T) {
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.ActiveConnIDLimit = 2 }})
	if s.params.ActiveConnIDLimit != 2 {
		t.Fatalf("active_connection_id_limit %d", s.params.ActiveConnIDLimit)
	}
	s.write(newPeerID(1, 0))
	validate := func(to netip.AddrPort) {
		t.Helper()
		f := s.want("PATH_CHALLENGE")
		s.from(to, 60, wire.AppendPathResponse(nil, &f.PathData))
		if p := s.conn.paths.active; p.remote != to || !p.validated {
			t.Fatalf("at %v, validated %v", p.remote, p.validated)
		}
		s.forget()
	}
	first := netip.AddrPortFrom(pairClientAddr.Addr(), 3001)
	s.connID = s.conn.ids.local[1].id
	s.forget()
	s.from(first, 1200, []byte{wire.FramePing})
	if got := s.lastDst(); got != string(peerID(1)) {
		t.Fatalf("packets go to %q", got)
	}
	validate(first)
	// Both IDs have a path now. The client moves once more.
	second := netip.AddrPortFrom(pairClientAddr.Addr(), 3002)
	s.connID = s.conn.ids.local[2].id
	s.from(second, 1200, []byte{wire.FramePing})
	later := s.want("PATH_CHALLENGE")
	s.want("RETIRE_CONNECTION_ID seq=0")
	s.from(second, 1200, newPeerID(2, 0))
	if got := s.lastDst(); got != string(peerID(2)) {
		t.Errorf("packets go to %q, which another address had", got)
	}
	s.from(second, 60, wire.AppendPathResponse(nil, &later.PathData))
	if p := s.conn.paths.active; p.remote != second || !p.validated {
		t.Errorf("at %v, validated %v", p.remote, p.validated)
	}
	s.wantOpen()
	// More than the limit is an error.
	s.from(second, 100, newPeerID(3, 0))
	s.wantClose(ConnectionIDLimitError)
}
