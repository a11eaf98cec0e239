package udp

import "sync/atomic"

// Stats is what a Conn has done since it was opened.
type Stats struct {
	// What came in: calls that found something, datagrams, and their payload.
	ReadCalls         uint64
	DatagramsReceived uint64
	BytesReceived     uint64

	// What went out: system calls that sent something, datagrams, and their payload.
	WriteCalls    uint64
	DatagramsSent uint64
	BytesSent     uint64

	// TrainsSent is how many times GSO took several datagrams at once.
	TrainsSent uint64

	// DatagramsTimed is how many datagrams were handed to the kernel with a release time.
	DatagramsTimed uint64

	// Fallbacks is how many times a train that was refused as a whole was sent again
	// datagram by datagram, a datagram without its release time, its ECN mark or its
	// source address, or what was meant for one system call by one for each message.
	Fallbacks uint64

	// GSODisabled is how many times GSO was given up: once by this package, and by DisableGSO. Caps.GSOReason says why.
	GSODisabled uint64

	// SoftErrors counts errors that were passed over: ICMP messages about
	// earlier datagrams, full queues, missing routes, firewalls.
	SoftErrors uint64

	// DatagramsLost is how many datagrams were given up because of such an error.
	DatagramsLost uint64

	// TooLarge is how many times ErrTooLarge was returned.
	TooLarge uint64

	// Truncated is how many messages did not fit their buffer.
	Truncated uint64

	// Timestamped is how many messages came with a time.
	Timestamped uint64

	// Dropped is how many datagrams the kernel dropped because the receive buffer
	// was full, because a shield was up (see Conn.SetShield), or because their checksum was wrong, where the kernel
	// tells: with the next datagram that comes in, and without the reason. Several that GRO had put together count as one.
	Dropped uint64
}

// cacheLine keeps counters of different goroutines apart, in bytes.
const cacheLine = 64

type counters struct {
	readCalls, datagramsReceived, bytesReceived, readSoftErrors, truncated, timestamped, dropped atomic.Uint64

	_ [cacheLine]byte

	writeCalls, datagramsSent, bytesSent, trainsSent, datagramsTimed atomic.Uint64

	fallbacks, gsoDisabled, writeSoftErrors, datagramsLost, tooLarge atomic.Uint64
}

// Stats returns what the Conn has done so far. It may be called at any time.
func (c *Conn) Stats() Stats {
	n := &c.counters
	return Stats{
		ReadCalls:         n.readCalls.Load(),
		DatagramsReceived: n.datagramsReceived.Load(),
		BytesReceived:     n.bytesReceived.Load(),
		WriteCalls:        n.writeCalls.Load(),
		DatagramsSent:     n.datagramsSent.Load(),
		BytesSent:         n.bytesSent.Load(),
		TrainsSent:        n.trainsSent.Load(),
		DatagramsTimed:    n.datagramsTimed.Load(),
		Fallbacks:         n.fallbacks.Load(),
		GSODisabled:       n.gsoDisabled.Load(),
		SoftErrors:        n.readSoftErrors.Load() + n.writeSoftErrors.Load(),
		DatagramsLost:     n.datagramsLost.Load(),
		TooLarge:          n.tooLarge.Load(),
		Truncated:         n.truncated.Load(),
		Timestamped:       n.timestamped.Load(),
		Dropped:           n.dropped.Load(),
	}
}

// onReceived counts the messages of one system call.
func (n *counters) onReceived(ms []Message) {
	datagrams, bytes, truncated, timestamped := 0, 0, 0, 0
	for i := range ms {
		m := &ms[i]
		datagrams += count(m.N, m.Segment)
		bytes += m.N
		if m.Truncated {
			truncated++
		}
		if !m.Time.IsZero() {
			timestamped++
		}
	}
	n.readCalls.Add(1)
	n.datagramsReceived.Add(uint64(datagrams))
	n.bytesReceived.Add(uint64(bytes))
	if truncated > 0 {
		n.truncated.Add(uint64(truncated))
	}
	if timestamped > 0 {
		n.timestamped.Add(uint64(timestamped))
	}
}

// onSent counts what one system call sent.
func (n *counters) onSent(datagrams, bytes int) {
	n.writeCalls.Add(1)
	n.datagramsSent.Add(uint64(datagrams))
	n.bytesSent.Add(uint64(bytes))
}
