package sim

import (
	"net/netip"

	"github.com/frittata-go/frittata/quic"
)

// Packet is a datagram on its way.
type Packet struct {
	Data     []byte
	Src, Dst netip.AddrPort
	ECN      quic.ECN
	Follower bool // it left in a train, and not as its first
}

// Next hands a packet on.
type Next func(*Packet)

// Node is something that happens to packets on their way in one direction. A
// node with state belongs to one place of one world.
type Node interface {
	// Handle takes a packet. It hands it to next, at once or later (World.After),
	// or loses it (World.Drop).
	Handle(w *World, p *Packet, next Next)
}

// Func is a node that is a function.
type Func func(w *World, p *Packet, next Next)

// Handle calls f.
func (f Func) Handle(w *World, p *Packet, next Next) { f(w, p, next) }

// pass sends a packet through nodes.
func (w *World) pass(p *Packet, nodes []Node, last Next) {
	if len(nodes) == 0 {
		last(p)
		return
	}
	nodes[0].Handle(w, p, func(p *Packet) { w.pass(p, nodes[1:], last) })
}
