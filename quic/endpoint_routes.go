package quic

import "crypto/aes"

// resetKey is a stateless reset token encrypted with a key of the Endpoint.
// Looking up the plain token would take a time that depends on how much of it
// is right (RFC 9000, Section 10.3.1).
type resetKey [aes.BlockSize]byte

// Apply takes in which connection IDs and stateless reset tokens lead to a
// connection, and which no longer do. An ID that leads to another connection
// already stays with that one; EndpointCounts.Collisions counts it.
func (e *Endpoint) Apply(r *RouteChanges) {
	for i := range r.Removed {
		e.removeRoute(r.Route, &r.Removed[i])
	}
	for i := range r.Added {
		e.addRoute(r, &r.Added[i])
	}
	if e.idLen == 0 && len(r.Added) == 0 {
		e.moveAddr(r)
	}
	for i := range r.RemovedResets {
		k := e.resetKey(r.RemovedResets[i][:])
		if e.resets[k] == r.Route {
			delete(e.resets, k)
		}
	}
	for i := range r.AddedResets {
		k := e.resetKey(r.AddedResets[i][:])
		if old, ok := e.resets[k]; ok {
			if old != r.Route {
				e.counts.Collisions++
			}
			continue
		}
		e.resets[k] = r.Route
	}
}

// Knows tells whether the connection ID, one of ours, leads to a connection.
func (e *Endpoint) Knows(id []byte) bool {
	if len(id) == 0 || len(id) > MaxConnIDLen {
		return false
	}
	_, ok := e.routes[NewConnID(id)]
	return ok
}

func (e *Endpoint) addRoute(r *RouteChanges, id *ConnID) {
	if id.Len() == 0 {
		if e.idLen == 0 {
			e.addAddr(r)
		}
		return
	}
	if old, ok := e.routes[*id]; ok {
		if old != r.Route {
			e.counts.Collisions++
		}
		return
	}
	e.routes[*id] = r.Route
}

func (e *Endpoint) removeRoute(route any, id *ConnID) {
	if id.Len() == 0 {
		if a, ok := e.addrOf[route]; ok {
			delete(e.addrs, a)
			delete(e.addrOf, route)
		}
		return
	}
	if old, ok := e.routes[*id]; ok && old == route {
		delete(e.routes, *id)
	}
	e.removeFlight(route, *id)
}

// addAddr routes the datagrams from the peer's address to the connection.
func (e *Endpoint) addAddr(r *RouteChanges) {
	a := plainAddrPort(r.Remote)
	if old, ok := e.addrs[a]; ok {
		if old != r.Route {
			e.counts.Collisions++
		}
		return
	}
	if old, ok := e.addrOf[r.Route]; ok {
		delete(e.addrs, old)
	}
	e.addrs[a] = r.Route
	e.addrOf[r.Route] = a
}

// moveAddr follows a connection whose peer has another address now, as after a
// preferred address was taken (RFC 9000, Section 9.6).
func (e *Endpoint) moveAddr(r *RouteChanges) {
	old, ok := e.addrOf[r.Route]
	if !ok || !r.Remote.IsValid() || old == plainAddrPort(r.Remote) {
		return
	}
	e.addAddr(r)
}

func (e *Endpoint) resetKey(token []byte) resetKey {
	e.hidden.Encrypt(e.scratch[:], token)
	return e.scratch
}

// lookupReset finds the connection whose peer's stateless reset token the
// datagram ends in (RFC 9000, Section 10.3.1). The connection checks it again.
func (e *Endpoint) lookupReset(b []byte) (any, bool) {
	if len(e.resets) == 0 || len(b) < minResetSize {
		return nil, false
	}
	r, ok := e.resets[e.resetKey(b[len(b)-resetTokenLen:])]
	return r, ok
}
