// Package wire encodes and decodes what QUIC sends: variable-length integers,
// packet headers, frames and transport parameters (RFC 8999, RFC 9000, RFC 9221).
//
// It has no state and knows no connection. Decoders check all that can be
// checked without one, never panic, do work in proportion to their input, and
// allocate nothing but errors; what they return aliases the input. Encoders append to a
// slice and trust their caller: values that have no encoding are a bug.
package wire
