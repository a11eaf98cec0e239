// Package protect is the packet protection of QUIC (RFC 9001, Sections 5 and 6): keys derived from TLS secrets,
// AEAD and header protection in place, key updates, the AEAD limits, and the integrity tag of Retry packets.
//
// A [Sealer] and an [Opener] hold the keys of one direction of the Initial or Handshake packet number space;
// an [AppKeys] holds both directions of 1-RTT packets and turns them over. None of them is safe for concurrent use:
// each owns the nonce and the mask that it works with, so that sealing and opening allocate nothing.
//
// # What is left of a packet that does not open
//
// Opening works in place, and an AEAD that verifies while it decrypts (as AES-GCM does on most machines) wipes what it
// wrote when the tag is wrong: unauthenticated plaintext must not get out. So if opening fails, the packet's header is as it was
// received, with its protection on, and so are its last 16 bytes, which is where a stateless reset has its
// token (RFC 9000, Section 10.3); the bytes between are undefined. A packet that is too short to have a sample, or that comes when there
// are no keys or no attempts left, is not touched at all.
package protect
