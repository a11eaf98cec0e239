package quic

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// tape is what a fuzzer wrote, read as numbers and bytes. At its end there are zeros.
type tape struct{ b []byte }

func (t *tape) byte() byte {
	if len(t.b) == 0 {
		return 0
	}
	v := t.b[0]
	t.b = t.b[1:]
	return v
}

func (t *tape) bytes(n int) []byte {
	n = min(n, len(t.b))
	v := t.b[:n]
	t.b = t.b[n:]
	return v
}

// num is mostly small, and at times as large as it may be, or just below.
func (t *tape) num() uint64 {
	switch v := t.byte(); {
	case v < 200:
		return uint64(v)
	case v < 230:
		return uint64(v-200)<<8 | uint64(t.byte())
	case v < 245:
		return uint64(v-229) << 16
	default:
		return wire.MaxVarint - uint64(255-v)
	}
}

// frame makes a well-formed frame of any kind.
func (t *tape) frame(s *script) []byte {
	code := func() uint64 { return t.num() }
	id := func() uint64 { return uint64(t.byte() % 24) }
	switch t.byte() % 22 {
	case 0:
		return streamFrame(StreamID(id()), t.num()&(1<<60-1), string(t.bytes(int(t.byte()%40))), t.byte()&1 != 0)
	case 1:
		return wire.AppendResetStream(nil, id(), code(), t.num())
	case 2:
		return wire.AppendStopSending(nil, id(), code())
	case 3:
		return wire.AppendMaxData(nil, t.num())
	case 4:
		return wire.AppendMaxStreamData(nil, id(), t.num())
	case 5:
		return wire.AppendMaxStreams(nil, t.byte()&1 != 0, t.num()&(1<<60-1))
	case 6:
		return wire.AppendDataBlocked(nil, t.num())
	case 7:
		return wire.AppendStreamDataBlocked(nil, id(), t.num())
	case 8:
		return wire.AppendStreamsBlocked(nil, t.byte()&1 != 0, t.num()&(1<<60-1))
	case 9:
		seq := t.num()
		return newPeerID(seq, min(t.num(), seq))
	case 10:
		return wire.AppendRetireConnectionID(nil, t.num())
	case 11:
		return wire.AppendPathChallenge(nil, &[8]byte{t.byte()})
	case 12:
		f := &[8]byte{t.byte()}
		if v := &s.conn.paths.active.validation; v.sent > 0 && t.byte()&1 != 0 {
			f = &v.data[v.sent-1]
		}
		return wire.AppendPathResponse(nil, f)
	case 13:
		if t.byte() > 250 {
			return wire.AppendConnectionClose(nil, t.byte()&1 != 0, code(), 0, "x")
		}
		return []byte{wire.FramePing}
	case 14:
		return wire.AppendHandshakeDone(nil)
	case 15:
		return append(wire.AppendCryptoHeader(nil, t.num()&(1<<60-1), 1), 'x')
	case 16:
		b := t.bytes(int(t.byte() % 40))
		return append(wire.AppendDatagramHeader(nil, len(b)), b...)
	case 17:
		last := s.next[wire.SpaceApp]
		first := last - min(last, uint64(t.byte()))
		if last == 0 || first == last {
			return []byte{wire.FramePing}
		}
		return wire.AppendAck(nil, []wire.Range{{Start: first, End: last}}, t.num(), &wire.ECNCounts{ECT0: t.num(), CE: t.num()}, 100)
	case 18:
		return wire.AppendAck(nil, s.received, t.num(), nil, 400)
	case 19:
		return make([]byte, 1+t.byte())
	case 20:
		return t.bytes(int(t.byte()))
	}
	return []byte{wire.FramePing}
}

// call makes the application do something.
func (t *tape) call(s *script) {
	c := s.conn
	id := StreamID(t.byte() % 24)
	switch t.byte() % 24 {
	case 0, 1:
		c.OpenStream(Dir(t.byte() & 1))
	case 2, 3:
		c.StreamWrite(id, make([]byte, t.num()&0x3ffff), t.byte()&1 != 0)
	case 4:
		c.StreamWriteBuf(id, c.cfg.Buffers.Get(int(t.byte())), t.byte()&1 != 0)
	case 5, 6:
		c.StreamRead(id, make([]byte, t.num()&0xffff))
	case 7:
		if b, _, _ := c.StreamReadBuf(id, 1+int(t.byte())); b != nil {
			b.Release()
		}
	case 8:
		c.ResetStream(id, t.num())
	case 9:
		c.StopSending(id, t.num())
	case 10:
		c.SetStreamPriority(id, t.byte()%8, t.byte()&1 != 0)
	case 11:
		c.HoldStream(id)
	case 12:
		c.ReleaseStream(id)
	case 13:
		for id, ok := c.NextReadable(); ok; id, ok = c.NextReadable() {
			c.StreamRead(id, make([]byte, t.num()&0xffff))
		}
	case 14:
		for id, ok := c.NextWritable(); ok; id, ok = c.NextWritable() {
			c.StreamWrite(id, []byte("more"), false)
		}
	case 15:
		c.RearmRead(id)
		c.RearmWrite(id)
	case 16:
		c.SendDatagram(make([]byte, t.num()&0x7ff))
	case 17:
		c.ReadDatagram(make([]byte, t.byte()))
	case 18:
		c.UpdateKeys()
	case 19:
		c.Ping()
	case 20:
		c.IO().HandleTooLarge(s.now, &Train{N: 1400, Segment: 1200 + int(t.byte())})
	case 21:
		for _, ok := c.NextEvent(); ok; _, ok = c.NextEvent() {
		}
		c.IO().TakeRoutes()
	case 22:
		if t.byte() > 250 {
			c.Close(CloseError{Code: t.num(), Application: t.byte()&1 != 0})
		}
	case 23:
		if t.byte() > 252 {
			c.IO().Abort(errors.New("x"))
		}
	}
}

// addrOf is one of a few addresses of a client.
func addrOf(b byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1 + b>>1&3}), 1000+uint16(b&1))
}

// FuzzConn plays a peer that has completed the handshake and then sends anything,
// while time goes by and the application does anything.
func FuzzConn(f *testing.F) {
	seed := func(ops ...byte) { f.Add(ops) }
	seed(0, 2, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 1, 3, 0, 13, 9, 4, 50)
	seed(1, 3, 0, 0, 3, 1, 2, 1, 1, 4, 255, 2, 18, 0, 4, 200)
	seed(0, 2, 9, 1, 1, 2, 11, 7, 2, 12, 1, 1, 5, 0, 2, 13, 0)
	for i := range 22 {
		b := []byte{byte(i)}
		for j := range 200 {
			b = append(b, byte(j*7*(i+3)+i))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := &tape{b}
		o := scriptOptions{config: func(c *Config) {
			c.StreamWindow, c.ConnWindow, c.SendBuffer, c.DatagramQueue = 10_000, 20_000, 5000, 2000
			c.MaxStreamsBidi, c.MaxStreamsUni = 4, 4
			c.DisablePathMTUDiscovery = false
		}, params: func(p *wire.TransportParameters) {
			p.InitialMaxData, p.InitialMaxStreamDataBidiLocal, p.InitialMaxStreamDataUni = 20_000, 5000, 5000
			p.InitialMaxStreamsBidi, p.InitialMaxStreamsUni = 3, 3
		}}
		var s *script
		if flags := in.byte(); flags&1 == 0 {
			s = newClientScript(t, o)
		} else {
			s = newServerScript(t, o)
		}
		for i := 0; i < 300 && len(in.b) > 0; i++ {
			switch op := in.byte(); op % 8 {
			case 0, 1, 2:
				frames := in.frame(s)
				for n := op / 8 % 4; n > 0; n-- {
					frames = append(frames, in.frame(s)...)
				}
				pkt := s.packet(wire.Packet1RTT, frames[:min(len(frames), 1400)])
				if op >= 240 {
					s.recvFrom(addrOf(op), pkt)
				} else {
					s.recvConn(pkt)
				}
			case 3:
				in.call(s)
			case 4:
				s.tick(time.Duration(in.byte()) << (in.byte() % 32))
			case 5:
				s.pn[wire.SpaceApp] += uint64(in.byte()) // lost
			case 6:
				s.ackAll()
			case 7:
				if ids := s.conn.ids.local; len(ids) > 0 {
					s.connID = ids[int(in.byte())%len(ids)].id
				}
			}
			if err := s.conn.checkInvariants(); err != nil {
				t.Fatal(err)
			}
			if op := len(in.b); op%2 == 0 {
				s.collect()
			}
			s.forget()
		}
		// It ends in any case.
		s.conn.Close(CloseError{})
		for range 3 {
			s.collect()
			if at, ok := s.conn.IO().Deadline(); ok {
				s.now = at
				s.conn.IO().HandleDeadline(at)
			}
		}
		if !s.conn.IO().Gone() || s.conn.Err() == nil || s.conn.OpenStreams() != 0 {
			t.Fatalf("not gone: %v", s.conn.Err())
		}
	})
}

// FuzzDatagrams plays a network between two ends, from the first datagram on, that
// loses, repeats, delays, cuts, changes and makes up datagrams.
func FuzzDatagrams(f *testing.F) {
	f.Add([]byte{})
	for i := range 20 {
		var b []byte
		for j := range 120 {
			b = append(b, byte((j+1)*(i*31+5)>>2))
		}
		f.Add(b)
	}
	f.Add(binary.BigEndian.AppendUint64(nil, 0x0102030405060708))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := &tape{b}
		p := newPair(t, fakeConfig(1), fakeConfig(2))
		p.admission = func(in *Incoming) {
			if p.server == nil {
				p.accept(in)
			} else {
				p.endpoint.Ignore(in)
			}
		}
		p.drop = func(toServer bool, n int, d []byte) bool {
			switch op := in.byte(); op {
			case 1, 2, 3:
				return true
			case 4, 5: // again
				p.enqueue(toServer, append([]byte(nil), d...), time.Duration(op)*time.Millisecond)
			case 6, 7: // later
				p.enqueue(toServer, append([]byte(nil), d...), time.Duration(in.byte())*time.Millisecond)
				return true
			case 8, 9, 10: // changed
				c := append([]byte(nil), d...)
				c[int(in.num())%len(c)] ^= in.byte() | 1
				p.enqueue(toServer, c, 0)
				return op == 8
			case 11: // cut
				p.enqueue(toServer, append([]byte(nil), d[:int(in.num())%len(d)]...), 0)
			case 12: // made up
				p.enqueue(toServer, append([]byte(nil), in.bytes(int(in.byte()))...), 0)
			case 13: // both in one
				c := append(append([]byte(nil), d...), d...)
				p.enqueue(toServer, c, 0)
				return true
			case 14: // from elsewhere
				if toServer {
					p.clientAddr = addrOf(in.byte())
				}
			}
			return false
		}
		id := StreamID(0)
		opened, done := false, false
		for i := 0; i < 3000 && !done && p.client.Err() == nil && (p.server == nil || p.server.Err() == nil); i++ {
			if !p.step() {
				break
			}
			if p.client.Connected() && !opened {
				opened = true
				id, _ = p.client.OpenStream(Bidi)
				p.client.StreamWrite(id, make([]byte, 20_000), true)
			}
			if p.server != nil && opened {
				buf := make([]byte, 5000)
				for n, fin, _ := p.server.StreamRead(id, buf); n > 0 || fin; n, fin, _ = p.server.StreamRead(id, buf) {
					if fin {
						done = true
						break
					}
				}
			}
		}
		p.client.Close(CloseError{})
		for i := 0; i < 3000 && !p.client.IO().Gone(); i++ {
			p.step()
		}
		if !p.client.IO().Gone() {
			t.Fatal("the client does not end")
		}
	})
}
