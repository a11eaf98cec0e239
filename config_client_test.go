package frittata

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// A server chooses limits by the client's wish; the callback may take its time.
func TestConfigForClient(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	no := errors.New("no such name")
	infos := make(chan quic.ClientInfo, 2)
	cfg.QUIC.ConfigForClient = func(info quic.ClientInfo) (*quic.Config, error) {
		infos <- info
		if info.ServerName != "example.org" {
			return nil, no
		}
		return &quic.Config{MaxStreamsBidi: 2, MaxIdleTimeout: time.Hour}, nil
	}
	l := listen(t, cfg)
	serve(t, l, func() Application { return newEcho() })
	tr, err := Open("udp", "127.0.0.1:0", clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	opened := make(chan int, 1)
	c, err := tr.Dial(testContext(t), l.Addr(), "example.org", nil, &app{established: func(qc *quic.Conn, _ HandshakeInfo) error {
		n := 0
		for {
			if _, err := qc.OpenStream(quic.Bidi); err != nil {
				opened <- n
				return nil
			}
			n++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := <-opened; n != 2 {
		t.Errorf("%d streams could be opened", n)
	}
	if info := <-infos; info.ALPN != "test" || info.RemoteAddr != c.LocalAddr() {
		t.Errorf("%+v", info)
	}
	_, err = tr.Dial(testContext(t), l.Addr(), "localhost", nil, &app{})
	if te, ok := errors.AsType[*quic.TransportError](err); !ok || te.Code != quic.ConnectionRefused || !te.Remote {
		t.Errorf("refused with %v", err)
	}
}

// The handshake has as long as the settings say that are chosen for the client.
func TestConfigForClientGivesTime(t *testing.T) {
	leak.Check(t)
	cfg := serverConfig()
	cfg.QUIC.HandshakeTimeout = time.Millisecond
	cfg.QUIC.ConfigForClient = func(quic.ClientInfo) (*quic.Config, error) {
		return &quic.Config{HandshakeTimeout: testTime}, nil
	}
	l := listen(t, cfg)
	done := make(chan error, 1)
	go func() {
		in, err := l.Accept(testContext(t))
		if err == nil {
			_, err = in.Handshake(testContext(t), &app{})
		}
		done <- err
	}()
	ccfg := clientConfig()
	ccfg.QUIC.HandshakeTimeout = testTime
	ccfg.QUIC.TLS.VerifyConnection = func(tls.ConnectionState) error {
		time.Sleep(handshakeGrace + 500*time.Millisecond)
		return nil
	}
	dial(t, l, ccfg, &app{})
	if err := <-done; err != nil {
		t.Error(err)
	}
}
