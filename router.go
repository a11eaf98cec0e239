package frittata

import (
	"bytes"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// receiveBatch is how many messages are read at once. Without GRO, or from many connections, they are
// small. With GRO each may have 64 kB.
const receiveBatch = 16

// receiveFew is how many are read while there is one connection alone whose turns make goroutines runnable, as a
// client with many requests at a time does: the fewer have come at once, the sooner what they
// say goes out, and the peer is busy too.
const receiveFew = 4

// router reads the socket, finds for each datagram its connection, and runs the
// turns of the connections that got some.
type router struct {
	worker
	conn       *udp.Conn // the socket, if it can be waited for without a buffer
	msgs       []udp.Message
	bufs       []*buffer // of msgs, nil where there is none
	runs       []run     // the batch, by connection
	touched    []*Conn   // who got something of it
	replies    []reply   // what the endpoint answered
	replyBytes []byte    // of replies
	strays     []stray   // what is for another Transport of the group, or may be
	watched    bool      // of this batch: the endpoint knows whether clients are admitted
	patience   patience
	lasting    lasting
	few        bool // see receiveFew
}

// reply is what the endpoint answers to a datagram. The bytes are in replyBytes.
type reply struct {
	train quic.Train
	data  []byte
}

func newRouter(t *Transport) *router {
	r := &router{worker: worker{t: t, router: true}}
	r.msgs = make([]udp.Message, receiveBatch)
	r.bufs = make([]*buffer, receiveBatch)
	if t.socket.Caps().Poll {
		if p, ok := t.socket.(interface{ Poll(time.Duration) bool }); ok {
			r.patience.poll = p.Poll
		}
		// One that has another type around it may have packets that the socket knows nothing of.
		r.conn, _ = t.socket.(*udp.Conn)
	}
	r.initDuties(r.onward)
	return r
}

// serve is the router's goroutine, until the socket is closed or another goroutine is the router.
func (r *router) serve() {
	if !r.loop() {
		return
	}
	if !r.t.stopping.Load() {
		r.t.socketClosed()
	}
	r.end()
	busyRouters.Add(-1)
	r.t.queue.leave()
	r.t.wg.Add(-workerCount)
}

// onward goes on with turns that another goroutine has begun.
func (r *router) onward() {
	if r.goOn() {
		r.serve()
	}
}

// loop returns false if another goroutine is the router now.
func (r *router) loop() bool {
	t := r.t
	for {
		r.answer() // not before the turns, which may have gone on on another goroutine
		n, err := r.receive()
		if err != nil {
			if t.readFailed(err) {
				// Whose turns were to come get them by the runners.
				t.queue.spill(r.due)
				return true
			}
			n = 0 // nothing came, but what is due does not wait for the socket to recover
		}
		if n > 0 {
			r.route(n)
		}
		r.stirs = false
		r.gather()
		if len(r.list) > 0 && !r.run() {
			return false
		}
		r.few = r.few && r.stirs
		r.share()
	}
}

// roundsAtOnce is how many batches a router serves, where there are at least as many busy ones
// as processors, before it lets others have its own. Else they would have to wait until the runtime
// takes it away, which is 10 ms.
const roundsAtOnce = 32

// busyRouters is how many routers of the process do not wait.
var busyRouters atomic.Int32

// share lets others have the processor if it is time. Where a processor is idle nobody
// needs this one, and to yield would wake a thread.
func (r *router) share() {
	if r.rounds++; r.rounds < roundsAtOnce {
		return
	}
	r.rounds = 0
	if int(busyRouters.Load()) >= runtime.GOMAXPROCS(0) {
		runtime.Gosched()
	}
}

// receive reads what there is. If there is nothing, and nothing else to do, it
// waits. It does not look again and again before it does so: on a machine where
// the peer, or a handler, waits for the same processor that takes three times as long.
func (r *router) receive() (n int, err error) {
	t := r.t
	r.provide()
	msgs := r.msgs
	if r.few {
		msgs = msgs[:receiveFew]
	}
	n, err = t.socket.TryReadBatch(msgs)
	if n > 0 || err != nil || len(r.due) > 0 {
		r.read = time.Now()
		return n, err
	}
	stays := r.stays()
	if r.yield || r.stirred && !stays {
		// Who was made runnable by the last turns may have something to say. If it
		// does so now, that needs no runner.
		r.yield, r.stirred = false, false
		runtime.Gosched()
	}
	if !t.queue.sleep() {
		r.read = time.Now()
		return 0, nil
	}
	began := time.Now()
	r.lasting = lasting{}
	busyRouters.Add(-1)
	if stays && r.stay() {
		n, err = t.socket.TryReadBatch(msgs)
	}
	if n == 0 && err == nil {
		r.rest()
		r.rounds = 0
		n, err = r.wait()
	}
	busyRouters.Add(1)
	r.read = time.Now()
	r.waited(r.read.Sub(began))
	t.queue.wake(r.read)
	return n, err
}

// wait waits for a packet and reads it.
func (r *router) wait() (n int, err error) {
	if r.conn == nil {
		return r.t.socket.ReadBatch(r.msgs[:1])
	}
	if err := r.conn.Await(); err != nil {
		return 0, err
	}
	r.provide()
	if !r.duties.attend() {
		return r.conn.ReadBatch(r.msgs) // which tells the scheduler
	}
	return r.conn.TryReadBatch(r.msgs)
}

// provide sees to it that all messages have buffers.
func (r *router) provide() {
	if r.bufs[receiveBatch-1] != nil {
		return
	}
	packetBuffers.get(r.bufs)
	for i, b := range r.bufs {
		r.msgs[i].Buf = b[:]
	}
}

// rest gives back the memory that the router does not need while it waits.
func (r *router) rest() {
	r.release()
	clear(r.runs) // which point into the buffers
	r.runs = r.runs[:0]
	keep := 0
	if r.conn == nil {
		keep = 1 // ReadBatch waits with a buffer
	}
	r.giveBack(keep)
}

// end gives back all of the router's memory: a Transport that is closed may be
// kept by whoever used it.
func (r *router) end() {
	r.rest()
	r.duties.end()
	r.runs, r.due, r.replies, r.replyBytes = nil, nil, nil, nil
	r.lasting = lasting{}
	r.giveBack(0)
}

// giveBack gives back the buffers of all messages but the first n.
func (r *router) giveBack(n int) {
	packetBuffers.put(r.bufs[n:])
	for i := range r.msgs[n:] {
		r.msgs[n+i].Buf = nil
	}
}

// route finds out for whom the first n messages are.
func (r *router) route(n int) {
	t := r.t
	clear(r.runs)
	r.runs = r.runs[:0]
	now := r.read
	bytesIn, datagrams := 0, 0
	r.watched = false
	t.epMu.Lock()
	for i := range r.msgs[:n] {
		m := &r.msgs[i]
		data := m.Buf[:m.N]
		segment := m.Segment
		if segment <= 0 {
			segment = len(data)
		}
		bytesIn += len(data)
		var last *Conn // whom the datagram before was for
		var lastID []byte
		from := 0
		for off := 0; off < len(data); off += segment {
			datagrams++
			d := data[off:min(off+segment, len(data))]
			if last != nil && sameShort(d, lastID) {
				continue
			}
			c := r.handle(now, m, d, segment)
			if c != last {
				r.add(last, m, data[from:off], segment)
				from, last = off, c
			}
			lastID = nil
			if c != nil && t.idLen > 0 && len(d) > t.idLen && d[0]&0x80 == 0 {
				lastID = d[1 : 1+t.idLen]
			}
		}
		r.add(last, m, data[from:], segment)
	}
	t.epMu.Unlock()
	if len(r.strays) > 0 {
		r.forward(now)
	}
	r.few = datagrams > n && len(r.touched) == 1 && bytesIn <= yieldBulk // and what comes of it
	r.moved += bytesIn
	t.stats.received.Add(uint64(datagrams))
	t.stats.bytesReceived.Add(uint64(bytesIn))
	t.stats.batches.Add(1)
}

// sameShort tells whether d has a short header with that destination ID.
func sameShort(d, id []byte) bool {
	return len(id) > 0 && len(d) > len(id) && d[0]&0x80 == 0 && bytes.Equal(d[1:1+len(id)], id)
}

// handle asks the endpoint about one datagram and returns the connection that it is for, if any.
// It is called with epMu held.
func (r *router) handle(now time.Time, m *udp.Message, data []byte, segment int) *Conn {
	t := r.t
	if t.group != nil && r.isStray(m, data, segment) {
		return nil
	}
	if !r.watched && len(data) > 0 && data[0]&longHeader != 0 {
		r.watched = true
		t.watch(now)
	}
	c, answer := t.decide(now, m, data)
	if answer != nil {
		r.reply(m, answer)
	}
	return c
}

// longHeader is the bit of a packet's first byte that tells its form (RFC 8999, Section 5).
const longHeader = 0x80

// decide tells for whom a datagram is, or what is to be answered; the answer is valid until
// the endpoint is used again. It is called with epMu held.
func (t *Transport) decide(now time.Time, m *udp.Message, data []byte) (c *Conn, answer []byte) {
	d := quic.Datagram{Data: data, Remote: m.Remote, Local: m.Local, ECN: quic.ECN(m.ECN)}
	v := t.ep.Handle(now, &d)
	switch v.Kind {
	case quic.VerdictRoute:
		return v.Route.(*Conn), nil
	case quic.VerdictDrop:
		t.noteDropped(now, m.Remote, &v)
	case quic.VerdictReply:
		t.noteAnswered(m.Remote, &v)
		return nil, v.Reply
	case quic.VerdictIncoming:
		t.incoming(now, v.Incoming, m.OriginalDst)
		t.watch(now) // there is more pressure now
	}
	return nil, nil
}

// maxReplies is how many answers of the endpoint are sent for a batch. They are for those that
// have no connection, and each is a system call.
const maxReplies = 32

// reply notes an answer, to be sent once those that have connections are served.
func (r *router) reply(m *udp.Message, b []byte) {
	if len(r.replies) == maxReplies {
		r.t.stats.unsent.Add(1)
		return
	}
	if len(r.replies) == maxReplies-1 {
		r.t.holdReplies()
	}
	from := len(r.replyBytes)
	r.replyBytes = append(r.replyBytes, b...)
	r.replies = append(r.replies, reply{
		train: quic.Train{N: len(b), Segment: len(b), Remote: m.Remote, Local: m.Local},
		data:  r.replyBytes[from:],
	})
}

// answer sends what the endpoint has answered.
func (r *router) answer() {
	for i := range r.replies {
		_ = r.t.writeTrain(&r.out, r.replies[i].data, &r.replies[i].train) // as Transport.reply
	}
	clear(r.replies)
	r.replies, r.replyBytes = r.replies[:0], r.replyBytes[:0]
}

// add notes datagrams of one message for a connection.
func (r *router) add(c *Conn, m *udp.Message, data []byte, segment int) {
	if c == nil || len(data) == 0 {
		return
	}
	r.runs = append(r.runs, run{data: data, segment: segment, remote: m.Remote, local: m.Local, ecn: quic.ECN(m.ECN)})
	i := int32(len(r.runs))
	if c.firstRun == 0 {
		c.firstRun = i
		r.touched = append(r.touched, c)
	} else {
		r.runs[c.lastRun-1].next = i
	}
	c.lastRun = i
}

// gather begins the turns that are to be run: of the connections that got
// packets, of those that have more to send, and of those in the queue. Where
// somebody else runs one at this moment, the packets go to the inbox.
func (r *router) gather() {
	t := r.t
	if r.spreads() {
		r.scatter()
		return
	}
	for _, c := range r.touched {
		if c.strand.tryRun() {
			r.list = append(r.list, c)
			continue
		}
		c.keepRuns(t)
		c.Wake()
	}
	clear(r.touched)
	r.touched = r.touched[:0]
	r.due = t.queue.poll(r.due, r.read)
	r.take()
	r.noteRound()
}

// takeRuns hands the connection what the batch has for it.
func (c *Conn) takeRuns(w *worker) {
	i := c.firstRun
	c.firstRun = 0
	for runs := w.t.router.runs; i != 0; {
		r := &runs[i-1]
		r.recv(c, w)
		i = r.next
	}
}

// keepRuns puts what the batch has for the connection into its inbox. It tells whether much waits there.
func (c *Conn) keepRuns(t *Transport) (much bool) {
	i := c.firstRun
	c.firstRun = 0
	for i != 0 {
		r := &t.router.runs[i-1]
		much = c.keep(r)
		i = r.next
	}
	return much
}

// readFailed tells whether reading the socket has come to its end.
func (t *Transport) readFailed(err error) (end bool) {
	if errors.Is(err, net.ErrClosed) || t.stopping.Load() {
		return true
	}
	// Errors of earlier sends come out here on some systems (ICMP). They are
	// no end, but nothing that should keep a processor busy either.
	t.stats.readErrors.Add(1)
	t.logRead(err)
	time.Sleep(readErrorPause)
	return false
}

// readErrorPause is how long the router rests after an error of the socket.
const readErrorPause = time.Millisecond
