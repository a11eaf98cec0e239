package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// udpStack is what the machine allows: a request is a datagram and its answer another one, over sockets that
// block, with no protocol, no cryptography and nobody else to be told. It is for one request at a time. Each end computes for
// udpWork, in place of what any protocol has to do: ends with nothing to do are mostly on one processor, where nobody
// has to be woken; these are for about half of the time.
var udpStack = &stack{serveGets: udpServeGets, dialHTTP: udpDialHTTP, oneAtATime: true}

// udpRequest is how long a request is, as one over HTTP/3 is: the number of bytes that are wanted, and zeros.
const udpRequest = 60

// udpWork is how long each end computes for a request.
const udpWork = 10 * time.Microsecond

// udpCompute keeps the processor for udpWork.
func udpCompute() {
	for began := time.Now(); time.Since(began) < udpWork; {
	}
}

// udpSocket waits in the kernel, of which Go's scheduler does not learn.
type udpSocket struct{ fd int }

func newUDPSocket() (s udpSocket, err error) {
	s.fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return s, err
	}
	if err := errors.Join(
		syscall.Bind(s.fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		// Else nobody could stop the process to collect garbage, or close the socket.
		syscall.SetsockoptTimeval(s.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Usec: 10_000}),
	); err != nil {
		s.close()
		return s, err
	}
	return s, nil
}

func (s udpSocket) close() error { return syscall.Close(s.fd) }

// recv waits for a datagram. It returns EAGAIN if none has come for a while.
func (s udpSocket) recv(p []byte, from *syscall.RawSockaddrInet4) (int, error) {
	size := uint32(syscall.SizeofSockaddrInet4)
	n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0,
		uintptr(unsafe.Pointer(from)), uintptr(unsafe.Pointer(&size)))
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

func (s udpSocket) send(p []byte, to *syscall.RawSockaddrInet4) error {
	_, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0,
		uintptr(unsafe.Pointer(to)), syscall.SizeofSockaddrInet4)
	if e != 0 {
		return e
	}
	return nil
}

// udpServer answers a datagram with as many bytes as that asks for.
type udpServer struct {
	socket udpSocket
	local  string
	closed atomic.Bool
	done   chan struct{}
	errorLog
}

func udpServeGets(*spec) (server, error) {
	socket, err := newUDPSocket()
	if err != nil {
		return nil, err
	}
	sa, err := syscall.Getsockname(socket.fd)
	if err != nil {
		return nil, errors.Join(err, socket.close())
	}
	in := sa.(*syscall.SockaddrInet4)
	s := &udpServer{socket: socket, done: make(chan struct{})}
	s.local = netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)).String()
	go s.serve()
	return s, nil
}

func (s *udpServer) addr() string { return s.local }

func (s *udpServer) close() error {
	s.closed.Store(true)
	<-s.done
	return s.socket.close()
}

func (s *udpServer) serve() {
	defer close(s.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, chunk)
	var from syscall.RawSockaddrInet4
	for !s.closed.Load() {
		n, err := s.socket.recv(buf, &from)
		if err != nil {
			if err != syscall.EAGAIN && err != syscall.EINTR {
				s.add(err)
				return
			}
			continue
		}
		if n != udpRequest {
			s.add(fmt.Errorf("a request of %d bytes", n))
			continue
		}
		udpCompute()
		want := min(binary.BigEndian.Uint32(buf), maxUDPAnswer)
		if err := s.socket.send(buf[:want], &from); err != nil {
			s.add(err)
			return
		}
	}
}

// maxUDPAnswer is what a datagram may have.
const maxUDPAnswer = 1452

// udpClient is a client, for one request at a time.
type udpClient struct {
	socket udpSocket
	buf    [2 * maxUDPAnswer]byte
}

func udpDialHTTP(*spec) (httpClient, error) {
	socket, err := newUDPSocket()
	if err != nil {
		return nil, err
	}
	return &udpClient{socket: socket}, nil
}

func (c *udpClient) Close() error { return c.socket.close() }

func (c *udpClient) RoundTrip(req *http.Request) (*http.Response, error) {
	to, err := net.ResolveUDPAddr("udp4", req.URL.Host)
	if err != nil {
		return nil, err
	}
	want, err := strconv.ParseUint(strings.TrimPrefix(req.URL.Path, "/"), 10, 32)
	if err != nil || want == 0 || want > maxUDPAnswer {
		return nil, fmt.Errorf("not 1 to %d bytes: %s", maxUDPAnswer, req.URL.Path)
	}
	sa := syscall.RawSockaddrInet4{Family: syscall.AF_INET, Addr: [4]byte(to.IP.To4())}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], uint16(to.Port))
	udpCompute()
	clear(c.buf[:udpRequest])
	binary.BigEndian.PutUint32(c.buf[:], uint32(want))
	if err := c.socket.send(c.buf[:udpRequest], &sa); err != nil {
		return nil, err
	}
	for {
		n, err := c.socket.recv(c.buf[:], &sa)
		if err == syscall.EAGAIN || err == syscall.EINTR {
			if err := req.Context().Err(); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		return &http.Response{
			Status: "200 OK", StatusCode: http.StatusOK, Request: req,
			Body: io.NopCloser(bytes.NewReader(c.buf[:n])), ContentLength: int64(n),
		}, nil
	}
}
