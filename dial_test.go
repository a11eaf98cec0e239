package frittata

import (
	"net/netip"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
)

// The addresses of a net.UDPAddr are IPv4 in IPv6, those of datagrams that come are not.
func TestDialMappedAddress(t *testing.T) {
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	tr, err := Open("udp4", "127.0.0.1:0", clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	mapped := netip.AddrPortFrom(netip.AddrFrom16(l.Addr().Addr().As16()), l.Addr().Port())
	u := newUpload(1, 1000)
	c, err := tr.Dial(testContext(t), mapped, "localhost", nil, u)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back", u.done)
	if got := c.RemoteAddr(); got != l.Addr() {
		t.Errorf("the remote address is %v", got)
	}
}
