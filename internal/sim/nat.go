package sim

import "net/netip"

// NAT translates the addresses of the host behind it. Out belongs into the
// host's Up list, In into its Down list; Rebind gives the host another address.
type NAT struct {
	outside netip.AddrPort
	inside  netip.AddrPort
	host    *Host
}

// NewNAT makes a NAT that gives the host behind it the address outside.
func NewNAT(outside string) *NAT { return &NAT{outside: netip.MustParseAddrPort(outside)} }

// Out returns the node of packets that leave.
func (n *NAT) Out() Node {
	return Func(func(w *World, p *Packet, next Next) {
		n.inside = p.Src
		p.Src = n.outside
		next(p)
	})
}

// In returns the node of packets that enter. What still comes to an address of before is lost.
func (n *NAT) In() Node {
	return Func(func(w *World, p *Packet, next Next) {
		if p.Dst != n.outside || !n.inside.IsValid() {
			w.Drop(p)
			return
		}
		p.Dst = n.inside
		next(p)
	})
}

// Outside returns the address that the world sees.
func (n *NAT) Outside() netip.AddrPort { return n.outside }

// Rebind gives the host another address: packets to the old one are lost.
func (n *NAT) Rebind(outside netip.AddrPort) {
	w := n.host.w
	delete(w.routes, n.outside)
	n.outside = outside
	w.routes[outside] = n.host.arrive
}

// RebindPort changes the port alone.
func (n *NAT) RebindPort() {
	n.Rebind(netip.AddrPortFrom(n.outside.Addr(), n.outside.Port()+1))
}

// RebindAddr changes the address and the port.
func (n *NAT) RebindAddr() {
	n.Rebind(netip.AddrPortFrom(n.outside.Addr().Next(), n.outside.Port()+7))
}
