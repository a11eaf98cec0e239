// Package stream has what both halves of a QUIC stream are made of: the buffers
// that hold and order its bytes, flow control of either direction, and the queue
// that decides which stream is next (RFC 9000, Sections 2 to 4; RFC 9218).
//
// The types know nothing of frames, packets or each other. All are values whose
// zero value is ready, and take memory only while there are bytes to hold: a
// connection has two buffers for each stream and for each CRYPTO stream.
//
// Offsets count from the stream's first byte, which has offset 0.
package stream
