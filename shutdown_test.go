package frittata

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/frittata-go/frittata/quic"
)

// graceful closes the connection when it is told to, after a while.
type graceful struct {
	app
	up   chan struct{}
	told chan *quic.Conn
}

func newGraceful() *graceful {
	g := &graceful{up: make(chan struct{}), told: make(chan *quic.Conn, 1)}
	g.established = func(*quic.Conn, HandshakeInfo) error { close(g.up); return nil }
	return g
}

func (g *graceful) OnShutdown(c *quic.Conn) { g.told <- c }

func TestShutdown(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	g := newGraceful()
	server := one(t, l, g)
	c := dial(t, l, clientConfig(), &app{})
	s := <-server
	wait(t, "the server is established", g.up)
	server2 := one(t, l, &app{})
	c2 := dial(t, l, clientConfig(), &app{})
	<-server2

	done := make(chan error, 1)
	go func() { done <- l.Shutdown(testContext(t)) }()
	<-g.told
	wait(t, "the connection that takes no notice was closed", c2.Closed())
	if _, err := l.Accept(testContext(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	select {
	case <-done:
		t.Error("Shutdown did not wait")
	default:
	}
	_ = s.CloseWithError(quic.CloseError{Application: true, Code: 7})
	if err := <-done; err != nil {
		t.Error(err)
	}
	wait(t, "the client heard of it", c.Closed())
	var ae *quic.ApplicationError
	if !errors.As(c.Err(), &ae) || ae.Code != 7 {
		t.Errorf("the client's connection closed with %v", c.Err())
	}
}

func TestShutdownContext(t *testing.T) {
	noLeaks(t)
	l := listen(t, serverConfig())
	g := newGraceful()
	server := one(t, l, g)
	c := dial(t, l, clientConfig(), &app{})
	s := <-server
	wait(t, "the server is established", g.up)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Shutdown(ctx) }()
	<-g.told
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	wait(t, "the connection is gone", s.Done())
	wait(t, "the client heard of it", c.Closed())
}
