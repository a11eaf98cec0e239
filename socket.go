package frittata

import "net/netip"

// Socket is what a Transport sends and receives by.
type Socket interface {
	LocalAddr() netip.AddrPort
	Close() error
}
