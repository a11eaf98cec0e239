// Package h3driver is HTTP/3 as a [frittata.Application]: it turns the events
// of an h3.Conn into requests that goroutines handle, and what these say into
// commands.
//
// A [Driver] lives on its connection's strand. Goroutines hold a [Stream] each:
// a pipe of body bytes in each direction, and a slot for header fields. They
// block; the strand never does. A body that its reader does not take stays in
// the flow control of QUIC, and a writer that is faster than the path waits.
//
// What costs is waking: so a message whose head, body and end come together
// wakes its goroutine once, and a response whose parts are given together (see
// [Stream.Finish]) wakes the strand once. Streams are used again and again: whoever
// holds one gives it back by [Stream.Release] and does not touch it afterwards.
//
// Package http3 puts net/http's shapes on top. Whoever wants HTTP/3 without
// them, a proxy for instance, uses this package as it is.
package h3driver
