package main

import "time"

// What all peers get alike, so that none wins by its defaults.
const (
	streamWindow = 16 << 20
	connWindow   = 24 << 20
	maxStreams   = 1000
	idleTimeout  = 5 * time.Minute

	// chunk is the size of the pieces in which applications write and read.
	chunk = 64 << 10
)

// spec is all that a process of a run needs to know. The driver sends it to the
// process as one line of JSON.
type spec struct {
	Role     string // "server", "client" or "relay"
	Workload string // a key of workloads
	Peer     string // a key of stacks
	Addr     string // whom to connect to: the client's and the relay's

	Bytes    int64         // to move: bulk workloads
	Conns    int           // connections at a time
	PerConn  int           // requests or streams at a time on each of them
	AtATime  int           // transfers at a time over all connections: spread workloads
	Piece    int           // bytes of a transfer: "spread"
	Stay     int           // transfers, one after the other, before it is another connection's turn
	Requests int           // to make, of a workload that is not of a Duration
	Warmup   time.Duration // before the measured time
	Duration time.Duration // the measured time, of workloads that are not a number of bytes
	Payload  int           // bytes of a datagram
	Upload   bool          // bulk workloads: from the client to the server

	MaxUDPPayload int  // bytes; zero: 1452
	DisableGSO    bool // both ends
	DisableGRO    bool // both ends

	Loss  float64       // of each direction of the relay
	Delay time.Duration // of each direction of the relay
	Rate  int64         // of each direction of the relay, in bits per second
	Queue int64         // of each direction of the relay, in bytes
	Seed  uint64        // of the relay's choices

	CertPEM, KeyPEM []byte
	Profile         string // where to write a CPU profile; empty: nowhere
}

// usage is a snapshot of what a process has used so far, and of what its
// server has counted.
type usage struct {
	CPU        float64 // seconds, user and system
	Mallocs    uint64
	AllocBytes uint64
	RSS        int64 // bytes; only in answer to "mem"
	Heap       uint64
	Stacks     uint64
	Goroutines int

	Datagrams int64     // a server's: received by the application
	Batches   []float64 // a server's: turns of each batch of handlers
	Errors    []string  // a server's: what went wrong
}

// result is what a client measured.
type result struct {
	Seconds float64
	Bytes   int64   // counted by the receiver
	Ops     int64   // requests, handshakes, datagrams sent
	Errors  int64   // of operations
	Error   string  // the first of them
	P50     float64 // microseconds
	P99     float64 // microseconds
	Used    usage   // by the client between begin and end
}

// command is what the driver sends to a process after the spec, a line each.
type command struct {
	Do string // "warm", "run", "snap" or "mem"
}

// reply answers the spec and each command, a line each.
type reply struct {
	Error  string  `json:",omitempty"`
	Addr   string  `json:",omitempty"` // a server's or relay's, in answer to the spec
	Usage  *usage  `json:",omitempty"`
	Result *result `json:",omitempty"`
}
