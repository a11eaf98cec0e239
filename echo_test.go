package frittata

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// upload sends n bytes on each of some streams, and reads what comes back.
type upload struct {
	app
	n       int
	streams int
	sent    map[quic.StreamID]int
	got     map[quic.StreamID]int
	data    []byte
	left    int
	done    chan struct{}
	err     error
}

func newUpload(streams, n int) *upload {
	u := &upload{
		n: n, streams: streams, left: streams,
		sent: make(map[quic.StreamID]int), got: make(map[quic.StreamID]int), done: make(chan struct{}),
	}
	u.data = make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(u.data)
	u.app.established = u.onEstablished
	u.app.reads = u.onReads
	u.app.writes = u.onWrites
	u.app.closed = func(_ *quic.Conn, err error) {
		if u.left > 0 {
			u.err = fmt.Errorf("closed early: %w", err)
			close(u.done)
		}
	}
	return u
}

func (u *upload) onEstablished(c *quic.Conn, info HandshakeInfo) error {
	for range u.streams {
		id, err := c.OpenStream(quic.Bidi)
		if err != nil {
			return err
		}
		if err := u.write(c, id); err != nil {
			return err
		}
	}
	return nil
}

func (u *upload) write(c *quic.Conn, id quic.StreamID) error {
	n, err := c.StreamWrite(id, u.data[u.sent[id]:], true)
	u.sent[id] += n
	return err
}

func (u *upload) onWrites(c *quic.Conn) error {
	for {
		id, ok := c.NextWritable()
		if !ok {
			return nil
		}
		if u.sent[id] < u.n {
			if err := u.write(c, id); err != nil {
				return err
			}
		}
	}
}

func (u *upload) onReads(c *quic.Conn) error {
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		for {
			b, fin, err := c.StreamReadBuf(id, 64<<10)
			if err != nil {
				return err
			}
			if b != nil {
				at := u.got[id]
				if at+len(b.B) > u.n || !bytes.Equal(b.B, u.data[at:at+len(b.B)]) {
					return errors.New("the echo is not what was sent")
				}
				u.got[id] += len(b.B)
				b.Release()
			}
			if fin {
				if u.got[id] != u.n {
					return fmt.Errorf("stream %d: %d bytes came back", id, u.got[id])
				}
				u.left--
				if u.left == 0 {
					close(u.done)
				}
			}
			if b == nil || fin {
				break
			}
		}
	}
}

func TestEcho(t *testing.T) {
	for _, test := range []struct{ streams, n int }{{1, 0}, {1, 1}, {1, 100_000}, {10, 1000}, {1, 10 << 20}, {50, 100_000}} {
		t.Run(fmt.Sprintf("%dx%d", test.streams, test.n), func(t *testing.T) {
			leak.Check(t)
			l := listen(t, serverConfig())
			serve(t, l, func() Application { return newEcho() })
			u := newUpload(test.streams, test.n)
			c := dial(t, l, clientConfig(), u)
			wait(t, "all came back", u.done)
			if u.err != nil {
				t.Fatal(u.err)
			}
			info, ok := c.HandshakeInfo()
			if !ok || info.ALPN != "test" || info.Conn != c || !info.TLS.HandshakeComplete {
				t.Errorf("handshake info: %v %+v", ok, info)
			}
			_ = c.Close()
			wait(t, "the connection was closed", c.Closed())
			if err := c.Err(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed with %v", err)
			}
		})
	}
}

func TestManyConnections(t *testing.T) {
	leak.Check(t)
	// The machine may have other things to do.
	scfg, ccfg := serverConfig(), clientConfig()
	scfg.QUIC.HandshakeTimeout, ccfg.QUIC.HandshakeTimeout = testTime, testTime
	l := listen(t, scfg)
	serve(t, l, func() Application { return newEcho() })
	n := 200
	if raceEnabled {
		n = 40
	}
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			u := newUpload(2, 20_000)
			c, err := Dial(testContext(t), l.Addr().String(), ccfg, u)
			if err != nil {
				t.Error(err)
				return
			}
			wait(t, "all came back", u.done)
			if u.err != nil {
				t.Error(u.err)
			}
			_ = c.Close()
			wait(t, "the connection was closed", c.Closed())
			if err := c.Transport().Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
