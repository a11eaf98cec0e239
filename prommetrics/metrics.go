package prommetrics

import (
	"net/netip"
	"sync"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are the settings of a Metrics.
type Options struct {
	// Namespace is what the names of all metrics begin with. Default "frittata".
	Namespace string

	// CodeName names an error code of an application protocol, for a label. The
	// peer may have chosen the code, so the set of names must be small. Default: [CodeName].
	CodeName func(alpn string, code uint64) string

	// Networks is for how many networks of clients (IPv4 /20, IPv6 /32) first
	// flights are counted apart; those of all others are counted together. Addresses may
	// be made up, and there is no proof of any that is counted. Default: none.
	Networks int
}

// Metrics is both the frittata.Metrics of Transports and the collector that Prometheus asks.
// Make one with New.
type Metrics struct {
	codeName func(alpn string, code uint64) string
	fields   []field[frittata.Stats] // of Transports
	closing  []field[quic.Stats]     // of closed connections
	live     *prometheus.Desc

	mu       sync.Mutex
	open     map[*frittata.Transport]struct{}
	ended    frittata.Stats // counters of Transports that are closed
	closed   [2]quic.Stats  // of connections, by role
	networks networks

	handshake, stage, duration           *prometheus.HistogramVec
	sentBytes, receivedBytes             *prometheus.HistogramVec
	smoothedRTT, minRTT, loss, rate      *prometheus.HistogramVec
	maxWritable                          *prometheus.HistogramVec
	handshakesFailed, connsClosed, first *prometheus.CounterVec
}

var (
	_ frittata.Metrics     = (*Metrics)(nil)
	_ prometheus.Collector = (*Metrics)(nil)
)

// The buckets of histograms.
var (
	durationBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	lifetimeBuckets  = []float64{.01, .1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	byteBuckets      = prometheus.ExponentialBuckets(1<<10, 8, 9)  // 1 KiB to 16 GiB
	bandwidthBuckets = prometheus.ExponentialBuckets(1<<14, 4, 10) // 16 KiB/s to 4 GiB/s
	lossBuckets      = []float64{0, .0001, .0003, .001, .003, .01, .03, .1, .3}
	streamBuckets    = []float64{0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
)

// New makes a Metrics. o may be nil.
func New(o *Options) *Metrics {
	if o == nil {
		o = &Options{}
	}
	ns := o.Namespace
	if ns == "" {
		ns = "frittata"
	}
	m := &Metrics{codeName: o.CodeName, open: make(map[*frittata.Transport]struct{})}
	if m.codeName == nil {
		m.codeName = CodeName
	}
	m.fields = describe(ns, transportFields)
	m.closing = describe(ns, connFields, "role")
	m.live = prometheus.NewDesc(ns+"_transports", "Transports, and so sockets, that are open.", nil, nil)
	m.networks.init(ns, o.Networks)

	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: ns, Name: name, Help: help, Buckets: buckets}, append([]string{"role"}, labels...))
	}
	m.handshake = histogram("handshake_duration_seconds", "Time of a completed handshake, from a client's start, or a server's first packet.", durationBuckets)
	m.stage = histogram("handshake_stage_duration_seconds",
		"Time of a stage of a completed handshake: accept_wait until the server's application accepted, processor_wait until a processor was free for cryptography, protocol from then on.", durationBuckets, "stage")
	m.duration = histogram("connection_duration_seconds", "Time from the completed handshake of a connection until it closed.", lifetimeBuckets)
	m.sentBytes = histogram("connection_sent_bytes", "UDP payload that a connection had sent when it closed.", byteBuckets)
	m.receivedBytes = histogram("connection_received_bytes", "UDP payload that a connection had received when it closed.", byteBuckets)
	m.smoothedRTT = histogram("connection_smoothed_rtt_seconds", "Smoothed round-trip time of the path of a connection when it closed.", durationBuckets)
	m.minRTT = histogram("connection_min_rtt_seconds", "Least round-trip time of the path of a connection.", durationBuckets)
	m.loss = histogram("connection_loss_ratio", "Packets declared lost, but for those that arrived after all, by packets sent, in the whole life of a connection.", lossBuckets)
	m.rate = histogram("connection_pacing_rate_bytes_per_second", "What the congestion controller let a connection send a second when it closed.", bandwidthBuckets)
	m.maxWritable = histogram("connection_max_writable_streams", "The most streams at a time for which a connection's application was to be asked for more.", streamBuckets)

	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Name: name, Help: help}, labels)
	}
	m.handshakesFailed = counter("handshakes_failed_total", "Connections that closed before the handshake was complete, by who closed them (local, peer), how, and with which error code.", "role", "by", "kind", "code")
	m.connsClosed = counter("connections_closed_total", "Connections that closed after the handshake was complete, by who closed them (local, peer), how, and with which error code.", "role", "by", "kind", "code")
	m.first = counter("first_flights_total", "First packets of clients, by what became of them before anything was computed.", "outcome")
	for o := range frittata.FlightOutcome(frittata.NumFlightOutcomes) {
		m.first.WithLabelValues(o.String())
	}
	return m
}

func (m *Metrics) vectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.handshake, m.stage, m.duration, m.sentBytes, m.receivedBytes, m.smoothedRTT, m.minRTT, m.loss, m.rate, m.maxWritable,
		m.handshakesFailed, m.connsClosed, m.first,
	}
}

// TransportOpened implements frittata.Metrics.
func (m *Metrics) TransportOpened(t *frittata.Transport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[t] = struct{}{}
}

// TransportClosed implements frittata.Metrics. The counters of t count on.
func (m *Metrics) TransportClosed(t *frittata.Transport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.open[t]; !ok {
		return
	}
	delete(m.open, t)
	s := t.Stats()
	addCounters(&m.ended, &s)
}

// roles are the values of the label role, and the indices of Metrics.closed.
var roles = [2]string{"server", "client"}

func roleOf(client bool) int {
	if client {
		return 1
	}
	return 0
}

// ConnEstablished implements frittata.Metrics.
func (m *Metrics) ConnEstablished(info *frittata.HandshakeInfo) {
	role := roles[roleOf(info.Client)]
	t := &info.Times
	from := t.Started
	if !t.Received.IsZero() {
		from = t.Received
		m.stage.WithLabelValues(role, "accept_wait").Observe(seconds(t.Accepted.Sub(t.Received)))
		m.stage.WithLabelValues(role, "processor_wait").Observe(seconds(t.Started.Sub(t.Accepted)))
	}
	m.stage.WithLabelValues(role, "protocol").Observe(seconds(t.Established.Sub(t.Started)))
	m.handshake.WithLabelValues(role).Observe(seconds(t.Established.Sub(from)))
}

func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }

// ConnClosed implements frittata.Metrics.
func (m *Metrics) ConnClosed(r *frittata.ConnRecord) {
	i := roleOf(r.Client)
	role := roles[i]
	m.mu.Lock()
	addCounters(&m.closed[i], &r.Stats)
	m.mu.Unlock()
	by := "local"
	if r.Remote {
		by = "peer"
	}
	closes := m.connsClosed
	if !r.HandshakeDone {
		closes = m.handshakesFailed
	}
	closes.WithLabelValues(role, by, r.Kind.String(), m.code(r)).Inc()
	if !r.HandshakeDone {
		return
	}
	n := &r.Stats
	if !r.Times.Established.IsZero() {
		m.duration.WithLabelValues(role).Observe(seconds(r.Closed.Sub(r.Times.Established)))
	}
	m.sentBytes.WithLabelValues(role).Observe(float64(n.BytesSent))
	m.receivedBytes.WithLabelValues(role).Observe(float64(n.BytesReceived))
	m.smoothedRTT.WithLabelValues(role).Observe(n.SmoothedRTT.Seconds())
	m.minRTT.WithLabelValues(role).Observe(n.MinRTT.Seconds())
	if n.PacketsSent > 0 {
		lost := n.PacketsLost - min(n.PacketsSpuriousLost, n.PacketsLost)
		m.loss.WithLabelValues(role).Observe(float64(lost) / float64(n.PacketsSent))
	}
	m.rate.WithLabelValues(role).Observe(float64(n.PacingRate))
	m.maxWritable.WithLabelValues(role).Observe(float64(r.MaxWritable))
}

// FirstFlight implements frittata.Metrics.
func (m *Metrics) FirstFlight(remote netip.AddrPort, o frittata.FlightOutcome) {
	m.first.WithLabelValues(o.String()).Inc()
	m.networks.count(remote.Addr(), o)
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.live
	for i := range m.fields {
		ch <- m.fields[i].desc
	}
	for i := range m.closing {
		ch <- m.closing[i].desc
	}
	m.networks.describe(ch)
	for _, v := range m.vectors() {
		v.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	sum, closed, open := m.snapshot()
	ch <- prometheus.MustNewConstMetric(m.live, prometheus.GaugeValue, float64(open))
	for i := range m.fields {
		ch <- m.fields[i].metric(&sum)
	}
	for i := range m.closing {
		for role := range closed {
			ch <- m.closing[i].metric(&closed[role], roles[role])
		}
	}
	m.networks.collect(ch)
	for _, v := range m.vectors() {
		v.Collect(ch)
	}
}

// snapshot adds up the Transports, those that are closed included.
func (m *Metrics) snapshot() (sum frittata.Stats, closed [2]quic.Stats, open int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum = m.ended
	for t := range m.open {
		s := t.Stats()
		// These are the same for all of a process, and of a group.
		delay, memory := max(sum.HandshakeDelay, s.HandshakeDelay), max(sum.HandshakeMemory, s.HandshakeMemory)
		addCounters(&sum, &s)
		addGauges(&sum, &s)
		sum.HandshakeDelay, sum.HandshakeMemory = delay, memory
	}
	return sum, m.closed, len(m.open)
}
