package quic

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// TestBusyPeer keeps nearly all streams open for good and goes through the few that
// are left: credit comes although no part of the limit worth a frame is ever free.
// The peer sends no STREAMS_BLOCKED.
func TestBusyPeer(t *testing.T) {
	for _, busy := range []int{0, 1, 50, 75, 76, 99} {
		for _, dir := range []Dir{Bidi, Uni} {
			s := newClientScript(t, scriptOptions{})
			limit, next := uint64(100), uint64(0)
			id := func() StreamID { next++; return StreamID((next-1)<<2 | uint64(dir)<<1) }
			buf := make([]byte, 10)
			for range busy {
				s.write(streamFrame(id(), 0, "x", false))
			}
			for range 500 {
				if next >= limit {
					t.Fatalf("%d streams of the peer's are open: stalled after %d", busy, next)
				}
				i := id()
				s.write(streamFrame(i, 0, "x", true))
				if _, fin, err := s.conn.StreamRead(i, buf); !fin || err != nil {
					t.Fatal(fin, err)
				}
				if dir == Bidi {
					if _, err := s.conn.StreamWrite(i, []byte("y"), true); err != nil {
						t.Fatal(err)
					}
				}
				s.collect()
				s.ackAll()
				for j := range s.raw {
					if f := &s.raw[j]; f.Type == wire.FrameMaxStreamsBidi || f.Type == wire.FrameMaxStreamsUni {
						limit = max(limit, f.Limit)
					}
				}
				s.forget()
				if n := limit - next; n > 100-uint64(busy) {
					t.Fatalf("%d streams of the peer's are open, and %d more are allowed", busy, n)
				}
			}
		}
	}
}

// TestHeldStream gives credit only when the handler is done.
func TestHeldStream(t *testing.T) {
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.MaxStreamsUni = 1 }})
	s.write(streamFrame(2, 0, "x", true))
	s.conn.HoldStream(2)
	if _, fin, _ := s.conn.StreamRead(2, make([]byte, 2)); !fin {
		t.Fatal("no end")
	}
	s.wantNone("MAX_STREAMS")
	if s.conn.OpenStreams() != 1 {
		t.Error("the stream is gone")
	}
	s.conn.ReleaseStream(2)
	s.conn.ReleaseStream(2)
	s.want("MAX_STREAMS uni 2")
	if s.conn.OpenStreams() != 0 {
		t.Error("the stream is left")
	}
	// Whoever holds a stream that is not there holds nothing.
	s.conn.HoldStream(6)
	s.conn.ReleaseStream(6)
	// Held from its beginning, and reset by both: the same.
	s.write(streamFrame(6, 0, "x", false))
	s.conn.HoldStream(6)
	s.write(wire.AppendResetStream(nil, 6, 1, 1))
	if _, _, err := s.conn.StreamRead(6, nil); err == nil {
		t.Error("no reset")
	}
	s.wantNone("MAX_STREAMS")
	s.conn.ReleaseStream(6)
	s.want("MAX_STREAMS uni 3")
}

// TestStreamChurn opens and resets streams without end (row 10 of the attacks):
// what handlers hold counts, and memory stays the same.
func TestStreamChurn(t *testing.T) {
	rounds := 100_000
	if testing.Short() {
		rounds = 5_000
	}
	for name, frames := range map[string]func(id StreamID) []byte{
		"open and reset": func(id StreamID) []byte {
			return append(streamFrame(id, 0, "x", false), wire.AppendResetStream(nil, uint64(id), 0, 1)...)
		},
		"reset alone": func(id StreamID) []byte { return wire.AppendResetStream(nil, uint64(id), 0, 0) },
		"stop and reset": func(id StreamID) []byte {
			return append(wire.AppendStopSending(nil, uint64(id), 0), wire.AppendResetStream(nil, uint64(id), 0, 0)...)
		},
		"empty": func(id StreamID) []byte { return streamFrame(id, 0, "", true) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newClientScript(t, scriptOptions{config: func(c *Config) { c.GlitchLimit = -1 }})
			var before int64
			for i := range rounds {
				id := StreamID(i * 4)
				s.recvConn(s.packet(wire.Packet1RTT, frames(id)))
				for r, ok := s.conn.NextReadable(); ok; r, ok = s.conn.NextReadable() {
					s.conn.StreamRead(r, nil)
					s.conn.ResetStream(r, 0)
				}
				if i%10 == 0 {
					s.collect()
					s.ackAll()
					s.forget()
				}
				if err := s.conn.Err(); err != nil {
					t.Fatalf("stream %d: %v", id, err)
				}
				if i == rounds/10 {
					before = leak.Heap()
				}
			}
			if grown := leak.Heap() - before; grown > 200<<10 {
				t.Errorf("%d bytes more than after a tenth of the streams", grown)
			}
			if n := s.conn.OpenStreams(); n > 20 {
				t.Errorf("%d streams are left", n)
			}
		})
	}
}

// TestRapidReset: a peer that never acknowledges cannot have streams without end.
func TestRapidReset(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	for i := range 10_000 {
		id := StreamID(i * 4)
		s.write(streamFrame(id, 0, "x", false), wire.AppendResetStream(nil, uint64(id), 0, 1))
		for r, ok := s.conn.NextReadable(); ok; r, ok = s.conn.NextReadable() {
			s.conn.StreamRead(r, nil)
			s.conn.StreamWrite(r, []byte("answer"), true)
		}
		if n := s.conn.OpenStreams(); n > 200 {
			t.Fatalf("%d streams", n)
		}
		if s.conn.Err() != nil {
			break
		}
		s.forget()
	}
	s.wantClose(StreamLimitError)
}

// TestUnseenStreams: a stream opens all with lesser numbers (RFC 9000, Section 2.1), at no cost.
func TestUnseenStreams(t *testing.T) {
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.MaxStreamsUni = 1 << 30 }})
	s.write(streamFrame(4*(1<<30-1)+2, 0, "x", false))
	if n := s.conn.OpenStreams(); n != 1 {
		t.Errorf("%d streams", n)
	}
	s.write(streamFrame(2, 0, "x", true), streamFrame(4*500+2, 0, "y", true))
	for _, want := range []StreamID{2, 4*500 + 2, 4*(1<<30-1) + 2} {
		if id, ok := s.conn.NextReadable(); !ok || id != want {
			t.Errorf("readable %d, want %d", id, want)
		}
	}
	s.conn.StreamRead(2, make([]byte, 5))
	s.write(streamFrame(2, 0, "x", true)) // gone, not new
	if _, ok := s.conn.NextReadable(); ok {
		t.Error("a stream that was done begins anew")
	}
	s.wantOpen()
}

// TestResetVariants: RESET_STREAM before, between and after data and the end.
func TestResetVariants(t *testing.T) {
	buf := make([]byte, 100)
	type step func(s *script)
	frame := func(b []byte) step { return func(s *script) { s.write(b) } }
	read := func(n int, fin, reset bool) step {
		return func(s *script) {
			s.t.Helper()
			m, f, err := s.conn.StreamRead(2, buf)
			e, r := err.(*StreamResetError)
			if m != n || f != fin || r != reset || r && e.Code != 7 {
				s.t.Errorf("read %d, %v, %v; want %d, %v, reset %v", m, f, err, n, fin, reset)
			}
		}
	}
	reset := func(size uint64) step { return frame(wire.AppendResetStream(nil, 2, 7, size)) }
	for name, steps := range map[string][]step{
		"data, reset":                      {frame(streamFrame(2, 0, "abc", false)), reset(3), read(0, false, true)},
		"reset beyond the data":            {frame(streamFrame(2, 0, "abc", false)), reset(1000), read(0, false, true)},
		"reset first":                      {reset(10), frame(streamFrame(2, 0, "abc", false)), read(0, false, true)},
		"reset after all data":             {frame(streamFrame(2, 0, "abc", true)), reset(3), read(3, true, false)},
		"reset after FIN, with a gap":      {frame(streamFrame(2, 3, "abc", true)), reset(6), read(0, false, true)},
		"reset after the end was read":     {frame(streamFrame(2, 0, "abc", true)), read(3, true, false), reset(3)},
		"FIN after reset":                  {reset(3), frame(streamFrame(2, 0, "abc", true)), read(0, false, true)},
		"reset twice":                      {reset(3), reset(3), read(0, false, true), reset(3)},
		"part read, then reset":            {frame(streamFrame(2, 0, "abc", false)), read(3, false, false), reset(3), read(0, false, true)},
		"reset, another code":              {reset(3), frame(wire.AppendResetStream(nil, 2, 8, 3)), read(0, false, true)},
		"empty reset":                      {reset(0), read(0, false, true)},
		"duplicate data and end":           {frame(streamFrame(2, 0, "abc", true)), frame(streamFrame(2, 0, "abc", true)), read(3, true, false)},
		"end in a frame of its own, early": {frame(streamFrame(2, 3, "", true)), read(0, false, false), frame(streamFrame(2, 0, "abc", false)), read(3, true, false)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newClientScript(t, scriptOptions{})
			for _, f := range steps {
				f(s)
			}
			s.wantOpen()
			if n := s.conn.OpenStreams(); n != 0 {
				t.Errorf("%d streams are left", n)
			}
		})
	}
}

// TestFinalSizes: what contradicts a final size closes the connection, even when the
// stream is not read any more (RFC 9000, Section 4.5).
func TestFinalSizes(t *testing.T) {
	for name, b := range map[string][]byte{
		"reset, then data beyond":  append(wire.AppendResetStream(nil, 2, 0, 3), streamFrame(2, 3, "x", false)...),
		"reset, then another":      append(wire.AppendResetStream(nil, 2, 0, 3), wire.AppendResetStream(nil, 2, 0, 4)...),
		"reset, then a lesser FIN": append(wire.AppendResetStream(nil, 2, 0, 3), streamFrame(2, 0, "x", true)...),
		"reset below the data":     append(streamFrame(2, 9, "x", false), wire.AppendResetStream(nil, 2, 0, 9)...),
		"FIN below the data":       append(streamFrame(2, 9, "x", false), streamFrame(2, 8, "x", true)...),
	} {
		for _, stop := range []bool{false, true} {
			s := newClientScript(t, scriptOptions{})
			s.write(streamFrame(2, 0, "", false))
			if stop {
				if err := s.conn.StopSending(2, 1); err != nil {
					t.Fatal(err)
				}
			}
			s.write(b)
			// A stopped stream whose end is known is gone: what comes for it is ignored.
			if te, ok := s.conn.Err().(*TransportError); (!ok || te.Code != FinalSizeError) && !(stop && strings.HasPrefix(name, "reset, ")) {
				t.Errorf("%s (stopped %v): %v", name, stop, s.conn.Err())
			}
		}
	}
}

// TestStopSendingVariants: StopSending in each state of the receiving half.
func TestStopSendingVariants(t *testing.T) {
	for name, test := range map[string]struct {
		before, after []byte
		frame         bool // STOP_SENDING is sent
	}{
		"open":                {streamFrame(2, 0, "abc", false), wire.AppendResetStream(nil, 2, 9, 3), true},
		"answered by FIN":     {streamFrame(2, 0, "abc", false), streamFrame(2, 3, "def", true), true},
		"reset beyond":        {streamFrame(2, 0, "abc", false), wire.AppendResetStream(nil, 2, 9, 300), true},
		"all data is there":   {streamFrame(2, 0, "abc", true), nil, false},
		"end known, with gap": {streamFrame(2, 3, "abc", true), nil, false},
		"reset already":       {wire.AppendResetStream(nil, 2, 9, 3), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newClientScript(t, scriptOptions{config: func(c *Config) { c.MaxStreamsUni = 1; c.ConnWindow = 1000; c.MaxConnWindow = 1000 }})
			s.write(test.before)
			if err := s.conn.StopSending(2, 5); err != nil {
				t.Fatal(err)
			}
			if test.frame {
				s.want("STOP_SENDING id=2 code=0x5")
			} else {
				s.wantNone("STOP_SENDING")
			}
			if _, _, err := s.conn.StreamRead(2, make([]byte, 9)); err != ErrNoStream {
				t.Errorf("read: %v", err)
			}
			if test.after != nil {
				s.write(test.after)
			}
			s.want("MAX_STREAMS uni 2")
			if s.conn.OpenStreams() != 0 {
				t.Error("the stream is left")
			}
			// What was not read gives its credit back.
			got := s.conn.strs.received
			if end := s.conn.strs.recvWindow.Limit(); end-1000 > got {
				t.Errorf("limit %d after %d bytes", end, got)
			}
			s.wantOpen()
		})
	}
}

// TestConnWindowOfDroppedData: data of streams that nobody reads must not use the connection's window up.
func TestConnWindowOfDroppedData(t *testing.T) {
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.ConnWindow, c.MaxConnWindow = 10_000, 10_000 }})
	limit := uint64(10_000)
	sent := uint64(0)
	for i := range 500 {
		id := StreamID(i*4 + 2)
		if sent+900 > limit {
			t.Fatalf("stalled after %d streams", i)
		}
		sent += 900
		switch i % 3 {
		case 0: // reset before it was read
			s.write(streamFrame(id, 0, strings.Repeat("x", 800), false))
			s.write(wire.AppendResetStream(nil, uint64(id), 0, 900))
			s.conn.StreamRead(id, nil)
		case 1: // stopped, then data
			s.write(streamFrame(id, 0, "x", false))
			s.conn.StopSending(id, 0)
			s.write(streamFrame(id, 100, strings.Repeat("x", 800), true))
		case 2: // data, then stopped
			s.write(streamFrame(id, 100, strings.Repeat("x", 700), false))
			s.conn.StopSending(id, 0)
			s.write(wire.AppendResetStream(nil, uint64(id), 0, 900))
		}
		s.ackAll()
		for j := range s.raw {
			if s.raw[j].Type == wire.FrameMaxData {
				limit = max(limit, s.raw[j].Limit)
			}
		}
		s.forget()
		s.wantOpen()
	}
}

// TestStreamErrors: what commands say that do not fit the stream.
func TestStreamErrors(t *testing.T) {
	s := newClientScript(t, scriptOptions{params: func(p *wire.TransportParameters) { p.InitialMaxStreamsBidi = 1 }})
	s.write(streamFrame(2, 0, "x", false))
	own, _ := s.conn.OpenStream(Uni)
	bidi, _ := s.conn.OpenStream(Bidi)
	pool := new(BufferPool)
	for name, check := range map[string]func() (error, error){
		"limit":              func() (error, error) { _, err := s.conn.OpenStream(Bidi); return err, ErrStreamLimit },
		"read of our uni":    func() (error, error) { _, _, err := s.conn.StreamRead(own, nil); return err, ErrNoStream },
		"read of none":       func() (error, error) { _, _, err := s.conn.StreamRead(400, nil); return err, ErrNoStream },
		"readbuf of none":    func() (error, error) { _, _, err := s.conn.StreamReadBuf(400, 9); return err, ErrNoStream },
		"write to their uni": func() (error, error) { _, err := s.conn.StreamWrite(2, nil, false); return err, ErrNoStream },
		"write to none":      func() (error, error) { _, err := s.conn.StreamWrite(400, nil, false); return err, ErrNoStream },
		"writebuf to none": func() (error, error) {
			_, err := s.conn.StreamWriteBuf(400, pool.Get(1), false)
			return err, ErrNoStream
		},
		"reset of none":        func() (error, error) { return s.conn.ResetStream(400, 0), ErrNoStream },
		"stop of none":         func() (error, error) { return s.conn.StopSending(400, 0), ErrNoStream },
		"stop of our uni":      func() (error, error) { return s.conn.StopSending(own, 0), ErrNoStream },
		"priority of none":     func() (error, error) { return s.conn.SetStreamPriority(400, 0, false), ErrNoStream },
		"reset of their uni":   func() (error, error) { return s.conn.ResetStream(2, 0), nil },
		"huge code":            func() (error, error) { return s.conn.ResetStream(bidi, 1<<64-1), nil },
		"urgency out of range": func() (error, error) { return s.conn.SetStreamPriority(own, 200, true), nil },
	} {
		if got, want := check(); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if n := s.conn.StreamCapacity(400) + s.conn.StreamReadable(400) + s.conn.StreamCapacity(2) + s.conn.StreamReadable(own); n != 0 {
		t.Error("room where there is none")
	}
	s.want("RESET_STREAM id=1 code=0x3fffffffffffffff")
	if _, err := s.conn.StreamWrite(own, []byte("x"), true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.StreamWrite(own, []byte("x"), true); err != ErrStreamFinished {
		t.Errorf("write after the end: %v", err)
	}
	if _, err := s.conn.StreamWrite(bidi, []byte("x"), true); err != ErrStreamFinished {
		t.Errorf("write after reset: %v", err)
	}
	s.wantOpen()
}

// TestStreamBuffers passes data by ownership.
func TestStreamBuffers(t *testing.T) {
	pool := new(BufferPool)
	s := newClientScript(t, scriptOptions{config: func(c *Config) { c.Buffers, c.SendBuffer = pool, 1000 }})
	id, _ := s.conn.OpenStream(Bidi)
	buf := func(n int) *Buffer {
		b := pool.Get(n)
		for i := range n {
			b.B = append(b.B, byte(i))
		}
		return b
	}
	if ok, err := s.conn.StreamWriteBuf(id, buf(900), false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	// There is any room, so all is taken.
	if ok, err := s.conn.StreamWriteBuf(id, buf(5000), false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	full := buf(10)
	if ok, err := s.conn.StreamWriteBuf(id, full, true); ok || err != nil {
		t.Fatal(ok, err)
	}
	if len(full.B) != 10 || s.conn.StreamCapacity(id) != 0 {
		t.Error("a buffer that was not taken is gone")
	}
	s.want("STREAM id=1")
	if w, ok := s.conn.NextWritable(); !ok || w != id {
		t.Fatal("not told of room")
	}
	if ok, err := s.conn.StreamWriteBuf(id, full, true); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := s.conn.StreamWriteBuf(id, buf(1), false); ok || err != ErrStreamFinished {
		t.Fatal(ok, err)
	}
	for i := 0; i < 10; i++ {
		s.collect()
		s.ackAll()
	}
	if !bytes.Contains([]byte(strings.Join(s.texts, "|")), []byte("fin")) {
		t.Error("no end")
	}
	// Reading: pieces of at most so many bytes.
	s.write(streamFrame(id, 0, strings.Repeat("x", 700), true))
	got := 0
	for {
		b, fin, err := s.conn.StreamReadBuf(id, 300)
		if err != nil {
			t.Fatal(err)
		}
		if b != nil {
			if len(b.B) == 0 || len(b.B) > 300 {
				t.Errorf("a piece of %d bytes", len(b.B))
			}
			got += len(b.B)
			b.Release()
		}
		if fin {
			break
		}
		if b == nil {
			t.Fatal("no end")
		}
	}
	if got != 700 || s.conn.OpenStreams() != 0 {
		t.Errorf("%d bytes, %d streams are left", got, s.conn.OpenStreams())
	}
}

// TestWindowsTuneThemselves: windows grow where the reader is fast and the path long, and
// not where the reader is slow.
func TestWindowsTuneThemselves(t *testing.T) {
	for _, slow := range []bool{false, true} {
		client, server := fakeConfig(1), fakeConfig(2)
		for _, c := range []*Config{client, server} {
			c.StreamWindow, c.ConnWindow = 64<<10, 96<<10
			c.MaxStreamWindow, c.MaxConnWindow = 1<<20, 2<<20
			c.KeepAlive = 500 * time.Millisecond // so that time goes by in small steps
		}
		p := newPair(t, client, server)
		p.delay = 50 * time.Millisecond
		p.connect()
		id, _ := p.client.OpenStream(Uni)
		chunk := make([]byte, 64<<10)
		read, next := 0, p.now
		p.until("transfer", 5*time.Minute, func() bool {
			p.client.StreamWrite(id, chunk, false)
			if slow && p.now.Before(next) {
				return read > 500_000
			}
			next = p.now.Add(time.Second)
			n, _, _ := p.server.StreamRead(id, chunk[:16<<10])
			for !slow && n > 0 {
				read += n
				n, _, _ = p.server.StreamRead(id, chunk)
			}
			read += n
			return read > 8<<20 || slow && read > 500_000
		})
		st := p.server.strs.find(id)
		if got := st.recv.window.Window(); slow && got > 128<<10 || !slow && got < 256<<10 {
			t.Errorf("slow %v: stream window %d", slow, got)
		}
		if got := p.server.strs.recvWindow.Window(); got > 2<<20 || !slow && got < 384<<10 {
			t.Errorf("slow %v: connection window %d", slow, got)
		}
	}
}

// TestMaxStreamsFrames: limits are raised by a good part at a time where the peer has plenty left.
func TestMaxStreamsFrames(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	n := 0
	for i := range 1000 {
		id := StreamID(i*4 + 2)
		s.write(streamFrame(id, 0, "x", true))
		s.conn.StreamRead(id, make([]byte, 2))
		s.ackAll()
		for _, g := range s.got {
			if strings.HasPrefix(g, "MAX_STREAMS") {
				n++
			}
		}
		s.forget()
	}
	if n < 30 || n > 50 {
		t.Errorf("%d MAX_STREAMS frames for 1000 streams", n)
	}
}

func TestDirStrings(t *testing.T) {
	if got := fmt.Sprint(Bidi, Uni, StreamID(7), EventClosed, EventKind(99), VerdictKind(99)); got != "bidi uni 7 closed unknown unknown" {
		t.Error(got)
	}
}

// TestConnSendBuffer: hundreds of streams that are written to as they ask for it have no more unsent bytes together
// than is said, none of them starves, and all arrives.
func TestConnSendBuffer(t *testing.T) {
	const (
		streams = 300
		size    = 100_000
		per     = 64 << 10
		all     = 1 << 20
	)
	client, server := fakeConfig(1), fakeConfig(2)
	client.SendBuffer, client.ConnSendBuffer = per, all
	server.MaxStreamsUni = streams
	server.ConnWindow, server.MaxConnWindow = 50_000, 200_000 // it takes many rounds
	p := newPair(t, client, server)
	p.connect()
	rest, got := make(map[StreamID]int), make(map[StreamID]int)
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i)
	}
	most := 0
	write := func(id StreamID) {
		n, err := p.client.StreamWrite(id, data[size-rest[id]:], true)
		if err != nil {
			t.Fatal(err)
		}
		rest[id] -= n
		most = max(most, p.client.strs.unsent)
	}
	for range streams {
		id, err := p.client.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		rest[id] = size
		before := p.client.strs.unsent
		write(id)
		if n := size - rest[id]; before < all && n != per || before >= all && n != leastSendBuffer {
			t.Fatalf("stream %d took %d bytes when the others had %d", id, n, before)
		}
		if p.client.StreamCapacity(id) != 0 {
			t.Error("it takes more")
		}
	}
	left := streams
	var b [5000]byte
	p.until("all has arrived", time.Hour, func() bool {
		for id, ok := p.client.NextWritable(); ok; id, ok = p.client.NextWritable() {
			write(id)
		}
		for id, ok := p.server.NextReadable(); ok; id, ok = p.server.NextReadable() {
			for {
				n, fin, err := p.server.StreamRead(id, b[:])
				if err != nil || !bytes.Equal(b[:n], data[got[id]:got[id]+n]) {
					t.Fatalf("stream %d at %d: %v", id, got[id], err)
				}
				got[id] += n
				if fin && got[id] != size {
					t.Fatalf("stream %d ended at %d", id, got[id])
				}
				if fin {
					left--
				}
				if n == 0 || fin {
					break
				}
			}
		}
		return left == 0
	})
	if bound := all + per + streams*leastSendBuffer; most > bound {
		t.Errorf("%d bytes were not sent, more than %d", most, bound)
	}
	if n := p.client.strs.unsent; n != 0 {
		t.Errorf("%d bytes are left", n)
	}
	// What is reset is not sent.
	id, err := p.client.OpenStream(Bidi)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = p.client.StreamWrite(id, data, false); err != nil || p.client.strs.unsent != per {
		t.Fatal(err, p.client.strs.unsent)
	}
	if err := p.client.ResetStream(id, 1); err != nil || p.client.strs.unsent != 0 {
		t.Fatal(err, p.client.strs.unsent)
	}
}
