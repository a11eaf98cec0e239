package frittata

import (
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/udp"
)

// Socket is what a Transport sends and receives by. *udp.Conn is the fast one;
// [PacketSocket] makes one of a net.PacketConn. One goroutine at a time reads,
// any number write. What each method does is said at *udp.Conn.
type Socket interface {
	ReadBatch(m []udp.Message) (n int, err error)
	TryReadBatch(m []udp.Message) (n int, err error)
	WriteTrain(t *udp.Train) (sent int, err error)
	SetReadDeadline(t time.Time) error
	LocalAddr() netip.AddrPort
	Caps() udp.Caps
	Close() error
}

var _ Socket = (*udp.Conn)(nil)
