package udp

// gsoOff is why there is no GSO.
type gsoOff struct {
	reason   string
	disabled bool // by DisableGSO, so that EnableGSO can undo it
}

// DisableGSO has WriteTrain hand over each datagram on its own from now on, until EnableGSO. It is
// for those who can see that trains get lost where single datagrams do not, as
// happens with some network interfaces and tunnels that take trains and send nothing: this
// package cannot see what arrives, so it never does so by itself; for single trains there is Train.Alone. The reason, which should
// say why, is told by Caps.GSOReason. If GSO is off already nothing changes.
func (c *Conn) DisableGSO(reason string) { c.leaveGSO(reason, true) }

// EnableGSO undoes DisableGSO and tells whether there is GSO now. There is none if the system does not have it, if
// it was switched off by Options, or if the system has refused trains.
func (c *Conn) EnableGSO() bool {
	c.gsoMu.Lock()
	defer c.gsoMu.Unlock()
	if off := c.noGSO.Load(); off != nil {
		if !off.disabled {
			return false
		}
		c.noGSO.Store(nil)
		c.gso.Store(true)
	}
	return true
}

// leaveGSO gives up GSO.
func (c *Conn) leaveGSO(reason string, disabled bool) {
	if c.setNoGSO(reason, disabled) {
		c.counters.gsoDisabled.Add(1)
	}
}

// setNoGSO notes why there is no GSO. The first reason is the one, and it is there
// before anybody can see that GSO is off.
func (c *Conn) setNoGSO(reason string, disabled bool) bool {
	if c.noGSO.Load() != nil {
		return false // which needs no memory
	}
	off := &gsoOff{reason, disabled}
	c.gsoMu.Lock()
	defer c.gsoMu.Unlock()
	if c.noGSO.Load() != nil {
		return false
	}
	c.noGSO.Store(off)
	c.gso.Store(false)
	return true
}
