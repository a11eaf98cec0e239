package main

import (
	"context"
	"net/http"
)

// stack is a protocol implementation under test. Each has a file of its own,
// peer_*.go. A stack that lacks something leaves it nil, and the rows that need
// it are run without that stack.
type stack struct {
	// serveRaw starts a server of the raw protocol (raw.go) on a free port.
	serveRaw func(s *spec) (server, error)
	// dialRaw makes what opens connections to such a server.
	dialRaw func(s *spec) (dialer, error)

	// serveHTTP starts an HTTP server on a free port.
	serveHTTP func(s *spec, h http.Handler) (server, error)
	// dialHTTP makes a client that uses one connection of its own.
	// (HTTP/1.1 opens one for each request that is under way.)
	dialHTTP func(s *spec) (httpClient, error)

	// serveGets starts a server that answers GET /N with N bytes, up to chunk, in
	// a way of its own. Without it serveHTTP does that.
	serveGets func(s *spec) (server, error)

	datagrams  bool // it has unreliable datagrams
	oneAtATime bool // its client has one request under way, no more

	// native is a program of its own that does all of this; nothing else is set then.
	native *native
}

// stacks are all of them, by the names of -peers.
var stacks = map[string]*stack{
	"frittata": frittataStack,
	"quic-go":  quicgoStack,
	"tls":      tlsStack,
	"h2":       http2Stack,
	"h1":       http1Stack,

	"frittata-inline": inlineStack,

	"quinn":        quinnStack,
	"tokio-quiche": tokioQuicheStack,

	"udp": udpStack,
}

// stackOrder is the order in which a round takes them.
var stackOrder = []string{"frittata", "frittata-inline", "quic-go", "quinn", "tokio-quiche", "tls", "h2", "h1", "udp"}

// reference is the stack that ratios are taken to.
const reference = "quic-go"

// server is a running server.
type server interface {
	addr() string
	close() error
}

// A server may count more than its process does.
type (
	datagramCounter interface{ datagrams() int64 } // received by the application
	turnCounter     interface{ turns() uint64 }    // of all connections
	errorReporter   interface{ errors() []string } // what went wrong while serving
)

// dialer opens connections of the raw protocol.
type dialer interface {
	dial(ctx context.Context) (rawConn, error)
	close() error
}

// rawConn is a client's connection of the raw protocol.
type rawConn interface {
	// download has the server send n bytes and returns how many came.
	download(ctx context.Context, n int64) (int64, error)
	// upload sends n bytes and returns how many the server says that it got.
	upload(ctx context.Context, n int64) (int64, error)
	// sendDatagrams sends datagrams until ctx ends, and returns how many the stack took.
	sendDatagrams(ctx context.Context, payload int) (int64, error)
	close() error
}

// httpClient is a client with one connection.
type httpClient interface {
	http.RoundTripper
	Close() error
}
