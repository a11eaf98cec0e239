package main

import "fmt"

// growth is what changes from line to line of a row: each peer has a line for
// each of the values.
type growth struct {
	what string // "connections"
	at   []int
	set  func(s *spec, at int) // nil: the work is the same for all
	// inOne has one pair of processes do all the lines, one after the other. Else
	// each line has its own.
	inOne bool
}

// lines returns the lines of a peer.
func (r *row) lines(p peer) []*line {
	if r.grows == nil {
		return []*line{{row: r, peer: p}}
	}
	var out []*line
	for _, at := range r.grows.at {
		out = append(out, &line{row: r, peer: p, at: at})
	}
	return out
}

// spec returns what the processes of a line are told.
func (l *line) spec() spec {
	s := l.row.spec
	if g := l.row.grows; g != nil && g.set != nil {
		g.set(&s, l.at)
	}
	return s
}

const (
	// spreadAtATime is how many transfers are under way over all connections, each
	// on another one, and visitRequests how many requests a connection makes, one
	// after the other, before it is another connection's turn.
	spreadAtATime = 10
	visitRequests = 10

	// lifeParts is in how many parts the requests of a long life are counted.
	lifeParts = 10

	// lifeAtATime is how many of these requests are under way.
	lifeAtATime = 100

	// maxGrowth is how much more CPU time the last line of a row may take than
	// the first, for each byte or request, and maxLifeMemory how much more memory.
	maxGrowth     = 1.3
	maxLifeMemory = 1.1

	cpuPerRequest = "CPU-us/req"
	cpuPerByte    = "CPU-s/GiB"
)

func growthRows(z sizes) []*row {
	conns := &growth{what: "connections", at: z.growConns, set: func(s *spec, n int) { s.Conns = n }}
	streams := &growth{what: "streams", at: z.growStreams, set: func(s *spec, n int) { s.PerConn = n }}
	life := &growth{what: "requests", inOne: true}
	for i := range lifeParts {
		life.at = append(life.at, (i+1)*z.growRequests)
	}
	cpu := []gate{{column: "x first", max: maxGrowth}}
	return []*row{
		{name: "growth/http", kind: growingRequestKind, grows: conns, peers: allQUIC, gates: cpu,
			title: fmt.Sprintf("GETs of 1 KiB going round many connections, %d connections at a time, %d requests each time", spreadAtATime, visitRequests),
			spec:  spec{Workload: "http-spread", AtATime: spreadAtATime, Stay: visitRequests, Duration: 2 * z.d}},
		{name: "growth/http-sparse", kind: growingRequestKind, grows: conns, peers: allQUIC,
			title: "the same, one request each time: there is nothing that the ACK of the answer could go along with",
			spec:  spec{Workload: "http-spread", AtATime: spreadAtATime, Stay: 1, Duration: 2 * z.d}},
		{name: "growth/raw", kind: growingBulkKind, grows: conns, peers: allQUIC, gates: cpu,
			title: fmt.Sprintf("raw downloads of %s going round many connections, %d connections at a time", byteCount(spreadPiece), spreadAtATime),
			spec:  spec{Workload: "spread", Piece: spreadPiece, AtATime: spreadAtATime, Stay: 1, Duration: 2 * z.d}},
		{name: "growth/streams", kind: growingBulkKind, grows: streams, peers: allQUIC, gates: cpu,
			title: fmt.Sprintf("raw download of %s on one connection, shared out to streams", byteCount(z.bulk)),
			spec:  spec{Workload: "bulk", Bytes: z.bulk}},
		{name: "growth/life", kind: lifeKind, grows: life, peers: allQUIC,
			gates: append(cpu, gate{column: "srv RSS x first", max: maxLifeMemory}, gate{column: "cli RSS x first", max: maxLifeMemory}),
			title: fmt.Sprintf("%d GETs of 1 KiB on one connection, %d at a time", lifeParts*z.growRequests, lifeAtATime),
			spec:  spec{Workload: "requests", Conns: 1, PerConn: lifeAtATime, Warmup: z.warm, Requests: z.growRequests}},
	}
}

var (
	growingRequestKind = &kind{append(growingColumns(cpuPerRequest, perRequest),
		column{title: "req/s", of: func(m *measured) float64 { return ratio(float64(m.Ops), m.Seconds) }},
		column{title: "p50 us", of: func(m *measured) float64 { return m.P50 }},
		column{title: "p99 us", of: func(m *measured) float64 { return m.P99 }})}

	growingBulkKind = &kind{append(growingColumns(cpuPerByte, perGiB),
		column{title: "Gbit/s", of: func(m *measured) float64 { return ratio(float64(m.Bytes)*8/1e9, m.Seconds) }})}

	// lifeKind looks at the memory as well, which is taken after each line.
	lifeKind = &kind{append(growingColumns(cpuPerRequest, perRequest),
		column{title: "srv RSS MiB", of: func(m *measured) float64 { return float64(m.serverMem.RSS) / (1 << 20) }},
		column{title: "srv RSS x first", first: true, ratio: func(m *measured) float64 { return float64(m.serverMem.RSS) }},
		column{title: "heap", of: func(m *measured) float64 { return float64(m.serverMem.Heap) / (1 << 20) }},
		column{title: "cli RSS MiB", of: func(m *measured) float64 { return float64(m.clientMem.RSS) / (1 << 20) }},
		column{title: "cli RSS x first", first: true, ratio: func(m *measured) float64 { return float64(m.clientMem.RSS) }},
		column{title: "heap", of: func(m *measured) float64 { return float64(m.clientMem.Heap) / (1 << 20) }})}
)

// growingColumns are those of the CPU time of both processes for a unit of work.
func growingColumns(title string, per func(cpu float64, m *measured) float64) []column {
	both := func(m *measured) float64 { return per(m.server.CPU+m.Used.CPU, m) }
	server := func(m *measured) float64 { return per(m.server.CPU, m) }
	client := func(m *measured) float64 { return per(m.Used.CPU, m) }
	return []column{
		{title: title, spread: true, of: both},
		{title: "x first", spread: true, first: true, ratio: both},
		{title: "x " + reference, ratio: both},
		{title: "srv", of: server},
		{title: "srv x first", first: true, ratio: server},
		{title: "cli", of: client},
		{title: "cli x first", first: true, ratio: client},
	}
}

func perRequest(cpu float64, m *measured) float64 { return ratio(1e6*cpu, float64(m.Ops)) }
func perGiB(cpu float64, m *measured) float64     { return ratio(cpu*(1<<30), float64(m.Bytes)) }
