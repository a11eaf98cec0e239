// Package handshake is the seam between the transport and TLS (RFC 9001, Section 4). A [Handshaker] takes the bytes of CRYPTO frames and gives
// secrets, bytes to send, and the peer's transport parameters.
//
// There are two. [NewTLS] is crypto/tls. It runs a goroutine of its own from Start until the handshake ends, so it has to be closed; user callbacks run on that
// goroutine while the caller waits. [NewFake] is deterministic, owns no goroutine, and protects nothing: it is for simulations and fuzzing.
//
// None is safe for concurrent use. Configs are: one prepared config serves all connections of a listener.
package handshake
