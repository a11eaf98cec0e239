package h3

import (
	"slices"
	"testing"

	"github.com/frittata-go/frittata/h3/qpack"
	"github.com/frittata-go/frittata/quic"
)

// fakeConn is a transport in memory. A test writes what the peer sends with
// peerWrite and looks at what was sent, or joins two of them with pump.
type fakeConn struct {
	client                bool
	sendBuf               int // bytes of a stream that wait, at most
	uniLimit              int // streams that OpenStream allows
	bidiLimit             int
	glitches, glitchLimit int

	datagrams int
	streams   map[quic.StreamID]*fakeStream
	opened    [2]int
	readable  []quic.StreamID
	writable  []quic.StreamID
	closed    error
	forget    bool // streams that are done both ways; most tests still want to look at them
}

type fakeStream struct {
	out       []byte // sent and not taken by the peer
	outFin    bool
	short     bool
	sendOver  bool // the end or a reset was written
	stopped   bool // by the peer
	stopCode  uint64
	reset     bool // by us
	resetCode uint64

	in          []byte
	inFin       bool
	ended       bool // the end or the reset was read
	peerReset   bool
	peerCode    uint64
	weStopped   bool
	weStopCode  uint64
	urgency     uint8
	incremental bool

	finTold, resetTold, stopTold bool // by pump
}

func newFake(client bool) *fakeConn {
	return &fakeConn{client: client, sendBuf: 1 << 16, uniLimit: 100, bidiLimit: 1 << 30, streams: make(map[quic.StreamID]*fakeStream)}
}

func (f *fakeConn) IsClient() bool     { return f.client }
func (f *fakeConn) DatagramLimit() int { return f.datagrams }

func (f *fakeConn) Glitch(n int) bool {
	f.glitches += n
	return f.glitchLimit == 0 || f.glitches <= f.glitchLimit
}

func (f *fakeConn) OpenStream(dir quic.Dir) (quic.StreamID, error) {
	limit := f.bidiLimit
	if dir == quic.Uni {
		limit = f.uniLimit
	}
	if f.opened[dir] >= limit {
		return 0, quic.ErrStreamLimit
	}
	id := quic.StreamID(f.opened[dir]<<2) | quic.StreamID(dir)<<1
	if !f.client {
		id |= 1
	}
	f.opened[dir]++
	f.streams[id] = &fakeStream{urgency: 3, ended: dir == quic.Uni}
	return id, nil
}

func (f *fakeConn) NextReadable() (quic.StreamID, bool) { return pop(&f.readable) }
func (f *fakeConn) NextWritable() (quic.StreamID, bool) { return pop(&f.writable) }

func pop(q *[]quic.StreamID) (quic.StreamID, bool) {
	if len(*q) == 0 {
		return 0, false
	}
	id := (*q)[0]
	*q = (*q)[:copy(*q, (*q)[1:])]
	return id, true
}

func (f *fakeConn) armRead(id quic.StreamID) {
	if !slices.Contains(f.readable, id) {
		f.readable = append(f.readable, id)
	}
}

func (f *fakeConn) armWrite(id quic.StreamID) {
	if !slices.Contains(f.writable, id) {
		f.writable = append(f.writable, id)
	}
}

func (f *fakeConn) RearmWrite(id quic.StreamID) {
	if st := f.streams[id]; st != nil && !st.sendOver {
		st.short = true
		f.maybeWritable(id, st)
	}
}

func (f *fakeConn) maybeWritable(id quic.StreamID, st *fakeStream) {
	if st.short && len(st.out) <= f.sendBuf/2 {
		st.short = false
		f.armWrite(id)
	}
}

func (f *fakeConn) reading(id quic.StreamID) (*fakeStream, error) {
	st := f.streams[id]
	switch {
	case f.closed != nil:
		return nil, f.closed
	case st == nil || st.weStopped:
		return nil, quic.ErrNoStream
	case st.peerReset:
		st.ended = true
		f.maybeFinish(id, st)
		return nil, &quic.StreamResetError{Stream: id, Code: st.peerCode}
	}
	return st, nil
}

func (f *fakeConn) StreamRead(id quic.StreamID, p []byte) (n int, fin bool, err error) {
	st, err := f.reading(id)
	if err != nil {
		return 0, false, err
	}
	n = copy(p, st.in)
	st.in = st.in[n:]
	return n, f.afterRead(id, st), nil
}

func (f *fakeConn) afterRead(id quic.StreamID, st *fakeStream) bool {
	if st.inFin && len(st.in) == 0 {
		st.ended = true
		f.maybeFinish(id, st)
		return true
	}
	return false
}

func (f *fakeConn) StreamReadBuf(id quic.StreamID, max int) (*quic.Buffer, bool, error) {
	st, err := f.reading(id)
	if err != nil {
		return nil, false, err
	}
	n := min(max, len(st.in))
	var b *quic.Buffer
	if n > 0 {
		b = &quic.Buffer{B: slices.Clone(st.in[:n])}
		st.in = st.in[n:]
	}
	return b, f.afterRead(id, st), nil
}

func (f *fakeConn) StreamReadable(id quic.StreamID) int {
	if st := f.streams[id]; st != nil && !st.weStopped {
		return len(st.in)
	}
	return 0
}

func (f *fakeConn) writing(id quic.StreamID) (*fakeStream, error) {
	st := f.streams[id]
	switch {
	case f.closed != nil:
		return nil, f.closed
	case st == nil:
		return nil, quic.ErrNoStream
	case st.stopped:
		return nil, &quic.StreamStoppedError{Stream: id, Code: st.stopCode}
	case st.sendOver:
		return nil, quic.ErrStreamFinished
	}
	return st, nil
}

func (f *fakeConn) StreamWrite(id quic.StreamID, p []byte, fin bool) (int, error) {
	st, err := f.writing(id)
	if err != nil {
		return 0, err
	}
	n := min(len(p), max(f.sendBuf-len(st.out), 0))
	st.out = append(st.out, p[:n]...)
	if n < len(p) {
		st.short = true
	} else if fin {
		st.outFin, st.sendOver = true, true
		f.maybeFinish(id, st)
	}
	return n, nil
}

func (f *fakeConn) StreamWriteBuf(id quic.StreamID, b *quic.Buffer, fin bool) (bool, error) {
	st, err := f.writing(id)
	if err != nil {
		return false, err
	}
	if len(st.out) >= f.sendBuf {
		st.short = true
		return false, nil
	}
	st.out = append(st.out, b.B...)
	if fin {
		st.outFin, st.sendOver = true, true
		f.maybeFinish(id, st)
	}
	return true, nil
}

func (f *fakeConn) StreamCapacity(id quic.StreamID) int {
	if st, err := f.writing(id); err == nil {
		return max(f.sendBuf-len(st.out), 0)
	}
	return 0
}

func (f *fakeConn) ResetStream(id quic.StreamID, code uint64) error {
	st := f.streams[id]
	if st == nil {
		return quic.ErrNoStream
	}
	if !st.reset && !st.stopped {
		st.reset, st.resetCode, st.sendOver = true, code, true
		st.out = nil
	}
	f.maybeFinish(id, st)
	return nil
}

func (f *fakeConn) StopSending(id quic.StreamID, code uint64) error {
	st, err := f.reading(id)
	if _, reset := err.(*quic.StreamResetError); reset {
		return nil
	}
	if err != nil {
		return err
	}
	st.weStopped, st.weStopCode, st.in = true, code, nil
	f.maybeFinish(id, st)
	return nil
}

func (f *fakeConn) SetStreamPriority(id quic.StreamID, urgency uint8, incremental bool) error {
	st := f.streams[id]
	if st == nil {
		return quic.ErrNoStream
	}
	st.urgency, st.incremental = urgency, incremental
	return nil
}

// maybeFinish forgets what is done both ways and needs no look any more.
func (f *fakeConn) maybeFinish(id quic.StreamID, st *fakeStream) {
	if f.forget && (st.ended || st.weStopped) && st.sendOver && id.Dir() == quic.Bidi && !slices.Contains(f.writable, id) {
		delete(f.streams, id)
	}
}

// peerStream returns a stream that the peer may have just opened.
func (f *fakeConn) peerStream(id quic.StreamID) *fakeStream {
	st := f.streams[id]
	if st == nil {
		st = &fakeStream{urgency: 3, sendOver: id.Dir() == quic.Uni}
		f.streams[id] = st
	}
	return st
}

func (f *fakeConn) peerWrite(id quic.StreamID, p []byte, fin bool) {
	st := f.peerStream(id)
	if !st.weStopped {
		st.in = append(st.in, p...)
		st.inFin = st.inFin || fin
		f.armRead(id)
	}
}

func (f *fakeConn) peerResets(id quic.StreamID, code uint64) {
	st := f.peerStream(id)
	st.peerReset, st.peerCode = true, code
	f.armRead(id)
}

func (f *fakeConn) peerStops(id quic.StreamID, code uint64) {
	st := f.peerStream(id)
	st.stopped, st.stopCode = true, code
	st.sendOver = true
	f.armWrite(id)
}

// take removes n bytes of what was sent on the stream, all if n < 0.
func (f *fakeConn) take(id quic.StreamID, n int) (p []byte, fin bool) {
	st := f.streams[id]
	if st == nil {
		return nil, false
	}
	if n < 0 || n > len(st.out) {
		n = len(st.out)
	}
	p = slices.Clone(st.out[:n])
	st.out = st.out[n:]
	f.maybeWritable(id, st)
	return p, st.outFin && len(st.out) == 0
}

// pump moves what a has sent to b, up to n bytes of each stream (all if n < 0),
// and tells whether anything moved.
func pump(a, b *fakeConn, n int) (moved bool) {
	ids := make([]quic.StreamID, 0, len(a.streams))
	for id := range a.streams {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		st := a.streams[id]
		if len(st.out) > 0 || st.outFin && !st.reset && !st.finTold {
			p, fin := a.take(id, n)
			st.finTold = st.finTold || fin
			if len(p) > 0 || fin {
				b.peerWrite(id, p, fin)
				moved = true
			}
		}
		if st.reset && !st.resetTold {
			st.resetTold = true
			b.peerResets(id, st.resetCode)
			moved = true
		}
		if st.weStopped && !st.stopTold {
			st.stopTold = true
			b.peerStops(id, st.weStopCode)
			moved = true
		}
	}
	return moved
}

// script is a Conn over a fake whose peer the test plays.
type script struct {
	t testing.TB
	c *Conn
	f *fakeConn
}

// newScript makes a Conn whose peer has opened its control stream (unless bare).
func newScript(t testing.TB, client bool, cfg *Config) *script {
	s := newBareScript(t, client, cfg)
	s.f.peerWrite(s.peerUni(0), append([]byte{0}, AppendSettings(nil, nil)...), false)
	if ev := s.event(); ev.Kind != EventSettings {
		t.Fatalf("event %v, want settings", ev.Kind)
	}
	return s
}

func newBareScript(t testing.TB, client bool, cfg *Config) *script {
	f := newFake(client)
	c, err := newConn(f, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &script{t, c, f}
}

// peerUni returns the peer's nth unidirectional stream.
func (s *script) peerUni(n int) quic.StreamID {
	id := quic.StreamID(n<<2 | 2)
	if s.c.client {
		id |= 1
	}
	return id
}

// event returns the next event, which has to be there.
func (s *script) event() Event {
	s.t.Helper()
	ev, ok, err := s.c.Next()
	if err != nil {
		s.t.Fatal(err)
	}
	if !ok {
		s.t.Fatal("no event")
	}
	return ev
}

// want returns the next event, which has to be of a kind and stream.
func (s *script) want(kind EventKind, id quic.StreamID) Event {
	s.t.Helper()
	ev := s.event()
	if ev.Kind != kind || ev.Stream != id {
		s.t.Fatalf("event %v of stream %d (%v), want %v of %d", ev.Kind, ev.Stream, ev.Err, kind, id)
	}
	return ev
}

// quiet checks that there is no event.
func (s *script) quiet() {
	s.t.Helper()
	if ev, ok, err := s.c.Next(); ok || err != nil {
		s.t.Fatalf("event %v of stream %d, error %v; want none", ev.Kind, ev.Stream, err)
	}
}

// wantError checks that the next thing is an error of the connection.
func (s *script) wantError(code ErrorCode) {
	s.t.Helper()
	ev, ok, err := s.c.Next()
	if e, is := err.(*Error); !is || e.Code != code {
		s.t.Fatalf("event %v %v, error %v; want %v", ev.Kind, ok, err, code)
	}
	if _, _, again := s.c.Next(); again != err {
		s.t.Fatalf("then error %v", again)
	}
}

// headers encodes a HEADERS frame: names and values in turn.
func headers(nv ...string) []byte {
	var e qpack.Encoder
	e.KeepCase = true
	return frame(FrameHeaders, string(e.AppendSection(nil, fields(nv...))))
}

// frame encodes a frame.
func frame(frameType uint64, payload string) []byte {
	return append(AppendFrameHeader(nil, frameType, uint64(len(payload))), payload...)
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func fields(nv ...string) (f []Field) {
	for i := 0; i < len(nv); i += 2 {
		f = append(f, Field{Name: nv[i], Value: nv[i+1]})
	}
	return f
}

var get = []string{":method", "GET", ":scheme", "https", ":authority", "example.com", ":path", "/"}
var post = []string{":method", "POST", ":scheme", "https", ":authority", "example.com", ":path", "/"}

func with(a []string, more ...string) []string { return slices.Concat(a, more) }
