package main

// measured is what the driver has of one run.
type measured struct {
	result
	server               usage // between the begin and the end of the client's run
	serverMem, clientMem usage // "mem": the difference that the run made, or what there is after it
}

// column is a figure of a run. Ratios to the reference are columns too, which
// the driver fills.
type column struct {
	title  string
	spread bool // show minimum and maximum beside the median
	of     func(m *measured) float64

	ratio func(m *measured) float64 // a column of paired ratios of this
	first bool                      // to the peer's own first line instead of to the reference
}

// kind is what the rows of a workload show.
type kind struct {
	columns []column
}

// The first column of a kind is its figure of merit.
var (
	bulkKind = &kind{transferColumns("Gbit/s", 1e9)}

	lossyKind = &kind{transferColumns("Mbit/s", 1e6)}

	requestKind = &kind{operationColumns("req/s", "req")}

	handshakeKind = &kind{operationColumns("handshakes/s", "handshake")}

	datagramKind = &kind{[]column{
		{title: "received/s", spread: true, of: receivedRate},
		{title: "x " + reference, spread: true, ratio: receivedRate},
		{title: "% delivered", of: func(m *measured) float64 { return 100 * ratio(float64(m.server.Datagrams), float64(m.Ops)) }},
		{title: "CPU-us/sent srv", of: func(m *measured) float64 { return ratio(1e6*m.server.CPU, float64(m.Ops)) }},
		{title: "cli", of: func(m *measured) float64 { return ratio(1e6*m.Used.CPU, float64(m.Ops)) }},
		{title: "CPU/received x " + reference, ratio: func(m *measured) float64 {
			return ratio(m.server.CPU+m.Used.CPU, float64(m.server.Datagrams))
		}},
		{title: "allocs/sent srv", of: func(m *measured) float64 { return ratio(float64(m.server.Mallocs), float64(m.Ops)) }},
		{title: "cli", of: func(m *measured) float64 { return ratio(float64(m.Used.Mallocs), float64(m.Ops)) }},
	}}

	idleKind = &kind{[]column{
		{title: "srv RSS KiB/conn", spread: true, of: serverResident},
		{title: "x " + reference, spread: true, ratio: serverResident},
		{title: "heap", of: func(m *measured) float64 { return ratio(float64(m.serverMem.Heap)/1024, float64(m.Ops)) }},
		{title: "stacks", of: func(m *measured) float64 { return ratio(float64(m.serverMem.Stacks)/1024, float64(m.Ops)) }},
		{title: "goroutines", of: func(m *measured) float64 { return ratio(float64(m.serverMem.Goroutines), float64(m.Ops)) }},
		{title: "cli RSS KiB/conn", of: func(m *measured) float64 { return ratio(float64(m.clientMem.RSS)/1024, float64(m.Ops)) }},
		{title: "goroutines", of: func(m *measured) float64 { return ratio(float64(m.clientMem.Goroutines), float64(m.Ops)) }},
		{title: "opened/s", of: func(m *measured) float64 { return ratio(float64(m.Ops), m.Seconds) }},
	}}

	turnsKind = &kind{[]column{
		{title: "turns", spread: true, of: func(m *measured) float64 { return median(m.server.Batches) }},
		{title: "worst batch", of: func(m *measured) float64 { return maximum(m.server.Batches) }},
	}}
)

func transferColumns(unit string, scale float64) []column {
	const gib, mib = 1 << 30, 1 << 20
	rate := func(m *measured) float64 { return ratio(float64(m.Bytes)*8/scale, m.Seconds) }
	cpu := func(m *measured) float64 { return ratio((m.server.CPU+m.Used.CPU)*gib, float64(m.Bytes)) }
	return []column{
		{title: unit, spread: true, of: rate},
		{title: "x " + reference, spread: true, ratio: rate},
		{title: "CPU-s/GiB srv", of: func(m *measured) float64 { return ratio(m.server.CPU*gib, float64(m.Bytes)) }},
		{title: "cli", of: func(m *measured) float64 { return ratio(m.Used.CPU*gib, float64(m.Bytes)) }},
		{title: "CPU x " + reference, ratio: cpu},
		{title: "allocs/MiB srv", of: func(m *measured) float64 { return ratio(float64(m.server.Mallocs)*mib, float64(m.Bytes)) }},
		{title: "cli", of: func(m *measured) float64 { return ratio(float64(m.Used.Mallocs)*mib, float64(m.Bytes)) }},
	}
}

func operationColumns(unit, op string) []column {
	rate := func(m *measured) float64 { return ratio(float64(m.Ops), m.Seconds) }
	return []column{
		{title: unit, spread: true, of: rate},
		{title: "x " + reference, spread: true, ratio: rate},
		{title: "p50 us", of: func(m *measured) float64 { return m.P50 }},
		{title: "x " + reference, ratio: func(m *measured) float64 { return m.P50 }},
		{title: "p99 us", of: func(m *measured) float64 { return m.P99 }},
		{title: "CPU-us/" + op + " srv", of: func(m *measured) float64 { return ratio(1e6*m.server.CPU, float64(m.Ops)) }},
		{title: "cli", of: func(m *measured) float64 { return ratio(1e6*m.Used.CPU, float64(m.Ops)) }},
		{title: "CPU x " + reference, ratio: func(m *measured) float64 { return ratio(m.server.CPU+m.Used.CPU, float64(m.Ops)) }},
		{title: "allocs/" + op + " srv", of: func(m *measured) float64 { return ratio(float64(m.server.Mallocs), float64(m.Ops)) }},
		{title: "cli", of: func(m *measured) float64 { return ratio(float64(m.Used.Mallocs), float64(m.Ops)) }},
	}
}

func receivedRate(m *measured) float64 { return ratio(float64(m.server.Datagrams), m.Seconds) }

func serverResident(m *measured) float64 {
	return ratio(float64(m.serverMem.RSS)/1024, float64(m.Ops))
}
