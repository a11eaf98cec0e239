package udp

import (
	"errors"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestGroupErrors(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		n int
		o *Options
	}{
		{0, nil},
		{-1, nil},
		{1, &Options{Steer: &Steer{Offset: -1}}},
		{1, &Options{Steer: &Steer{Offset: 20}}},
		{1, &Options{Steer: &Steer{Bits: -1}}},
		{1, &Options{Steer: &Steer{Bits: 9}}},
		{3, &Options{Steer: &Steer{Bits: 1}}},
		{257, &Options{Steer: &Steer{}}},
		{1, &Options{DSCP: 64}},
	} {
		if g, err := ListenGroup("udp4", "127.0.0.1:0", tt.n, tt.o); err == nil || g != nil {
			t.Errorf("%d sockets, %+v: no error", tt.n, tt.o)
		}
	}
	if _, err := ListenGroup("tcp", "127.0.0.1:0", 1, nil); err == nil {
		t.Error("of TCP: no error")
	}
	if !canGroup {
		if _, err := ListenGroup("udp4", "127.0.0.1:0", 2, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	}
}

// TestGroupOfOne is a socket like any other, on every system.
func TestGroupOfOne(t *testing.T) {
	leak.Check(t)
	for _, o := range []*Options{nil, {}, {Steer: &Steer{Offset: 3}}} {
		g, err := ListenGroup("udp4", "127.0.0.1:0", 1, o)
		if err != nil || len(g) != 1 {
			t.Fatal(len(g), err)
		}
		c := g[0]
		if _, err := Listen("udp4", c.LocalAddr().String(), &Options{ReusePort: canGroup}); err == nil {
			t.Error("it shares its port")
		}
		tr := Train{Data: pattern(1000), Segment: 100, Remote: c.LocalAddr()}
		send(t, c, &tr)
		checkTrain(t, &tr, datagrams(t, c, 10))
		if c.Caps().Steering {
			t.Error("steering a single socket")
		}
		c.Close()
	}
}
