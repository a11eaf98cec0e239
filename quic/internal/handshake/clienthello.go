package handshake

// Extensions of a ClientHello, and PSK modes (RFC 8446, Sections 4.2 and 4.2.9).
const (
	extensionPSKModes = 45
	pskModeDHE        = 1
)

// wantsTickets tells whether a ClientHello, with its header, says that tickets are of use to the client: that it can resume with a key exchange, which is the only
// way that crypto/tls resumes. A server should send no others (RFC 8446, Section 4.2.9). What is not well-formed is crypto/tls's to refuse.
func wantsTickets(msg []byte) bool {
	const version, random = 2, 32
	b, ok := cut(msg, headLen+version+random)
	if !ok {
		return false
	}
	for _, n := range [...]int{1, 2, 1} { // session ID, cipher suites, compression methods
		if _, b, ok = vector(b, n); !ok {
			return false
		}
	}
	exts, _, ok := vector(b, 2)
	for ok && len(exts) >= 2 {
		id := int(exts[0])<<8 | int(exts[1])
		var data []byte
		if data, exts, ok = vector(exts[2:], 2); ok && id == extensionPSKModes {
			modes, _, _ := vector(data, 1)
			for _, m := range modes {
				if m == pskModeDHE {
					return true
				}
			}
			return false
		}
	}
	return false
}

func cut(b []byte, n int) (rest []byte, ok bool) {
	if len(b) < n {
		return nil, false
	}
	return b[n:], true
}

// vector takes a vector whose length is in the first lenLen bytes (RFC 8446, Section 3.4).
func vector(b []byte, lenLen int) (v, rest []byte, ok bool) {
	if len(b) < lenLen {
		return nil, nil, false
	}
	n := 0
	for _, x := range b[:lenLen] {
		n = n<<8 | int(x)
	}
	b = b[lenLen:]
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
