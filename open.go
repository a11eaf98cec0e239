package frittata

import "log/slog"

// Open opens a UDP socket and makes a Transport on it. network is "udp", "udp4"
// or "udp6"; addr is host:port as for [net.ListenPacket]: ":0" is a port that
// the system chooses, and with "udp" both IPv4 and IPv6 where the system has both.
func Open(network, addr string, cfg *Config) (*Transport, error) {
	return listenTransport(network, addr, cfg, slog.LevelWarn)
}
