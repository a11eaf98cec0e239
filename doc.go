// Package frittata runs QUIC connections over UDP.
//
// Package quic is the protocol as a pure state machine; this package gives it
// sockets, a clock and goroutines. A [Transport] owns a socket, on which
// connections of both roles live: [Transport.Listen] accepts, [Transport.Dial]
// connects. [Listen] and [Dial] do the same with a Transport of their own.
//
// What a connection does is up to its [Application], whose callbacks are
// called on the connection's strand: one at a time, never two at once, so that
// neither the Application nor the [quic.Conn] needs a lock. Other goroutines
// reach the connection through its handle, [Conn]: Wake makes the callbacks run
// soon, Do and Call run a function on the strand.
//
// Whoever wants net/http's shapes takes package http3, which is an Application. Blocking
// streams and a net.Conn there are not yet.
//
// # Turns
//
// A connection is not a goroutine. When packets come in, the goroutine that
// reads the socket hands each connection all that came for it, and runs its turn
// at once: the packets, timers that are due, ProcessReads; then ProcessWrites and
// whatever is to be sent. A wake-up or a timer has a turn run the same way. A
// connection at rest has no goroutine and no packet buffer.
//
// # What there is to see
//
// [Transport.Stats] and [Conn.Stats] are counters. [Conn.Record] has, once a
// connection has closed, who closed it, how and why, its times and its counters. Config.Metrics is
// told of each handshake and each close; the module prommetrics makes of all this
// metrics for Prometheus. Config.Logger gets what an operator has to know; by default nothing is logged.
package frittata
