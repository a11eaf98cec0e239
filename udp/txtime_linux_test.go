package udp

import (
	"encoding/binary"
	"math"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata/internal/leak"
)

// monotonic returns the kernel's clock.
func monotonic(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// TestTxTime checks that a train bears its release time to the kernel. When it leaves is for
// the queueing discipline, which the loopback interface has not.
func TestTxTime(t *testing.T) {
	leak.Check(t)
	for _, l := range loopbacks {
		t.Run(l.name, func(t *testing.T) {
			c := listen(t, l.network, l.listen, nil)
			d := listen(t, l.peerNetwork, l.peerListen, &Options{TxTime: true})
			if !d.Caps().TxTime {
				t.Skip("no SO_TXTIME")
			}
			var releases []time.Duration
			d.sys.kernel.sendmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
				for i := range msgs {
					cms, err := syscall.ParseSocketControlMessage(controlBytes(&msgs[i].hdr))
					if err != nil {
						t.Error(err)
					}
					for _, cm := range cms {
						if cm.Header.Level == unix.SOL_SOCKET && cm.Header.Type == unix.SCM_TXTIME {
							releases = append(releases, time.Duration(binary.NativeEndian.Uint64(cm.Data)))
						}
					}
				}
				return sendmmsg(fd, msgs)
			}
			to := c.LocalAddr().Port()
			tr := Train{Data: pattern(5000), Segment: 1200, ECN: 1, Remote: remoteOf(l.remote, to)}
			for _, ahead := range []time.Duration{-time.Hour, 0, 5 * time.Second} {
				releases = releases[:0]
				before := monotonic(t)
				tr.Time = time.Now().Add(ahead)
				after := monotonic(t)
				send(t, d, &tr)
				checkTrain(t, &tr, datagrams(t, c, tr.Count()))
				if len(releases) == 0 {
					t.Fatal("no release time")
				}
				// The clocks are a little apart: they cannot be read at once.
				const apart = 100 * time.Millisecond
				for _, r := range releases {
					if r < max(0, before+ahead)-apart || r > max(0, after+ahead)+apart {
						t.Errorf("%v ahead: released at %v, want %v to %v", ahead, r, before+ahead, after+ahead)
					}
				}
			}
			releases = nil
			tr.Time = time.Time{}
			send(t, d, &tr)
			checkTrain(t, &tr, datagrams(t, c, tr.Count()))
			if releases != nil {
				t.Errorf("released at %v without a time", releases)
			}
			if s := d.Stats(); s.DatagramsTimed != 15 || s.DatagramsSent != 20 || s.Fallbacks != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	// It is off unless asked for.
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	send(t, c, &Train{Data: []byte("x"), Remote: c.LocalAddr(), Time: time.Now().Add(time.Hour)})
	datagrams(t, c, 1)
	if k, s := c.Caps(), c.Stats(); k.TxTime || s.DatagramsTimed != 0 || s.Fallbacks != 0 {
		t.Errorf("%+v, %+v", k, s)
	}
}

// TestTxTimeFallbacks has the kernel refuse release times, alone or with other things.
func TestTxTimeFallbacks(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		name             string
		refuse           func(k call) bool
		calls            []int // for one train after the other
		gso, ecn, txTime bool
		fallbacks        uint64
		timed            uint64
	}{
		{"nothing", func(k call) bool { return false }, []int{1, 1, 1}, true, true, true, 0, 30},
		{"times", func(k call) bool { return k.time }, []int{3, 1, 1}, true, true, false, 2, 0},
		{"times of trains", func(k call) bool { return k.time && k.segment }, []int{2, 1, 1}, false, true, true, 1, 30},
		{"marks", func(k call) bool { return k.mark }, []int{4, 1, 1}, true, false, true, 3, 20},
		{"times and marks", func(k call) bool { return k.time || k.mark }, []int{4, 3, 1}, true, false, false, 5, 0},
		{"trains", func(k call) bool { return k.segment }, []int{2, 1, 1}, false, true, true, 1, 30},
		{"all", func(k call) bool { return k.time || k.mark || k.segment }, []int{4, 3, 2}, false, false, false, 6, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, calls := failing(t, func(i int, k call) (int, syscall.Errno) {
				if tt.refuse(k) {
					return 0, unix.EINVAL
				}
				return maxMessages, 0
			})
			if !c.Caps().TxTime {
				t.Skip("no SO_TXTIME")
			}
			tr := Train{Data: pattern(9*100 + 50), Segment: 100, Remote: c.LocalAddr(), ECN: 2, Time: time.Now()}
			for i, want := range tt.calls {
				before := len(*calls)
				send(t, c, &tr)
				checkTrain(t, &tr, datagrams(t, c, tr.Count()))
				if n := len(*calls) - before; n != want {
					t.Errorf("train %d: %d calls, want %d: %+v", i, n, want, (*calls)[before:])
				}
			}
			if k := c.Caps(); k.GSO != tt.gso || k.ECN != tt.ecn || k.TxTime != tt.txTime {
				t.Errorf("%+v", k)
			}
			if s := c.Stats(); s.Fallbacks != tt.fallbacks || s.DatagramsTimed != tt.timed || s.DatagramsSent != 30 {
				t.Errorf("%+v", s)
			}
		})
	}
	// What is refused with nothing left is not blamed on the time.
	c, calls := failing(t, func(int, call) (int, syscall.Errno) { return 0, unix.EINVAL })
	before := c.Caps()
	tr := Train{Data: pattern(500), Segment: 100, Remote: c.LocalAddr(), ECN: 2, Time: time.Now()}
	if n, err := c.WriteTrain(&tr); n != 0 || err == nil || len(*calls) != 4 {
		t.Errorf("%d, %v after %d calls", n, err, len(*calls))
	}
	if c.Caps() != before {
		t.Errorf("%+v, before %+v", c.Caps(), before)
	}
}

func TestClock(t *testing.T) {
	base := time.Now()
	const mono = int64(time.Hour)
	c := clock{base, mono}
	for _, tt := range []struct {
		at   time.Time
		want uint64
	}{
		{base, uint64(mono)},
		{base.Add(time.Second), uint64(mono) + 1e9},
		{base.Add(-time.Second), uint64(mono) - 1e9},
		{base.Add(-2 * time.Hour), 0},
		{base.Round(0).Add(time.Second), uint64(mono) + 1e9}, // without a monotonic reading
		{time.Time{}, 0},
		{time.Unix(1<<40, 0), math.MaxInt64},
		{base.Add(math.MaxInt64), math.MaxInt64},
	} {
		if got := c.at(tt.at); got != tt.want && !(tt.at == base.Round(0).Add(time.Second) && got/1e9 == tt.want/1e9) {
			t.Errorf("%v: %d, want %d", tt.at, got, tt.want)
		}
	}
	if s := startClock(); s.mono <= 0 || s.base.IsZero() {
		t.Errorf("%+v", s)
	}
}
