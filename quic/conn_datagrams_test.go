package quic

import (
	"testing"
	"time"
)

// Datagrams of one size that do not fill what the path takes go out as a train
// nevertheless, and one that is larger than those before it begins another.
func TestDatagramTrain(t *testing.T) {
	cfg, server := fakeConfig(1), fakeConfig(2)
	cfg.EnableDatagrams, server.EnableDatagrams = true, true
	cfg.DisablePathMTUDiscovery = true // a probe would go between
	p := newPair(t, cfg, server)
	p.connect()
	p.until("all of the handshake is acknowledged, connection IDs too", time.Second, func() bool {
		return len(p.client.ids.remote) == maxIssuedConnIDs && len(p.server.ids.remote) == maxIssuedConnIDs && p.client.Stats().BytesInFlight == 0
	})

	sizes := []int{900, 900, 900, 800, 1000, 1000}
	for _, n := range sizes {
		if err := p.client.SendDatagram(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	var trains []int
	buf := make([]byte, 1<<16)
	for {
		train, ok := p.client.IO().Transmit(p.now, buf, 64)
		if !ok {
			break
		}
		trains = append(trains, (train.N+train.Segment-1)/train.Segment)
		for b := buf[:train.N]; len(b) > 0; {
			n := min(train.Segment, len(b))
			p.send(true, append([]byte(nil), b[:n]...), train.ECN)
			b = b[n:]
		}
	}
	if len(trains) != 2 || trains[0] != 4 || trains[1] != 2 {
		t.Errorf("trains of %v datagrams, want [4 2]", trains)
	}
	got := 0
	p.until("all came", time.Second, func() bool {
		for got < len(sizes) {
			n, ok := p.server.ReadDatagram(buf)
			if !ok {
				return false
			}
			if n != sizes[got] {
				t.Fatalf("datagram %d has %d bytes, want %d", got, n, sizes[got])
			}
			got++
		}
		return true
	})
}
