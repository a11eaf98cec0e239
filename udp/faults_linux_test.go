package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata/internal/leak"
)

// call is what a system call was given.
type call struct {
	messages int
	segment  bool // the first message is a train
	mark     bool // the first message has an ECN mark
	time     bool // the first message has a release time
}

// describe says what the first message asks for.
func describe(msgs []mmsghdr) call {
	k := call{messages: len(msgs)}
	h := &msgs[0].hdr
	if h.Controllen == 0 {
		return k
	}
	cms, err := syscall.ParseSocketControlMessage(controlBytes(h))
	if err != nil {
		panic(err)
	}
	for _, cm := range cms {
		k.segment = k.segment || cm.Header.Level == unix.IPPROTO_UDP && cm.Header.Type == unix.UDP_SEGMENT
		k.mark = k.mark || cm.Header.Level == unix.IPPROTO_IP && cm.Header.Type == unix.IP_TOS
		k.time = k.time || cm.Header.Level == unix.SOL_SOCKET && cm.Header.Type == unix.SCM_TXTIME
	}
	return k
}

// failing opens a socket whose sends fail as fault says: it is given the number
// of the call, from 0 on, and returns how many messages to let through, and an errno if that is none.
func failing(t *testing.T, fault func(i int, k call) (int, syscall.Errno)) (c *Conn, calls *[]call) {
	t.Helper()
	c = listen(t, "udp4", "127.0.0.1:0", &Options{TxTime: true})
	needGSO(t, c)
	calls = new([]call)
	c.sys.kernel.sendmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
		k := describe(msgs)
		n, errno := fault(len(*calls), k)
		*calls = append(*calls, k)
		if errno != 0 || n == 0 {
			return 0, errno
		}
		return sendmmsg(fd, msgs[:min(n, len(msgs))])
	}
	return c, calls
}

// TestFallbacks has system calls fail and checks that the train arrives all the same.
func TestFallbacks(t *testing.T) {
	leak.Check(t)
	const all = maxMessages
	for _, tt := range []struct {
		name      string
		fault     func(i int, k call) (int, syscall.Errno)
		calls     int // for the first train
		again     int // and for one more
		gso, ecn  bool
		fallbacks uint64
		soft      uint64
	}{
		{"no fault", func(i int, k call) (int, syscall.Errno) {
			return all, 0
		}, 1, 1, true, true, 0, 0},
		{"EIO: the interface has no checksum offload", func(i int, k call) (int, syscall.Errno) {
			if k.segment {
				return 0, unix.EIO
			}
			return all, 0
		}, 2, 1, false, true, 1, 0},
		{"EINVAL: the kernel refuses trains", func(i int, k call) (int, syscall.Errno) {
			if k.segment {
				return 0, unix.EINVAL
			}
			return all, 0
		}, 2, 1, false, true, 1, 0},
		{"EMSGSIZE: the train alone is too large", func(i int, k call) (int, syscall.Errno) {
			if k.segment {
				return 0, unix.EMSGSIZE
			}
			return all, 0
		}, 2, 2, true, true, 2, 0},
		{"EINVAL: the kernel refuses marks", func(i int, k call) (int, syscall.Errno) {
			if k.mark {
				return 0, unix.EINVAL
			}
			return all, 0
		}, 3, 1, true, false, 2, 0},
		{"EINVAL: the kernel refuses both", func(i int, k call) (int, syscall.Errno) {
			if k.mark || k.segment {
				return 0, unix.EINVAL
			}
			return all, 0
		}, 3, 2, false, false, 3, 0},
		{"EAGAIN", func(i int, k call) (int, syscall.Errno) {
			if i == 0 {
				return 0, unix.EAGAIN
			}
			return all, 0
		}, 2, 1, true, true, 0, 0},
		{"a call that sends nothing", func(i int, k call) (int, syscall.Errno) {
			if i == 0 {
				return 0, 0
			}
			return all, 0
		}, 2, 1, true, true, 0, 0},
		{"EIO, then some datagrams a call", func(i int, k call) (int, syscall.Errno) {
			if k.segment {
				return 0, unix.EIO
			}
			return 4, 0
		}, 4, 3, false, true, 1, 0},
		{"ECONNREFUSED of an earlier datagram", func(i int, k call) (int, syscall.Errno) {
			if i%2 == 0 {
				return 0, unix.ECONNREFUSED
			}
			return all, 0
		}, 2, 2, true, true, 0, 2},
		{"EHOSTUNREACH of two earlier datagrams", func(i int, k call) (int, syscall.Errno) {
			if i%3 != 2 {
				return 0, unix.EHOSTUNREACH
			}
			return all, 0
		}, 3, 3, true, true, 0, 4},
		{"EMSGSIZE of an earlier datagram", func(i int, k call) (int, syscall.Errno) {
			if i < 2 {
				return 0, unix.EMSGSIZE
			}
			return all, 0
		}, 3, 1, true, true, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, calls := failing(t, tt.fault)
			tr := Train{Data: pattern(9*100 + 50), Segment: 100, Remote: c.LocalAddr(), ECN: 2}
			for i, want := range []int{tt.calls, tt.again} {
				before := len(*calls)
				send(t, c, &tr)
				got := datagrams(t, c, tr.Count())
				checkTrain(t, &tr, got)
				if n := len(*calls) - before; n != want {
					t.Errorf("train %d: %d calls, want %d: %+v", i, n, want, (*calls)[before:])
				}
				for _, m := range got {
					if tt.ecn && m.ECN != 2 || !tt.ecn && m.ECN != 0 {
						t.Errorf("ECN %d", m.ECN)
					}
				}
			}
			if k := c.Caps(); k.GSO != tt.gso || k.ECN != tt.ecn {
				t.Errorf("GSO %v, ECN %v; want %v, %v", k.GSO, k.ECN, tt.gso, tt.ecn)
			}
			if c.EnableGSO() != tt.gso || c.Caps().GSO != tt.gso {
				t.Error("EnableGSO has undone what the system wants")
			}
			s := c.Stats()
			if s.Fallbacks != tt.fallbacks || s.SoftErrors != tt.soft || s.DatagramsSent != 20 || s.BytesSent != 2*950 || s.DatagramsLost != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestFailures has system calls fail for good.
func TestFailures(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		name  string
		fault func(i int, k call) (int, syscall.Errno)
		sent  int
		err   error // nil: none
		lost  uint64
		soft  uint64
		large uint64
		calls int
	}{
		{"EMSGSIZE: each datagram is too large", func(int, call) (int, syscall.Errno) {
			return 0, unix.EMSGSIZE
		}, 0, ErrTooLarge, 0, 0, 1, 1 + sendTries},
		// What Linux before 6.14 says.
		{"EINVAL for the train, EMSGSIZE for each datagram", func(i int, k call) (int, syscall.Errno) {
			if k.segment {
				return 0, unix.EINVAL
			}
			return 0, unix.EMSGSIZE
		}, 0, ErrTooLarge, 0, 0, 1, 1 + sendTries},
		{"EMSGSIZE in the middle", func(i int, k call) (int, syscall.Errno) {
			if i == 1 {
				return 3, 0
			}
			return 0, unix.EMSGSIZE
		}, 3, ErrTooLarge, 0, 0, 1, 2 + sendTries},
		{"ENETUNREACH", func(int, call) (int, syscall.Errno) {
			return 0, unix.ENETUNREACH
		}, 0, ErrNoRoute, 10, sendTries, 0, sendTries},
		{"EPERM: a firewall", func(int, call) (int, syscall.Errno) {
			return 0, unix.EPERM
		}, 0, ErrUnreachable, 10, sendTries, 0, sendTries},
		{"ENOBUFS", func(int, call) (int, syscall.Errno) {
			return 0, unix.ENOBUFS
		}, 0, nil, 10, 1, 0, 1},
		{"ENOBUFS in the middle", func(i int, k call) (int, syscall.Errno) {
			switch i {
			case 0:
				return 0, unix.EMSGSIZE
			case 1:
				return 4, 0
			}
			return 0, unix.ENOBUFS
		}, 4, nil, 6, 1, 0, 3},
		{"EINVAL whatever is left out", func(int, call) (int, syscall.Errno) {
			return 0, unix.EINVAL
		}, 0, unix.EINVAL, 0, 0, 0, 3},
		{"EAFNOSUPPORT", func(int, call) (int, syscall.Errno) {
			return 0, unix.EAFNOSUPPORT
		}, 0, unix.EAFNOSUPPORT, 0, 0, 0, 1},
		{"EIO for a datagram", func(int, call) (int, syscall.Errno) {
			return 0, unix.EIO
		}, 0, unix.EIO, 0, 0, 0, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, calls := failing(t, tt.fault)
			tr := Train{Data: pattern(1000), Segment: 100, Remote: c.LocalAddr(), ECN: 1}
			sent, err := c.WriteTrain(&tr)
			if sent != tt.sent || !errors.Is(err, tt.err) {
				t.Errorf("%d, %v; want %d, %v", sent, err, tt.sent, tt.err)
			}
			if len(*calls) != tt.calls {
				t.Errorf("%d calls, want %d: %+v", len(*calls), tt.calls, *calls)
			}
			if s := c.Stats(); s.DatagramsLost != tt.lost || s.SoftErrors != tt.soft || s.TooLarge != tt.large || s.DatagramsSent != uint64(tt.sent) {
				t.Errorf("%+v", s)
			}
			if k := c.Caps(); k.GSO == strings.HasPrefix(tt.name, "EIO") || !k.ECN {
				t.Errorf("%+v", k)
			}
			if tt.err != nil && tt.err != ErrTooLarge {
				var oe *net.OpError
				if !errors.As(err, &oe) || oe.Addr.String() != c.LocalAddr().String() {
					t.Errorf("%#v does not tell where to", err)
				}
				if !strings.Contains(err.Error(), "sendmmsg: ") {
					t.Errorf("%q does not tell what failed", err)
				}
			}
		})
	}
}

// TestUnfitSource has trains name a source that the system refuses for their destination only: that is an error
// of that train, and others go on being sent from the source that they name.
func TestUnfitSource(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp", ":0", nil)
	refused := func(local, remote string) {
		t.Helper()
		c.sys.kernel.sendmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
			if msgs[0].hdr.Controllen > 0 {
				return 0, unix.EINVAL
			}
			return len(msgs), 0
		}
		tr := Train{Data: []byte("x"), Local: netip.MustParseAddr(local), Remote: netip.MustParseAddrPort(remote)}
		if n, err := c.WriteTrain(&tr); n != 0 || !errors.Is(err, unix.EINVAL) {
			t.Errorf("from %s to %s: %d, %v", local, remote, n, err)
		}
		if !c.Caps().Pktinfo {
			t.Fatalf("from %s to %s: source addresses were given up", local, remote)
		}
	}
	refused("127.0.0.1", "192.0.2.1:9")
	if c.sys.v6 {
		refused("::1", "[2001:db8::1]:9")
		refused("fe80::1", "[2001:db8::1]:9") // without a zone
		refused("fe80::1%none", "[fe80::2%none]:9")
	}
	// This one is fit: then it is source addresses that the system does not take.
	tr := Train{Data: []byte("x"), Local: netip.MustParseAddr("127.0.0.1"), Remote: netip.MustParseAddrPort("127.0.0.1:9")}
	if n, err := c.WriteTrain(&tr); n != 1 || err != nil || c.Caps().Pktinfo {
		t.Errorf("%d, %v, %+v", n, err, c.Caps())
	}
}

// TestUnfitLinkLocal is the same with the host's own link-local address, and the real system.
func TestUnfitLinkLocal(t *testing.T) {
	leak.Check(t)
	a := linkLocal(t)
	c := listen(t, "udp6", "[::]:0", nil)
	n, err := c.WriteTrain(&Train{Data: []byte("x"), Local: a.WithZone(""), Remote: netip.AddrPortFrom(netip.IPv6Loopback(), c.LocalAddr().Port())})
	if n != 0 || !errors.Is(err, unix.EINVAL) || !c.Caps().Pktinfo {
		t.Errorf("%d, %v, Pktinfo %v", n, err, c.Caps().Pktinfo)
	}
}

// TestClosedWhileFull closes the socket for a writer that waits.
func TestClosedWhileFull(t *testing.T) {
	leak.Check(t)
	var c *Conn
	c, _ = failing(t, func(i int, k call) (int, syscall.Errno) {
		if i == 1 {
			go c.Close()
		}
		return 0, unix.EAGAIN
	})
	if n, err := c.WriteTrain(&Train{Data: pattern(1000), Segment: 100, Remote: c.LocalAddr()}); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestReadFaults(t *testing.T) {
	leak.Check(t)
	for _, try := range []bool{false, true} {
		c := listen(t, "udp4", "127.0.0.1:0", nil)
		read := c.ReadBatch
		if try {
			read = c.TryReadBatch
		}
		var faults []syscall.Errno
		c.sys.kernel.recvmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
			if len(faults) > 0 {
				f := faults[0]
				faults = faults[1:]
				return 0, f
			}
			return recvmmsg(fd, msgs)
		}
		m := messages(1)
		one := Train{Data: []byte("x"), Remote: c.LocalAddr()}

		send(t, c, &one)
		faults = []syscall.Errno{unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.EMSGSIZE, unix.ENETUNREACH, unix.EACCES}
		if n, err := read(m); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if s := c.Stats(); s.SoftErrors != 5 || s.DatagramsReceived != 1 {
			t.Errorf("%+v", s)
		}

		// A socket that has nothing else to say must not keep a goroutine for ever.
		for range maxSoftErrors + 1 {
			faults = append(faults, unix.ECONNREFUSED)
		}
		if n, err := read(m); n != 0 || !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%d, %v", n, err)
		}
		if len(faults) != 0 {
			t.Errorf("%d faults left", len(faults))
		}

		faults = []syscall.Errno{unix.EBADF}
		var oe *net.OpError
		if n, err := read(m); n != 0 || !errors.Is(err, unix.EBADF) || !errors.As(err, &oe) || oe.Op != "read" {
			t.Errorf("%d, %v", n, err)
		}

		// The socket works as before.
		send(t, c, &one)
		if n, err := read(m); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
}

// TestProbeFaults opens sockets on kernels that lack one thing or another.
func TestProbeFaults(t *testing.T) {
	leak.Check(t)
	type option struct{ level, opt int }
	o := &Options{DSCP: 46, Timestamps: true, TxTime: true}
	all := Caps{GSO: true, GRO: true, ECN: true, Pktinfo: true, DF: true, DSCP: 46, Timestamps: true, TxTime: true, Shield: true, Batching: true, DropCount: true, Poll: true}
	without := func(f func(k *Caps)) Caps {
		k := all
		f(&k)
		return k
	}
	for _, tt := range []struct {
		network string
		lacks   option
		want    Caps
	}{
		{"udp4", option{}, all},
		{"udp4", option{unix.IPPROTO_UDP, unix.UDP_SEGMENT}, without(func(k *Caps) { k.GSO, k.GSOReason = false, "the kernel does not have it" })},
		{"udp4", option{unix.IPPROTO_UDP, unix.UDP_GRO}, without(func(k *Caps) { k.GRO = false })},
		{"udp4", option{unix.IPPROTO_IP, unix.IP_RECVTOS}, without(func(k *Caps) { k.ECN = false })},
		{"udp4", option{unix.IPPROTO_IP, unix.IP_PKTINFO}, without(func(k *Caps) { k.Pktinfo = false })},
		{"udp4", option{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER}, without(func(k *Caps) { k.DF = false })},
		{"udp4", option{unix.IPPROTO_IP, unix.IP_TOS}, without(func(k *Caps) { k.DSCP = 0 })},
		{"udp4", option{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW}, all}, // there is the old one
		{"udp4", option{unix.SOL_SOCKET, unix.SO_TXTIME}, without(func(k *Caps) { k.TxTime = false })},
		{"udp4", option{unix.SOL_SOCKET, unix.SO_MARK}, all},
		{"udp4", option{unix.IPPROTO_IP, unix.IP_RECVORIGDSTADDR}, all},
		{"udp4", option{unix.SOL_SOCKET, unix.SO_RXQ_OVFL}, without(func(k *Caps) { k.DropCount = false })},
		{"udp4", option{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE}, all},
		{"udp4", option{unix.SOL_SOCKET, unix.SO_RCVBUF}, all},
		{"udp", option{unix.IPPROTO_IP, unix.IP_TOS}, without(func(k *Caps) { k.DSCP = 0 })},
		{"udp", option{unix.IPPROTO_IPV6, unix.IPV6_TCLASS}, without(func(k *Caps) { k.DSCP = 0 })},
		{"udp", option{unix.IPPROTO_IP, unix.IP_RECVTOS}, without(func(k *Caps) { k.ECN = false })},
		{"udp", option{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS}, without(func(k *Caps) { k.ECN = false })},
		{"udp", option{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO}, without(func(k *Caps) { k.Pktinfo = false })},
		{"udp", option{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER}, without(func(k *Caps) { k.DF = false })},
		{"udp", option{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER}, without(func(k *Caps) { k.DF = false })},
	} {
		full := listen(t, tt.network, ":0", nil)
		needGSO(t, full)
		if tt.network == "udp" && !full.sys.v6 {
			t.Skip("no IPv6")
		}
		uc, err := net.ListenUDP(tt.network, nil)
		if err != nil {
			t.Fatal(err)
		}
		k := realKernel
		k.setsockopt = func(fd, level, opt, value int) error {
			if (option{level, opt}) == tt.lacks {
				return os.NewSyscallError("setsockopt", unix.ENOPROTOOPT)
			}
			return setsockopt(fd, level, opt, value)
		}
		k.getsockopt = func(fd, level, opt int) (int, error) {
			if (option{level, opt}) == tt.lacks {
				return 0, os.NewSyscallError("getsockopt", unix.ENOPROTOOPT)
			}
			return getsockopt(fd, level, opt)
		}
		k.setTxTime = func(fd int) error {
			if (option{unix.SOL_SOCKET, unix.SO_TXTIME}) == tt.lacks {
				return os.NewSyscallError("setsockopt", unix.ENOPROTOOPT)
			}
			return setTxTime(fd)
		}
		c, err := newConn(uc, o, system{kernel: k})
		if err != nil {
			t.Errorf("%+v: %v", tt, err)
			uc.Close()
			continue
		}
		got := c.Caps()
		got.MaxSegments, got.MaxTrain, got.ReceiveBuffer, got.SendBuffer = 0, 0, 0, 0
		got.ReceiveBufferWanted, got.SendBufferWanted = 0, 0
		if got != tt.want {
			t.Errorf("%s without %+v: %+v, want %+v", tt.network, tt.lacks, got, tt.want)
		}
		// Whatever is missing, datagrams go through.
		tr := Train{Data: pattern(1000), Segment: 99, ECN: 1, Local: netip.MustParseAddr("127.0.0.1"), Time: time.Now(),
			Remote: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.LocalAddr().Port())}
		send(t, c, &tr)
		checkTrain(t, &tr, datagrams(t, c, tr.Count()))
		c.Close()
	}
	// Without knowing what the socket is there is nothing to be done.
	uc, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer uc.Close()
	for _, domain := range []int{-1, unix.AF_UNIX} {
		k := realKernel
		k.getsockopt = func(fd, level, opt int) (int, error) {
			if domain < 0 {
				return 0, os.NewSyscallError("getsockopt", unix.ENOPROTOOPT)
			}
			return domain, nil
		}
		if _, err := newConn(uc, nil, system{kernel: k}); err == nil {
			t.Errorf("address family %d: no error", domain)
		}
	}
}

// TestWriterKeepsNothing looks at what a writer leaves in its messages, also those of a train's first call of several.
func TestWriterKeepsNothing(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", &Options{DisableGSO: true})
	var used []mmsghdr
	c.sys.kernel.sendmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
		if len(msgs) > len(used) {
			used = msgs
		}
		return len(msgs), 0
	}
	const n = maxMessages + 1
	send(t, c, &Train{Data: make([]byte, n), Segment: 1, Remote: c.LocalAddr()})
	if len(used) != maxMessages {
		t.Fatalf("%d messages at most", len(used))
	}
	for i := range used {
		if used[i].hdr.Iov.Base != nil {
			t.Fatalf("message %d has data still", i)
		}
	}
}
