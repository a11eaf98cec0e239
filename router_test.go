package frittata

import "testing"

// A closed Transport that somebody keeps does not keep the memory that it read into.
func TestClosedTransportKeepsNoBuffers(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	serve(t, l, func() Application { return newEcho() })
	u := newUpload(10, 100_000)
	c := dial(t, l, clientConfig(), u)
	wait(t, "all came back", u.done)
	tr := c.Transport()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	for i, b := range tr.router.bufs {
		if b != nil || tr.router.msgs[i].Buf != nil {
			t.Errorf("buffer %d is left", i)
		}
	}
	if tr.router.runs != nil || tr.router.buf != nil {
		t.Error("the router holds memory")
	}
}
