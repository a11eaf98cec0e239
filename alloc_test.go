package frittata

import (
	"runtime"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// A steady transfer allocates nothing per packet, in all of client, server and both runtimes.
func TestTransferAllocatesNothingPerPacket(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops at random under the race detector")
	}
	leak.Check(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	const size = 8 << 20
	first := newUpload(1, size)
	c := dial(t, l, clientConfig(), first)
	wait(t, "windows and pools have grown", first.done)

	second := newUpload(1, size)
	var before, after runtime.MemStats
	stats, err := c.Stats(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&before)
	if err := c.Do(func(qc *quic.Conn) {
		c.app = second
		if err := second.onEstablished(qc, HandshakeInfo{}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	wait(t, "all came back", second.done)
	runtime.ReadMemStats(&after)
	if second.err != nil {
		t.Fatal(second.err)
	}
	end, err := c.Stats(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	packets := end.PacketsSent + end.PacketsReceived - stats.PacketsSent - stats.PacketsReceived
	allocs := after.Mallocs - before.Mallocs
	t.Logf("%d packets, %d allocations", packets, allocs)
	if float64(allocs) > 0.2*float64(packets) {
		t.Errorf("%d allocations for %d packets", allocs, packets)
	}
}
