package quic

import (
	"errors"
	"testing"
	"time"
)

// maxStrayAllocs is what some tens of thousands of packets may allocate: the
// garbage collector empties pools, and a map or a ring may grow once more.
const maxStrayAllocs = 10

// steady is a pair of connections that move data from memory to memory, with
// nothing allocated outside of them.
type steady struct {
	*pair
	id    StreamID
	data  []byte
	train []byte
	d     Datagram
}

func newSteady(t testing.TB) *steady {
	pool := new(BufferPool)
	cfg := func(seed byte) *Config {
		c := fakeConfig(seed)
		c.Buffers = pool
		c.StreamWindow, c.ConnWindow = 4<<20, 6<<20
		c.EnableDatagrams = true
		return c
	}
	p := newPair(t, cfg(1), cfg(2))
	p.connect()
	id, err := p.client.OpenStream(Bidi)
	if err != nil {
		t.Fatal(err)
	}
	s := &steady{pair: p, id: id, data: make([]byte, 16<<10), train: make([]byte, 64<<10)}
	if _, err := p.client.StreamWrite(id, s.data[:1], false); err != nil {
		t.Fatal(err)
	}
	p.until("the server sees the stream", time.Second, func() bool { return p.server.OpenStreams() == 1 })
	return s
}

// carry moves what from has to send to the other end.
func (s *steady) carry(from, to *Conn, addr Datagram) {
	for {
		tr, ok := from.IO().Transmit(s.now, s.train, 64)
		if !ok {
			return
		}
		for b := s.train[:tr.N]; len(b) > 0; b = b[min(tr.Segment, len(b)):] {
			s.d = addr
			s.d.Data = b[:min(tr.Segment, len(b))]
			to.IO().Recv(s.now, &s.d)
		}
	}
}

// drain reads all that there is at c.
func (s *steady) drain(c *Conn, own bool) {
	for {
		id, ok := c.NextReadable()
		if !ok {
			return
		}
		for {
			var n int
			var fin bool
			var err error
			if own {
				var b *Buffer
				if b, fin, err = c.StreamReadBuf(id, 16<<10); b != nil {
					n = len(b.B)
					b.Release()
				}
			} else {
				n, fin, err = c.StreamRead(id, s.data)
			}
			if err != nil {
				s.t.Fatal(err)
			}
			if n == 0 || fin {
				break
			}
		}
	}
}

func (s *steady) round(own bool) {
	toServer := Datagram{Remote: pairClientAddr, Local: pairServerAddr.Addr()}
	toClient := Datagram{Remote: pairServerAddr}
	for _, c := range []*Conn{s.client, s.server} {
		if own {
			b := c.cfg.Buffers.Get(16 << 10)
			b.B = append(b.B, s.data...)
			ok, err := c.StreamWriteBuf(s.id, b, false)
			if err != nil {
				s.t.Fatal(err)
			}
			if !ok {
				b.Release()
			}
		} else if _, err := c.StreamWrite(s.id, s.data, false); err != nil {
			s.t.Fatal(err)
		}
		for {
			if _, ok := c.NextWritable(); !ok {
				break
			}
		}
	}
	s.now = s.now.Add(100 * time.Microsecond)
	s.carry(s.client, s.server, toServer)
	s.drain(s.server, own)
	s.carry(s.server, s.client, toClient)
	s.drain(s.client, own)
	for _, c := range []*Conn{s.client, s.server} {
		if t, ok := c.IO().Deadline(); ok && !t.After(s.now) {
			c.IO().HandleDeadline(s.now)
		}
		c.NextEvent()
		c.IO().TakeRoutes()
	}
}

// A steady transfer in both directions allocates nothing, neither for a packet nor for a train.
func TestSteadyTransferDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop at random in race builds")
	}
	for name, own := range map[string]bool{"copies": false, "buffers": true} {
		t.Run(name, func(t *testing.T) {
			s := newSteady(t)
			for range 3000 { // windows grow, arenas too
				s.round(own)
			}
			before := s.client.Stats()
			// All rounds in one run: the average of many would hide an allocation now and then.
			allocs := testing.AllocsPerRun(1, func() {
				for range 1500 {
					s.round(own)
				}
			})
			after := s.client.Stats()
			t.Logf("%d packets sent, %d received by the client", after.PacketsSent-before.PacketsSent, after.PacketsReceived-before.PacketsReceived)
			if n := after.StreamBytesSent - before.StreamBytesSent; n < 30<<20 {
				t.Errorf("only %d bytes were sent", n)
			}
			t.Logf("%v allocations", allocs)
			if allocs > maxStrayAllocs {
				t.Errorf("%v allocations", allocs)
			}
		})
	}
}

// Neither do datagrams.
func TestDatagramsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop at random in race builds")
	}
	s := newSteady(t)
	round := func() {
		for range 20 {
			if err := s.client.SendDatagram(s.data[:1000]); err != nil && !errors.Is(err, ErrDatagramQueueFull) {
				t.Fatal(err)
			}
		}
		s.round(false)
		for range 20 {
			s.server.ReadDatagram(s.train)
		}
		s.server.ReadDatagram(s.train)
	}
	for range 2000 {
		round()
	}
	n := testing.AllocsPerRun(1, func() {
		for range 1500 {
			round()
		}
	})
	t.Logf("%v allocations", n)
	if n > maxStrayAllocs {
		t.Errorf("%v allocations", n)
	}
}

// A stream costs the two ends what its state takes, and a transfer with losses
// only what the memory of the reordered pieces does.
func TestShortStreamAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop at random in race builds")
	}
	s := newSteady(t)
	toServer := Datagram{Remote: pairClientAddr, Local: pairServerAddr.Addr()}
	toClient := Datagram{Remote: pairServerAddr}
	stream := func() {
		id, err := s.client.OpenStream(Bidi)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.client.StreamWrite(id, s.data[:100], true); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.now = s.now.Add(time.Millisecond)
			s.carry(s.client, s.server, toServer)
			for {
				rid, ok := s.server.NextReadable()
				if !ok {
					break
				}
				if _, fin, err := s.server.StreamRead(rid, s.train); err != nil {
					t.Fatal(err)
				} else if fin {
					if _, err := s.server.StreamWrite(rid, s.data[:100], true); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.carry(s.server, s.client, toClient)
			s.drain(s.client, false)
		}
		s.now = s.now.Add(30 * time.Millisecond)
		for _, c := range []*Conn{s.client, s.server} {
			if t, ok := c.IO().Deadline(); ok && !t.After(s.now) {
				c.IO().HandleDeadline(s.now)
			}
		}
		s.carry(s.client, s.server, toServer)
		s.carry(s.server, s.client, toClient)
	}
	for range 500 {
		stream()
	}
	n := testing.AllocsPerRun(500, stream)
	t.Logf("%v allocations for a stream, both ends", n)
	if n > 10 {
		t.Errorf("%v allocations for a stream, both ends", n)
	}
	if k := s.client.OpenStreams() + s.server.OpenStreams(); k > 4 {
		t.Errorf("%d streams are left", k)
	}
}
