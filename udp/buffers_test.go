package udp

import (
	"strings"
	"testing"
)

func TestWarning(t *testing.T) {
	for _, tt := range []struct {
		k    Caps
		want []string // pieces of it; none: no warning
	}{
		{Caps{}, nil},
		{Caps{ReceiveBuffer: 100, SendBuffer: 100}, nil},
		{Caps{ReceiveBuffer: 100, ReceiveBufferWanted: 100, SendBuffer: 101, SendBufferWanted: 100}, nil},
		{Caps{ReceiveBufferWanted: 100}, nil}, // unknown
		{Caps{ReceiveBuffer: 208 << 10, ReceiveBufferWanted: 7 << 20, SendBuffer: 7 << 20, SendBufferWanted: 7 << 20}, []string{"receive buffer is 208 KiB instead of 7168 KiB", receiveLimit}},
		{Caps{ReceiveBuffer: 7 << 20, ReceiveBufferWanted: 7 << 20, SendBuffer: 1 << 10, SendBufferWanted: 2 << 10}, []string{"send buffer is 1 KiB instead of 2 KiB", sendLimit}},
		{Caps{ReceiveBuffer: 1 << 10, ReceiveBufferWanted: 2 << 10, SendBuffer: 3 << 10, SendBufferWanted: 4 << 10}, []string{"receive buffer", "; ", "send buffer"}},
	} {
		w := tt.k.Warning()
		if (w == "") != (tt.want == nil) || strings.Contains(w, "\n") {
			t.Errorf("%+v: %q", tt.k, w)
		}
		for _, s := range tt.want {
			if !strings.Contains(w, s) {
				t.Errorf("%+v: %q does not contain %q", tt.k, w, s)
			}
		}
	}
	for goos, want := range map[string]string{"linux": "net.core.rmem_max", "darwin": "kern.ipc.maxsockbuf", "windows": ""} {
		if got, _ := bufferLimits(goos); got != want {
			t.Errorf("%s: %q, want %q", goos, got, want)
		}
	}
	if got := bufferWarning("receive", 1<<10, 2<<10, ""); got != "the UDP receive buffer is 1 KiB instead of 2 KiB" {
		t.Errorf("%q", got)
	}
}
