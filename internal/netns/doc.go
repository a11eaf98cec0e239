// Package netns has no code: its test runs a server and a client in two network
// namespaces of Linux, with a pair of virtual Ethernet devices between them, and
// changes the MTU and the client's address while they talk. So what the
// simulator claims of paths is seen with real addresses and a real kernel.
//
// It needs root and the command ip of iproute2, and is skipped where they are
// missing; with FRITTATA_NETNS_REQUIRE=1 it fails instead.
package netns
