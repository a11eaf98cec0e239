package udp

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata/internal/leak"
)

// class receives a datagram by package net and returns its whole traffic class.
func class(t *testing.T, c *Conn) uint8 {
	t.Helper()
	data, oob := make([]byte, 10), make([]byte, controlSize)
	_, n, _, _, err := c.udp.ReadMsgUDPAddrPort(data, oob)
	if err != nil {
		t.Fatal(err)
	}
	cms, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil {
		t.Fatal(err)
	}
	for _, cm := range cms {
		if cm.Header.Level == unix.IPPROTO_IP && cm.Header.Type == unix.IP_TOS || cm.Header.Level == unix.IPPROTO_IPV6 && cm.Header.Type == unix.IPV6_TCLASS {
			return cm.Data[0]
		}
	}
	t.Fatal("no traffic class")
	return 0
}

// TestDSCP checks that datagrams bear the code point with and without an ECN mark.
func TestDSCP(t *testing.T) {
	leak.Check(t)
	const expedited = 46
	for _, l := range loopbacks {
		t.Run(l.name, func(t *testing.T) {
			c := listen(t, l.network, l.listen, &Options{DisablePoll: true})
			d := listen(t, l.peerNetwork, l.peerListen, &Options{DSCP: expedited, DisablePoll: true})
			if k := d.Caps(); k.DSCP != expedited {
				t.Fatalf("%+v", k)
			}
			check := func(d *Conn, dscp uint8) {
				t.Helper()
				for ecn := range uint8(4) {
					send(t, d, &Train{Data: []byte("x"), ECN: ecn, Remote: remoteOf(l.remote, c.LocalAddr().Port())})
					want := dscp<<2 | ecn
					if d.caps.ECN == false {
						want = dscp << 2
					}
					if got := class(t, c); got != want {
						t.Errorf("traffic class %#x, want %#x", got, want)
					}
				}
			}
			check(d, expedited)
			// What somebody else has set stays.
			again, err := New(d.udp, &Options{DisablePoll: true})
			if err != nil {
				t.Fatal(err)
			}
			if k := again.Caps(); k.DSCP != expedited {
				t.Errorf("%+v", k)
			}
			check(again, expedited)
			if again, err = New(d.udp, &Options{DisableECN: true, DSCP: 8}); err != nil {
				t.Fatal(err)
			}
			check(again, 8)
			check(listen(t, l.peerNetwork, l.peerListen, nil), 0)
		})
	}
	if _, err := Listen("udp4", "127.0.0.1:0", &Options{DSCP: 64}); err == nil {
		t.Error("DSCP 64: no error")
	}
}

// TestDSCPOfOneVersion has the IP versions of a socket differ.
func TestDSCPOfOneVersion(t *testing.T) {
	leak.Check(t)
	uc, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	k := realKernel
	k.setsockopt = func(fd, level, opt, value int) error {
		if level == unix.IPPROTO_IPV6 && opt == unix.IPV6_TCLASS {
			return fmt.Errorf("injected")
		}
		return setsockopt(fd, level, opt, value)
	}
	d, err := newConn(uc, &Options{DSCP: 10}, system{kernel: k})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if !d.sys.v6 {
		t.Skip("no IPv6")
	}
	if k := d.Caps(); k.DSCP != 0 {
		t.Errorf("%+v", k)
	}
	o := &Options{DisablePoll: true}
	c4, c6 := listen(t, "udp4", "127.0.0.1:0", o), listen(t, "udp6", "[::1]:0", o)
	send(t, d, &Train{Data: []byte("x"), ECN: 2, Remote: c4.LocalAddr()})
	if got := class(t, c4); got != 10<<2|2 {
		t.Errorf("IPv4: traffic class %#x", got)
	}
	send(t, d, &Train{Data: []byte("x"), ECN: 2, Remote: c6.LocalAddr()})
	if got := class(t, c6); got != 2 {
		t.Errorf("IPv6: traffic class %#x", got)
	}
}
