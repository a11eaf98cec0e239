package sim

import (
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// Whatever the network does to the packets of honest peers, a hundredth of the default of GlitchLimit is enough for
// them: for ACKs that were overtaken by ones that tell the same, and for data that was sent again for nothing.
func TestNetworksMakeNoGlitches(t *testing.T) {
	clean := func() []Node { return []Node{lan(), delay(10)} }
	mixed := func() []Node { return []Node{lan(), delay(10), &Reorder{P: 0.5, By: 20 * time.Millisecond}} }
	wild := func() []Node { return append(mixed(), &Duplicate{P: 0.3}, &Loss{P: 0.01}) }
	list := append([]link{
		{name: "ACKs mixed up", up: mixed, down: clean, limit: time.Minute},
		{name: "all mixed up", up: wild, limit: 2 * time.Minute},
	}, links...)
	for i := range list {
		l := &list[i]
		t.Run(l.name, func(t *testing.T) {
			d := newDuo(t, l, Peer{Streams: 2, Size: mb / 2}, Peer{Streams: 1, Size: 2 * mb, Dir: quic.Uni}, func(c, s *HostConfig) {
				c.Config, s.Config = FakeConfig(), FakeConfig()
				c.Config.GlitchLimit, s.Config.GlitchLimit = 100, 100
			})
			d.Until("transfer", l.limit, func() bool { return d.app.Finished == 2 && d.app.Received == 1 })
			d.finish()
		})
	}
}
