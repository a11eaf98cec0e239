package udp

import (
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestPoll(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	if !c.Caps().Poll {
		t.Fatal("there is none")
	}
	one := Train{Data: []byte("x"), Remote: c.LocalAddr()}
	if c.Poll(0) || c.Poll(time.Microsecond) {
		t.Error("something is there that nobody has sent")
	}
	// What is there already, and stays there.
	send(t, c, &one)
	if !c.Poll(wait) || !c.Poll(0) {
		t.Error("what was sent has not come")
	}
	m := messages(1)
	if n, err := c.TryReadBatch(m); n != 1 || err != nil || c.Poll(0) {
		t.Fatal(n, err)
	}
	// What comes while somebody waits.
	done := make(chan bool)
	go func() { done <- c.Poll(wait) }()
	send(t, c, &one)
	if !<-done {
		t.Error("what was sent has not come")
	}
	// Where package net's poller has the socket it would tell, too.
	d := listen(t, "udp4", "127.0.0.1:0", &Options{DisablePoll: true})
	send(t, d, &Train{Data: []byte("x"), Remote: d.LocalAddr()})
	if d.Caps().Poll || d.Poll(wait) {
		t.Error("Poll without Caps.Poll")
	}
	datagrams(t, d, 1)

	c.Close()
	if c.Poll(wait) {
		t.Error("a closed socket has something")
	}
}

// TestAwait checks that what has come, or is to come, ends it, and that it takes nothing.
func TestAwait(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	one := Train{Data: []byte("x"), Remote: c.LocalAddr()}
	m := messages(2)
	for _, read := range []func([]Message) (int, error){c.TryReadBatch, c.ReadBatch} {
		send(t, c, &one)
		for range 2 { // it is still there the second time
			if err := c.Await(); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := read(m); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		done := make(chan error)
		go func() { done <- c.Await() }()
		send(t, c, &one)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n, err := read(m); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := c.Await(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- c.Await() }()
	c.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := c.Await(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := listen(t, "udp4", "127.0.0.1:0", &Options{DisablePoll: true}).Await(); err != nil {
		t.Error("without Caps.Poll:", err)
	}
}

// TestReadPollOrder has datagrams come at all times at which a request to be told of one can stand: none must be missed.
func TestReadPollOrder(t *testing.T) {
	leak.Check(t)
	asked := make(chan struct{}, 1)
	k := realKernel
	k.epollCtl = func(epfd, op, fd int, events uint32) error {
		err := epollCtl(epfd, op, fd, events)
		if op == unix.EPOLL_CTL_MOD {
			asked <- struct{}{}
		}
		return err
	}
	c := listenWith(t, k)
	one := Train{Data: []byte("x"), Remote: c.LocalAddr()}
	m := messages(1)
	read := func() {
		t.Helper()
		if n, err := c.ReadBatch(m); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	waited := func() {
		t.Helper()
		done := make(chan struct{})
		go func() {
			read()
			close(done)
		}()
		<-asked
		send(t, c, &one)
		<-done
	}
	timeout := func() {
		t.Helper()
		done := make(chan error)
		go func() {
			_, err := c.ReadBatch(m)
			done <- err
		}()
		<-asked
		c.SetReadDeadline(time.Unix(1, 0))
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(wait))
	}
	for range 20 {
		waited()
		// A request that nobody waits for any more is served by what is read otherwise.
		timeout()
		send(t, c, &one)
		if n, err := c.TryReadBatch(m); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		waited()
		timeout()
		send(t, c, &one)
		read()
		send(t, c, &one)
		read()
		timeout()
		timeout()
		waited()
	}
}

// listenWith opens a socket of a kernel.
func listenWith(t *testing.T, k kernel) *Conn {
	t.Helper()
	uc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConn(uc, nil, system{kernel: k})
	if err != nil {
		uc.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(wait))
	return c
}

// TestReadPollAsksForArrivalsAlone checks, by the instance, that the socket tells nobody of room to send, and of
// what arrives only if a read waits.
func TestReadPollAsksForArrivalsAlone(t *testing.T) {
	leak.Check(t)
	c := listen(t, "udp4", "127.0.0.1:0", nil)
	p := c.sys.poll
	ready := func() int {
		var ev [1]unix.EpollEvent
		n, err := unix.EpollWait(p.epfd, ev[:], 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	one := Train{Data: []byte("x"), Remote: c.LocalAddr()}
	for range 3 {
		send(t, c, &one)
		if !c.Poll(wait) || ready() != 0 {
			t.Fatal("it told of what nobody has asked for")
		}
		datagrams(t, c, 1)
	}
	done := make(chan error)
	go func() {
		_, err := c.ReadBatch(messages(1))
		done <- err
	}()
	send(t, c, &one)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	send(t, c, &one)
	if !c.Poll(wait) || ready() != 0 {
		t.Fatal("it told of what came after the read")
	}
}

// TestReadPollClose closes the socket while all kinds of methods use it, and binds its port again.
func TestReadPollClose(t *testing.T) {
	leak.Check(t)
	for range 100 {
		c, err := Listen("udp4", "127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		addr := c.LocalAddr()
		begun, done := make(chan struct{}, 3), make(chan struct{}, 3)
		for _, use := range []func() error{
			func() error { _, err := c.ReadBatch(messages(1)); return err },
			func() error { _, err := c.WriteTrain(&Train{Data: []byte("x"), Remote: addr}); return err },
			func() error { c.Poll(time.Microsecond); return c.raw.Control(func(uintptr) {}) },
		} {
			go func() {
				begun <- struct{}{}
				for {
					if err := use(); err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						break
					}
				}
				done <- struct{}{}
			}()
		}
		for range 3 {
			<-begun
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		// The port is free once Close has returned.
		d, err := Listen("udp4", addr.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		for range 3 {
			<-done
		}
	}
}

// TestReadPollForgotten drops a socket that was not closed, whose descriptors the garbage collector gives back.
func TestReadPollForgotten(t *testing.T) {
	leak.Check(t)
	c, err := Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := c.LocalAddr().String()
	c = nil
	for {
		runtime.GC()
		d, err := Listen("udp4", addr, nil)
		if err == nil {
			d.Close()
			return
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// TestReadPollFaults has the calls fail, of which some are made only when a read waits.
func TestReadPollFaults(t *testing.T) {
	leak.Check(t)
	works := func(c *Conn) {
		t.Helper()
		send(t, c, &Train{Data: []byte("x"), Remote: c.LocalAddr()})
		datagrams(t, c, 1)
	}
	k := realKernel
	k.epollCreate = func() (int, error) { return -1, unix.EMFILE }
	c := listenWith(t, k)
	if c.Caps().Poll || c.Poll(0) {
		t.Error("a poller that could not be made")
	}
	works(c)

	k = realKernel
	k.epollCtl = func(epfd, op, fd int, events uint32) error { return unix.EPERM }
	if c = listenWith(t, k); c.Caps().Poll {
		t.Error("a poller without the socket in it")
	}
	works(c)

	k.epollCtl = func(epfd, op, fd int, events uint32) error {
		if op == unix.EPOLL_CTL_MOD {
			return unix.ENOMEM
		}
		return epollCtl(epfd, op, fd, events)
	}
	c = listenWith(t, k)
	if _, err := c.ReadBatch(messages(1)); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("a wait that could not begin: %v", err)
	}
	works(c)
}
