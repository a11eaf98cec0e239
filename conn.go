package frittata

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// Conn is the handle of a connection. All of its methods may be called by any
// goroutine, and those that do not wait by callbacks too.
type Conn struct {
	t      *Transport
	strand strand
	guard  strandGuard

	// Of the run queue, under its mutex.
	inQueue bool
	home    *lane  // whose runner runs the turns while the load lasts
	load    uint64 // the number of the load that home is for

	// Of the wheel, under its mutex.
	wheel wheelEntry

	// Of the router.
	firstRun, lastRun int32 // what the batch has for this connection: indices of router.runs, plus 1

	// Of the strand.
	qc          *quic.Conn
	io          *quic.IO
	app         Application
	w           *worker        // whose turn it is
	out         *Duty          // in a callback: what it keeps from being done
	errands     []Errand       // what callbacks have lent the goroutine for
	yield       bool           // goroutines that may have something to say go first: the callback has called Yield, or was asked for
	heard       uint32         // what asked was when packets came last
	budget      budget         // what is left of it in this turn
	deadline    time.Time      // of io, as of the last turn; zero: none
	armed       time.Time      // when the timer will fire; zero: it will not
	cause       error          // what a callback returned, or that it panicked or ended its goroutine
	closing     bool           // OnClose was called
	late        bool           // but not that of app, which came after that
	told        bool           // closed is closed
	noted       bool           // noteReady was called
	dialing     bool           // counts as a client's handshake; of its goroutine
	halfOpen    bool           // counts as a handshake under way; of its goroutine
	connected   bool           // info is there
	established bool           // OnEstablished was called
	maxWritable int            // the most that io.Writable has been
	trains      quic.TrainFate // as io.TrainFate had it last

	timerFired atomic.Bool
	paused     atomic.Bool // no callback before Resume
	mail       atomic.Bool // there may be something in box or cmds

	asked       atomic.Uint32 // how many times somebody wanted something, and may wait for what comes of it
	closePosted atomic.Bool   // CloseWithError was called

	mu       sync.Mutex // a leaf, for what is below
	box      []boxed
	boxBytes int
	boxHalf  bool // what is in box counts as memory of half-open connections
	boxShut  bool // box takes no more
	cmds     []func(*quic.Conn)
	gone     bool
	err      error // why it is closed, once that is so
	record   *ConnRecord
	info     *HandshakeInfo
	remote   netip.AddrPort
	local    netip.Addr
	// readyOnce: ready is closed.
	readyOnce bool

	hs       *handshake // nil after it
	listener *Listener  // of a server's connection
	ownsT    bool       // the Transport goes with the connection
	client   bool       // this end dialed
	times    HandshakeTimes
	// originalDst: see HandshakeInfo.
	originalDst netip.AddrPort
	retried     bool
	ready       chan struct{} // closed when the connection is established, or is not going to be
	closed      chan struct{}
	done        chan struct{}
}

func newConn(t *Transport, app Application, remote netip.AddrPort) *Conn {
	return &Conn{
		t: t, app: app, remote: remote,
		ready:  make(chan struct{}),
		closed: make(chan struct{}),
		done:   make(chan struct{}),
	}
}

// Transport returns the Transport of the connection.
func (c *Conn) Transport() *Transport { return c.t }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote
}

// LocalAddr returns this end's address, as far as the system tells it.
func (c *Conn) LocalAddr() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t.localAddr(c.local)
}

// Err returns why the connection has closed, nil while it is open.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// HandshakeInfo returns what OnEstablished gets; false before that.
func (c *Conn) HandshakeInfo() (HandshakeInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.info == nil {
		return HandshakeInfo{}, false
	}
	return *c.info, true
}

// Closed is closed when the connection has closed, OnClose has been called and
// the peer has been told: a process may end then. See Err for the reason.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Done is closed when the connection is gone: packets that are still under way
// have been waited for, and the strand runs no more turns.
func (c *Conn) Done() <-chan struct{} { return c.done }

// SetApplication replaces the Application of a connection that waits for
// Resume: by then its ALPN protocol is known. If the connection has closed meanwhile, app's OnClose is called.
func (c *Conn) SetApplication(app Application) error {
	if !c.paused.Load() {
		return errNotPaused
	}
	return c.Do(func(*quic.Conn) { c.app, c.late = app, c.closing })
}

// Resume lets a connection of [IncomingConn.Handshake] go on: OnEstablished is
// called next. It does nothing for others.
func (c *Conn) Resume() {
	if c.paused.Swap(false) {
		c.Wake()
	}
}
