package udp

// DisableGSO has WriteTrain hand over each datagram on its own from now on, for good. It is
// for those who can see that trains get lost where single datagrams do not, as
// happens with some network interfaces and tunnels that take trains and send nothing: this
// package cannot see what arrives, so it never does so by itself; for single trains there is Train.Alone. The reason, which should
// say why, is told by Caps.GSOReason. If GSO is off already nothing changes.
func (c *Conn) DisableGSO(reason string) { c.leaveGSO(reason) }

// leaveGSO gives up GSO.
func (c *Conn) leaveGSO(reason string) {
	if c.setNoGSO(reason) {
		c.gso.Store(false)
		c.counters.gsoDisabled.Add(1)
	}
}

// setNoGSO notes why there is no GSO. The first reason is the one, and it is there
// before anybody can see that GSO is off.
func (c *Conn) setNoGSO(reason string) bool {
	// Copied, so that a call that changes nothing needs no memory.
	if c.noGSO.Load() != nil {
		return false
	}
	r := reason
	return c.noGSO.CompareAndSwap(nil, &r)
}
