package quic

import (
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

func datagramFrame(data string) []byte {
	return append(wire.AppendDatagramHeader(nil, len(data)), data...)
}

// TestDatagramLimit: the largest datagram fits a packet and the peer's limit, and one byte more does not.
func TestDatagramLimit(t *testing.T) {
	for _, peer := range []uint64{0, 1, 2, 3, 10, 66, 67, 1000, 1200, 65535, wire.MaxVarint} {
		s := newClientScript(t, scriptOptions{params: func(p *wire.TransportParameters) { p.MaxDatagramFrameSize = peer }})
		limit := s.conn.DatagramLimit()
		if peer < 2 {
			if err := s.conn.SendDatagram(nil); err != ErrDatagramUnsupported || limit != 0 {
				t.Errorf("%v, limit %d", err, limit)
			}
			continue
		}
		if e, ok := s.conn.SendDatagram(make([]byte, limit+1)).(*DatagramTooLargeError); !ok || e.Limit != limit || e.Size != limit+1 {
			t.Errorf("peer's limit %d: one byte more than %d passes", peer, limit)
		}
		if err := s.conn.SendDatagram(make([]byte, limit)); err != nil {
			t.Errorf("peer's limit %d: %v", peer, err)
		}
		s.collect()
		n := 0
		for i := range s.raw {
			if f := &s.raw[i]; f.Type&^1 == wire.FrameDatagram {
				n++
				if size := uint64(wire.DatagramHeaderLen(len(f.Data)) + len(f.Data)); size > peer || len(f.Data) != limit {
					t.Errorf("peer's limit %d: a frame of %d bytes", peer, size)
				}
			}
		}
		if n != 1 {
			t.Errorf("peer's limit %d: %d datagrams of %d bytes were sent", peer, n, limit)
		}
		for _, d := range s.out {
			if d.size > 1200 {
				t.Errorf("a packet of %d bytes", d.size)
			}
		}
	}
}

// TestDatagramQueues are bounded, in bytes and in number, and tell when there is room, or something.
func TestDatagramQueues(t *testing.T) {
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.DatagramQueue = 5000 }})
	event := func(want EventKind) {
		t.Helper()
		ev, ok := s.conn.NextEvent()
		if ok != (want != 0) || ok && ev.Kind != want {
			t.Errorf("event %v, want %v", ev.Kind, want)
		}
	}
	sent := 0
	for s.conn.SendDatagram(nil) == nil {
		sent++
	}
	if sent < 50 || sent > 80 {
		t.Errorf("%d empty datagrams were queued", sent)
	}
	if err := s.conn.SendDatagram(nil); err != ErrDatagramQueueFull {
		t.Error(err)
	}
	event(0)
	writable := s.conn.IO().Writable()
	s.collect()
	if n := s.conn.IO().Writable(); n != writable+1 {
		t.Errorf("Writable was %d and is %d: nobody would have the application send more", writable, n)
	}
	event(EventDatagramWritable)
	if n := s.conn.IO().Writable(); n != writable {
		t.Errorf("Writable is %d after the event", n)
	}
	if err := s.conn.SendDatagram([]byte("x")); err != nil {
		t.Error(err)
	}
	s.collect()
	event(0)
	// Received.
	for range 10 {
		for range 10 {
			s.recvConn(s.packet(wire.Packet1RTT, datagramFrame("0123456789"), datagramFrame("")))
		}
	}
	event(EventDatagramReadable)
	event(0)
	n := 0
	buf := make([]byte, 5)
	for {
		m, ok := s.conn.ReadDatagram(buf)
		if !ok {
			break
		}
		if n%2 == 0 && m != 5 || n%2 == 1 && m != 0 {
			t.Errorf("datagram %d has %d bytes", n, m)
		}
		n++
	}
	st := s.conn.Stats()
	if n < 50 || n > 80 || int(st.DatagramsReceived) != 200 || int(st.DatagramsDropped) != 200-n {
		t.Errorf("%d were read, %d came, %d were dropped", n, st.DatagramsReceived, st.DatagramsDropped)
	}
	s.write(datagramFrame("x"))
	event(EventDatagramReadable)
	s.ackAll()
	s.tick(time.Second)
	s.wantOpen()
}

// TestDatagramNotOffered closes (RFC 9221, Section 3).
func TestDatagramNotOffered(t *testing.T) {
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.EnableDatagrams = false }})
	s.write(datagramFrame("x"))
	s.wantClose(ProtocolViolation)
}

// TestDatagramsAreNotSentAgain: what is lost is lost.
func TestDatagramsAreNotSentAgain(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	if err := s.conn.SendDatagram([]byte("x")); err != nil {
		t.Fatal(err)
	}
	s.want("DATAGRAM len=1")
	for range 3 {
		s.timer()
	}
	s.wantNone("DATAGRAM")
	s.ackAll()
	s.wantOpen()
}

// TestDatagramsWhenMTUShrinks: what does not fit any more is dropped, and holds nothing up.
func TestDatagramsWhenMTUShrinks(t *testing.T) {
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.DisablePathMTUDiscovery = false }})
	if got := s.conn.Stats().PathMTU; got != 1452 {
		t.Fatalf("size %d", got)
	}
	if err := s.conn.SendDatagram(make([]byte, 1400)); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.SendDatagram(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	s.conn.IO().HandleTooLarge(s.now, &Train{N: 1452, Segment: 1452})
	s.want("DATAGRAM len=100")
	s.wantNone("DATAGRAM")
}
