package quic

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// Under DropFlights nothing is kept of new clients and no token is opened, but those
// that wait or are admitted go on.
func TestDropFlights(t *testing.T) {
	e := newTestServer(t)
	initial := epInitial(epDst, epSrc, nil)
	waiting := epIncoming(t, e, epStart, epClient, initial)
	admitted := epIncoming(t, e, epStart, epOther, initial)
	if !e.Admit(admitted, "conn") {
		t.Fatal("not admitted")
	}
	e.SetFlights(DropFlights)
	before := e.Counts()
	next := epInitial([]byte{8, 8, 8, 8, 8, 8, 8, 8}, epSrc, nil)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, next)), DropBusy)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epInitial(epDst[:4], epSrc, []byte("a token of nobody's")))), DropBusy)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, epLong(wire.PacketInitial, Version1, epSrc, epSrc, nil, 1199))), DropTooSmall)
	wantDrop(t, e.Handle(epStart, epFrom(epClient, initial)), DropPending)
	wantRoute(t, e.Handle(epStart, epFrom(epOther, initial)), "conn")
	if c := e.Counts(); c.Pending != before.Pending || c.InvalidTokens != 0 || len(waiting.datagrams) != 2 {
		t.Errorf("counts were %+v, are %+v", before, c)
	}
	e.SetFlights(AskFlights)
	epIncoming(t, e, epStart, epClient, next)
}

// Under RetryFlights the Endpoint answers by itself, and who comes back with the token is asked about.
func TestRetryFlights(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{Server: true, MaxPending: 1})
	e.SetFlights(RetryFlights)
	v := e.Handle(epStart, epFrom(epClient, epInitial(epDst, epSrc, nil)))
	if v.Kind != VerdictReply || v.Answer != AnswerRetry {
		t.Fatalf("%+v", v)
	}
	var h wire.Header
	if err := wire.ParseHeader(v.Reply, 8, &h); err != nil || h.Type != wire.PacketRetry {
		t.Fatalf("%+v, %v", h, err)
	}
	again := epInitial(append([]byte(nil), h.SrcID...), epSrc, append([]byte(nil), h.Token...))
	in := epIncoming(t, e, epStart, epClient, again)
	if !in.Validated() || in.OriginalDstID() != NewConnID(epDst) {
		t.Errorf("validated %v, of %v", in.Validated(), in.OriginalDstID())
	}
	// There is no room for more to wait, but that is not what a Retry needs.
	if v := e.Handle(epStart, epFrom(epOther, epInitial(epDst, epSrc, nil))); v.Answer != AnswerRetry {
		t.Errorf("%+v", v)
	}
	wantDrop(t, e.Handle(epStart, epFrom(epOther, again)), DropPendingFull)
	if c := e.Counts(); c.Retries != 2 || c.Pending != 1 {
		t.Errorf("%+v", c)
	}
	// Another address has the token.
	e.Ignore(in)
	if v := e.Handle(epStart, epFrom(epOther, again)); v.Answer != AnswerInvalidToken {
		t.Errorf("%+v", v)
	}
	wantDrop(t, e.Handle(epStart, epFrom(epOther, epInitial(epDst[:4], epSrc, nil))), DropMalformed)
}

func TestRefuseFlights(t *testing.T) {
	e := newTestServer(t)
	e.SetFlights(RefuseFlights)
	v := e.Handle(epStart, epFrom(epClient, epInitial(epDst, epSrc, nil)))
	if v.Kind != VerdictReply || v.Answer != AnswerRefusal || len(v.Reply) == 0 {
		t.Fatalf("%+v", v)
	}
	if c := e.Counts(); c.Refusals != 1 || c.Pending != 0 {
		t.Errorf("%+v", c)
	}
}

// rejects are the kinds of datagrams that are not for a connection, each with the
// Endpoint that turns it away.
var rejects = []struct {
	name     string
	drop     DropReason // zero: it is answered
	answer   Answer
	allocs   float64 // at most
	cfg      func(*EndpointConfig)
	first    FlightPolicy
	datagram func() []byte
}{
	{name: "flight dropped", drop: DropBusy, first: DropFlights},
	{name: "flight, no room", drop: DropPendingFull, cfg: func(c *EndpointConfig) { c.MaxPending = -1 }},
	{name: "flight, no Retry left", drop: DropRateLimited, answer: AnswerRetry, first: RetryFlights, cfg: func(c *EndpointConfig) { c.ReplyRate = -1 }},
	{name: "flight, no refusal left", drop: DropRateLimited, answer: AnswerRefusal, first: RefuseFlights, cfg: func(c *EndpointConfig) { c.ReplyRate = -1 }},
	{name: "flight, Retry", answer: AnswerRetry, first: RetryFlights, allocs: 3},
	{name: "flight, refusal", answer: AnswerRefusal, first: RefuseFlights, allocs: 5},
	{name: "flight too small", drop: DropTooSmall, datagram: func() []byte { return epLong(wire.PacketInitial, Version1, epDst, epSrc, nil, 1100) }},
	{name: "junk, short", drop: DropUnknownID, cfg: func(c *EndpointConfig) { c.StatelessResetKey = nil }, datagram: func() []byte { return append([]byte{0x40}, make([]byte, 99)...) }},
	{name: "junk, long", drop: DropMalformed, datagram: func() []byte { return append([]byte{0xc0, 0, 0, 0, 1, 255, 255}, make([]byte, 20)...) }},
	{name: "handshake packet of no connection", drop: DropUnknownID, datagram: func() []byte {
		b := epInitial(epDst, epSrc, nil)
		b[0] = 0xe0
		return b
	}},
	{name: "unknown ID, reset", answer: AnswerReset, datagram: func() []byte { return append([]byte{0x40, 9, 9}, make([]byte, 99)...) }},
	{name: "unknown ID, no reset left", drop: DropRateLimited, answer: AnswerReset, cfg: func(c *EndpointConfig) { c.ResetRate = -1 }, datagram: func() []byte { return append([]byte{0x40, 9, 9}, make([]byte, 99)...) }},
	{name: "unknown version", answer: AnswerVersionNegotiation, datagram: func() []byte { return epUnknownVersion(0x1a2a3a4a, epDst, epSrc, 1200) }},
	{name: "unknown version, no answer left", drop: DropRateLimited, answer: AnswerVersionNegotiation, cfg: func(c *EndpointConfig) { c.ReplyRate = -1 },
		datagram: func() []byte { return epUnknownVersion(0x1a2a3a4a, epDst, epSrc, 1200) }},
}

// rejecting returns a function that has the i-th reject handled, each time from another client.
func rejecting(t testing.TB, i int) func() Verdict {
	r := &rejects[i]
	cfg := EndpointConfig{Server: true, StatelessResetKey: &epReset}
	if r.cfg != nil {
		r.cfg(&cfg)
	}
	full := cfg.MaxPending < 0
	if full {
		cfg.MaxPending = 1
	}
	e := newTestEndpoint(t, cfg)
	if full {
		epIncoming(t, e, epStart, epOther, epInitial(epDst, epSrc, nil))
	}
	for n := range byte(100) {
		token := [16]byte{n, 1}
		e.Apply(&RouteChanges{Route: n, Added: []ConnID{NewConnID([]byte{1, n, 3, 4, 5, 6, 7, 8})}, AddedResets: [][16]byte{token}})
	}
	e.SetFlights(r.first)
	b := epInitial(epDst, epSrc, nil)
	if r.datagram != nil {
		b = r.datagram()
	}
	d := epFrom(epClient, b)
	now, n := epStart, uint64(0)
	return func() Verdict {
		n++
		if b[0]&0x80 == 0 {
			binary.BigEndian.PutUint32(b[5:], uint32(n))
		} else if b[5] == 8 {
			binary.BigEndian.PutUint64(b[6:], n)
		}
		if full {
			return e.Handle(now, d)
		}
		now = now.Add(time.Second) // there are answers left
		return e.Handle(now, d)
	}
}

// What is turned away costs no memory, and an answer next to none.
func TestRejectsAllocate(t *testing.T) {
	for i := range rejects {
		r := &rejects[i]
		handle := rejecting(t, i)
		if v := handle(); v.Drop != r.drop || v.Answer != r.answer {
			t.Errorf("%s: %+v", r.name, v)
		}
		if n := testing.AllocsPerRun(100, func() { handle() }); n > r.allocs {
			t.Errorf("%s: %v allocations", r.name, n)
		}
	}
}

func BenchmarkReject(b *testing.B) {
	for i := range rejects {
		b.Run(rejects[i].name, func(b *testing.B) {
			handle := rejecting(b, i)
			b.ReportAllocs()
			for b.Loop() {
				handle()
			}
		})
	}
}
