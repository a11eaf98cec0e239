package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// Choices is where a random world's composition comes from: a PRNG, or the bytes of a fuzzer.
type Choices interface {
	// IntN returns a number from 0 to n-1.
	IntN(n int) int
}

// FromRand chooses by a PRNG.
func FromRand(r *rand.Rand) Choices { return r }

// FromBytes chooses by the bytes of a fuzzer, and the first when they are used up.
func FromBytes(b []byte) Choices { return &byteChoices{b} }

type byteChoices struct{ b []byte }

func (c *byteChoices) IntN(n int) int {
	var v [4]byte
	k := 1
	if n > 256 {
		k = 4
	}
	got := copy(v[:k], c.b)
	c.b = c.b[got:]
	return int(binary.LittleEndian.Uint32(v[:]) % uint32(n))
}

// RandomNodes composes one direction of a link. No composition is hopeless: some
// datagrams of 1200 bytes always come through in the end.
func RandomNodes(c Choices) []Node {
	ms := func(most int) time.Duration { return time.Duration(c.IntN(most*1000)) * time.Microsecond }
	share := func(most float64) float64 { return most * float64(c.IntN(1000)) / 1000 }
	nodes := []Node{&Rate{
		BytesPerSecond: 100_000 << c.IntN(8),
		Queue:          4000 << c.IntN(7),
		CoDel:          c.IntN(4) == 0,
	}}
	for range c.IntN(5) {
		switch c.IntN(10) {
		case 0:
			nodes = append(nodes, &Loss{P: share(0.15)})
		case 1:
			nodes = append(nodes, &BurstLoss{ToBad: share(0.02), ToGood: 0.05 + share(0.5), LossGood: share(0.01), LossBad: share(0.9)})
		case 2:
			nodes = append(nodes, &Reorder{P: share(0.2), By: ms(60)})
		case 3:
			nodes = append(nodes, &Duplicate{P: share(0.4)})
		case 4:
			nodes = append(nodes, &Corrupt{P: share(0.1)})
		case 5:
			nodes = append(nodes, &MTU{Max: 1200 + c.IntN(300)})
		case 6:
			nodes = append(nodes, &Blackout{From: ms(3000), For: ms(1500), Every: 3*time.Second + ms(9000)})
		case 7:
			nodes = append(nodes, &Delay{Base: ms(20), Jitter: ms(30)})
		case 8:
			nodes = append(nodes, Bleach{})
		case 9:
			// CE marks out of nowhere.
			p := share(0.1)
			nodes = append(nodes, Func(func(w *World, q *Packet, next Next) {
				if q.ECN != 0 && w.rng.Float64() < p {
					q.ECN = 3
				}
				next(q)
			}))
		}
	}
	return append(nodes, &Delay{Base: ms(120)})
}
