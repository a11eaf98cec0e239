package quic

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// flood sends packets of n frames each and never acknowledges anything. The
// memory of the connection must not grow beyond most bytes, whatever comes; the
// connection may close, but not because the peer does too much of it.
func flood(t *testing.T, o scriptOptions, packets int, most int64, frames func(i int) []byte) *script {
	t.Helper()
	edit := o.config
	o.config = func(c *Config) {
		c.GlitchLimit = -1
		if edit != nil {
			edit(c)
		}
	}
	s := newClientScript(t, o)
	s.initialOpen = nil
	before := leak.Heap()
	i := 0
	for range packets {
		var b []byte
		for len(b) < 1100 {
			f := frames(i)
			if len(f) == 0 || len(b)+len(f) > 1300 {
				break
			}
			b = append(b, f...)
			i++
		}
		s.recvConn(s.packet(wire.Packet1RTT, b))
		for { // to nowhere
			if _, ok := s.conn.IO().Transmit(s.now, s.buf, 64); !ok {
				break
			}
		}
		s.conn.IO().TakeRoutes()
		s.now = s.now.Add(time.Millisecond)
		if s.conn.Err() != nil {
			break
		}
	}
	s.got, s.raw, s.texts, s.out = nil, nil, nil, nil
	if grown := leak.Heap() - before; grown > most {
		t.Errorf("%d bytes of memory after %d frames (error: %v)", grown, i, s.conn.Err())
	}
	return s
}

// TestFloods sends frames without progress: each costs a bounded time and no memory
// (rows 1, 2, 3, 9, 11 of the attacks).
func TestFloods(t *testing.T) {
	packets := 3000
	if testing.Short() {
		packets = 300
	}
	for name, frames := range floods {
		t.Run(name, func(t *testing.T) {
			most := int64(200 << 10)
			if strings.Contains(name, "DATAGRAM") {
				most += defaultDatagramQueue / 2 // empty and tiny ones count for more than they take
			}
			s := flood(t, scriptOptions{}, packets, most, frames)
			if n := s.conn.OpenStreams(); n > 400 {
				t.Errorf("%d streams", n)
			}
		})
	}
}

// floods are frames that bring nothing, or next to nothing.
var floods = map[string]func(i int) []byte{
	"PING":           func(i int) []byte { return []byte{wire.FramePing} },
	"PADDING":        func(i int) []byte { return make([]byte, 1100) },
	"empty STREAM":   func(i int) []byte { return streamFrame(StreamID(i%100*4), 0, "", false) },
	"STREAM again":   func(i int) []byte { return streamFrame(StreamID(i%100*4), 0, "x", false) },
	"MAX_DATA":       func(i int) []byte { return wire.AppendMaxData(nil, uint64(i)) },
	"MAX_STREAMS":    func(i int) []byte { return wire.AppendMaxStreams(nil, i%2 == 0, uint64(i)) },
	"STREAM_BLOCKED": func(i int) []byte { return wire.AppendStreamDataBlocked(nil, uint64(i%100*4), uint64(i)) },
	"DATA_BLOCKED":   func(i int) []byte { return wire.AppendDataBlocked(nil, uint64(i)) },
	"STREAMS_BLOCKED": func(i int) []byte {
		return wire.AppendStreamsBlocked(nil, i%2 == 0, uint64(i))
	},
	"MAX_STREAM_DATA": func(i int) []byte { return wire.AppendMaxStreamData(nil, uint64(i%100*4), uint64(i)) },
	"STOP_SENDING":    func(i int) []byte { return wire.AppendStopSending(nil, uint64(i%100*4), uint64(i)) },
	"RESET_STREAM":    func(i int) []byte { return wire.AppendResetStream(nil, uint64(i%100*4), uint64(i), 0) },
	"PATH_CHALLENGE":  func(i int) []byte { return wire.AppendPathChallenge(nil, &[8]byte{byte(i), byte(i >> 8)}) },
	"PATH_RESPONSE":   func(i int) []byte { return wire.AppendPathResponse(nil, &[8]byte{byte(i), byte(i >> 8)}) },
	"NEW_CONNECTION_ID": func(i int) []byte {
		return wire.AppendNewConnectionID(nil, uint64(i+1), uint64(i+1), []byte(fmt.Sprintf("%07d", i)), &[16]byte{})
	},
	"the same NEW_CONNECTION_ID": func(i int) []byte { return newPeerID(uint64(i%3+1), 0) },
	"old NEW_CONNECTION_ID":      func(i int) []byte { return newPeerID(uint64(i%300+1), uint64(i%300+1)) },
	"RETIRE_CONNECTION_ID":       func(i int) []byte { return wire.AppendRetireConnectionID(nil, uint64(i%3+1)) },
	"DATAGRAM":                   func(i int) []byte { return append(wire.AppendDatagramHeader(nil, 1), 'x') },
	"empty DATAGRAM":             func(i int) []byte { return wire.AppendDatagramHeader(nil, 0) },
	"CRYPTO": func(i int) []byte {
		return append(wire.AppendCryptoHeader(nil, uint64(i%1000*60), 1), 'x')
	},
	"ACK": func(i int) []byte { return wire.AppendAck(nil, []wire.Range{{Start: 0, End: 1}}, uint64(i), nil, 100) },
}

// TestReassemblyMemory sends tiny pieces with gaps, from the front, from the back and in disorder, on all
// streams (rows 5 and 6): what is held is bounded by the flow control windows.
func TestReassemblyMemory(t *testing.T) {
	const window, conn = 64 << 10, 256 << 10
	edit := func(c *Config) { c.StreamWindow, c.ConnWindow = window, conn }
	rng := rand.New(rand.NewPCG(3, 4))
	// Pages are rounded up, and a gap costs 16 bytes.
	const most = 2*conn + 1<<20
	for name, offset := range map[string]func(i int) (id StreamID, off uint64){
		"every second byte":       func(i int) (StreamID, uint64) { return StreamID(i / 2000 % 100 * 4), uint64(2*(i%2000) + 1) },
		"one byte a page":         func(i int) (StreamID, uint64) { return StreamID(i / 4 % 100 * 4), uint64(i%4*16<<10) + 8000 },
		"from the back":           func(i int) (StreamID, uint64) { return StreamID(i / 2000 % 4 * 4), uint64(60_000 - 2*(i%2000)) },
		"in disorder":             func(i int) (StreamID, uint64) { return StreamID(rng.Uint64N(4) * 4), 1 + rng.Uint64N(window-2) },
		"first byte of many":      func(i int) (StreamID, uint64) { return StreamID(i % 100 * 4), 1 },
		"the last byte of each":   func(i int) (StreamID, uint64) { return StreamID(i % 100 * 4), window - 2 },
		"gaps of growing breadth": func(i int) (StreamID, uint64) { return 0, uint64(i*i%window) + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := flood(t, scriptOptions{config: edit}, 600, most, func(i int) []byte {
				id, off := offset(i)
				return streamFrame(id, off, "x", false)
			})
			if err := s.conn.Err(); err != nil {
				if te, ok := err.(*TransportError); !ok || te.Code != FlowControlError && te.Code != InternalError {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}

// TestUnreadStreams: a peer that fills all windows holds what they allow (row 25).
func TestUnreadStreams(t *testing.T) {
	const conn = 256 << 10
	data := strings.Repeat("x", 1000)
	s := flood(t, scriptOptions{config: func(c *Config) { c.StreamWindow, c.ConnWindow = 64<<10, conn }}, 1000, 2*conn+300<<10, func(i int) []byte {
		return streamFrame(StreamID(i%10*4), uint64(i/10)*1000, data, false)
	})
	if te, ok := s.conn.Err().(*TransportError); !ok || te.Code != FlowControlError {
		t.Errorf("error %v", s.conn.Err())
	}
}

// TestSelectiveAck acknowledges all packets but a few (row 1): what waits for those
// is bounded by the congestion window, and control frames are state.
func TestSelectiveAck(t *testing.T) {
	s := newClientScript(t, scriptOptions{params: func(p *wire.TransportParameters) {
		p.InitialMaxData, p.InitialMaxStreamDataUni = 1<<40, 1<<40
	}})
	id, _ := s.conn.OpenStream(Uni)
	data := make([]byte, 64<<10)
	var before int64
	for round := range 600 {
		s.conn.StreamWrite(id, data, false)
		s.collect()
		var r []wire.Range
		for _, g := range s.received {
			if g.Start < 40 && g.End > 40 { // 40 never arrives
				r = append(r, wire.Range{Start: g.Start, End: 40}, wire.Range{Start: 41, End: g.End})
				continue
			}
			r = append(r, g)
		}
		s.forget()
		s.write(wire.AppendAck(nil, r, 0, nil, 1000))
		s.tick(10 * time.Millisecond)
		s.forget()
		if s.conn.Err() != nil {
			t.Fatal(s.conn.Err())
		}
		if round == 100 {
			before = leak.Heap()
		}
	}
	leak.CheckHeap(t, before, 8<<20)
}

// TestTimeRunsBackwards: a clock that jumps does no harm (row 13).
func TestTimeRunsBackwards(t *testing.T) {
	bothRoles(t, func(t *testing.T, s *script) {
		id, _ := s.conn.OpenStream(Bidi)
		for i := range 50 {
			s.conn.StreamWrite(id, make([]byte, 1000), false)
			s.now = s.now.Add(time.Duration(1-i%3*2) * time.Second)
			s.conn.IO().HandleDeadline(s.now)
			s.conn.IO().HandleDeadline(time.Time{})
			s.collect()
			s.ackAll()
		}
		s.wantOpen()
		s.tick(1 << 62)
		s.conn.IO().HandleDeadline(time.Unix(1<<40, 0))
		if s.conn.Err() == nil {
			t.Error("no idle timeout after 146 years")
		}
	})
}

// TestKeyUpdateByPeer: updates that follow the rules are followed, others close (row 26).
func TestKeyUpdateByPeer(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	for i := range 5 {
		if err := s.app.Update(s.now.Sub(epStart)); err != nil {
			t.Fatal(i, err)
		}
		s.write([]byte{wire.FramePing}, []byte{wire.FramePing})
		s.tick(30 * time.Millisecond)
		s.wantOpen()
		if got := s.conn.Stats().KeyUpdates; got != uint64(i+1) {
			t.Errorf("%d updates", got)
		}
		// The acknowledgment confirms it.
		for pn := range s.pn[wire.SpaceApp] {
			_ = s.app.OnAcked(pn)
		}
		s.tick(time.Second)
	}
}

// TestUpdateKeys from our side.
func TestUpdateKeys(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	if err := p.client.UpdateKeys(); err != ErrNotConnected {
		t.Errorf("before the handshake: %v", err)
	}
	p.connect()
	for range 5 {
		if err := p.client.UpdateKeys(); err != nil {
			t.Fatal(err)
		}
		if err := p.client.UpdateKeys(); err == nil {
			t.Error("a second update at once")
		}
		p.transfer(p.client, p.server, Bidi, 50_000, time.Minute)
		end := p.now.Add(2 * time.Second)
		for p.now.Before(end) {
			p.client.Ping()
			p.step()
		}
	}
	if a, b := p.client.Stats().KeyUpdates, p.server.Stats().KeyUpdates; a != 5 || b != 5 {
		t.Errorf("%d and %d updates", a, b)
	}
}

// TestPTOBackoff: a peer that has vanished is asked ever more rarely, and no arithmetic overflows (row 30).
func TestPTOBackoff(t *testing.T) {
	s := newClientScript(t, scriptOptions{
		config: func(c *Config) { c.MaxIdleTimeout = -1 },
		params: func(p *wire.TransportParameters) { p.MaxAckDelay, p.AckDelayExponent = 1<<14-1, 20 },
	})
	id, _ := s.conn.OpenStream(Uni)
	s.conn.StreamWrite(id, make([]byte, 100_000), true)
	s.collect()
	s.forget()
	began := s.now
	for range 300 {
		s.timer()
	}
	if s.now.Sub(began) < time.Hour {
		t.Errorf("300 timeouts within %v", s.now.Sub(began))
	}
	s.wantOpen()
	s.ackAll()
	for range 50 {
		s.tick(100 * time.Millisecond)
		s.ackAll()
	}
	if s.conn.OpenStreams() != 0 {
		t.Error("the peer is back, and the stream does not end")
	}
}

// TestUpdateKeysAfterSilence: keys may be updated again when those before are not kept any more, though nothing
// was received or sent since.
func TestUpdateKeysAfterSilence(t *testing.T) {
	p := newPair(t, fakeConfig(1), fakeConfig(2))
	p.connect()
	for i := range 3 {
		for _, end := p.now, p.now.Add(time.Second); p.now.Before(end); {
			p.flush(p.client)
			p.flush(p.server)
			if !p.step() {
				break
			}
		}
		if err := p.client.UpdateKeys(); err != nil {
			t.Fatalf("update %d: %v", i+1, err)
		}
	}
}
