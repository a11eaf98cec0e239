package prommetrics

import (
	"crypto/tls"
	"strings"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/quic"
)

// unknownCode is the label of all codes that have no name: the peer may have chosen them.
const unknownCode = "UNKNOWN"

// code names the error code of a close, with a name of a small set; it is empty if there was none.
func (m *Metrics) code(r *frittata.ConnRecord) string {
	switch r.Kind {
	case frittata.CloseTransport:
		return transportCode(quic.TransportErrorCode(r.Code))
	case frittata.CloseApplication:
		return m.codeName(r.ALPN, r.Code)
	}
	return ""
}

func transportCode(c quic.TransportErrorCode) string {
	if alert, ok := c.Alert(); ok {
		if strings.Contains(tls.AlertError(alert).Error(), "alert(") {
			return "CRYPTO_ERROR"
		}
		return c.String()
	}
	if c > quic.NoViablePath {
		return unknownCode
	}
	return c.String()
}

// CodeName names the error codes of HTTP/3 as its RFCs do, reserved ones
// H3_GREASE (RFC 9114, Section 8.1), and all other codes and those of other protocols UNKNOWN.
func CodeName(alpn string, code uint64) string {
	if alpn != "h3" {
		return unknownCode
	}
	if s := h3.ErrorCode(code).String(); strings.HasPrefix(s, "H3_") || strings.HasPrefix(s, "QPACK_") {
		return s
	}
	if code >= 0x21 && (code-0x21)%0x1f == 0 {
		return "H3_GREASE"
	}
	return unknownCode
}
