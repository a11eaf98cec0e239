//go:build race

package chunk

import "testing"

const raceEnabled = true

func TestReleasedMemoryIsPoisoned(t *testing.T) {
	var pool Pool
	for _, b := range []*Buffer{pool.Get(100), pool.Get(200_000), (*Pool)(nil).Get(100)} {
		p := append(b.B, "secret"...)
		b.Release()
		if string(p) == "secret" {
			t.Error("memory of a released Buffer is as it was")
		}
	}
}

func TestWriteAfterReleaseIsFound(t *testing.T) {
	mem := make([]byte, 512)
	poison(mem)
	checkPoison(mem)
	mem[100] = 1
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	checkPoison(mem)
}
