package darwin

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// message is a control message, padded as the kernel does.
func message(level, typ uint32, data ...byte) []byte {
	b := appendHeader(nil, level, typ, uint32(len(data)))
	b = append(b, data...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func number(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func TestParse(t *testing.T) {
	a6 := netip.MustParseAddr("fe80::1").As16()
	mapped := netip.MustParseAddr("::ffff:192.0.2.1").As16()
	in4 := message(LevelIP4, OptPktinfo, append(number(5), 10, 0, 0, 1, 192, 0, 2, 1)...)
	for _, tt := range []struct {
		name string
		b    []byte
		want Info
	}{
		{"nothing", nil, Info{}},
		{"IPv4", append(message(LevelIP4, OptRecvTOS, 0xb9), in4...), Info{netip.MustParseAddr("192.0.2.1"), 5, 0xb9}},
		{"the other order", append(bytes.Clone(in4), message(LevelIP4, OptRecvTOS, 3)...), Info{netip.MustParseAddr("192.0.2.1"), 5, 3}},
		{"the last without padding", append(bytes.Clone(in4), message(LevelIP4, OptRecvTOS, 3)[:13]...), Info{netip.MustParseAddr("192.0.2.1"), 5, 3}},
		{"IPv6", append(message(LevelIP6, OptTClass, number(0xfe)...), message(LevelIP6, OptPktinfo6, append(a6[:], number(7)...)...)...), Info{netip.MustParseAddr("fe80::1"), 7, 0xfe}},
		{"a class of one byte", message(LevelIP6, OptTClass, 2), Info{Class: 2}},
		{"mapped", message(LevelIP6, OptPktinfo6, append(mapped[:], number(7)...)...), Info{netip.MustParseAddr("192.0.2.1"), 7, 0}},
		{"unknown before", append(message(99, 99, 1, 2, 3), in4...), Info{netip.MustParseAddr("192.0.2.1"), 5, 0}},
		{"too short", append(append(append(message(LevelIP4, OptRecvTOS), message(LevelIP6, OptTClass)...), message(LevelIP4, OptPktinfo, make([]byte, 11)...)...), message(LevelIP6, OptPktinfo6, make([]byte, 19)...)...), Info{}},
		{"a length of 0", append(append(number(0), make([]byte, 8)...), in4...), Info{}},
		{"longer than all", append(number(17), message(LevelIP4, OptRecvTOS, 3)[4:]...), Info{}},
		{"a length of 2^32-1", append(number(1<<32-1), message(LevelIP4, OptRecvTOS, 3)[4:]...), Info{}},
	} {
		if got := Parse(tt.b); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// TestAppend compares with what the system's headers say, byte by byte.
func TestAppend(t *testing.T) {
	numbers := func(v ...uint32) (b []byte) {
		for _, v := range v {
			b = append(b, number(v)...)
		}
		return b
	}
	a4, a6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("fe80::7")
	b6 := a6.As16()
	var buf [Size]byte
	for _, tt := range []struct {
		name      string
		got, want []byte
	}{
		{"class 4", AppendClass(buf[:0], 0xba, true), numbers(16, 0, 3, 0xba)},
		{"class 6", AppendClass(nil, 1, false), numbers(16, 41, 36, 1)},
		{"source 4", AppendSource(nil, a4, 9), append(numbers(24, 0, 26, 0), 192, 0, 2, 7, 0, 0, 0, 0)},
		{"source 6", AppendSource(nil, a6, 9), append(append(numbers(32, 41, 46), b6[:]...), number(9)...)},
		{"both", AppendSource(AppendClass(nil, 2, true), a4, 0), append(numbers(16, 0, 3, 2, 24, 0, 26, 0), 192, 0, 2, 7, 0, 0, 0, 0)},
	} {
		if !bytes.Equal(tt.got, tt.want) {
			t.Errorf("%s: %x, want %x", tt.name, tt.got, tt.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Parse(AppendSource(AppendClass(buf[:0], 2, false), a6, 3)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(AppendSource(AppendClass(nil, 3, true), netip.MustParseAddr("192.0.2.1"), 0))
	f.Add(AppendSource(AppendClass(nil, 3, false), netip.MustParseAddr("2001:db8::1"), 1))
	f.Add(message(LevelIP4, OptRecvTOS, 1)[:13])
	f.Fuzz(func(t *testing.T, b []byte) {
		got := Parse(b)
		if got.Local.Is4In6() || got.Local.Zone() != "" {
			t.Fatalf("%+v", got)
		}
		// What was said again says the same.
		for _, v4 := range []bool{false, true} {
			c := AppendClass(nil, got.Class, v4)
			if got.Local.IsValid() {
				c = AppendSource(c, got.Local, got.Interface)
			}
			again := Parse(c)
			if again.Class != got.Class || got.Local.Is6() && again != got {
				t.Fatalf("%+v, want %+v", again, got)
			}
		}
		// A cut never yields what was not there.
		if len(b) > 0 {
			Parse(b[:len(b)-1])
		}
	})
}
