package quic

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// peerID is a connection ID of the scripted peer; all of its IDs have 7 bytes.
func peerID(n int) []byte { return fmt.Appendf(nil, "%07d", n%10_000_000) }

func newPeerID(seq, prior uint64) []byte {
	return wire.AppendNewConnectionID(nil, seq, prior, peerID(int(seq)), &[16]byte{byte(seq), 1})
}

// lastDst is the connection ID that the Conn's newest packet went to.
func (s *script) lastDst() string {
	s.t.Helper()
	s.conn.Ping()
	s.collect()
	return s.out[len(s.out)-1].dst
}

// TestIDsAreIssuedUpToThePeersLimit: and not before the peer has a use for them, which is when
// its handshake is confirmed.
func TestIDsAreIssuedUpToThePeersLimit(t *testing.T) {
	for limit := uint64(2); limit <= 8; limit++ {
		s := newScript(t, scriptOptions{params: func(p *wire.TransportParameters) { p.ActiveConnIDLimit = limit }}, true)
		s.startPeer()
		s.collect()
		s.finish()
		s.want("HANDSHAKE_DONE")
		s.wantNone("NEW_CONNECTION_ID")
		s.ackAll()
		n := 0
		for _, g := range s.got {
			if strings.HasPrefix(g, "NEW_CONNECTION_ID") {
				n++
			}
		}
		if want := int(min(limit, maxIssuedConnIDs)) - 1; n != want {
			t.Errorf("limit %d: %d connection IDs were issued, want %d", limit, n, want)
		}
	}
}

// TestIDsOfAClient: a client issues IDs once HANDSHAKE_DONE has come.
func TestIDsOfAClient(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.until("the client is connected", time.Second, func() bool { return p.client.Connected() })
	if p.client.Confirmed() || len(p.client.ids.local) != 1 {
		t.Errorf("confirmed: %v, IDs: %d", p.client.Confirmed(), len(p.client.ids.local))
	}
	p.until("the server has the client's IDs", time.Second, func() bool {
		return p.server != nil && len(p.server.ids.remote) == maxIssuedConnIDs
	})
	if !p.client.Confirmed() {
		t.Error("not confirmed")
	}
}

// TestIDRetiredByThePeer retires IDs of the Conn: it issues others.
func TestIDRetiredByThePeer(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		first := s.conn.ids.local[0]
		for i, l := range s.conn.ids.local {
			if i == 1 {
				s.connID = l.id
			}
		}
		s.write(wire.AppendRetireConnectionID(nil, 0))
		f := s.want("NEW_CONNECTION_ID seq=4 prior=0")
		if len(f.ConnID) != 8 {
			t.Errorf("an ID of %d bytes", len(f.ConnID))
		}
		// The old ID does not lead to the Conn any more.
		s.conn.IO().TakeRoutes()
		s.connID = first.id
		before := s.conn.Stats().PacketsDropped
		s.write([]byte{wire.FramePing})
		if s.conn.Stats().PacketsDropped != before+1 {
			t.Error("a packet to a retired ID was processed")
		}
	})
}

// TestRetireOfUnsentID retires an ID that the Conn has made but not sent: that is
// a guess, against RFC 9000, Section 19.16.
func TestRetireOfUnsentID(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	s.connID = s.conn.ids.local[2].id
	s.write(wire.AppendRetireConnectionID(wire.AppendRetireConnectionID(nil, 1), 4))
	s.wantClose(ProtocolViolation)
}

// TestRetirePriorTo replaces the peer's ID that is in use.
func TestRetirePriorTo(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		s.write(newPeerID(1, 0))
		if got := s.lastDst(); got != "peer-id" {
			t.Fatalf("packets go to %q", got)
		}
		s.write(newPeerID(2, 2))
		s.want("RETIRE_CONNECTION_ID seq=0")
		s.want("RETIRE_CONNECTION_ID seq=1")
		if got := s.lastDst(); got != string(peerID(2)) {
			t.Fatalf("packets go to %q", got)
		}
		s.ackAll()
		// Late frames with what was retired change nothing.
		s.write(newPeerID(1, 0))
		s.wantNone("RETIRE_CONNECTION_ID")
		s.write(newPeerID(2, 0))
		s.wantOpen()
		if got := s.lastDst(); got != string(peerID(2)) {
			t.Fatalf("packets go to %q", got)
		}
	})
}

// TestIDRetiredBeforeItCame: an ID that overtook the frame that retires it is retired at once.
func TestIDRetiredBeforeItCame(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	s.write(newPeerID(5, 5))
	s.want("RETIRE_CONNECTION_ID seq=0")
	s.write(newPeerID(3, 0))
	s.want("RETIRE_CONNECTION_ID seq=3")
	s.ackAll()
	s.write(newPeerID(3, 0))
	s.wantNone("RETIRE_CONNECTION_ID")
	// A frame that is sent again may raise Retire Prior To.
	s.write(newPeerID(6, 0))
	s.write(newPeerID(6, 6))
	s.want("RETIRE_CONNECTION_ID seq=5")
	if got := s.lastDst(); got != string(peerID(6)) {
		t.Fatalf("packets go to %q", got)
	}
}

// TestResentIDIsTheSame loses NEW_CONNECTION_ID frames of an end that has no
// reset key: what is sent again has the token of before.
func TestResentIDIsTheSame(t *testing.T) {
	o := scriptOptions{config: func(c *Config) { c.StatelessResetKey = nil }}
	s := newScript(t, o, true)
	s.startPeer()
	s.collect()
	s.finish()
	s.ackAll()
	first := s.want("NEW_CONNECTION_ID seq=1")
	s.got = nil
	for range 10 {
		s.conn.Ping()
		s.collect()
	}
	s.write(s.ackFrame(s.next[wire.SpaceApp]-1, s.next[wire.SpaceApp]-1))
	again := s.want("NEW_CONNECTION_ID seq=1")
	if string(first.ConnID) != string(again.ConnID) || first.ResetToken != again.ResetToken {
		t.Error("the frame that was lost and its successor differ")
	}
}

// TestIDsOutOfTurn attacks with sequence numbers that leave gaps, each of which
// has to be remembered.
func TestIDsOutOfTurn(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	for i := uint64(2); i < 1000 && s.conn.Err() == nil; i += 2 {
		s.write(newPeerID(i, i))
		s.ackAll()
		if n := len(s.conn.ids.seen); n > maxSeenRanges+1 {
			t.Fatalf("%d ranges", n)
		}
	}
	s.wantClose(ConnectionIDLimitError)
}

// TestRetireFlood retires IDs as fast as they come. If no answer gets through, the
// next ID to retire is a guess.
func TestRetireFlood(t *testing.T) {
	for _, acks := range []bool{true, false} {
		s := newClientScript(t, scriptOptions{})
		for range 3000 {
			n := len(s.conn.ids.local)
			s.connID = s.conn.ids.local[n-1].id // not the one that is retired
			s.write(wire.AppendRetireConnectionID(nil, s.conn.ids.local[0].seq))
			s.conn.IO().TakeRoutes()
			if n := len(s.conn.ids.local); n != maxIssuedConnIDs || len(s.conn.ids.removed) > 0 {
				t.Fatalf("%d IDs, %d removed", n, len(s.conn.ids.removed))
			}
			if acks {
				s.ackAll()
			} else if s.conn.Err() != nil {
				break
			}
		}
		if acks {
			s.wantOpen()
		} else {
			s.wantClose(ProtocolViolation)
		}
	}
}

// TestConnIDLengths runs connections with IDs of unusual lengths.
func TestConnIDLengths(t *testing.T) {
	for _, n := range [][2]int{{0, 4}, {0, 20}, {1, 8}, {4, 4}, {20, 20}, {20, 4}} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			client, server := fakeConfig(1), fakeConfig(2)
			client.ConnIDs, server.ConnIDs = RandomConnIDs(n[0]), RandomConnIDs(n[1])
			p := newPair(t, client, server)
			p.endpoint = newTestEndpoint(t, EndpointConfig{Server: true, StatelessResetKey: &pairReset, ConnIDs: server.ConnIDs})
			p.connect()
			p.transfer(p.client, p.server, Bidi, 100_000, 1e9)
			p.transfer(p.server, p.client, Uni, 100_000, 1e9)
			if got := len(p.client.ids.local); n[0] == 0 && got != 1 || n[0] > 1 && got != maxIssuedConnIDs {
				t.Errorf("%d IDs of the client", got)
			}
			seen := map[ConnID]bool{}
			for _, l := range p.client.ids.local {
				if seen[l.id] {
					t.Errorf("ID %v twice", l.id)
				}
				seen[l.id] = true
			}
			// A client with empty IDs moves all the same.
			p.clientAddr = epOther
			p.transfer(p.client, p.server, Bidi, 100_000, 1e9)
		})
	}
}

// sameIDs always makes the same ID.
type sameIDs struct{}

func (sameIDs) Len() int                   { return 5 }
func (sameIDs) Generate(id, random []byte) { copy(id, "12345") }

func TestConnIDsThatRepeat(t *testing.T) {
	client := fakeConfig(1)
	client.ConnIDs = sameIDs{}
	p := newPair(t, client, fakeConfig(2))
	p.connect()
	if n := len(p.client.ids.local); n != 1 {
		t.Errorf("%d connection IDs of the same bytes were issued", n)
	}
	p.transfer(p.client, p.server, Bidi, 10_000, 1e9)
}

// TestPreferredAddressID: the ID of a preferred address is one as any other.
func TestPreferredAddressID(t *testing.T) {
	var pref wire.PreferredAddress
	pref.IPv4 = epOther
	pref.ConnID = wire.NewConnID(peerID(1))
	s := newServerScript(t, scriptOptions{params: func(p *wire.TransportParameters) {
		p.PreferredAddress, p.HasPreferredAddress = pref, true
	}})
	s.write(newPeerID(2, 2))
	s.want("RETIRE_CONNECTION_ID seq=0")
	s.want("RETIRE_CONNECTION_ID seq=1")
	s.wantOpen()
}
