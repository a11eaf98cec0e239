package frittata

import "net/netip"

// Metrics is told what the counters of [Transport.Stats] cannot tell: how long
// handshakes and connections took, and how each connection ended. A Config may
// have one, and many Transports may share it. prommetrics, a module of its own,
// makes metrics for Prometheus of both.
//
// The methods are called by any goroutine of the runtime, several at a time. They
// must not block, nor wait for the Transport or a connection, nor call runtime.Goexit. None is called for a packet of a connection.
type Metrics interface {
	// TransportOpened tells of a Transport before anything happens on it. It
	// may be kept, to ask it for its Stats, until TransportClosed.
	TransportOpened(t *Transport)

	// TransportClosed tells that nothing happens on a Transport any more: its
	// Stats are final. It is called once for each TransportOpened.
	TransportClosed(t *Transport)

	// ConnEstablished tells of a handshake that is complete. info is not to be changed.
	ConnEstablished(info *HandshakeInfo)

	// ConnClosed tells that a connection has closed, once for each, be it
	// established or not. Packets that are still under way are not counted. r
	// is not to be changed.
	ConnClosed(r *ConnRecord)

	// FirstFlight tells what became of a client's first packet before anything
	// was computed for it. Nobody has proved to be at remote, so that whoever
	// keeps something for each address needs a bound. It is called by the goroutine that reads the
	// socket, and must not call methods of the Transport.
	FirstFlight(remote netip.AddrPort, o FlightOutcome)
}

// FlightOutcome is what became of a client's first flight.
type FlightOutcome uint8

// The outcomes of a first flight.
const (
	FlightQueued  FlightOutcome = iota // it waits for Accept
	FlightRetried                      // the client was told to prove its address
	FlightRefused                      // Config.MaxConns: the client was told so
	FlightDropped                      // Config.MaxHandshakes, Config.MaxPending, or the rate of replies: the client will try again
	FlightIgnored                      // there is no Listener

	// NumFlightOutcomes is the number of outcomes.
	NumFlightOutcomes = int(FlightIgnored) + 1
)

var flightNames = [NumFlightOutcomes]string{
	FlightQueued: "queued", FlightRetried: "retried", FlightRefused: "refused", FlightDropped: "dropped", FlightIgnored: "ignored",
}

// String names the outcome in one word.
func (o FlightOutcome) String() string {
	if int(o) < len(flightNames) {
		return flightNames[o]
	}
	return "unknown"
}

// noteFlight tells what became of a first flight.
func (t *Transport) noteFlight(remote netip.AddrPort, o FlightOutcome) {
	if m := t.cfg.Metrics; m != nil {
		m.FirstFlight(remote, o)
	}
}

// noteOpened tells that there is the Transport.
func (t *Transport) noteOpened() {
	if m := t.cfg.Metrics; m != nil {
		m.TransportOpened(t)
	}
}

// noteEnd tells that nothing happens on the Transport any more.
func (t *Transport) noteEnd() {
	if m := t.cfg.Metrics; m != nil {
		m.TransportClosed(t)
	}
}
