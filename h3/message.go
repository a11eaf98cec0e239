package h3

import "strings"

// message is what the fields of a head say that matters here.
type message struct {
	method        string
	status        int
	connect       bool  // the method is CONNECT, without :protocol
	extended      bool  // :protocol is there
	contentLength int64 // -1: none
	priority      Priority
	hasPriority   bool
}

// interim tells whether it is a 1xx response.
func (m *message) interim() bool { return m.status >= 100 && m.status < 200 }

// noContent tells whether a response never has content, whatever its
// content-length says (RFC 9110, Section 6.4.1).
func (m *message) noContent() bool { return m.status == 204 || m.status == 304 }

// parseRequest checks a request's head (RFC 9114, Sections 4.2, 4.3 and 4.3.1).
// fault tells why it is malformed, else it is empty.
func parseRequest(fields []Field, extendedConnect bool, m *message) (fault string) {
	*m = message{contentLength: -1}
	var scheme, authority, path, host string
	var hasMethod, hasScheme, hasAuthority, hasPath, hasHost bool
	i := 0
	for ; i < len(fields) && strings.HasPrefix(fields[i].Name, ":"); i++ {
		f := &fields[i]
		var seen *bool
		var value *string
		switch f.Name {
		case ":method":
			seen, value = &hasMethod, &m.method
		case ":scheme":
			seen, value = &hasScheme, &scheme
		case ":authority":
			seen, value = &hasAuthority, &authority
		case ":path":
			seen, value = &hasPath, &path
		case ":protocol": // RFC 9220, Section 3
			if !extendedConnect {
				return "extended CONNECT was not offered"
			}
			if !validToken(f.Value) {
				return "invalid :protocol"
			}
			if m.extended {
				return "pseudo-header field appears twice"
			}
			m.extended = true
			continue
		default:
			return "undefined pseudo-header field"
		}
		if *seen {
			return "pseudo-header field appears twice"
		}
		*seen, *value = true, f.Value
	}
	for _, f := range fields[i:] {
		if fault := m.checkField(&f); fault != "" {
			return fault
		}
		if f.Name == "host" {
			if hasHost && f.Value != host {
				return "two different hosts"
			}
			hasHost, host = true, f.Value
		}
	}

	if !hasMethod || !validToken(m.method) {
		return "missing or invalid :method"
	}
	if !validAuthority(authority) || !validAuthority(host) {
		return "invalid authority"
	}
	if m.method == "CONNECT" && !m.extended { // RFC 9114, Section 4.4
		m.connect = true
		m.contentLength = -1 // no content, but a tunnel
		if hasScheme || hasPath || authority == "" {
			return "CONNECT needs :authority, and neither :scheme nor :path"
		}
		return ""
	}
	if m.extended {
		// RFC 8441, Section 4.
		if m.method != "CONNECT" {
			return ":protocol without CONNECT"
		}
		m.contentLength = -1
	}
	if !hasScheme || !validScheme(scheme) {
		return "missing or invalid :scheme"
	}
	if !hasPath || !validPath(path) {
		return "missing or invalid :path"
	}
	if strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http") { // RFC 3986, Section 3.1
		switch {
		case !hasAuthority && !hasHost:
			return "neither :authority nor host"
		case hasAuthority && authority == "", hasHost && host == "":
			return "empty authority"
		case strings.Contains(authority, "@"), strings.Contains(host, "@"): // RFC 9110, Section 4.2.4
			return "user information in :authority or host"
		case path == "*" && m.method != "OPTIONS", path != "*" && !strings.HasPrefix(path, "/"):
			return "invalid :path"
		}
	}
	if hasAuthority && hasHost && !strings.EqualFold(authority, host) {
		return ":authority and host differ"
	}
	return ""
}

// parseResponse checks a response's head (RFC 9114, Sections 4.2, 4.3 and 4.3.2).
func parseResponse(fields []Field, m *message) (fault string) {
	*m = message{contentLength: -1}
	i := 0
	for ; i < len(fields) && strings.HasPrefix(fields[i].Name, ":"); i++ {
		f := &fields[i]
		if f.Name != ":status" {
			return "undefined pseudo-header field"
		}
		if m.status != 0 {
			return "pseudo-header field appears twice"
		}
		if m.status = parseStatus(f.Value); m.status == 0 {
			return "invalid :status"
		}
	}
	if m.status == 0 {
		return "missing :status"
	}
	for _, f := range fields[i:] {
		if fault := m.checkField(&f); fault != "" {
			return fault
		}
	}
	return ""
}

// parseStatus returns 0 for what is no status. 101 is none in HTTP/3 (RFC 9114, Section 4.5).
func parseStatus(s string) int {
	if len(s) != 3 || s[0] < '1' || !isDigit(s[0]) || !isDigit(s[1]) || !isDigit(s[2]) || s == "101" {
		return 0
	}
	return int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
}

// parseTrailers checks a trailer section (RFC 9114, Section 4.3).
func parseTrailers(fields []Field) (fault string) {
	m := message{contentLength: -1}
	for i := range fields {
		if fault := m.checkField(&fields[i]); fault != "" {
			return fault
		}
	}
	return ""
}

// checkField checks a field that is no pseudo-header field (RFC 9114, Sections
// 4.2 and 10.3), and notes what matters of it.
func (m *message) checkField(f *Field) (fault string) {
	if strings.HasPrefix(f.Name, ":") {
		return "pseudo-header field where none may be"
	}
	if !validName(f.Name) {
		return "invalid field name"
	}
	if !validValue(f.Value) {
		return "invalid field value"
	}
	switch f.Name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return "connection-specific field"
	case "te":
		if f.Value != "trailers" {
			return "te other than trailers"
		}
	case "content-length":
		n, ok := parseContentLength(f.Value)
		if !ok || m.contentLength >= 0 && n != m.contentLength {
			return "invalid content-length"
		}
		m.contentLength = n
	case "priority":
		m.priority, m.hasPriority = ParsePriority(f.Value)
	}
	return ""
}

// parseContentLength takes digits alone (RFC 9110, Section 8.6).
func parseContentLength(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// tokenChars are the characters of a token (RFC 9110, Section 5.6.2).
var tokenChars = func() (t [256]bool) {
	for c := range 256 {
		t[c] = isLower(byte(c)|0x20) && c < 0x80 || isDigit(byte(c)) || c > 0 && c < 0x80 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return t
}()

func validToken(s string) bool {
	for i := range len(s) {
		if !tokenChars[s[i]] {
			return false
		}
	}
	return s != ""
}

// validName tells whether s is a token without capital letters (RFC 9114, Section 4.2).
func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !tokenChars[c] || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return s != ""
}

// validValue tells whether s has no control character but tabs (RFC 9110, Section 5.5).
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// validPath tells whether s has no character that could end a request line or begin a fragment.
func validPath(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// validAuthority tells whether s has nothing of a path, query or fragment (RFC
// 3986, Section 3.2). It may be empty.
func validAuthority(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' || c == '?' || c == '#' || c == '\\' {
			return false
		}
	}
	return true
}

// validScheme: RFC 3986, Section 3.1.
func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(isLower(c|0x20) || i > 0 && (isDigit(c) || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}
