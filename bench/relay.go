package main

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// relay is a lossy link of one client and one server: W8. Each direction loses
// packets at random, then has a bottleneck with a queue that drops its tail,
// then a delay. It is in user space, since not every kernel has netem.
type relay struct {
	front *net.UDPConn // to the client
	back  *net.UDPConn // to the server
}

func serveRelay(s *spec) (server, error) {
	to, err := net.ResolveUDPAddr("udp4", s.Addr)
	if err != nil {
		return nil, err
	}
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	back, err := net.DialUDP("udp4", nil, to)
	if err != nil {
		return nil, err
	}
	for _, c := range []*net.UDPConn{front, back} {
		// Best effort: the kernel gives what it allows.
		c.SetReadBuffer(4 << 20)
		c.SetWriteBuffer(4 << 20)
	}
	r := &relay{front, back}
	var client netip.AddrPort // the last one that was heard of
	var mu sync.Mutex
	up := newLink(s, 1, func(b []byte) { back.Write(b) })
	down := newLink(s, 2, func(b []byte) {
		mu.Lock()
		to := client
		mu.Unlock()
		front.WriteToUDPAddrPort(b, to)
	})
	go up.deliver()
	go down.deliver()
	go func() {
		defer close(up.queue)
		buf := make([]byte, 1<<16)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			mu.Lock()
			client = from
			mu.Unlock()
			up.send(buf[:n])
		}
	}()
	go func() {
		defer close(down.queue)
		buf := make([]byte, 1<<16)
		for {
			n, err := back.Read(buf)
			if err != nil {
				return
			}
			down.send(buf[:n])
		}
	}()
	return r, nil
}

func (r *relay) addr() string { return r.front.LocalAddr().String() }

func (r *relay) close() error {
	r.front.Close()
	return r.back.Close()
}

// link is one direction.
type link struct {
	s     *spec
	rng   *rand.Rand
	free  time.Time // when the bottleneck has sent all that is in its queue
	queue chan parcel
	write func([]byte)
}

type parcel struct {
	due time.Time
	b   []byte
}

func newLink(s *spec, direction uint64, write func([]byte)) *link {
	return &link{s: s, rng: rand.New(rand.NewPCG(s.Seed, direction)), queue: make(chan parcel, 1<<16), write: write}
}

func (l *link) send(b []byte) {
	if l.rng.Float64() < l.s.Loss {
		return
	}
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	queued := int64(l.free.Sub(now).Seconds() * float64(l.s.Rate) / 8)
	if queued+int64(len(b)) > l.s.Queue {
		return
	}
	l.free = l.free.Add(time.Duration(int64(len(b)) * 8 * int64(time.Second) / l.s.Rate))
	l.queue <- parcel{l.free.Add(l.s.Delay), append([]byte(nil), b...)}
}

func (l *link) deliver() {
	for p := range l.queue {
		time.Sleep(time.Until(p.due))
		l.write(p.b)
	}
}
