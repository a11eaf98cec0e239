package udp

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// zones knows the names of network interfaces, which are the zones of link-local
// addresses. Asking the system is slow.
var zones zoneCache

// zoneTTL is how long a name is believed. Package net has the same.
const zoneTTL = time.Minute

// maxZones bounds the cache. More interfaces than that are asked about again and again.
const maxZones = 1024

type zoneCache struct {
	mu      sync.Mutex
	byIndex map[uint32]*zone
	byName  map[string]*zone
}

type zone struct {
	index uint32
	name  string
	until time.Time
	// An address with the zone keeps what package netip has about it from being
	// collected, so that others with the same zone need no memory.
	addr netip.Addr
}

// with returns the link-local address a with the interface's name as its zone.
func (z *zoneCache) with(a netip.Addr, index uint32) netip.Addr {
	now := time.Now()
	z.mu.Lock()
	defer z.mu.Unlock()
	e := z.byIndex[index]
	if e == nil || now.After(e.until) {
		name := strconv.FormatUint(uint64(index), 10)
		if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
			name = ifi.Name
		}
		e = z.add(index, name, now)
	}
	return a.WithZone(e.name)
}

// index returns the interface of a zone, or 0 if there is none.
func (z *zoneCache) index(name string) uint32 {
	if name == "" {
		return 0
	}
	now := time.Now()
	z.mu.Lock()
	defer z.mu.Unlock()
	e := z.byName[name]
	if e == nil || now.After(e.until) {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			n, _ := strconv.ParseUint(name, 10, 32)
			return uint32(n)
		}
		e = z.add(uint32(ifi.Index), name, now)
	}
	return e.index
}

func (z *zoneCache) add(index uint32, name string, now time.Time) *zone {
	if z.byIndex == nil || len(z.byIndex) >= maxZones || len(z.byName) >= maxZones {
		z.byIndex, z.byName = make(map[uint32]*zone), make(map[string]*zone)
	}
	e := &zone{index: index, name: name, until: now.Add(zoneTTL), addr: netip.IPv6LinkLocalAllNodes().WithZone(name)}
	z.byIndex[index], z.byName[name] = e, e
	return e
}

// zoneIndex returns the interface of a zone, or 0 if there is none.
func zoneIndex(name string) uint32 { return zones.index(name) }
