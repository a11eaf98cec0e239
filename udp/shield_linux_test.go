package udp

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata/internal/leak"
)

// initialPacket is a datagram that begins with an Initial packet whose IDs and token have these lengths.
func initialPacket(version byte, dst, src, token int) []byte {
	b := []byte{0xc3, 0, 0, 0, version, byte(dst)}
	b = append(b, make([]byte, dst)...)
	b = append(b, byte(src))
	b = append(b, make([]byte, src)...)
	b = append(b, byte(token))
	return append(b, make([]byte, 1200-len(b))...)
}

func TestShield(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		t.Run(network, func(t *testing.T) {
			leak.Check(t)
			host := map[string]string{"udp4": "127.0.0.1", "udp6": "[::1]"}[network]
			c := listen(t, network, host+":0", nil)
			if !c.Caps().Shield {
				t.Fatal("no shield")
			}
			from := listen(t, network, host+":0", nil)
			type kind struct {
				name   string
				data   []byte
				passes [3]bool // by Shield
			}
			short := append([]byte{0x43}, make([]byte, 99)...)
			handshake := initialPacket(1, 8, 8, 0)
			handshake[0] = 0xe3
			kinds := []kind{
				{"short header", short, [3]bool{true, true, true}},
				{"one byte", []byte{0x43}, [3]bool{true, true, true}},
				{"empty", nil, [3]bool{true, false, false}},
				{"Handshake", handshake, [3]bool{true, true, true}},
				{"another version", initialPacket(2, 8, 8, 0), [3]bool{true, true, true}},
				{"Initial", initialPacket(1, 8, 8, 0), [3]bool{true, false, false}},
				{"Initial, short IDs", initialPacket(1, 0, 0, 0), [3]bool{true, false, false}},
				{"Initial, long IDs", initialPacket(1, 20, 20, 0), [3]bool{true, false, false}},
				{"Initial with a token", initialPacket(1, 8, 8, 50), [3]bool{true, true, false}},
				{"Initial, long IDs and a token", initialPacket(1, 20, 20, 0x41), [3]bool{true, true, false}},
				{"cut Initial", initialPacket(1, 20, 20, 0)[:20], [3]bool{true, false, false}},
				{"cut header", []byte{0xc3}, [3]bool{true, false, false}},
			}
			for _, s := range []Shield{ShieldTokens, ShieldAll, ShieldOff, ShieldOff, ShieldAll, ShieldTokens} {
				if err := c.SetShield(s); err != nil {
					t.Fatal(err)
				}
				for _, k := range kinds {
					// The last datagram passes in any case, and comes behind the others.
					for _, data := range [][]byte{k.data, []byte("last")} {
						send(t, from, &Train{Data: data, Segment: len(data), Remote: c.LocalAddr()})
					}
					got := false
					for {
						if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
							t.Fatal(err)
						}
						m := []Message{{Buf: make([]byte, 2000)}}
						if _, err := c.ReadBatch(m); err != nil {
							t.Fatal(err)
						}
						if string(m[0].Buf[:m[0].N]) == "last" {
							break
						}
						got = true
					}
					if got != k.passes[s] {
						t.Errorf("shield %d, %s: it passed: %v", s, k.name, got)
					}
				}
			}
			if err := c.SetShield(ShieldAll + 1); err == nil {
				t.Error("a shield of no kind")
			}
		})
	}
}

func TestShieldFaults(t *testing.T) {
	leak.Check(t)
	if c := listen(t, "udp4", "127.0.0.1:0", &Options{DisableShield: true}); c.Caps().Shield || c.SetShield(ShieldAll) == nil {
		t.Error("a shield that is switched off")
	}
	// A filter that the socket has is its owner's.
	uc, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = filter(int(fd), ShieldTokens.program()) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	owned, err := New(uc, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer owned.Close()
	if owned.Caps().Shield {
		t.Error("the owner's filter would be replaced")
	}
	// A kernel that refuses is not asked again.
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	calls := 0
	c.sys.kernel.filter = func(int, []unix.SockFilter) error { calls++; return unix.ENOMEM }
	if err := c.SetShield(ShieldAll); !errors.Is(err, unix.ENOMEM) {
		t.Error(err)
	}
	if err := c.SetShield(ShieldAll); err == nil || calls != 1 || c.Caps().Shield {
		t.Errorf("%v after %d calls", err, calls)
	}
	k := realKernel
	k.filterLen = func(int) (int, error) { return 0, unix.ENOPROTOOPT }
	uc, err = net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err = newConn(uc, nil, system{kernel: k})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Caps().Shield {
		t.Error("a shield of a kernel that has no filters")
	}
}
