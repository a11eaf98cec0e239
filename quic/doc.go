// Package quic is the QUIC transport (RFC 8999, 9000, 9001, 9002, 9221) as a
// pure state machine.
//
// Whoever wants blocking streams, a net.Conn or a listener should not begin
// here: package frittata drives this one over UDP, and its Application is the
// place for a protocol of one's own; package http3 has net/http's shapes.
//
// The package owns no goroutine, lock, socket, clock, file or logger. Bytes,
// addresses and the time come in as arguments, what is to be sent comes out as
// a return value. There are two objects, with no reference between them:
//
//   - An [Endpoint] owns a space of connection IDs. It reads the header of a
//     datagram, finds the connection that it belongs to, and answers what needs
//     no connection: Version Negotiation, Retry, stateless reset, refusal.
//   - A [Conn] is one connection, client or server.
//
// The methods of a Conn are of four kinds. I/O ([IO]) is for whoever drives the
// connection: Recv takes datagrams, Transmit writes trains of them, Deadline
// and HandleDeadline are its timer, TakeRoutes tells which connection IDs lead
// to it. Commands open, write, reset and close. Events come from NextEvent,
// NextReadable and NextWritable. The rest are getters.
//
// After any input (Recv, HandleDeadline, a command) call Transmit until it
// returns false, then Deadline. A Conn is not safe for concurrent use.
package quic
