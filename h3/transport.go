package h3

import "github.com/frittata-go/frittata/quic"

// transport is what a Conn uses of a quic.Conn.
type transport interface {
	IsClient() bool
	OpenStream(dir quic.Dir) (quic.StreamID, error)
	NextReadable() (quic.StreamID, bool)
	NextWritable() (quic.StreamID, bool)
	RearmWrite(id quic.StreamID)
	StreamRead(id quic.StreamID, p []byte) (n int, fin bool, err error)
	StreamReadBuf(id quic.StreamID, max int) (b *quic.Buffer, fin bool, err error)
	StreamReadable(id quic.StreamID) int
	StreamWrite(id quic.StreamID, p []byte, fin bool) (n int, err error)
	StreamWriteBuf(id quic.StreamID, b *quic.Buffer, fin bool) (ok bool, err error)
	StreamCapacity(id quic.StreamID) int
	ResetStream(id quic.StreamID, code uint64) error
	StopSending(id quic.StreamID, code uint64) error
	SetStreamPriority(id quic.StreamID, urgency uint8, incremental bool) error
	DatagramLimit() int
	Glitch(n int) bool
}

var _ transport = (*quic.Conn)(nil)
