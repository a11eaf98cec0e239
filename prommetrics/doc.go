// Package prommetrics makes Prometheus metrics of the Transports of package
// frittata.
//
// A [Metrics] goes into Config.Metrics, and is registered:
//
//	m := prommetrics.New(nil)
//	prometheus.MustRegister(m)
//	cfg := &frittata.Config{Metrics: m}
//
// From then on it knows each Transport that is made with that Config, by Listen,
// Dial, Open, or package http3. Counters are read when Prometheus asks for them, so
// that they cost nothing in between; nothing is done for a packet. What is a distribution (times of
// handshakes, bytes and round-trip times of connections) is noted when a
// handshake is complete and when a connection closes.
//
// All Transports of a Metrics are added up, those that are closed included. To
// tell servers from each other, make a Metrics for each, and register it with a label:
//
//	prometheus.WrapRegistererWith(prometheus.Labels{"server": "a"}, reg).MustRegister(m)
//
// The README lists all metrics and what each counts. Labels have values of a fixed set, but for application error
// codes, if Options.CodeName says so, and the networks of Options.Networks, which are bounded:
// no peer can make the number of time series grow.
package prommetrics
