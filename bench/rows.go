package main

import (
	"fmt"
	"slices"
	"time"
)

// row is a line group of the table: one workload with one set of settings, for
// several peers.
type row struct {
	name  string // what -only selects by
	title string
	kind  *kind
	spec  spec
	procs int      // GOMAXPROCS of both processes; zero: as it comes
	peers []string // that make sense here; nil: all that can
	gates []gate
	relay bool    // put the lossy link between the processes
	grows *growth // what changes from line to line; nil: nothing
}

// gate is what a row of frittata must reach.
type gate struct {
	column string
	min    float64 // zero: none
	max    float64 // zero: none
}

func (g gate) String() string {
	if g.max != 0 {
		return fmt.Sprintf("%s at most %g", g.column, g.max)
	}
	return fmt.Sprintf("%s at least %g", g.column, g.min)
}

func (g gate) passes(v float64) bool {
	return (g.min == 0 || v >= g.min) && (g.max == 0 || v <= g.max)
}

// sizes is how much a row does.
type sizes struct {
	bulk  int64         // bytes
	lossy int64         // bytes, with 1 % of loss
	d     time.Duration // of what is measured by time
	warm  time.Duration
	idle  int // connections

	growConns    []int
	growStreams  []int
	growRequests int // in each of the ten parts
}

var (
	fullSizes = sizes{512 << 20, 8 << 20, 3 * time.Second, 500 * time.Millisecond, 5000,
		[]int{10, 100, 1000, 10000}, []int{1, 10, 100, 1000}, 100_000}
	quickSizes = sizes{64 << 20, 1 << 20, time.Second, 200 * time.Millisecond, 500,
		[]int{10, 100}, []int{1, 100}, 2000}
)

// allQUIC are the peers of rows that make no sense over TCP.
var allQUIC = []string{"frittata", "quic-go", "quinn", "tokio-quiche"}

// allRows is the whole table.
func allRows(z sizes) []*row {
	down := spec{Workload: "bulk", Bytes: z.bulk}
	up := spec{Workload: "bulk", Bytes: z.bulk, Upload: true}
	get := spec{Workload: "http-bulk", Bytes: z.bulk}
	post := spec{Workload: "http-bulk", Bytes: z.bulk, Upload: true}
	requests := func(conns, per int) spec {
		return spec{Workload: "requests", Conns: conns, PerConn: per, Warmup: z.warm, Duration: z.d}
	}
	handshakes := func(n int) spec {
		return spec{Workload: "handshake", Conns: n, Warmup: z.warm, Duration: z.d}
	}
	datagrams := func(payload int) spec {
		return spec{Workload: "datagrams", Payload: payload, Warmup: z.warm, Duration: z.d}
	}
	lossy := func(bytes int64, loss float64) spec {
		return spec{Workload: "bulk", Bytes: bytes, Loss: loss,
			Delay: 15 * time.Millisecond, Rate: 100e6, Queue: 375e3}
	}
	with := func(s spec, f func(*spec)) spec { f(&s); return s }
	noGSO := func(s *spec) { s.DisableGSO = true }
	noGRO := func(s *spec) { s.DisableGRO = true }
	neither := func(s *spec) { s.DisableGSO, s.DisableGRO = true, true }
	jumbo := func(s *spec) { s.MaxUDPPayload = 8952 }
	quics := []string{"frittata", "quic-go"}
	size := byteCount(z.bulk)

	rows := []*row{
		{name: "W1/default", title: "raw download of " + size + ", one stream", kind: bulkKind, spec: down,
			gates: []gate{{column: "x quic-go", min: 2.5}}},
		{name: "W1/procs=1", title: "the same, GOMAXPROCS=1", kind: bulkKind, spec: down, procs: 1},
		{name: "W1/gso-off", title: "the same, without GSO", kind: bulkKind, spec: with(down, noGSO), peers: quics},
		{name: "W1/gro-off", title: "the same, without GRO (quic-go has none)", kind: bulkKind, spec: with(down, noGRO), peers: quics},
		{name: "W1/plain", title: "the same, without GSO and GRO", kind: bulkKind, spec: with(down, neither), peers: quics},
		{name: "W1/jumbo", title: "the same, datagrams of up to 8952 bytes (quic-go has 1452)", kind: bulkKind, spec: with(down, jumbo), peers: quics},
		{name: "W6/default", title: "raw upload of " + size + ", one stream", kind: bulkKind, spec: up},
		{name: "W6/procs=1", title: "the same, GOMAXPROCS=1", kind: bulkKind, spec: up, procs: 1},
		{name: "W2/get", title: "HTTP GET of " + size, kind: bulkKind, spec: get,
			gates: []gate{{column: "x quic-go", min: 1.5}}},
		{name: "W2/post", title: "HTTP POST of " + size, kind: bulkKind, spec: post},
		{name: "W2/get-procs=1", title: "HTTP GET of " + size + ", GOMAXPROCS=1", kind: bulkKind, spec: get, procs: 1},
		{name: "W3/1x100", title: "GET of 1 KiB, 1 connection x 100 requests at a time", kind: requestKind, spec: requests(1, 100),
			gates: []gate{{column: "x quic-go", min: 1.5}}},
		{name: "W3/32x8", title: "GET of 1 KiB, 32 connections x 8 requests at a time", kind: requestKind, spec: requests(32, 8)},
		{name: "W3/1x1", title: "GET of 1 KiB, one at a time", kind: requestKind, spec: requests(1, 1)},
		{name: "W3/raw-1x1", title: "raw download of 1 KiB, one at a time, by a goroutine that waits for it", kind: requestKind,
			spec: spec{Workload: "spread", Piece: requestSize, Conns: 1, AtATime: 1, Stay: 1, Duration: z.d}, peers: quics},
		{name: "W3/1x100-procs=1", title: "GET of 1 KiB, 1 connection x 100, GOMAXPROCS=1", kind: requestKind, spec: requests(1, 100), procs: 1},
		{name: "turns", title: fmt.Sprintf("%d handlers of one connection that finish together", batchSize), kind: turnsKind,
			spec: spec{Workload: "turns"}, peers: []string{"frittata"}, gates: []gate{{column: "turns", max: 8}}},
		{name: "W4/x1", title: "full handshakes, one at a time", kind: handshakeKind, spec: handshakes(1)},
		{name: "W4/x32", title: "full handshakes, 32 at a time", kind: handshakeKind, spec: handshakes(32)},
		{name: "W5/raw", title: fmt.Sprintf("%d idle connections", z.idle), kind: idleKind, spec: spec{Workload: "idle", Conns: z.idle}},
		{name: "W5/http", title: fmt.Sprintf("%d idle connections, after one GET each", z.idle), kind: idleKind, spec: spec{Workload: "http-idle", Conns: z.idle}},
		{name: "W7/1200", title: "datagrams of 1200 bytes", kind: datagramKind, spec: datagrams(1200)},
		{name: "W7/100", title: "datagrams of 100 bytes", kind: datagramKind, spec: datagrams(100)},
		{name: "W8/1%", title: fmt.Sprintf("raw download of %s, 1 %% loss, 2 x 15 ms, 100 Mbit/s, 375 kB of queue", byteCount(z.lossy)),
			kind: lossyKind, spec: lossy(z.lossy, 0.01), peers: allQUIC, relay: true},
		{name: "W8/0%", title: fmt.Sprintf("raw download of %s over the same link without loss", byteCount(4*z.lossy)),
			kind: lossyKind, spec: lossy(4*z.lossy, 0), peers: allQUIC, relay: true},
	}
	return append(rows, growthRows(z)...)
}

// can tells whether a peer, or each of a pair, can do the row.
func (r *row) can(p peer) bool {
	return r.canOne(p.server) && r.canOne(p.client)
}

func (r *row) canOne(name string) bool {
	s := stacks[name]
	if r.peers != nil {
		found := false
		for _, p := range r.peers {
			found = found || p == name
		}
		if !found {
			return false
		}
	}
	if s.native != nil {
		return slices.Contains(s.native.workloads, r.spec.Workload)
	}
	if s.oneAtATime && max(r.spec.Conns, 1)*max(r.spec.PerConn, 1) > 1 {
		return false
	}
	switch r.spec.Workload {
	case "requests", "http-spread":
		return s.serveHTTP != nil || s.serveGets != nil
	case "http-bulk", "turns", "http-idle":
		return s.serveHTTP != nil
	case "datagrams":
		return s.serveRaw != nil && s.datagrams
	}
	return s.serveRaw != nil
}

func byteCount(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
