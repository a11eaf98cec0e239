package frittata

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/udp"
)

// PacketSocket makes a Socket of any net.PacketConn, which belongs to it from
// then on: a flow inside a tunnel, say, or a network that exists in memory alone.
// It moves one datagram a call and knows no ECN. A *net.UDPConn is better served
// by udp.New.
//
// Addresses other than *net.UDPAddr have to be an address and a port in their String.
func PacketSocket(pc net.PacketConn) (Socket, error) {
	local, err := addrPort(pc.LocalAddr())
	if err != nil {
		return nil, err
	}
	return &packetSocket{pc: pc, local: local}, nil
}

type packetSocket struct {
	pc    net.PacketConn
	local netip.AddrPort
}

func addrPort(a net.Addr) (netip.AddrPort, error) {
	if u, ok := a.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
	}
	if a == nil {
		return netip.AddrPort{}, fmt.Errorf("frittata: packet connection without an address")
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("frittata: address of a packet connection: %w", err)
	}
	return ap, nil
}

func (s *packetSocket) ReadBatch(m []udp.Message) (int, error) {
	for {
		n, from, err := s.pc.ReadFrom(m[0].Buf)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
			// What is no socket may say so that it is closed.
			err = fmt.Errorf("%w: %w", net.ErrClosed, err)
		}
		if err != nil {
			return 0, err
		}
		remote, err := addrPort(from)
		if err != nil {
			continue // nobody could answer it
		}
		buf := m[0].Buf
		m[0] = udp.Message{Buf: buf, N: n, Segment: n, Remote: remote}
		return 1, nil
	}
}

// TryReadBatch finds nothing: a net.PacketConn can only wait.
func (s *packetSocket) TryReadBatch([]udp.Message) (int, error) { return 0, nil }

func (s *packetSocket) WriteTrain(t *udp.Train) (sent int, err error) {
	to := net.UDPAddrFromAddrPort(t.Remote)
	segment := t.Segment
	if segment <= 0 {
		segment = max(len(t.Data), 1)
	}
	for data := t.Data; len(data) > 0; sent++ {
		n := min(segment, len(data))
		if _, err := s.pc.WriteTo(data[:n], to); err != nil {
			return sent, err
		}
		data = data[n:]
	}
	return sent, nil
}

func (s *packetSocket) SetReadDeadline(t time.Time) error { return s.pc.SetReadDeadline(t) }
func (s *packetSocket) LocalAddr() netip.AddrPort         { return s.local }
func (s *packetSocket) Close() error                      { return s.pc.Close() }

// Caps tells that trains may be long, though each datagram is a call of its own:
// it saves turns.
func (s *packetSocket) Caps() udp.Caps { return udp.Caps{MaxSegments: packetTrain} }

// packetTrain is how many datagrams a train for a packetSocket may have.
const packetTrain = 16
