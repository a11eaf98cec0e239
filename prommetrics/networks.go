package prommetrics

import (
	"net/netip"
	"sync"

	"github.com/frittata-go/frittata"
	"github.com/prometheus/client_golang/prometheus"
)

// The sizes of the networks that are told apart, in bits: what one operator
// tends to have.
const (
	networkBits4 = 20
	networkBits6 = 32
)

// networks counts first flights by network, for so many of them.
type networks struct {
	desc *prometheus.Desc
	most int

	mu     sync.Mutex
	counts map[netip.Prefix]*flights
	others flights
}

type flights [frittata.NumFlightOutcomes]uint64

func (n *networks) init(ns string, most int) {
	n.desc = prometheus.NewDesc(ns+"_first_flights_by_network_total",
		"First packets of clients, by their network and by what became of them. Addresses may be made up.", []string{"network", "outcome"}, nil)
	n.most = max(most, 0)
	n.counts = make(map[netip.Prefix]*flights)
}

func (n *networks) count(a netip.Addr, o frittata.FlightOutcome) {
	if n.most == 0 || int(o) >= len(flights{}) {
		return
	}
	a = a.Unmap().WithZone("")
	bits := networkBits6
	if a.Is4() {
		bits = networkBits4
	}
	p, err := a.Prefix(bits)
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.counts[p]
	switch {
	case f != nil:
	case err != nil || len(n.counts) >= n.most:
		f = &n.others
	default:
		f = new(flights)
		n.counts[p] = f
	}
	f[o]++
}

func (n *networks) describe(ch chan<- *prometheus.Desc) {
	if n.most > 0 {
		ch <- n.desc
	}
}

func (n *networks) collect(ch chan<- prometheus.Metric) {
	n.mu.Lock()
	all := make(map[string]flights, len(n.counts)+1)
	for p, f := range n.counts {
		all[p.String()] = *f
	}
	if n.others != (flights{}) {
		all["other"] = n.others
	}
	n.mu.Unlock()
	for network, f := range all {
		for o, v := range f {
			if v > 0 {
				ch <- prometheus.MustNewConstMetric(n.desc, prometheus.CounterValue, float64(v), network, frittata.FlightOutcome(o).String())
			}
		}
	}
}
