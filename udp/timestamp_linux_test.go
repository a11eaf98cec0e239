package udp

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestTimestamps(t *testing.T) {
	leak.Check(t)
	for _, l := range loopbacks {
		t.Run(l.name, func(t *testing.T) {
			c := listen(t, l.network, l.listen, &Options{Timestamps: true})
			d := listen(t, l.peerNetwork, l.peerListen, nil)
			if !c.Caps().Timestamps {
				t.Skip("no SO_TIMESTAMPNS")
			}
			// The system's clock may be set meanwhile, but hardly by more than this.
			before := time.Now().Add(-time.Hour)
			tr := Train{Data: pattern(5000), Segment: 1200, Remote: remoteOf(l.remote, c.LocalAddr().Port())}
			send(t, d, &tr)
			got := datagrams(t, c, tr.Count())
			after := time.Now().Add(time.Hour)
			checkTrain(t, &tr, got)
			for _, m := range got {
				if m.Time.Before(before) || m.Time.After(after) {
					t.Errorf("%v, want %v to %v", m.Time, before, after)
				}
			}
			if s := c.Stats(); s.Timestamped == 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	// New switches them off again, and a message that had a time keeps none.
	c := listen(t, "udp4", "127.0.0.1:0", &Options{Timestamps: true, DisablePoll: true})
	c, err := New(c.udp, nil)
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, &Train{Data: []byte("x"), Remote: c.LocalAddr()})
	m := messages(1)
	m[0].Time = time.Now()
	if n, err := c.ReadBatch(m); n != 1 || err != nil || !m[0].Time.IsZero() || c.Caps().Timestamps || c.Stats().Timestamped != 0 {
		t.Errorf("%d, %v, %v, %+v", n, err, m[0].Time, c.Stats())
	}
}

// TestTimestampFaults opens sockets on kernels without time stamps.
func TestTimestampFaults(t *testing.T) {
	leak.Check(t)
	uc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	k := realKernel
	k.setsockopt = func(fd, level, opt, value int) error {
		if level == unix.SOL_SOCKET && (opt == unix.SO_TIMESTAMPNS_NEW || opt == unix.SO_TIMESTAMPNS_OLD) {
			return os.NewSyscallError("setsockopt", unix.ENOPROTOOPT)
		}
		return setsockopt(fd, level, opt, value)
	}
	c, err := newConn(uc, &Options{Timestamps: true}, system{kernel: k})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, &Train{Data: []byte("x"), Remote: c.LocalAddr()})
	if m := datagrams(t, c, 1)[0]; c.Caps().Timestamps || !m.Time.IsZero() {
		t.Errorf("%+v, %v", c.Caps(), m.Time)
	}
}

// TestInterface checks what the interface is that datagrams came in by.
func TestInterface(t *testing.T) {
	leak.Check(t)
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip("the loopback interface has another name here: ", err)
	}
	for _, l := range loopbacks {
		for _, off := range []bool{false, true} {
			c := listen(t, l.network, l.listen, &Options{DisablePktinfo: off})
			d := listen(t, l.peerNetwork, l.peerListen, nil)
			send(t, d, &Train{Data: []byte("x"), Remote: remoteOf(l.remote, c.LocalAddr().Port())})
			want := lo.Index
			if off {
				want = 0
			}
			if m := datagrams(t, c, 1)[0]; m.Interface != want {
				t.Errorf("%s: %d, want %d", l.name, m.Interface, want)
			}
		}
	}
}
