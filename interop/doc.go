// Package interop has nothing but tests: frittata against other
// implementations of QUIC and HTTP/3, in both roles, over real sockets.
//
// The peers are quic-go, within the process, and ngtcp2, whose gtlsserver and
// gtlsclient are processes. Debian has them in the packages ngtcp2-server and
// ngtcp2-client. Where they are missing, the tests that need them are skipped,
// unless FRITTATA_INTEROP_REQUIRE=1 is in the environment: then they fail.
package interop
