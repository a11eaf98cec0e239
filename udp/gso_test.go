package udp

import (
	"sync"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestDisableGSO(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	before := c.Caps()
	tr := Train{Data: pattern(10 * 100), Segment: 100, Remote: c.LocalAddr()}
	send(t, c, &tr)
	datagrams(t, c, 10)
	trains := c.Stats().TrainsSent

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { c.DisableGSO("none of them arrives") })
	}
	wg.Wait()
	c.DisableGSO("another reason")
	send(t, c, &tr)
	checkTrain(t, &tr, datagrams(t, c, 10))
	k, s := c.Caps(), c.Stats()
	want, disabled := "none of them arrives", uint64(1)
	if !before.GSO {
		want, disabled = before.GSOReason, 0
	}
	if k.GSO || k.GSOReason != want || s.GSODisabled != disabled || s.TrainsSent != trains || s.DatagramsSent != 20 {
		t.Errorf("%+v, %+v", k, s)
	}
	if before.GSO == (before.GSOReason != "") {
		t.Errorf("%+v", before)
	}
	if n := testing.AllocsPerRun(100, func() { c.DisableGSO("again") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for range 2 {
		if c.EnableGSO() != before.GSO {
			t.Errorf("EnableGSO: %+v", c.Caps())
		}
		send(t, c, &tr)
		checkTrain(t, &tr, datagrams(t, c, 10))
	}
	if k, s := c.Caps(), c.Stats(); k.GSO != before.GSO || k.GSOReason != before.GSOReason || s.TrainsSent != 3*trains || s.GSODisabled != disabled {
		t.Errorf("%+v, %+v", k, s)
	}
	if c.DisableGSO("again"); before.GSO && c.Caps().GSOReason != "again" || c.Caps().GSO {
		t.Errorf("%+v", c.Caps())
	}
	off := listen(t, "udp4", "127.0.0.1:0", &Options{DisableGSO: true})
	if k := off.Caps(); k.GSO || k.GSOReason == "" || off.EnableGSO() {
		t.Errorf("%+v", k)
	}
}
