// Package h3 is HTTP/3 (RFC 9114) as a pure state machine over a [quic.Conn].
//
// Whoever wants net/http's shapes should not begin here: package http3 has
// them, and package h3driver makes an event loop of this one.
//
// The package owns no goroutine, lock, socket or clock. A [Conn] is pulled:
// after packets came in, and after ReadBody or ReadBodyBuf, call [Conn.Next]
// until it returns false. It tells of requests or responses, of bodies that can
// be read, of streams that can be written again. What a caller does not read
// stays in QUIC's flow control.
//
// Errors are of two kinds. An [*Error] is fatal: the caller closes the
// connection with its code. A [*StreamError] concerns one request, and the Conn
// has dealt with it already. The end of a message is told once, by whichever
// comes to it: Event.End, EventEnd, the fin of ReadBody, EventReset or an error
// of ReadBody.
//
// QPACK (package qpack) uses the static table alone for now. Server push is not
// supported: no MAX_PUSH_ID is sent, so that a server cannot push (RFC 9114,
// Section 4.6).
package h3
