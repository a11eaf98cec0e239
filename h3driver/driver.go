package h3driver

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/quic"
)

// Config is how a Driver behaves. The zero value works for a client. The
// functions are called on the strand and must not block.
type Config struct {
	// H3 configures the h3.Conn.
	H3 h3.Config

	// Serve is called with each request: it starts a goroutine, or answers at
	// once. A server needs it. Whoever handles the request calls Stream.Finish
	// at the end, and then Stream.Release.
	Serve func(s *Stream)

	// OnEstablished is called before all else, when the connection is there.
	OnEstablished func(d *Driver, info *frittata.HandshakeInfo)

	// OnSettings is called when the peer's settings have come.
	OnSettings func(*h3.Settings)

	// OnDatagrams is called when the quic.Conn has datagrams to read.
	OnDatagrams func(*quic.Conn)

	// OnGoAway is called when the peer begins to shut down: at a client, Open
	// fails from then on.
	OnGoAway func()

	// OnClose is called when the connection has closed, or could not be
	// established, after all streams were told.
	OnClose func(err error)

	// BodyBuffer is how many bytes of a body wait in memory for their reader,
	// and of another for the strand. Default 256 KiB each.
	BodyBuffer int
}

// Head is what a message begins with.
type Head struct {
	Fields        []h3.Field // pseudo-header fields first
	Status        int        // of a response
	ContentLength int64      // -1 if not told
	End           bool       // there is no body
	Interim       bool       // a 1xx response: another head follows
}

// Driver is the HTTP/3 Application of one connection.
type Driver struct {
	cfg    Config
	client bool

	// On the strand alone.
	qc       *quic.Conn
	h3       *h3.Conn
	streams  map[quic.StreamID]*Stream
	waiting  []*Stream // requests that wait for the peer's stream limit
	wakes    []*Stream // whose goroutines are to be told at the end of the reads
	dirtied  []*Stream // the lists that take turns with dirty and opens
	opened   []*Stream
	reads    bool // reading a body may have led the h3.Conn to something else
	stopping bool // OnShutdown has come
	lent     int  // requests that Stream.Lend was called for, of those that are given to Serve now

	late late

	busy     bool      // there were requests, since quietAt
	quietAt  time.Time // when there was nothing left to do last
	lingerer *time.Timer

	conn *frittata.Conn // set before any other goroutine knows of streams

	active atomic.Int64 // requests that were opened and have not ended

	mu       sync.Mutex
	dirty    []*Stream // have something for the strand to do
	opens    []*Stream // requests to begin
	closed   error     // why no request can begin any more
	goAway   bool      // no new requests are wanted, by the peer or by us
	settings h3.Settings
	settled  chan struct{} // closed when settings have come, or never will; nil if nobody waits
	have     bool          // settings have come
}

var (
	_ frittata.Application = (*Driver)(nil)
	_ frittata.Shutdowner  = (*Driver)(nil)
)

// NewServer returns the Application of a server's connection.
func NewServer(cfg *Config) *Driver {
	return &Driver{cfg: *cfg}
}

// NewClient returns the Application of a client's connection. cfg may be nil.
func NewClient(cfg *Config) *Driver {
	d := &Driver{client: true}
	if cfg != nil {
		d.cfg = *cfg
	}
	return d
}

// Conn returns the connection's handle, nil before it is established.
func (d *Driver) Conn() *frittata.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn
}

// Active returns the number of requests that were opened and have not ended.
func (d *Driver) Active() int { return int(d.active.Load()) }

// Usable tells whether Open would begin another request.
func (d *Driver) Usable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed == nil && !d.goAway && d.conn != nil
}

// Settings waits for the peer's settings.
func (d *Driver) Settings(ctx context.Context) (h3.Settings, error) {
	d.mu.Lock()
	if d.have || d.closed != nil {
		defer d.mu.Unlock()
		if d.have {
			return d.settings, nil
		}
		return h3.Settings{}, d.closed
	}
	if d.settled == nil {
		d.settled = make(chan struct{})
	}
	settled := d.settled
	d.mu.Unlock()
	select {
	case <-settled:
		return d.Settings(ctx)
	case <-ctx.Done():
		return h3.Settings{}, context.Cause(ctx)
	}
}

// settle ends the wait of Settings. It is called with mu held.
func (d *Driver) settle() {
	if d.settled != nil {
		close(d.settled)
		d.settled = nil
	}
}

// OnEstablished begins HTTP/3.
func (d *Driver) OnEstablished(c *quic.Conn, info frittata.HandshakeInfo) error {
	d.qc = c
	d.streams = make(map[quic.StreamID]*Stream)
	hc, err := h3.NewConn(c, &d.cfg.H3)
	if err != nil {
		return err
	}
	d.h3 = hc
	d.mu.Lock()
	d.conn = info.Conn
	d.mu.Unlock()
	if d.cfg.OnEstablished != nil {
		d.cfg.OnEstablished(d, &info)
	}
	return nil
}

// ProcessReads takes in what the peer sent.
func (d *Driver) ProcessReads(c *quic.Conn) error {
	for {
		ev, ok := c.NextEvent()
		if !ok {
			break
		}
		switch ev.Kind {
		case quic.EventStreamsAvailable:
			if ev.Dir == quic.Bidi {
				if err := d.openWaiting(); err != nil {
					return connError(err)
				}
			}
		case quic.EventResting:
			d.h3.Rest()
		case quic.EventDatagramReadable:
			if d.cfg.OnDatagrams != nil {
				d.cfg.OnDatagrams(c)
			}
		}
	}
	return d.takeMessages()
}

// takeMessages handles the events of the h3.Conn, and then tells the goroutines.
func (d *Driver) takeMessages() error {
	var err error
	for {
		var ev h3.Event
		var ok bool
		if ev, ok, err = d.h3.Next(); err != nil || !ok {
			break
		}
		if err = d.handle(&ev); err != nil {
			break
		}
	}
	d.deliver()
	return connError(err)
}

// connError makes an error of the h3.Conn one that the runtime closes the connection with.
func connError(err error) error {
	if he, ok := errors.AsType[*h3.Error](err); ok {
		return &quic.ApplicationError{Code: uint64(he.Code), Reason: he.Reason}
	}
	return err
}

// tell has the stream's goroutine told, or made, when all that came at the same
// time has been taken in. So it finds everything there, and is woken once.
func (d *Driver) tell(s *Stream) {
	if !s.telling {
		s.telling = true
		s.refs.Add(1)
		d.wakes = append(d.wakes, s)
	}
}

func (d *Driver) deliver() {
	if len(d.wakes) == 0 {
		return
	}
	served := 0
	for i, s := range d.wakes {
		d.wakes[i] = nil
		s.telling = false
		switch {
		case d.client:
			s.wakeUp()
		case s.live:
			d.cfg.Serve(s)
			if !s.queued.Load() {
				served++ // and not answered yet, so by a goroutine
			}
		}
		s.release()
	}
	d.wakes = d.wakes[:0]
	if d.client || d.lent < served {
		d.conn.Yield()
	}
	d.lent = 0
}

// ProcessWrites carries out what goroutines want.
func (d *Driver) ProcessWrites(c *quic.Conn) error {
	d.busy = d.busy || len(d.streams) > 0
	d.mu.Lock()
	opens, dirty := d.opens, d.dirty
	d.opens, d.dirty = d.opened[:0], d.dirtied[:0]
	d.mu.Unlock()
	err := d.write(opens, dirty)
	clear(opens)
	clear(dirty)
	d.opened, d.dirtied = opens[:0], dirty[:0]
	if err == nil && d.reads {
		d.reads = false
		err = d.takeMessages()
	}
	if err == nil && d.late.due.Load() {
		d.watchLate()
	}
	if err != nil {
		return connError(err)
	}
	d.maybeClose()
	return nil
}

func (d *Driver) write(opens, dirty []*Stream) (err error) {
	for _, s := range opens {
		// First come, first served: none overtakes those that wait.
		limited := len(d.waiting) > 0
		if !limited {
			var oerr error
			limited, oerr = d.open(s)
			err = errors.Join(err, oerr)
		}
		if limited {
			s.waits = true
			d.waiting = append(d.waiting, s)
		}
	}
	for _, s := range dirty {
		s.queued.Store(false)
		if err == nil {
			err = d.service(s)
		}
		s.release()
	}
	if len(d.wakes) > 0 {
		d.deliver()
	}
	return err
}

// linger is how long a server that shuts down leaves the connection to the
// client, when all has arrived: what the client's QUIC has acknowledged its
// application may not have read yet, and a close would take it away. A client that knows GOAWAY
// closes the connection itself when it has read everything.
const linger = 3 * time.Second

// OnShutdown sends GOAWAY (RFC 9114, Section 5.2). When the requests under way have
// ended and their responses have arrived, the connection closes: by the client, or
// after a while by the server.
func (d *Driver) OnShutdown(c *quic.Conn) {
	if d.h3 == nil || d.stopping {
		return
	}
	d.stopping = true
	d.mu.Lock()
	d.goAway = true
	d.mu.Unlock()
	if err := d.h3.Shutdown(); err != nil {
		c.Close(quic.CloseError{Application: true, Code: uint64(h3.CodeNoError)})
		return
	}
	d.maybeClose()
}

// maybeClose closes a connection that is shutting down and has nothing left to do.
func (d *Driver) maybeClose() {
	if len(d.streams) > 0 || len(d.waiting) > 0 || d.h3.ActiveRequests() > 0 {
		return
	}
	if d.busy && !d.client {
		d.busy, d.quietAt = false, time.Now()
	}
	if !d.stopping {
		return
	}
	if !d.client {
		// What was sent last may be lost on its way: it is done when it is acknowledged.
		if d.qc.OpenStreamsOf(quic.Bidi) > 0 {
			d.busy = true
			return
		}
		if wait := linger - time.Since(d.quietAt); wait > 0 {
			if d.lingerer == nil {
				d.lingerer = time.AfterFunc(wait, d.conn.Wake)
			} else {
				d.lingerer.Reset(wait)
			}
			return
		}
	}
	d.qc.Close(quic.CloseError{Application: true, Code: uint64(h3.CodeNoError)})
}

// OnClose tells all who wait.
func (d *Driver) OnClose(c *quic.Conn, err error) {
	if err == nil {
		err = frittata.ErrConnGone
	}
	if d.lingerer != nil {
		d.lingerer.Stop()
	}
	d.stopLate()
	d.mu.Lock()
	d.closed = err
	opens, dirty := d.opens, d.dirty
	d.opens, d.dirty = nil, nil
	d.settle()
	d.mu.Unlock()
	for _, s := range append(opens, d.waiting...) {
		d.failUnopened(s, &NotSentError{err})
	}
	d.waiting = nil
	for id, s := range d.streams {
		if c.IO().Draining() {
			if d.lastWords(s); d.streams[id] != s {
				continue // that completed it
			}
		}
		s.abort(err)
		d.fail(s, err)
		d.forget(s, err)
	}
	d.deliverFailures()
	for _, s := range dirty {
		s.release()
	}
	if d.cfg.OnClose != nil {
		d.cfg.OnClose(err)
	}
}

// deliverFailures is deliver when the connection has ended: nothing is served any more.
func (d *Driver) deliverFailures() {
	for _, s := range d.wakes {
		s.telling = false
		if d.client {
			s.wakeUp()
		}
		s.release()
	}
	d.wakes = nil
}
