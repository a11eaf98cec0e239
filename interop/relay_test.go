package interop

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// retryCounter stands between one client and a server, and counts the Retry
// packets that it sees, whoever sent them.
type retryCounter struct {
	front   *net.UDPConn
	retries atomic.Int64
}

func countRetries(t *testing.T, server string) *retryCounter {
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(mustAddrPort(t, server)))
	if err != nil {
		t.Fatal(err)
	}
	r := &retryCounter{front: front}
	var client atomic.Pointer[net.UDPAddr]
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := front.ReadFromUDP(buf)
			if err != nil {
				return
			}
			client.Store(from)
			back.Write(buf[:n]) // what is lost is sent again
		}
	})
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := back.Read(buf)
			if err != nil {
				return
			}
			// RFC 9000, Section 17.2.5: a long header of type 3, version 1.
			if n > 5 && buf[0]&0xf0 == 0xf0 && [4]byte(buf[1:5]) == [4]byte{0, 0, 0, 1} {
				r.retries.Add(1)
			}
			if to := client.Load(); to != nil {
				front.WriteToUDP(buf[:n], to)
			}
		}
	})
	t.Cleanup(func() {
		front.Close()
		back.Close()
		wg.Wait()
	})
	return r
}

func (r *retryCounter) addr() string { return r.front.LocalAddr().String() }
