package wire

// MaxConnIDLen is the greatest length of a connection ID in bytes (RFC 9000, Section 17.2).
const MaxConnIDLen = 20

// ConnID is a connection ID of at most 20 bytes by value. It is comparable.
type ConnID struct {
	n uint8
	b [MaxConnIDLen]byte
}

// NewConnID copies b, which must not be longer than MaxConnIDLen.
func NewConnID(b []byte) ConnID {
	if len(b) > MaxConnIDLen {
		panic("BUG: a connection ID of more than 20 bytes")
	}
	c := ConnID{n: uint8(len(b))}
	copy(c.b[:], b)
	return c
}

// Bytes returns the connection ID. It aliases c.
func (c *ConnID) Bytes() []byte { return c.b[:c.n] }

// Len returns the length in bytes.
func (c *ConnID) Len() int { return int(c.n) }
