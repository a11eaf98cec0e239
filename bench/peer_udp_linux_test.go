package main

import (
	"testing"
)

// TestUDPPeer has a request answered, and sees that the peer takes part where one is under way at a time.
func TestUDPPeer(t *testing.T) {
	srv, err := udpServeGets(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := udpDialHTTP(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, err := httpGet(t.Context(), c, srv.addr(), requestSize, make([]byte, chunk)); err != nil || n != requestSize {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	if _, err := httpGet(t.Context(), c, srv.addr(), maxUDPAnswer+1, make([]byte, chunk)); err == nil {
		t.Error("more than a datagram is not refused")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := srv.close(); err != nil {
		t.Error(err)
	}
	if errs := srv.(errorReporter).errors(); len(errs) > 0 {
		t.Error(errs)
	}
	for _, r := range allRows(quickSizes) {
		if got, want := r.can(peer{"udp", "udp"}), r.name == "W3/1x1"; got != want {
			t.Errorf("%s: %v", r.name, got)
		}
	}
}
