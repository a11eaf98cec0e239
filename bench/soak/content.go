package main

import (
	"bytes"
	"fmt"
)

// tableLen is prime, so that a piece of any power of two in the wrong place is found out.
const (
	tableLen = 65521
	maxPiece = 32 << 10
)

var table = func() []byte {
	b := make([]byte, tableLen+maxPiece)
	x := uint32(2463534242)
	for i := range tableLen {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	copy(b[tableLen:], b)
	return b
}()

// origin is whose bytes they are: where in the table they begin.
type origin uint64

// originOf mixes the key of a connection, a stream and a direction.
func originOf(key, stream uint64, client bool) origin {
	x := key ^ stream*0x9e3779b97f4a7c15
	if client {
		x ^= 0x5555555555555555
	}
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 32
	return origin(x % tableLen)
}

// at returns up to n bytes, at most maxPiece, of what is sent at off.
func (o origin) at(off int64, n int64) []byte {
	i := (uint64(o) + uint64(off)) % tableLen
	return table[i : i+uint64(min(n, maxPiece))]
}

// check compares bytes that came at off.
func (o origin) check(off int64, p []byte) error {
	for len(p) > 0 {
		want := o.at(off, int64(len(p)))
		if !bytes.Equal(p[:len(want)], want) {
			return fmt.Errorf("other bytes than were sent, within %d at %d", len(want), off)
		}
		off += int64(len(want))
		p = p[len(want):]
	}
	return nil
}
