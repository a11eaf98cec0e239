package sim

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// LogVariable names the environment variable that, when set, has each datagram
// of each world logged.
const LogVariable = "FRITTATA_SIM_LOG"

func (w *World) logPacket(what string, p *Packet) {
	if w.log {
		w.tb.Logf("%12v %-7s %v > %v ecn %d: %s", w.now, what, p.Src, p.Dst, p.ECN, Summary(p.Data))
	}
}

// Summary tells what packets a datagram has, as far as that is not encrypted.
func Summary(b []byte) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d bytes", len(b))
	for len(b) > 0 {
		n, name := packet(b)
		fmt.Fprintf(&s, " [%s %d]", name, n)
		b = b[n:]
	}
	return s.String()
}

// packet returns the length and the name of the first packet of a datagram of
// QUIC version 1. What it does not understand reaches to the end.
func packet(b []byte) (n int, name string) {
	if b[0]&0x80 == 0 {
		return len(b), "1-RTT"
	}
	if len(b) < 7 {
		return len(b), "?"
	}
	if binary.BigEndian.Uint32(b[1:]) == 0 {
		return len(b), "Version Negotiation"
	}
	name = [...]string{"Initial", "0-RTT", "Handshake", "Retry"}[b[0]>>4&3]
	if name == "Retry" {
		return len(b), name
	}
	at := 5
	for range 2 { // the connection IDs
		if at >= len(b) {
			return len(b), name
		}
		at += 1 + int(b[at])
	}
	skip := 0
	if name == "Initial" {
		token, k := varint(b, at)
		at += k
		skip = int(min(token, uint64(len(b))))
	}
	at += skip
	length, k := varint(b, at)
	if k == 0 {
		return len(b), name
	}
	return int(min(uint64(at+k)+length, uint64(len(b)))), name
}

func varint(b []byte, at int) (v uint64, n int) {
	if at >= len(b) {
		return 0, 0
	}
	n = 1 << (b[at] >> 6)
	if at+n > len(b) {
		return 0, 0
	}
	v = uint64(b[at] & 0x3f)
	for _, x := range b[at+1 : at+n] {
		v = v<<8 | uint64(x)
	}
	return v, n
}
