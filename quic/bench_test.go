package quic

import (
	"testing"
	"time"
)

// BenchmarkTransfer moves a stream in memory from one end to the other: what
// both ends cost without a socket.
func BenchmarkTransfer(b *testing.B) {
	pool := new(BufferPool)
	cfg := func(seed byte) *Config {
		c := fakeConfig(seed)
		c.Buffers = pool
		c.StreamWindow, c.ConnWindow = 16<<20, 24<<20
		return c
	}
	p := newPair(b, cfg(1), cfg(2))
	p.connect()
	id, err := p.client.OpenStream(Uni)
	if err != nil {
		b.Fatal(err)
	}
	const piece = 64 << 10
	data, train := make([]byte, piece), make([]byte, 64<<10)
	now := p.now
	var d Datagram
	carry := func(from, to *Conn, addr Datagram) {
		for {
			tr, ok := from.IO().Transmit(now, train, 64)
			if !ok {
				return
			}
			for t := train[:tr.N]; len(t) > 0; t = t[min(tr.Segment, len(t)):] {
				d = addr
				d.Data = t[:min(tr.Segment, len(t))]
				to.IO().Recv(now, &d)
			}
		}
	}
	toServer := Datagram{Remote: pairClientAddr, Local: pairServerAddr.Addr()}
	toClient := Datagram{Remote: pairServerAddr}
	before := p.client.Stats().PacketsSent
	b.SetBytes(piece)
	b.ReportAllocs()
	for b.Loop() {
		sent := 0
		for sent < piece {
			n, err := p.client.StreamWrite(id, data[sent:], false)
			if err != nil {
				b.Fatal(err)
			}
			sent += n
			now = now.Add(50 * time.Microsecond)
			carry(p.client, p.server, toServer)
			for {
				rid, ok := p.server.NextReadable()
				if !ok {
					break
				}
				for {
					buf, _, err := p.server.StreamReadBuf(rid, 64<<10)
					if err != nil {
						b.Fatal(err)
					}
					if buf == nil {
						break
					}
					buf.Release()
				}
			}
			carry(p.server, p.client, toClient)
			for _, c := range []*Conn{p.client, p.server} {
				if t, ok := c.IO().Deadline(); ok && !t.After(now) {
					c.IO().HandleDeadline(now)
				}
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(p.client.Stats().PacketsSent-before), "ns/packet")
}
