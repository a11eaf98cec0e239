package udp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// prepareProxy sets what a socket needs before it is bound or connected.
func prepareProxy(fd int, o *Options) error {
	p := prober{kernel: &realKernel, fd: fd}
	if err := p.setTransparent(o); err != nil {
		return err
	}
	return p.setMark(o)
}

// setProxy is for transparent proxies. What was asked for and cannot be had is an
// error: datagrams would go the wrong way.
func (p *prober) setProxy(k *Caps, o *Options) error {
	if err := p.setTransparent(o); err != nil {
		return err
	}
	if err := p.setMark(o); err != nil {
		return err
	}
	k.Transparent = o.Transparent
	k.OriginalDst = p.setBoth(o.Transparent, unix.IP_RECVORIGDSTADDR, unix.IPV6_RECVORIGDSTADDR)
	if mark, err := p.kernel.getsockopt(p.fd, unix.SOL_SOCKET, unix.SO_MARK); err == nil {
		k.Mark = uint32(mark)
	}
	return nil
}

func (p *prober) setTransparent(o *Options) error {
	if !o.Transparent {
		return nil
	}
	// The option is the same for both IP versions. A socket that came from a more
	// privileged program may have it already.
	if v, err := p.kernel.getsockopt(p.fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT); err == nil && v != 0 {
		return nil
	}
	if err := p.kernel.setsockopt(p.fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1); err != nil {
		return fmt.Errorf("udp: Options.Transparent: IP_TRANSPARENT (which needs CAP_NET_ADMIN or CAP_NET_RAW): %w", err)
	}
	return nil
}

func (p *prober) setMark(o *Options) error {
	if o.Mark == 0 {
		return nil
	}
	if v, err := p.kernel.getsockopt(p.fd, unix.SOL_SOCKET, unix.SO_MARK); err == nil && uint32(v) == o.Mark {
		return nil
	}
	if err := p.kernel.setsockopt(p.fd, unix.SOL_SOCKET, unix.SO_MARK, int(o.Mark)); err != nil {
		return fmt.Errorf("udp: Options.Mark: SO_MARK (which needs CAP_NET_ADMIN or CAP_NET_RAW): %w", err)
	}
	return nil
}

// original4 reads a struct sockaddr_in: family, port, address.
func original4(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:]))
}

// original6 reads a struct sockaddr_in6: family, port, flow, address, scope.
func original6(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])).Unmap(), binary.BigEndian.Uint16(b[2:]))
}
