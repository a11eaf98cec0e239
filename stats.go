package frittata

import (
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// Stats are the counters of a Transport since it was made, and its gauges.
type Stats struct {
	Conns      int // that are not gone
	Open       int // of these, those that are not closed
	Handshakes int // of a server, under way

	ConnsDialed         uint64
	ConnsAccepted       uint64 // by Start or Handshake
	ConnsClosed         uint64
	HandshakesCompleted uint64
	HandshakesFailed    uint64 // of connections that closed before

	DatagramsReceived uint64
	BytesReceived     uint64 // UDP payload
	Batches           uint64 // reads of the socket that found something
	Turns             uint64 // of all connections, but for those of handshakes
	RunnerTurns       uint64 // of these, those that ran on other goroutines than that which reads the socket
	TurnsStolen       uint64 // of these, those that one of them took from another that had more to do
	Spreads           uint64 // how many times a lasting load made the one that reads leave all turns to them; with GOMAXPROCS of 3 or more
	TrainsSent        uint64
	DatagramsSent     uint64
	BytesSent         uint64

	WriteErrors       uint64 // trains that could not be sent
	DatagramsUnsent   uint64 // of all trains, those that the system did not take
	ReadErrors        uint64
	InboxDropped      uint64 // bytes that found the inbox of a busy connection full
	Spilled           uint64 // turns that were left to others, as those before took long
	TakeOvers         uint64 // errands that blocked, so that another goroutine took over: see Errand
	CallbacksBlocked  uint64 // callbacks of Applications and Metrics that took more than 10 to 20 ms, so that another goroutine took over what else there was to do
	Panics            uint64 // of Applications, their functions and errands, of tls.Config's callbacks, of Metrics and Logger; runtime.Goexit of callbacks too
	TooManyConns      uint64 // connections that MaxConns kept out
	TooManyHandshakes uint64 // and those that MaxHandshakes, MaxPending or Admission did
	Shields           uint64 // how many times the kernel was told to drop first flights, for 100 ms each, as too many came
	TrainsLost        uint64 // connections that sent datagrams alone in the end, as all but the first of each train were lost: GSO does not work for them
	Forwarded         uint64 // datagrams that came for another Transport of the group

	Admission       AdmissionCounts
	HandshakeDelay  time.Duration // how long handshakes wait for a processor now, in this process
	HandshakeMemory int           // bytes of half-open connections now, of the whole group

	Endpoint quic.EndpointCounts

	// Socket are those of a *udp.Conn, or of another Socket that has a method
	// Stats like it. Else they are zero.
	Socket udp.Stats
}

type counters struct {
	received, bytesReceived, batches atomic.Uint64
	turns, runnerTurns               atomic.Uint64
	trains, sent, bytesSent          atomic.Uint64
	writeErrors, unsent, readErrors  atomic.Uint64
	inboxDropped, spilled, panics    atomic.Uint64
	takeOvers, blocked               atomic.Uint64
	tooManyConns, tooManyHandshakes  atomic.Uint64
	forwarded, shields, trainsLost   atomic.Uint64
	acceptedFlights, droppedPending  atomic.Uint64
	droppedReplies                   atomic.Uint64
	retriedFlights, droppedFlights   [numAdmissionCauses]atomic.Uint64
	dialed, accepted, closed         atomic.Uint64
	handshakesDone, handshakesFailed atomic.Uint64
}

// Stats returns a snapshot of the counters.
func (t *Transport) Stats() Stats {
	n := &t.stats
	s := Stats{
		Handshakes:          int(t.handshakes.Load()),
		ConnsDialed:         n.dialed.Load(),
		ConnsAccepted:       n.accepted.Load(),
		ConnsClosed:         n.closed.Load(),
		HandshakesCompleted: n.handshakesDone.Load(),
		HandshakesFailed:    n.handshakesFailed.Load(),
		DatagramsReceived:   n.received.Load(),
		BytesReceived:       n.bytesReceived.Load(),
		Batches:             n.batches.Load(),
		Turns:               n.turns.Load(),
		RunnerTurns:         n.runnerTurns.Load(),
		TrainsSent:          n.trains.Load(),
		DatagramsSent:       n.sent.Load(),
		BytesSent:           n.bytesSent.Load(),
		WriteErrors:         n.writeErrors.Load(),
		DatagramsUnsent:     n.unsent.Load(),
		ReadErrors:          n.readErrors.Load(),
		InboxDropped:        n.inboxDropped.Load(),
		Spilled:             n.spilled.Load(),
		TakeOvers:           n.takeOvers.Load(),
		CallbacksBlocked:    n.blocked.Load(),
		Panics:              n.panics.Load(),
		TooManyConns:        n.tooManyConns.Load(),
		TooManyHandshakes:   n.tooManyHandshakes.Load(),
	}
	s.Forwarded = n.forwarded.Load()
	s.Shields = n.shields.Load()
	s.TrainsLost = n.trainsLost.Load()
	s.Admission = n.admission()
	s.HandshakeDelay = handshakeSlots.delay(time.Now())
	s.HandshakeMemory = t.load.memory()
	t.mu.Lock()
	s.Conns, s.Open = len(t.conns), t.open
	t.mu.Unlock()
	t.queue.mu.Lock()
	s.TurnsStolen, s.Spreads = t.queue.stolen, t.queue.loads
	t.queue.mu.Unlock()
	t.epMu.Lock()
	s.Endpoint = t.ep.Counts()
	t.epMu.Unlock()
	if sock, ok := t.socket.(interface{ Stats() udp.Stats }); ok {
		s.Socket = sock.Stats()
	}
	return s
}
