package frittata

import (
	"net/netip"
	"testing"
)

func TestTrainWatch(t *testing.T) {
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for _, tt := range []struct {
		addrs []string
		want  bool // after the last
	}{
		{[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, true},
		{[]string{"192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1", "192.0.2.2"}, false},
		{[]string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"}, false}, // one peer may have them all
		{[]string{"2001:db8::1", "2001:db8:0:1::1", "192.0.2.1"}, true},
		{[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, false}, // it was told before
	} {
		var w, arrived trainWatch
		arrived.arrived.Store(true)
		got := false
		for _, s := range tt.addrs {
			got = w.onLost(a(s))
			if arrived.onLost(a(s)) {
				t.Errorf("%v: though one had arrived", tt.addrs)
			}
		}
		if got != tt.want {
			t.Errorf("%v: %v", tt.addrs, got)
		}
	}
}
