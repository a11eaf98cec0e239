//go:build race

package chunk

import "bytes"

// poisoned is what released memory is filled with in race builds, so that whoever
// reads it after the release gets garbage, and whoever writes it is found out.
var poisoned = bytes.Repeat([]byte{0xdb}, MaxSize)

// poison fills mem. It also tells the race detector of a write, which finds
// other goroutines that still use the memory.
func poison(mem []byte) {
	for len(mem) > 0 {
		mem = mem[copy(mem, poisoned):]
	}
}

// checkPoison panics if mem was written to since it was poisoned.
func checkPoison(mem []byte) {
	if !bytes.Equal(mem, poisoned[:len(mem)]) {
		panic("BUG: chunk.Buffer written to after its release")
	}
}
