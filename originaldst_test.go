package frittata

import (
	"net/netip"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

// diverted is a Socket that gets what was sent to another address.
type diverted struct {
	*udp.Conn
	dst netip.AddrPort
}

func (s *diverted) ReadBatch(m []udp.Message) (int, error)    { return s.set(m, s.Conn.ReadBatch) }
func (s *diverted) TryReadBatch(m []udp.Message) (int, error) { return s.set(m, s.Conn.TryReadBatch) }

func (s *diverted) set(m []udp.Message, read func([]udp.Message) (int, error)) (int, error) {
	n, err := read(m)
	for i := range m[:n] {
		m[i].OriginalDst = s.dst
	}
	return n, err
}

// A transparent proxy learns for whom a connection was meant.
func TestOriginalDst(t *testing.T) {
	leak.Check(t)
	dst := netip.MustParseAddrPort("192.0.2.7:443")
	u, err := udp.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTransport(&diverted{u, dst}, serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	l, err := tr.Listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan netip.AddrPort, 2)
	go func() {
		in, err := l.Accept(testContext(t))
		if err != nil {
			t.Error(err)
			return
		}
		told <- in.OriginalDst()
		if _, err := in.Start(&app{established: func(_ *quic.Conn, info HandshakeInfo) error {
			told <- info.OriginalDst
			return nil
		}}); err != nil {
			t.Error(err)
		}
	}()
	c := dial(t, l, clientConfig(), &app{})
	for range 2 {
		if got := <-told; got != dst {
			t.Errorf("told %v", got)
		}
	}
	if info, ok := c.HandshakeInfo(); !ok || info.OriginalDst.IsValid() {
		t.Errorf("the client was told %v", info.OriginalDst)
	}
}
