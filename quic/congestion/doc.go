// Package congestion has the congestion controllers of QUIC, and the interface
// that a controller of one's own implements.
//
// A [Controller] belongs to one network path. It is told what was sent, acked
// and lost there, and answers with a window and, if it likes, a pacing rate. It
// owns no clock: all times are durations since the connection began, and come
// with the events. [NewCUBIC] (RFC 9438) is what a connection uses unless told
// otherwise; [NewReno] is the controller of RFC 9002, Section 7.
package congestion
