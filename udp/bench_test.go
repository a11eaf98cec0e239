package udp

import (
	"fmt"
	"testing"
)

// BenchmarkTrain sends trains over loopback and receives them, on one goroutine.
func BenchmarkTrain(b *testing.B) {
	for _, mode := range []struct {
		name string
		o    Options
	}{
		{"GSO,GRO", Options{}},
		{"GSO", Options{DisableGRO: true}},
		{"mmsg", Options{DisableGSO: true, DisableGRO: true}},
	} {
		for _, segments := range []int{1, 10, 45} {
			b.Run(fmt.Sprintf("%s/%d", mode.name, segments), func(b *testing.B) {
				const segment = 1452
				c := listen(b, "udp4", "127.0.0.1:0", &mode.o)
				tr := Train{Data: pattern(segments * segment), Segment: segment, Remote: c.LocalAddr(), ECN: 2}
				m := messages(64)
				b.SetBytes(int64(len(tr.Data)))
				b.ReportAllocs()
				for b.Loop() {
					send(b, c, &tr)
					for got := 0; got < segments; {
						n, err := c.TryReadBatch(m)
						if err != nil {
							b.Fatal(err)
						}
						for i := range m[:n] {
							got += count(m[i].N, m[i].Segment)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*segments), "ns/datagram")
			})
		}
	}
}

// BenchmarkTryReadBatch is the price of looking when there is nothing.
func BenchmarkTryReadBatch(b *testing.B) {
	c := listen(b, "udp4", "127.0.0.1:0", nil)
	for _, size := range []int{1, 32} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := messages(size)
			b.ReportAllocs()
			for b.Loop() {
				if n, err := c.TryReadBatch(m); n != 0 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
