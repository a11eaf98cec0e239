package quic

import "time"

// Stats is a snapshot of a connection's counters and of its current path.
type Stats struct {
	PacketsSent, PacketsReceived     uint64
	PacketsLost, PacketsSpuriousLost uint64
	PacketsDropped                   uint64 // received, but undecryptable, duplicate, malformed, or from the port of a service
	BytesSent, BytesReceived         uint64 // UDP payload
	BytesLost                        uint64
	StreamBytesSent                  uint64 // payload of STREAM frames, retransmissions not counted
	StreamBytesRetransmitted         uint64
	StreamBytesReceived              uint64 // new bytes, duplicates not counted
	DatagramsSent, DatagramsReceived uint64 // DATAGRAM frames
	DatagramsDropped                 uint64 // received DATAGRAM frames that found the queue full
	StreamsOpened, StreamsAccepted   uint64
	PTOs                             uint64 // probe timeouts that fired
	KeyUpdates                       uint64
	PathChanges                      uint64
	Glitches                         uint64 // frames of the peer that brought nothing, and what the application called Conn.Glitch for
	PathsAlone                       uint64 // paths on which all but the first of each train was lost, until trains ended

	LatestRTT, SmoothedRTT, MinRTT, RTTVar time.Duration
	CongestionWindow, BytesInFlight        int    // bytes
	PacingRate                             uint64 // bytes per second
	PathMTU                                int    // bytes of UDP payload
}

// counters are those of Stats that the Conn itself counts.
type counters struct {
	PacketsSent, PacketsReceived, PacketsDropped                   uint64
	BytesSent, BytesReceived                                       uint64
	StreamBytesSent, StreamBytesRetransmitted, StreamBytesReceived uint64
	DatagramsSent, DatagramsReceived, DatagramsDropped             uint64
	StreamsOpened, StreamsAccepted                                 uint64
	KeyUpdates, PathChanges, Glitches                              uint64
}
