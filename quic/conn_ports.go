package quic

// firstUserPort is the first port that is not set aside for services of a host (RFC 6335, Section 6).
const firstUserPort = 1024

// reflectors are ports from there on whose services answer anybody, and often with more than they
// were asked (RFC 9308, Section 8.1): SSDP, WS-Discovery, mDNS, LLMNR, memcached.
var reflectors = [...]uint16{1900, 3702, 5353, 5355, 11211}

// servicePort tells whether a service is more likely to be behind a port than a client that has moved. Nobody
// who can forge a source address is to have us speak to one, in datagrams of which he chooses the moment and
// some of the content (RFC 9000, Section 21.5.4). A NAT maps ports from 1024 on to others of them (RFC 4787, REQ-3).
func servicePort(port uint16) bool {
	if port < firstUserPort {
		return true
	}
	for _, p := range reflectors {
		if p == port {
			return true
		}
	}
	return false
}
