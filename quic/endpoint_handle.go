package quic

import (
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// minInitialDstIDLen is the least length of the destination ID that a client
// chooses for its first Initial (RFC 9000, Section 7.2).
const minInitialDstIDLen = 8

// supportedVersions are the versions that a server speaks.
var supportedVersions = [...]uint32{Version1}

func isSupportedVersion(v uint32) bool {
	for _, s := range supportedVersions {
		if s == v {
			return true
		}
	}
	return false
}

// Handle tells where a datagram belongs. It decides by the first packet alone
// (all packets of a datagram have the same destination ID: RFC 9000, Section
// 12.2) and decrypts nothing. A datagram that is routed is neither copied nor
// changed.
func (e *Endpoint) Handle(now time.Time, d *Datagram) Verdict {
	e.setNow(now)
	v := e.handle(d)
	e.counts.Verdicts[v.Kind]++
	if v.Kind == VerdictDrop {
		e.counts.Drops[v.Drop]++
	}
	return v
}

func drop(r DropReason) Verdict { return Verdict{Kind: VerdictDrop, Drop: r} }

func route(r any) Verdict { return Verdict{Kind: VerdictRoute, Route: r} }

func (e *Endpoint) handle(d *Datagram) Verdict {
	inv, err := wire.ParseInvariant(d.Data, e.idLen)
	if err != nil {
		return drop(DropMalformed)
	}
	if r, ok := e.lookup(inv.DstID, d.Remote); ok {
		return route(r)
	}
	if !inv.Long {
		return e.handleStrayShort(d, inv.DstID)
	}
	return e.handleStrayLong(d, &inv)
}

// lookup finds the connection that gave out the ID or, where IDs are empty, the
// one to that address (RFC 9000, Section 5.2).
func (e *Endpoint) lookup(id []byte, remote netip.AddrPort) (any, bool) {
	if len(id) == 0 {
		if e.idLen != 0 {
			return nil, false
		}
		r, ok := e.addrs[plainAddrPort(remote)]
		return r, ok
	}
	if len(id) > MaxConnIDLen {
		return nil, false
	}
	r, ok := e.routes[NewConnID(id)]
	return r, ok
}

// handleStrayShort takes a short header packet of no known ID.
func (e *Endpoint) handleStrayShort(d *Datagram, id []byte) Verdict {
	if r, ok := e.lookupReset(d.Data); ok {
		e.counts.ResetsReceived++
		return route(r)
	}
	return e.statelessReset(len(d.Data), id)
}

// handleStrayLong takes a long header packet of no known ID: one of a client's
// first flight, or none of our business.
func (e *Endpoint) handleStrayLong(d *Datagram, inv *wire.Invariant) Verdict {
	if inv.Version == 0 {
		// RFC 9000, Section 6.1: Version Negotiation is never answered.
		return drop(DropUnknownID)
	}
	if !e.cfg.Server {
		return drop(DropNotServer)
	}
	if !isSupportedVersion(inv.Version) {
		if len(d.Data) < minUDPPayload {
			// RFC 9000, Section 5.2.2: too small to begin a connection in any
			// version that we speak.
			return drop(DropVersion)
		}
		return e.versionNegotiation(inv)
	}
	if len(inv.DstID) > MaxConnIDLen || len(inv.SrcID) > MaxConnIDLen {
		return drop(DropMalformed) // RFC 9000, Section 17.2
	}
	key := makeFlightKey(d, inv.DstID)
	f, known := e.flights[key]
	if known && f.in == nil {
		return route(f.route)
	}

	if !known && e.first == DropFlights && wire.LongType(d.Data) == wire.PacketInitial && len(d.Data) >= minUDPPayload {
		return drop(DropBusy) // before anything is computed for it
	}
	var h wire.Header
	if err := wire.ParseHeader(d.Data, e.idLen, &h); err != nil {
		return drop(DropMalformed)
	}
	switch {
	case h.Type == wire.PacketInitial && len(d.Data) < minUDPPayload:
		return drop(DropTooSmall) // RFC 9000, Section 14.1
	case known && f.in.version == inv.Version && (h.Type == wire.PacketInitial || h.Type == wire.Packet0RTT):
		return e.join(f.in, d)
	case known || h.Type != wire.PacketInitial:
		return drop(DropUnknownID)
	}
	return e.begin(key, d, &h)
}

// plainAddrPort makes an IPv4 address the same, whatever kind of socket it came by.
func plainAddrPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
