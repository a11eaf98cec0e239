package frittata

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// AttachConfig tells how the packets of a connection move that [Attach] runs.
type AttachConfig struct {
	// Send sends a train. It is called on the strand, must not block and keeps
	// nothing of the train. An error that wraps udp.ErrTooLarge tells the
	// connection that the datagrams were too large; after any other error they are lost.
	Send func(t *udp.Train) error

	// Routes takes what the connection's IDs are, before packets are sent that
	// tell them to the peer. The caller hands it to its quic.Endpoint, after setting
	// Route. It is called on the strand. With nil the caller has other ways to know what belongs
	// to the connection.
	Routes func(r *quic.RouteChanges)

	// Local is what the handle tells as this end's address.
	Local netip.AddrPort

	// MaxSegments is how many datagrams a train has at most. Default 1.
	MaxSegments int

	// Config has the limits and the logger; nil means the defaults. What is for a
	// Transport's socket and its connections is not used.
	Config *Config
}

// Attached is a connection that runs without a Transport of the caller's.
type Attached struct{ *Conn }

// Attach runs a connection that was made by quic.Accept or quic.Connect and
// whose packets the caller moves: by a socket that it shares with another protocol,
// or by something that is no socket. The caller gives what comes for the connection to Feed. From
// here on the quic.Conn is the strand's alone. When the connection has ended, Done is closed and nothing of it is left.
func Attach(qc *quic.Conn, app Application, ac AttachConfig) (*Attached, error) {
	switch {
	case app == nil:
		return nil, errNoApplication
	case ac.Send == nil:
		return nil, errors.New("frittata: AttachConfig.Send is nil")
	}
	t, err := newTransport(&sendSocket{send: ac.Send, local: ac.Local, segments: max(ac.MaxSegments, 1)}, ac.Config)
	if err != nil {
		return nil, err
	}
	t.routes = ac.Routes
	t.attached = true
	t.noteOpened()
	t.queue.leave() // there is no router
	c := newConn(t, app, qc.RemoteAddr())
	c.qc, c.io = qc, qc.IO()
	c.local = qc.LocalAddr()
	c.client = qc.IsClient()
	c.ownsT = true
	c.times.Started = time.Now()
	c.hs = &handshake{wake: make(chan struct{}, 1)}
	c.strand.runOwned()
	if err := t.register(c); err != nil {
		return nil, err
	}
	go c.runHandshake()
	return &Attached{c}, nil
}

// Feed takes what came for the connection: datagrams of one origin, as
// udp.Conn.ReadBatch fills them in. It copies them and returns at once. What finds
// Config.InboxBytes full is dropped. Any goroutine may call it.
func (a *Attached) Feed(m *udp.Message) {
	if m.N == 0 {
		return
	}
	segment := m.Segment
	if segment <= 0 {
		segment = m.N
	}
	a.keep(&run{data: m.Buf[:m.N], segment: segment, remote: m.Remote, local: m.Local, ecn: quic.ECN(m.ECN)})
	a.Wake()
}

// sendSocket is the Socket of an attached connection, which has no receive half.
type sendSocket struct {
	send     func(t *udp.Train) error
	local    netip.AddrPort
	segments int
}

func (s *sendSocket) WriteTrain(t *udp.Train) (int, error) {
	if err := s.send(t); err != nil {
		return 0, err
	}
	return t.Count(), nil
}

func (s *sendSocket) ReadBatch([]udp.Message) (int, error)    { return 0, net.ErrClosed }
func (s *sendSocket) TryReadBatch([]udp.Message) (int, error) { return 0, net.ErrClosed }
func (s *sendSocket) SetReadDeadline(time.Time) error         { return nil }
func (s *sendSocket) LocalAddr() netip.AddrPort               { return s.local }
func (s *sendSocket) Close() error                            { return nil }
func (s *sendSocket) Caps() udp.Caps                          { return udp.Caps{MaxSegments: s.segments} }
