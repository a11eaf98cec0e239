package h3

import (
	"strings"

	"github.com/frittata-go/frittata/quic"
)

// Priority is an RFC 9218 priority: the urgency, 0 (most urgent) to 7, and
// whether the response is of use in parts. The default is urgency 3, not incremental.
type Priority struct {
	Urgency     uint8
	Incremental bool
}

// DefaultPriority is that of a request that tells none (RFC 9218, Section 4).
var DefaultPriority = Priority{Urgency: 3}

// maxPriorityField bounds the field value of a PRIORITY_UPDATE frame, in bytes. What
// is defined takes less than ten.
const maxPriorityField = 256

// maxEarlyPriorities bounds the PRIORITY_UPDATEs that wait for their streams to open.
const maxEarlyPriorities = 16

// earlyPriorities are PRIORITY_UPDATEs for streams that are not open yet. The
// oldest makes room for the newest (RFC 9218, Section 7).
type earlyPriorities struct {
	at []earlyPriority
}

type earlyPriority struct {
	id quic.StreamID
	p  Priority
}

// put keeps p for the stream. It tells whether another stream's was dropped.
func (e *earlyPriorities) put(id quic.StreamID, p Priority) (dropped bool) {
	e.take(id)
	if len(e.at) == maxEarlyPriorities {
		e.at = append(e.at[:0], e.at[1:]...)
		dropped = true
	}
	e.at = append(e.at, earlyPriority{id, p})
	return dropped
}

// take returns what was kept for the stream.
func (e *earlyPriorities) take(id quic.StreamID) (Priority, bool) {
	for i, x := range e.at {
		if x.id == id {
			e.at = append(e.at[:i], e.at[i+1:]...)
			return x.p, true
		}
	}
	return Priority{}, false
}

// ParsePriority parses a Priority field value (RFC 9218, Section 4): a
// structured-field dictionary (RFC 8941, Section 3.2), of which other members are
// ignored, as are values out of range. ok is false, and the default returned, if
// it is no dictionary.
func ParsePriority(s string) (p Priority, ok bool) {
	p = DefaultPriority
	s = strings.Trim(s, " ")
	for s != "" {
		var key, value string
		if key, s, ok = cutKey(s); !ok {
			return DefaultPriority, false
		}
		value = "?1"
		if strings.HasPrefix(s, "=") {
			if value, s, ok = cutItem(s[1:]); !ok {
				return DefaultPriority, false
			}
		}
		if s, ok = skipParameters(s); !ok {
			return DefaultPriority, false
		}
		switch key {
		case "u":
			p.Urgency = DefaultPriority.Urgency
			if len(value) == 1 && '0' <= value[0] && value[0] <= '7' {
				p.Urgency = value[0] - '0'
			}
		case "i":
			p.Incremental = value == "?1"
		}
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			break
		}
		if s[0] != ',' {
			return DefaultPriority, false
		}
		if s = strings.TrimLeft(s[1:], " \t"); s == "" {
			return DefaultPriority, false // RFC 8941, Section 4.2.2: no trailing comma
		}
	}
	return p, true
}

// cutKey cuts a key (RFC 8941, Section 4.2.3.3) off s.
func cutKey(s string) (key, rest string, ok bool) {
	i := 0
	for i < len(s) && (isLower(s[i]) || s[i] == '*' || i > 0 && (isDigit(s[i]) || s[i] == '_' || s[i] == '-' || s[i] == '.')) {
		i++
	}
	return s[:i], s[i:], i > 0
}

// cutItem cuts a bare item or an inner list off s, without judging numbers.
func cutItem(s string) (item, rest string, ok bool) {
	if s == "" {
		return "", "", false
	}
	i := 1
	switch c := s[0]; {
	case c == '"':
		for i < len(s) && s[i] != '"' {
			if s[i] == '\\' {
				i++
			}
			i++
		}
		i++
	case c == ':':
		for i < len(s) && s[i] != ':' {
			i++
		}
		i++
	case c == '(':
		quoted := false
		for i < len(s) && (quoted || s[i] != ')') {
			switch {
			case s[i] == '"':
				quoted = !quoted
			case quoted && s[i] == '\\':
				i++
			}
			i++
		}
		i++
	case c == '?':
		i = 2
		if len(s) < 2 || s[1] != '0' && s[1] != '1' {
			return "", "", false
		}
	case c == '-' || c == '*' || isDigit(c) || isLower(c|0x20):
		for i < len(s) && s[i] != ',' && s[i] != ';' && s[i] != ' ' && s[i] != '\t' {
			i++
		}
	default:
		return "", "", false
	}
	if i > len(s) {
		return "", "", false
	}
	return s[:i], s[i:], true
}

// skipParameters cuts parameters (RFC 8941, Section 4.2.3.2) off s.
func skipParameters(s string) (rest string, ok bool) {
	for strings.HasPrefix(s, ";") {
		if _, s, ok = cutKey(strings.TrimLeft(s[1:], " ")); !ok {
			return "", false
		}
		if strings.HasPrefix(s, "=") {
			if _, s, ok = cutItem(s[1:]); !ok {
				return "", false
			}
		}
	}
	return s, true
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
