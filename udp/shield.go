package udp

import "errors"

// Shield says which datagrams the kernel drops before they take room in the receive buffer: those
// with which clients of QUIC begin connections. A server under a flood of them is then left the datagrams of the
// connections that it has, for which there would be no room in the buffer.
type Shield uint8

const (
	// ShieldOff lets all datagrams pass. It is the zero value.
	ShieldOff Shield = iota
	// ShieldTokens lets those Initial packets of QUIC version 1 pass that have a token, as clients have that answer a Retry (RFC 9000, Section 8.1.2).
	ShieldTokens
	// ShieldAll lets no Initial packet of QUIC version 1 pass.
	ShieldAll
)

var errNoShield = errors.New("udp: the socket has no shield")

// SetShield changes what the kernel drops, from the next datagram on: what is in the buffer already
// stays there. Packets of all other kinds pass; an empty datagram does not, nor one that ends within the header of
// an Initial packet, as they are no QUIC. A datagram is judged by its first
// packet, and what GRO has put together by the first datagram. A client whose handshake is under way sends datagrams that begin with an Initial
// packet too, and has to send them again.
//
// What is dropped counts as Stats.Dropped.
//
// It is an error unless Caps.Shield, which becomes false when the kernel refuses a filter.
func (c *Conn) SetShield(s Shield) error {
	if !c.shield.Load() || s > ShieldAll {
		return errNoShield
	}
	if err := c.setShield(s); err != nil {
		c.shield.Store(false)
		return err
	}
	return nil
}
