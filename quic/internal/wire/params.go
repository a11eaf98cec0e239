package wire

import (
	"encoding/binary"
	"net/netip"
)

// IDs of transport parameters (RFC 9000, Section 18.2; RFC 9221, Section 3).
const (
	paramOriginalDstID                  = 0x00
	paramMaxIdleTimeout                 = 0x01
	paramStatelessResetToken            = 0x02
	paramMaxUDPPayloadSize              = 0x03
	paramInitialMaxData                 = 0x04
	paramInitialMaxStreamDataBidiLocal  = 0x05
	paramInitialMaxStreamDataBidiRemote = 0x06
	paramInitialMaxStreamDataUni        = 0x07
	paramInitialMaxStreamsBidi          = 0x08
	paramInitialMaxStreamsUni           = 0x09
	paramAckDelayExponent               = 0x0a
	paramMaxAckDelay                    = 0x0b
	paramDisableActiveMigration         = 0x0c
	paramPreferredAddress               = 0x0d
	paramActiveConnIDLimit              = 0x0e
	paramInitialSrcID                   = 0x0f
	paramRetrySrcID                     = 0x10
	paramMaxDatagramFrameSize           = 0x20
)

// Defaults and limits of RFC 9000, Section 18.2.
const (
	defaultMaxUDPPayloadSize = 65527 // bytes
	defaultAckDelayExponent  = 3
	defaultMaxAckDelay       = 25 // ms
	defaultActiveConnIDLimit = 2

	minMaxUDPPayloadSize = 1200
	maxAckDelayExponent  = 20
	maxMaxAckDelay       = 1<<14 - 1
	minActiveConnIDLimit = 2
)

// maxUnknownParams is how many unknown parameters are remembered to find
// duplicates of them: enough for what peers send, and a bound on the work.
const maxUnknownParams = 32

// TransportParameters are those of RFC 9000, Section 18.2, and
// max_datagram_frame_size of RFC 9221. ParseTransportParameters fills in the
// defaults of what is absent.
type TransportParameters struct {
	OriginalDstID                  ConnID // server only
	HasOriginalDstID               bool
	MaxIdleTimeout                 uint64   // ms, 0: none
	StatelessResetToken            [16]byte // server only
	HasStatelessResetToken         bool
	MaxUDPPayloadSize              uint64 // bytes, at least 1200, by default 65527, and as great as the peer likes
	InitialMaxData                 uint64 // bytes
	InitialMaxStreamDataBidiLocal  uint64 // bytes
	InitialMaxStreamDataBidiRemote uint64 // bytes
	InitialMaxStreamDataUni        uint64 // bytes
	InitialMaxStreamsBidi          uint64 // at most 2^60
	InitialMaxStreamsUni           uint64 // at most 2^60
	AckDelayExponent               uint64 // at most 20, by default 3
	MaxAckDelay                    uint64 // ms, less than 2^14, by default 25
	DisableActiveMigration         bool
	PreferredAddress               PreferredAddress // server only
	HasPreferredAddress            bool
	ActiveConnIDLimit              uint64 // at least 2, the default
	InitialSrcID                   ConnID
	HasInitialSrcID                bool
	RetrySrcID                     ConnID // server only
	HasRetrySrcID                  bool
	MaxDatagramFrameSize           uint64 // bytes with the frame's header, 0: none are taken
}

// PreferredAddress is where a server would rather be (RFC 9000, Section 9.6).
type PreferredAddress struct {
	IPv4, IPv6 netip.AddrPort // the zero AddrPort: none
	ConnID     ConnID         // with the sequence number 1, not empty
	ResetToken [16]byte       // of ConnID
}

// Append appends the parameters, in the order of their IDs. What has its default
// is left out, and so are a MaxUDPPayloadSize and an ActiveConnIDLimit of 0, which
// no peer takes.
func (p *TransportParameters) Append(b []byte) []byte {
	if p.HasOriginalDstID {
		b = appendParam(b, paramOriginalDstID, p.OriginalDstID.Bytes())
	}
	b = appendIntParam(b, paramMaxIdleTimeout, p.MaxIdleTimeout, 0)
	if p.HasStatelessResetToken {
		b = appendParam(b, paramStatelessResetToken, p.StatelessResetToken[:])
	}
	if p.MaxUDPPayloadSize != 0 {
		b = appendIntParam(b, paramMaxUDPPayloadSize, p.MaxUDPPayloadSize, defaultMaxUDPPayloadSize)
	}
	b = appendIntParam(b, paramInitialMaxData, p.InitialMaxData, 0)
	b = appendIntParam(b, paramInitialMaxStreamDataBidiLocal, p.InitialMaxStreamDataBidiLocal, 0)
	b = appendIntParam(b, paramInitialMaxStreamDataBidiRemote, p.InitialMaxStreamDataBidiRemote, 0)
	b = appendIntParam(b, paramInitialMaxStreamDataUni, p.InitialMaxStreamDataUni, 0)
	b = appendIntParam(b, paramInitialMaxStreamsBidi, p.InitialMaxStreamsBidi, 0)
	b = appendIntParam(b, paramInitialMaxStreamsUni, p.InitialMaxStreamsUni, 0)
	b = appendIntParam(b, paramAckDelayExponent, p.AckDelayExponent, defaultAckDelayExponent)
	b = appendIntParam(b, paramMaxAckDelay, p.MaxAckDelay, defaultMaxAckDelay)
	if p.DisableActiveMigration {
		b = appendParam(b, paramDisableActiveMigration, nil)
	}
	if p.HasPreferredAddress {
		b = p.PreferredAddress.append(b)
	}
	if p.ActiveConnIDLimit != 0 {
		b = appendIntParam(b, paramActiveConnIDLimit, p.ActiveConnIDLimit, defaultActiveConnIDLimit)
	}
	if p.HasInitialSrcID {
		b = appendParam(b, paramInitialSrcID, p.InitialSrcID.Bytes())
	}
	if p.HasRetrySrcID {
		b = appendParam(b, paramRetrySrcID, p.RetrySrcID.Bytes())
	}
	return appendIntParam(b, paramMaxDatagramFrameSize, p.MaxDatagramFrameSize, 0)
}

func appendParam(b []byte, id uint64, v []byte) []byte {
	b = AppendVarint(b, id)
	b = AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

// appendIntParam appends a parameter unless it has its default.
func appendIntParam(b []byte, id, v, def uint64) []byte {
	if v == def {
		return b
	}
	b = AppendVarint(b, id)
	b = AppendVarint(b, uint64(VarintLen(v)))
	return AppendVarint(b, v)
}

func (a *PreferredAddress) append(b []byte) []byte {
	if a.ConnID.Len() == 0 {
		panic("BUG: preferred_address with an empty connection ID")
	}
	b = AppendVarint(b, paramPreferredAddress)
	b = AppendVarint(b, uint64(4+2+16+2+1+a.ConnID.Len()+len(a.ResetToken)))
	var v4 [4]byte
	var v6 [16]byte
	if a.IPv4.IsValid() {
		v4 = a.IPv4.Addr().As4()
	}
	if a.IPv6.IsValid() {
		v6 = a.IPv6.Addr().As16()
	}
	b = append(b, v4[:]...)
	b = binary.BigEndian.AppendUint16(b, a.IPv4.Port())
	b = append(b, v6[:]...)
	b = binary.BigEndian.AppendUint16(b, a.IPv6.Port())
	b = append(b, byte(a.ConnID.Len()))
	b = append(b, a.ConnID.Bytes()...)
	return append(b, a.ResetToken[:]...)
}

// ParseTransportParameters parses what a peer sent into p, all of which it sets.
// fromClient forbids what only a server may send. Errors are *Error with
// TRANSPORT_PARAMETER_ERROR; after one, p is undefined. Parameters that are not
// known are ignored (RFC 9000, Section 7.4.2).
func ParseTransportParameters(b []byte, fromClient bool, p *TransportParameters) error {
	*p = TransportParameters{
		MaxUDPPayloadSize: defaultMaxUDPPayloadSize,
		AckDelayExponent:  defaultAckDelayExponent,
		MaxAckDelay:       defaultMaxAckDelay,
		ActiveConnIDLimit: defaultActiveConnIDLimit,
	}
	var seen paramSet
	c := cursor{b: b}
	for len(c.b) > 0 {
		id := c.varint()
		v := c.bytes(c.varint())
		if c.cut {
			return paramError("transport parameters are cut off")
		}
		if !seen.add(id) {
			return paramError("transport parameter comes twice") // RFC 9000, Section 7.4
		}
		if fromClient {
			switch id {
			case paramOriginalDstID, paramStatelessResetToken, paramPreferredAddress, paramRetrySrcID:
				return paramError("a server's transport parameter from a client") // RFC 9000, Section 18.2
			}
		}
		if reason := p.parse(id, v); reason != "" {
			return paramError(reason)
		}
	}
	if p.HasPreferredAddress && p.HasInitialSrcID && p.InitialSrcID.Len() == 0 {
		return paramError("preferred_address from a server with an empty connection ID") // RFC 9000, Section 18.2
	}
	return nil
}

func paramError(reason string) error {
	return &Error{Code: ErrTransportParameterError, Reason: reason}
}

// A paramSet is the set of parameters that were seen.
type paramSet struct {
	low     uint64 // a bit for each ID below 64, and so for all that are known
	unknown [maxUnknownParams]uint64
	n       int
}

// add adds id, and returns false if it is a duplicate. Of large IDs it remembers the first few.
func (s *paramSet) add(id uint64) bool {
	if id < 64 {
		bit := uint64(1) << id
		dup := s.low&bit != 0
		s.low |= bit
		return !dup
	}
	for _, u := range s.unknown[:s.n] {
		if u == id {
			return false
		}
	}
	if s.n < len(s.unknown) {
		s.unknown[s.n] = id
		s.n++
	}
	return true
}

// parse takes one parameter, and returns what is wrong with it.
func (p *TransportParameters) parse(id uint64, v []byte) (reason string) {
	switch id {
	case paramOriginalDstID:
		p.HasOriginalDstID = true
		return parseID(v, &p.OriginalDstID)
	case paramMaxIdleTimeout:
		return parseInt(v, &p.MaxIdleTimeout, 0, MaxVarint)
	case paramStatelessResetToken:
		p.HasStatelessResetToken = true
		if len(v) != len(p.StatelessResetToken) {
			return "stateless_reset_token is not of 16 bytes"
		}
		copy(p.StatelessResetToken[:], v)
	case paramMaxUDPPayloadSize:
		return parseInt(v, &p.MaxUDPPayloadSize, minMaxUDPPayloadSize, MaxVarint)
	case paramInitialMaxData:
		return parseInt(v, &p.InitialMaxData, 0, MaxVarint)
	case paramInitialMaxStreamDataBidiLocal:
		return parseInt(v, &p.InitialMaxStreamDataBidiLocal, 0, MaxVarint)
	case paramInitialMaxStreamDataBidiRemote:
		return parseInt(v, &p.InitialMaxStreamDataBidiRemote, 0, MaxVarint)
	case paramInitialMaxStreamDataUni:
		return parseInt(v, &p.InitialMaxStreamDataUni, 0, MaxVarint)
	case paramInitialMaxStreamsBidi:
		return parseInt(v, &p.InitialMaxStreamsBidi, 0, maxStreams) // RFC 9000, Section 4.6
	case paramInitialMaxStreamsUni:
		return parseInt(v, &p.InitialMaxStreamsUni, 0, maxStreams)
	case paramAckDelayExponent:
		return parseInt(v, &p.AckDelayExponent, 0, maxAckDelayExponent)
	case paramMaxAckDelay:
		return parseInt(v, &p.MaxAckDelay, 0, maxMaxAckDelay)
	case paramDisableActiveMigration:
		p.DisableActiveMigration = true
		if len(v) != 0 {
			return "disable_active_migration with a value"
		}
	case paramPreferredAddress:
		p.HasPreferredAddress = true
		return p.PreferredAddress.parse(v)
	case paramActiveConnIDLimit:
		return parseInt(v, &p.ActiveConnIDLimit, minActiveConnIDLimit, MaxVarint)
	case paramInitialSrcID:
		p.HasInitialSrcID = true
		return parseID(v, &p.InitialSrcID)
	case paramRetrySrcID:
		p.HasRetrySrcID = true
		return parseID(v, &p.RetrySrcID)
	case paramMaxDatagramFrameSize:
		return parseInt(v, &p.MaxDatagramFrameSize, 0, MaxVarint)
	}
	return ""
}

// parseInt parses an integer that is all of v.
func parseInt(v []byte, to *uint64, least, most uint64) (reason string) {
	i, n := ConsumeVarint(v)
	if n == 0 || n != len(v) {
		return "transport parameter is not an integer"
	}
	if i < least || i > most {
		return "transport parameter is out of its range" // RFC 9000, Section 18.2
	}
	*to = i
	return ""
}

func parseID(v []byte, to *ConnID) (reason string) {
	if len(v) > MaxConnIDLen {
		return "connection ID of more than 20 bytes"
	}
	*to = NewConnID(v)
	return ""
}

// parse takes the value of preferred_address.
func (a *PreferredAddress) parse(v []byte) (reason string) {
	c := cursor{b: v}
	var v4 [4]byte
	var v6 [16]byte
	copy(v4[:], c.bytes(4))
	port4 := uint16(c.byte())<<8 | uint16(c.byte())
	copy(v6[:], c.bytes(16))
	port6 := uint16(c.byte())<<8 | uint16(c.byte())
	id := c.bytes(uint64(c.byte()))
	copy(a.ResetToken[:], c.bytes(uint64(len(a.ResetToken))))
	switch {
	case c.cut || len(c.b) > 0:
		return "preferred_address is of a wrong length"
	case len(id) == 0 || len(id) > MaxConnIDLen:
		return "preferred_address with a connection ID of a length that is not allowed" // RFC 9000, Section 18.2
	}
	a.ConnID = NewConnID(id)
	// All zeros: none of this family.
	if v4 != [4]byte{} || port4 != 0 {
		a.IPv4 = netip.AddrPortFrom(netip.AddrFrom4(v4), port4)
	}
	if v6 != [16]byte{} || port6 != 0 {
		a.IPv6 = netip.AddrPortFrom(netip.AddrFrom16(v6), port6)
	}
	return ""
}
